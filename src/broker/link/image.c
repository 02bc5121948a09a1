/* SPDX-License-Identifier: MIT */
/* Programs in a target: their code with its table filled in, and the maps they use. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/bpf.h"
#include "base/bits.h"
#include "broker/link/inner.h"
#include "broker/link/payload_blob.h"
#include "broker/link/progs.h"
#include "broker/link/remote.h"
#include "broker/link/tables.h"
#include "broker/object/output.h"
#include "util/fd.h"

void process_inline_free(struct region_inline *in)
{
	free((void *)in->rip_at);
	free((void *)in->rip_word);
	free((void *)in->word);
	*in = (struct region_inline){ .len = 0 };
}

void process_map_put(struct process *p, struct process_map *m)
{
	if (--m->refs)
		return;
	inner_unmap(p, m);
	remote_munmap(p, m->base, m->size);
	HASH_DEL(p->maps, m);
	free(m);
}

static int map_get_file(struct process *p, u32 id, int fd, u64 size, int prot, bool touch)
{
	struct process_map *m;
	s64 at;

	HASH_FIND_INT(p->maps, &id, m);
	if (m) {
		m->refs++;
		return 0;
	}
	at = remote_map_file(p, fd, 0, size, prot);
	if (remote_failed(at))
		return (int)at;
	m = calloc(1, sizeof(*m));
	if (!m) {
		remote_munmap(p, (u64)at, size);
		return -ENOMEM;
	}
	*m = (struct process_map){ .id = id, .base = (u64)at, .size = size, .refs = 1 };
	HASH_ADD_INT(p->maps, id, m);
	if (touch)
		remote_touch(p, m->base, m->size);
	return 0;
}

#define ARENA_ID 0u /* in process_map: the arena of perf buffers, which is no map */

static bool map_needs_arena(const struct object_map *om)
{
	return om->view.type == BPF_MAP_TYPE_PERF_EVENT_ARRAY;
}

static void map_put_object(struct process *p, const struct object_map *om)
{
	struct process_map *m, *arena = NULL;
	u32 arena_id = ARENA_ID;

	HASH_FIND_INT(p->maps, &om->obj.id, m);
	if (m && map_needs_arena(om))
		HASH_FIND_INT(p->maps, &arena_id, arena);
	if (m)
		process_map_put(p, m);
	if (arena)
		process_map_put(p, arena);
}

int process_map_get(struct process *p, struct object_map *om)
{
	int prot = PROT_READ | (om->view.flags & BPF_F_RDONLY_PROG ? 0 : PROT_WRITE);
	int fd = map_needs_arena(om) ? output_arena_fd(p->engine->broker) : 0;
	int r;

	if (fd < 0)
		return fd;
	/* a page of an arena that has been touched is one that is in use */
	r = map_get_file(p, om->obj.id, om->mem_fd, om->view.size, prot, om->view.type != NT_BPF_MAP_TYPE_ARENA);
	if (r || !map_needs_arena(om))
		return r;
	r = map_get_file(p, ARENA_ID, fd, NT_OUT_ARENA_SIZE, PROT_READ | PROT_WRITE, true);
	if (r) {
		struct process_map *m;

		HASH_FIND_INT(p->maps, &om->obj.id, m);
		process_map_put(p, m);
	}
	return r;
}

void process_map_view(struct process *p, const struct object_map *om, struct nt_map_view *ret)
{
	struct process_map *m, *arena = NULL;
	u32 arena_id = ARENA_ID;

	HASH_FIND_INT(p->maps, &om->obj.id, m);
	if (map_needs_arena(om))
		HASH_FIND_INT(p->maps, &arena_id, arena);
	*ret = om->view;
	ret->base = m ? (u8 *)m->base : NULL;
	ret->outputs = arena ? (u8 *)arena->base : NULL;
}

/* Ring buffers by address, so that submit and discard find the ring of a record. Programs run meanwhile: an entry
 * never moves. */
int process_rings_change(struct process *p, const u64 *view, u32 n, bool add)
{
	u64 rings[NT_MAX_RINGS], at = p->state + offsetof(struct nt_state, rings);
	u64 at_n = p->state + offsetof(struct nt_state, nrings), zero = 0;
	u32 nrings, free_slot;
	int r = 0;

	if (inject_read(&p->target, at, rings, sizeof(rings)) ||
	    inject_read(&p->target, at_n, &nrings, sizeof(nrings)) || nrings > NT_MAX_RINGS)
		return -EFAULT;
	for (u32 j = 0; j < n && !r; j++) {
		for (free_slot = 0; free_slot < nrings; free_slot++)
			if (rings[free_slot] == (add ? 0 : view[j]))
				break;
		if (free_slot == nrings && !add)
			continue;
		if (free_slot == NT_MAX_RINGS)
			return -ENOSPC;
		rings[free_slot] = add ? view[j] : 0;
		r = inject_write(&p->target, at + 8ull * free_slot, add ? &view[j] : &zero, 8);
		if (!r && free_slot == nrings) {
			nrings++;
			r = inject_write(&p->target, at_n, &nrings, sizeof(nrings));
		}
	}
	return r;
}

#define INLINE_MAX 128u /* bytes of machine code */

/* What the code regions need to hold the program's instructions themselves. got: its table as this process has it.
 * A program that cannot be inlined is called: that is no error. */
static void inline_prepare(struct region_inline *in, const struct jit_image *img, const u64 *got)
{
	u32 n = img->nrip, *at, *word;
	u64 *table;

	if (!img->inlinable || img->size - img->entry > INLINE_MAX || in->len)
		return;
	at = calloc(n + 1, sizeof(*at));
	word = calloc(n + 1, sizeof(*word));
	table = calloc(img->ngot + 1, sizeof(*table));
	*in = (struct region_inline){ .code = img->code + img->entry, .rip_at = at, .rip_word = word, .nrip = n,
				      .word = table, .nwords = img->ngot };
	for (u32 i = 0; i < n && at && word && table; i++) {
		s32 disp;

		memcpy(&disp, img->code + img->rip_at[i], sizeof(disp));
		at[i] = img->rip_at[i] - img->entry;
		word[i] = (img->rip_at[i] + 4 + (u32)disp) / 8;
		if (img->rip_at[i] < img->entry || word[i] >= img->ngot) {
			process_inline_free(in);
			return;
		}
	}
	if (!at || !word || !table) {
		process_inline_free(in);
		return;
	}
	memcpy(table, got, 8ull * img->ngot);
	in->len = img->size - img->entry - 1;
}

/* Views first, then the image with its table filled in. */
static int prog_bytes(struct process *p, struct object_prog *prog, u64 base, u8 *out, u64 image_off)
{
	struct nt_map_view *views = (struct nt_map_view *)out;
	u64 *got = (u64 *)(out + image_off);

	for (u32 i = 0; i < prog->nmaps; i++) {
		struct process_map *m;

		HASH_FIND_INT(p->maps, &prog->maps[i]->obj.id, m);
		if (!m)
			return -ENOENT;
		process_map_view(p, prog->maps[i], &views[i]);
	}
	memcpy(out + image_off, prog->image.code, prog->image.size);
	for (u32 i = 0; i < prog->image.ngot; i++) {
		const struct jit_got *g = &prog->image.got[i];

		if (g->kind == JIT_GOT_HELPER) {
			u32 off = g->index < NT_HELPER_MAX ? ((const struct nt_payload_hdr *)nt_payload_blob)->helper[g->index] : 0;

			if (!off)
				return -EINVAL;
			got[i] = p->image + off;
		} else if (g->index >= prog->nmaps) {
			return -EINVAL;
		} else if (g->kind == JIT_GOT_MAP_VIEW) {
			got[i] = base + sizeof(*views) * g->index;
		} else {
			got[i] = (u64)views[g->index].base + views[g->index].data_off;
		}
	}
	return 0;
}

static int prog_write(struct process *p, struct object_prog *prog, struct process_prog *pp)
{
	u64 image_off = bits_round_up(sizeof(struct nt_map_view) * prog->nmaps, (u64)64);
	u64 rings[NT_MAX_RINGS];
	u32 nrings = 0;
	u8 *bytes free_auto = NULL;
	s64 at;
	int r;

	pp->size = bits_round_up(image_off + prog->image.size, (u64)NT_PAGE);
	bytes = calloc(1, pp->size);
	if (!bytes)
		return -ENOMEM;
	at = remote_mmap(p, 0, pp->size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (remote_failed(at))
		return (int)at;
	pp->base = (u64)at;
	pp->entry = pp->base + image_off + prog->image.entry;
	r = prog_bytes(p, prog, pp->base, bytes, image_off);
	if (!r)
		inline_prepare(&pp->inlined, &prog->image, (const u64 *)(bytes + image_off));
	if (!r)
		r = inject_write(&p->target, pp->base, bytes, pp->size);
	for (u32 i = 0; i < prog->nmaps && !r; i++)
		if (prog->maps[i]->view.type == BPF_MAP_TYPE_RINGBUF && nrings < NT_MAX_RINGS)
			rings[nrings++] = pp->base + sizeof(struct nt_map_view) * i;
	if (!r && nrings)
		r = process_rings_change(p, rings, nrings, true);
	if (r)
		remote_munmap(p, pp->base, pp->size);
	return r;
}

static void maps_put(struct process *p, struct object_prog *prog, u32 n)
{
	while (n--)
		map_put_object(p, prog->maps[n]);
}

void process_ref_maps(struct process *p, const struct object_prog *prog)
{
	u32 arena_id = ARENA_ID;
	struct process_map *m;

	for (u32 i = 0; i < prog->nmaps; i++) {
		HASH_FIND_INT(p->maps, &prog->maps[i]->obj.id, m);
		if (m)
			m->refs++;
		if (!map_needs_arena(prog->maps[i]))
			continue;
		HASH_FIND_INT(p->maps, &arena_id, m);
		if (m)
			m->refs++;
	}
}

int process_prog_copy(const struct process_prog *from, struct process_prog **ret)
{
	struct process_prog *pp = malloc(sizeof(*pp));

	if (!pp)
		return -ENOMEM;
	*pp = *from;
	pp->inlined = (struct region_inline){ .len = 0 };
	if (from->inlined.len)
		inline_prepare(&pp->inlined, &from->prog->image, from->inlined.word);
	pp->held = 0;
	object_ref(&pp->prog->obj);
	*ret = pp;
	return 0;
}

int process_map_prog(struct process *p, struct object_prog *prog, struct process_prog **ret)
{
	struct process_prog *pp;
	u32 n;
	int r;

	HASH_FIND_INT(p->progs, &prog->obj.id, pp);
	if (pp) {
		*ret = pp;
		return 0;
	}
	pp = calloc(1, sizeof(*pp));
	if (!pp)
		return -ENOMEM;
	r = process_borrow(p);
	if (r) {
		free(pp);
		return r;
	}
	for (n = 0; n < prog->nmaps && !r; n++)
		r = process_map_get(p, prog->maps[n]);
	if (r)
		n--;
	else
		r = prog_write(p, prog, pp);
	if (r)
		maps_put(p, prog, n);
	process_give_back(p);
	if (r) {
		process_inline_free(&pp->inlined);
		free(pp);
		return r;
	}
	pp->id = prog->obj.id;
	object_ref(&prog->obj);
	pp->prog = prog;
	HASH_ADD_INT(p->progs, id, pp);
	if (tables_wanted(prog))
		tables_update(p);
	inner_map_all(p, prog);
	progs_map_arrays(p, prog);
	*ret = pp;
	return 0;
}

void process_unmap_prog(struct process *p, struct process_prog *pp)
{
	u64 rings[NT_MAX_RINGS];
	u32 nrings = 0;

	if (process_borrow(p))
		return;
	for (u32 i = 0; i < pp->prog->nmaps; i++)
		if (pp->prog->maps[i]->view.type == BPF_MAP_TYPE_RINGBUF && nrings < NT_MAX_RINGS)
			rings[nrings++] = pp->base + sizeof(struct nt_map_view) * i;
	if (nrings)
		process_rings_change(p, rings, nrings, false);
	remote_munmap(p, pp->base, pp->size);
	maps_put(p, pp->prog, pp->prog->nmaps);
	process_give_back(p);
	HASH_DEL(p->progs, pp);
	object_unref(&pp->prog->obj);
	process_inline_free(&pp->inlined);
	free(pp);
}
