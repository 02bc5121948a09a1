/* SPDX-License-Identifier: MIT */
/*
 * What the verifier knows at one instruction on one path: registers and stack of every active
 * function.
 *
 * Origins. A scalar carries a 64-bit set of places (registers, stack slots) of the last checkpoint
 * on its path that its bounds may depend on. When a decision rests on the bounds (a branch that
 * goes one way only, an address, a size) the places are marked precise in that checkpoint, and,
 * through the origins recorded there, in those before it. A scalar that was never marked may have
 * any value without changing what was proven, so a later path with other values can be cut off at
 * the checkpoint (prune.c). Sets are lossy: many places share a bit, which marks more than needed
 * and so costs pruning, never soundness.
 */
#pragma once

#include "ebpf/insn.h"
#include "verifier/range.h"

enum vreg_type {
	VREG_NONE,
	VREG_SCALAR,
	VREG_CTX,
	VREG_STACK,
	VREG_MAP,
	VREG_VALUE,
	VREG_RECORD,
	VREG_MEM,
	VREG_KEY,	 /* of a map that is walked: read-only */
	VREG_FUNC,	 /* a function of the program */
	VREG_REGS,	 /* struct pt_regs, read-only */
	VREG_TASK,	 /* a handle: there is no memory behind it */
	VREG_OBJECT,	 /* bpf_rdonly_cast(): the same */
	VREG_PACKET,	 /* into a network packet; size: bytes from here on that a comparison has shown to exist */
	VREG_PACKET_META, /* into what stands in front of it */
	VREG_PACKET_END,
	VREG_ARENA,	 /* into the program's arena: any number, what lies outside reads as zero */
	VREG_DYNPTR_ARG, /* a dynptr that is no object of this program */
	VREG_DYNPTR,	 /* only in stack slots: special.c */
	VREG_ITER
};

struct vreg {
	u8 type;	 /* enum vreg_type */
	bool maybe_null; /* VALUE, RECORD, MEM, MAP */
	bool rdonly;	 /* MEM */
	bool precise;	 /* in a checkpoint: a decision rests on v */
	bool held;	 /* in a checkpoint: a loop was closed over v (loop.c) */
	u8 frame;	 /* STACK: whose */
	u32 map;	 /* MAP, VALUE, KEY: index; FUNC: first instruction; MEM: dynptr it is a slice of, or 0 */
	u32 size;	 /* RECORD, MEM: bytes; PACKET: packet.c */
	u32 id;	 /* pointer that may be null: which look-up; packet: variable part; scalar: group of equals; 0: none */
	u32 ref; /* must be given back */
	s32 off;   /* pointer: the fixed part of its offset in bytes */
	s32 delta; /* scalar of a group: value = the group's base + delta */
	u64 origin;
	struct range v; /* scalar: the value; pointer: the variable part of its offset, constant if there is none */
};

#define VSLOT_BYTES 8u
#define VSTACK_SLOTS (EBPF_MAX_STACK / VSLOT_BYTES)

/* Eight bytes of stack; slot 0 is fp-8..fp-1, slot i starts at fp - 8 * (i + 1). */
struct vslot {
	struct vreg spill; /* what was stored as a whole; type NONE: nothing */
	u64 known;	   /* values of the bytes in known_mask */
	u64 origin;	   /* of the bytes that are no spill */
	u8 spill_size;	   /* bytes, from the lowest on */
	u8 known_mask;	   /* bit per byte: holds a constant */
	u8 zero_mask;	   /* bit per byte: constant zero that the kernel would know, too */
	u8 init_mask;	   /* bit per byte: was written */
	bool precise;
	bool held;
};

struct vframe {
	struct vreg r[11];
	struct vslot *slot;
	u32 nslots;
	u32 func;     /* index of the function */
	u32 callsite; /* instruction of the call; unused in frame 0 */
	bool callback; /* called by the helper at callsite */
	u32 instance; /* number of this call; loop.c for this and the rest */
	u32 goto_depth; /* may_gotos that went on */
	u32 loop;	/* number of the helper call that is calling back, 0 = none */
	u32 loop_depth; /* how often it has called */
	u64 written;  /* slots wholly overwritten since the checkpoint */
	u64 read;     /* in a checkpoint: slots that some path reads later on */
};

struct vref {
	u32 id, insn;
};

#define VREF_MAX 64u

struct vnode;

struct vstate {
	struct vframe *frame[EBPF_MAX_FRAMES];
	u32 nframes;
	u32 nrefs;
	struct vref *ref;     /* [VREF_MAX] or NULL */
	u32 rcu, preempt;     /* regions that are open */
	struct vnode *parent; /* last checkpoint on the path */
	u32 pc;
	u32 prev_pc;
};

static inline struct vframe *vstate_top(struct vstate *st)
{
	return st->frame[st->nframes - 1];
}

/* State at the program's first instruction: R1 = ctx. 0, -ENOMEM. */
int vstate_init(struct vstate *ret);
void vstate_deinit(struct vstate *st);
/* ret is overwritten: it owns nothing yet. 0, -ENOMEM. */
int vstate_copy(const struct vstate *st, struct vstate *ret);

/* New frame with undefined registers and stack. 0, -E2BIG (too deep), -ENOMEM. */
int vstate_push_frame(struct vstate *st, u32 func, u32 callsite, u32 instance);
void vstate_pop_frame(struct vstate *st);
int vframe_grow(struct vframe *f, u32 nslots); /* at least so many slots; 0, -ENOMEM */

void vreg_set_none(struct vreg *r);
void vreg_set_unknown(struct vreg *r);
void vreg_set_const(struct vreg *r, u64 v);
void vreg_set_pointer(struct vreg *r, u8 type);
/* Low bytes, zero-extended; a group's base does not survive. */
void vreg_truncate(struct vreg *r, u32 bytes);

static inline bool vreg_is_scalar(const struct vreg *r)
{
	return r->type == VREG_SCALAR;
}

static inline bool vreg_is_pointer(const struct vreg *r)
{
	return r->type > VREG_SCALAR;
}

static inline bool vreg_is_const(const struct vreg *r)
{
	return r->type == VREG_SCALAR && range_is_const(&r->v);
}

static inline bool vreg_is_null(const struct vreg *r)
{
	return vreg_is_const(r) && r->v.t.value == 0;
}

/* The offset of a pointer whose v is constant. (The kernel keeps the two parts apart, too, and checks them in its own
 * way: what is variable must not be negative.) */
static inline s64 vreg_fixed_off(const struct vreg *r)
{
	return r->off + (s64)r->v.t.value;
}

/* "scalar", "map_value_or_null" ...: the kernel's names. */
const char *vreg_type_name(const struct vreg *r);

/* Bits of the origin set; top: index of the last frame at the checkpoint. */
static inline u64 vorigin_reg(u32 frame, u32 top, u32 reg)
{
	return 1ull << (frame == top ? reg : 11 + reg % 4);
}

static inline u64 vorigin_slot(u32 frame, u32 slot)
{
	return 1ull << (15 + (frame * 7 + slot) % 49);
}
