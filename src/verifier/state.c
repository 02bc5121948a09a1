/* SPDX-License-Identifier: MIT */
#include "verifier/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void vreg_set_none(struct vreg *r)
{
	*r = (struct vreg){.type = VREG_NONE};
	range_set_unknown(&r->v);
}

void vreg_set_unknown(struct vreg *r)
{
	*r = (struct vreg){.type = VREG_SCALAR};
	range_set_unknown(&r->v);
}

void vreg_set_const(struct vreg *r, u64 v)
{
	*r = (struct vreg){.type = VREG_SCALAR};
	range_set_const(&r->v, v);
}

void vreg_set_pointer(struct vreg *r, u8 type)
{
	*r = (struct vreg){.type = type};
	range_set_const(&r->v, 0);
}

void vreg_truncate(struct vreg *r, u32 bytes)
{
	if (bytes >= 8)
		return;
	/* a value that fits stays itself, and in its group */
	if (r->v.umax > (1ull << (bytes * 8)) - 1)
		r->id = 0;
	range_truncate(&r->v, bytes);
}

const char *vreg_type_name(const struct vreg *r)
{
	switch (r->type) {
	case VREG_SCALAR: return "scalar";
	case VREG_CTX: return "ctx";
	case VREG_STACK: return "fp";
	case VREG_MAP: return r->maybe_null ? "map_ptr_or_null" : "map_ptr";
	case VREG_VALUE: return r->maybe_null ? "map_value_or_null" : "map_value";
	case VREG_RECORD: return r->maybe_null ? "ringbuf_mem_or_null" : "ringbuf_mem";
	case VREG_MEM:
		if (r->rdonly)
			return r->maybe_null ? "rdonly_mem_or_null" : "rdonly_mem";
		return r->maybe_null ? "mem_or_null" : "mem";
	case VREG_KEY: return "map_key";
	case VREG_FUNC: return "func";
	case VREG_REGS: return "trusted_ptr_pt_regs";
	case VREG_TASK: return "trusted_ptr_task_struct";
	case VREG_OBJECT: return "untrusted_ptr_";
	case VREG_DYNPTR_ARG:
	case VREG_DYNPTR: return "dynptr_ptr";
	case VREG_ITER: return "iter";
	case VREG_PACKET: return "pkt";
	case VREG_PACKET_META: return "pkt_meta";
	case VREG_PACKET_END: return "pkt_end";
	case VREG_ARENA: return "arena";
	default: return "?";
	}
}

static struct vframe *vframe_new(u32 func, u32 callsite, u32 index, u32 instance)
{
	struct vframe *f = calloc(1, sizeof(*f));
	u32 i;

	if (!f)
		return NULL;
	for (i = 0; i < 11; i++)
		vreg_set_none(&f->r[i]);
	vreg_set_pointer(&f->r[10], VREG_STACK);
	f->r[10].frame = (u8)index;
	f->func = func;
	f->callsite = callsite;
	f->instance = instance;
	/* nothing that was on this stack before matters */
	f->written = ~0ull;
	return f;
}

static void vframe_free(struct vframe *f)
{
	if (f)
		free(f->slot);
	free(f);
}

int vframe_grow(struct vframe *f, u32 nslots)
{
	struct vslot *slot;
	u32 i;

	if (nslots <= f->nslots)
		return 0;
	slot = realloc(f->slot, nslots * sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	for (i = f->nslots; i < nslots; i++) {
		memset(&slot[i], 0, sizeof(slot[i]));
		vreg_set_none(&slot[i].spill);
	}
	f->slot = slot;
	f->nslots = nslots;
	return 0;
}

static struct vframe *vframe_copy(const struct vframe *from)
{
	struct vframe *f = malloc(sizeof(*f));

	if (!f)
		return NULL;
	*f = *from;
	f->slot = NULL;
	if (!from->nslots)
		return f;
	f->slot = malloc(from->nslots * sizeof(*f->slot));
	if (!f->slot) {
		free(f);
		return NULL;
	}
	memcpy(f->slot, from->slot, from->nslots * sizeof(*f->slot));
	return f;
}

int vstate_init(struct vstate *ret)
{
	struct vstate st = {0};
	int r = vstate_push_frame(&st, 0, 0, 0);

	if (r)
		return r;
	vreg_set_pointer(&st.frame[0]->r[1], VREG_CTX);
	*ret = st;
	return 0;
}

void vstate_deinit(struct vstate *st)
{
	while (st->nframes)
		vstate_pop_frame(st);
	free(st->ref);
	st->ref = NULL;
}

int vstate_copy(const struct vstate *from, struct vstate *ret)
{
	struct vstate st = *from;

	st.ref = NULL;
	for (st.nframes = 0; st.nframes < from->nframes; st.nframes++) {
		st.frame[st.nframes] = vframe_copy(from->frame[st.nframes]);
		if (!st.frame[st.nframes])
			goto no_memory;
	}
	if (from->nrefs) {
		st.ref = malloc(VREF_MAX * sizeof(*st.ref));
		if (!st.ref)
			goto no_memory;
		memcpy(st.ref, from->ref, from->nrefs * sizeof(*st.ref));
	}
	*ret = st;
	return 0;
no_memory:
	vstate_deinit(&st);
	return -ENOMEM;
}

int vstate_push_frame(struct vstate *st, u32 func, u32 callsite, u32 instance)
{
	if (st->nframes == EBPF_MAX_FRAMES)
		return -E2BIG;
	st->frame[st->nframes] = vframe_new(func, callsite, st->nframes, instance);
	if (!st->frame[st->nframes])
		return -ENOMEM;
	st->nframes++;
	return 0;
}

void vstate_pop_frame(struct vstate *st)
{
	vframe_free(st->frame[--st->nframes]);
	st->frame[st->nframes] = NULL;
}
