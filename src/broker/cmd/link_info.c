/* SPDX-License-Identifier: MIT */
#include "broker/cmd/link_info.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "abi/bpf.h"
#include "base/bits.h"
#include "broker/link/link.h"
#include "util/fd.h"

static int multi_write_path(struct client *c, const struct link_desc *d, struct link_info *i)
{
	size_t need = strlen(d->path) + 1;
	size_t room = i->multi.path_size ? bits_min(i->multi.path_size, (u32)PATH_MAX) : PATH_MAX;
	int r = 0;

	if (need > room)
		return -ENAMETOOLONG;
	if (i->multi.path)
		r = client_write(c, i->multi.path, d->path, need);
	i->multi.path_size = (u32)need;
	return r;
}

#define ROWS 256u

/* As the kernel: target by target, so that where something cannot be written what comes before it is. */
static int multi_write_arrays(struct client *c, const struct link_desc *d, const struct link_info *i, u32 n)
{
	const u64 *from[3] = {d->offsets, d->ref_ctr_offsets, d->cookies}, zero = 0;
	const u64 to[3] = {i->multi.offsets, i->multi.ref_ctr_offsets, i->multi.cookies};
	struct iovec here[3 * ROWS], there[3 * ROWS];
	int r = 0;

	for (u32 row = 0; row < n && !r;) {
		u32 k = 0;

		for (u32 end = bits_min(n, row + ROWS); row < end; row++) {
			for (u32 a = 0; a < 3; a++) {
				if (!to[a])
					continue;
				here[k] = (struct iovec){(void *)(from[a] ? from[a] + row : &zero), sizeof(zero)};
				there[k++] = (struct iovec){(void *)(to[a] + 8ull * row), sizeof(zero)};
			}
		}
		r = client_write_all(c, here, there, k);
	}
	return r;
}

static int multi_fill(struct client *c, const struct link_desc *d, struct link_info *i)
{
	bool arrays = i->multi.offsets || i->multi.ref_ctr_offsets || i->multi.cookies;
	u32 room = i->multi.count, n = bits_min(room, d->count);
	int r;

	if (!i->multi.path != !i->multi.path_size)
		return -EINVAL;
	if (arrays && !room)
		return -EINVAL;
	i->multi.count = d->count;
	i->multi.flags = d->flags;
	i->multi.pid = (u32)client_pid_there(c, d->pid);
	r = multi_write_path(c, d, i);
	if (r < 0 || !arrays)
		return r;
	r = multi_write_arrays(c, d, i, n);
	if (r < 0)
		return r;
	return n < d->count ? -ENOSPC : 0;
}

static int perf_write_name(struct client *c, const char *name, struct link_info *i)
{
	size_t need = strlen(name) + 1;
	u32 room = i->perf.name_len;
	char *cut free_auto = NULL;
	int r;

	i->perf.name_len = (u32)need;
	if (!i->perf.file_name)
		return 0;
	if (room >= need)
		return client_write(c, i->perf.file_name, name, need);
	cut = strndup(name, room - 1);
	if (!cut)
		return -ENOMEM;
	r = client_write(c, i->perf.file_name, cut, room);
	return r < 0 ? r : -ENOSPC;
}

static int perf_fill(struct client *c, const struct object_perf *p, const struct link_desc *d,
		     struct link_info *i)
{
	int r;

	if (!i->perf.file_name != !i->perf.name_len)
		return -EINVAL;
	r = perf_write_name(c, p->raw_path, i);
	if (r < 0)
		return r;
	i->perf.type = p->retprobe ? NT_BPF_PERF_EVENT_URETPROBE : NT_BPF_PERF_EVENT_UPROBE;
	i->perf.offset = (u32)p->offset;
	i->perf.cookie = d->cookies && d->count ? d->cookies[0] : 0;
	i->perf.ref_ctr_offset = p->ref_ctr;
	return 0;
}

/* struct bpf_link_info.perf_event.event: two words and a cookie, right behind the type. */
static int event_fill(const struct object_perf *p, struct link_info *i)
{
	const u64 cookie = 0;
	u8 *at = (u8 *)&i->perf.type + 8;
	const u32 type = 1 /* PERF_TYPE_SOFTWARE */;
	const u64 config = p->clock.config;

	i->perf.type = NT_BPF_PERF_EVENT_EVENT;
	memcpy(at, &config, sizeof(config));
	memcpy(at + 8, &type, sizeof(type));
	memcpy(at + 16, &cookie, sizeof(cookie));
	return 0;
}

int link_info_fill(struct client *c, const struct object_link *l, struct link_info *i)
{
	struct link_desc d = {};

	if (l->link)
		link_describe(l->link, &d);
	i->type = l->type;
	i->id = l->obj.id;
	i->prog_id = l->prog->obj.id;
	if (l->perf && l->perf->clock.period_ns)
		return event_fill(l->perf, i);
	return l->perf ? perf_fill(c, l->perf, &d, i) : multi_fill(c, &d, i);
}
