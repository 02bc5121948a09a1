/* SPDX-License-Identifier: MIT */
/*
 * The memory behind descriptors of ours, for the loader.
 *
 * mmap(2) of a descriptor of ours. A map's memfd is mapped by the kernel itself, here are only the refusals that it
 * would not know (bpf_map_mmap() and the map types' own); a perf event is a part of the arena.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>

#include "abi/bpf.h"
#include "base/bits.h"
#include "broker/cmd/cmd.h"
#include "broker/object/map.h"
#include "broker/object/output.h"
#include "broker/object/slots.h"
#include "broker/object/twin.h"

static int mmap_array(const struct nt_map_view *v, u64 length, u64 offset)
{
	if (!(v->flags & BPF_F_MMAPABLE))
		return -EINVAL;
	return offset + bits_round_up(length, (u64)NT_PAGE) > v->size ? -EINVAL : 0;
}

/* ringbuf_map_mmap_user(): the loader writes everything but the consumer's page. */
static int mmap_user_ring(const struct nt_map_view *v, u64 length, u64 prot, u64 offset)
{
	if (prot & PROT_WRITE && !offset)
		return -EPERM;
	return offset + bits_round_up(length, (u64)NT_PAGE) > v->ctl_off ? -EINVAL : 0;
}

/* ringbuf_map_mmap_kern() */
static int mmap_ring(const struct nt_map_view *v, u64 length, u64 prot, u64 offset)
{
	if (prot & PROT_WRITE && (offset || length != NT_PAGE))
		return -EPERM;
	return offset + bits_round_up(length, (u64)NT_PAGE) > v->ctl_off ? -EINVAL : 0;
}

/* arena_get_unmapped_area() and arena_map_mmap(); where it is put if that is open yet the front end finds out. */
static s64 mmap_arena(struct call *k, const struct object_map *m, u64 length, u64 flags, u64 offset, u64 addr)
{
	length = bits_round_up(length, (u64)NT_PAGE);
	k->native = false;
	if ((flags & MAP_TYPE) == MAP_PRIVATE || offset)
		return -EINVAL;
	if (length > (m->arena_len ? m->arena_len : m->view.ctl_off))
		return -E2BIG;
	if (m->arena_len && (length != m->arena_len || addr != m->view.extra))
		return -EINVAL;
	k->arena = true;
	return (s64)m->view.extra;
}

s64 cmd_arena_mapped(struct call *k, int fd, u64 addr, u64 length)
{
	struct object_map *m;
	struct object *o;
	int r = object_by_fd(k->c, fd, OBJECT_MAP, &o);

	if (r < 0)
		return r;
	m = object_to_map(o);
	if (m->view.type != NT_BPF_MAP_TYPE_ARENA || addr % NT_PAGE || !length || length > m->view.ctl_off ||
	    addr >> 32 != (addr + length - 1) >> 32)
		return -EINVAL;
	if (!m->arena_len) {
		m->view.extra = addr;
		m->arena_len = bits_round_up(length, (u64)NT_PAGE);
	}
	return m->view.extra == addr ? 0 : -EBUSY;
}

static int mmap_map(const struct object_map *m, u64 length, u64 prot, u64 flags, u64 offset)
{
	const struct nt_map_view *v = &m->view;
	int r = -NT_ENOTSUPP;

	if (v->type == BPF_MAP_TYPE_ARRAY)
		r = 0;
	else if (v->type == BPF_MAP_TYPE_RINGBUF || v->type == NT_BPF_MAP_TYPE_USER_RINGBUF)
		r = 0;
	if (!r && (flags & MAP_TYPE) == MAP_PRIVATE)
		r = -EINVAL;
	if (!r && prot & PROT_WRITE && m->frozen)
		r = -EPERM;
	if (!r && prot & PROT_WRITE && v->flags & BPF_F_RDONLY_PROG)
		r = -EACCES;
	if (r)
		return r;
	switch (v->type) {
	case BPF_MAP_TYPE_ARRAY: return mmap_array(v, length, offset);
	case BPF_MAP_TYPE_RINGBUF: return mmap_ring(v, length, prot, offset);
	default: return mmap_user_ring(v, length, prot, offset);
	}
}

/* perf_mmap() */
static s64 mmap_output(struct call *k, struct object_output *o, u64 length, u64 prot, u64 flags, u64 offset)
{
	u64 at;
	int r;

	if ((flags & MAP_TYPE) == MAP_PRIVATE || offset)
		return -EINVAL;
	r = object_output_map(o, length, prot & PROT_WRITE, &at);
	if (r < 0)
		return r;
	k->ret_fd = fcntl(output_arena_fd(k->b), F_DUPFD_CLOEXEC, 0);
	return k->ret_fd < 0 ? -errno : (s64)at;
}

s64 cmd_mmap(struct call *k, int fd, u64 length, u64 prot, u64 flags, u64 offset, u64 addr)
{
	struct object *o;
	int mode, r = object_by_fd_mode(k->c, fd, OBJECT_NKINDS, &o, &mode);

	if (!r && o->kind == OBJECT_OUTPUT)
		return mmap_output(k, object_to_output(o), length, prot, flags, offset);
	k->native = true;
	if (r < 0 || o->kind != OBJECT_MAP)
		return 0;
	/* What the descriptor's own mode forbids the kernel refuses first. */
	if (mode == O_WRONLY || (mode == O_RDONLY && prot & PROT_WRITE))
		return 0;
	if (object_to_map(o)->view.type == NT_BPF_MAP_TYPE_ARENA)
		return mmap_arena(k, object_to_map(o), length, flags, offset, addr);
	r = mmap_map(object_to_map(o), length, prot, flags, offset);
	k->native = !r;
	if (!r && object_to_map(o)->mem_fd != object_to_map(o)->fd) { /* the memory is the kernel's */
		k->native = false;
		k->ret_fd = fcntl(object_to_map(o)->mem_fd, F_DUPFD_CLOEXEC, 0);
		return k->ret_fd < 0 ? -errno : (s64)offset;
	}
	return r;
}

/* What the caller may do with the map's memory without asking. */
static u32 map_view_may(const struct object_map *m, int mode)
{
	u32 may = 0;

	if (map_has_slots(m->view.type) || m->view.type == BPF_MAP_TYPE_TASK_STORAGE || m->view.type == NT_BPF_MAP_TYPE_ARENA)
		return 0;
	if (twin_map_is_owner(m))
		return 0; /* it is not in this file */
	if (mode != O_WRONLY)
		may |= NT_MAP_READ;
	/* Write-only descriptors cannot be mapped; the memory of a read-only map cannot be written by others. */
	if (mode == O_RDWR && !m->frozen && !(m->view.flags & BPF_F_RDONLY_PROG))
		may |= NT_MAP_WRITE;
	/* What the kernel maps it maps for both; and not to write what is read-only. */
	if (m->mem_fd != m->fd)
		may = may == (NT_MAP_READ | NT_MAP_WRITE) ? may | NT_MAP_ELSEWHERE : 0;
	return may;
}

s64 cmd_map_view(struct call *k, int fd, u64 addr)
{
	struct nt_map_answer answer = {};
	struct object_map *m;
	struct object *o;
	int mode, r = object_by_fd_mode(k->c, fd, OBJECT_MAP, &o, &mode), news;

	if (r < 0)
		return r;
	m = object_to_map(o);
	answer.view = m->view;
	answer.view.base = NULL;
	answer.ino = m->ino;
	answer.may = client_shares_pids(k->c) ? map_view_may(m, mode) : 0; /* threads of others cannot own locks in it */
	r = client_write(k->c, addr, &answer, sizeof(answer));
	if (r < 0)
		return r;
	news = object_map_news(k->b);
	k->ret_fd = news < 0 ? -1 : fcntl(news, F_DUPFD_CLOEXEC, 0);
	return k->ret_fd < 0 ? (news < 0 ? news : -errno) : 0;
}

s64 cmd_map_memory(struct call *k, int fd)
{
	struct object *o;
	int mode, r = object_by_fd_mode(k->c, fd, OBJECT_MAP, &o, &mode);

	if (r < 0)
		return r;
	if (!(map_view_may(object_to_map(o), mode) & NT_MAP_ELSEWHERE))
		return -EPERM;
	k->ret_fd = fcntl(object_to_map(o)->mem_fd, F_DUPFD_CLOEXEC, 0);
	return k->ret_fd < 0 ? -errno : 0;
}
