/* SPDX-License-Identifier: MIT */
/*
 * The stack, eight bytes at a time. A slot holds either a whole register that was spilled (pointer
 * or number, which a load gets back as it was), or bytes of which some are known constants. Direct
 * accesses are aligned, so they stay in one slot. Reading bytes that nobody wrote is fine: programs
 * are their owner's, and the kernel's verifier allows it to privileged loaders, too.
 */
#include <errno.h>

#include "base/bits.h"
#include "verifier/env.h"

static u32 slot_of(s64 byte)
{
	return (u32)(-byte - 1) / VSLOT_BYTES;
}

static u32 byte_in_slot(s64 byte)
{
	return (u32)byte & (VSLOT_BYTES - 1);
}

static u8 byte_mask(u32 first, u32 n)
{
	return (u8)(((1u << n) - 1) << first);
}

/* Slots that bytes [lo, hi) touch; empty if hi <= lo. */
static u64 slots_mask(s64 lo, s64 hi)
{
	u32 first, last;

	if (hi <= lo)
		return 0;
	first = slot_of(hi - 1);
	last = slot_of(lo);
	return (last == 63 ? ~0ull : (1ull << (last + 1)) - 1) & ~((1ull << first) - 1);
}

int vstack_span(struct venv *env, u32 regno, s32 off, u32 size, enum vaccess how, struct vspan *ret)
{
	const struct vreg *r = vreg_of(env, regno);
	const char *what = how == VACCESS_WRITE ? " write to" : " read from";
	struct vspan span = {.fixed = range_is_const(&r->v)};
	struct vframe *f = env->cur.frame[r->frame];
	char bits[VTNUM_TEXT];
	u32 depth;

	if (!span.fixed && (r->v.smax >= VMAX_VAR_OFF || r->v.smin <= -VMAX_VAR_OFF)) {
		vlog(env, "invalid unbounded variable-offset%s stack R%u\n", what, regno);
		return -EACCES;
	}
	span.lo = r->off + r->v.smin + off;
	span.hi = r->off + r->v.smax + off + size;
	if (span.lo < -(s64)EBPF_MAX_STACK || span.lo > -1 || span.hi > 0) {
		vlog_tnum(r->v.t, bits);
		if (span.fixed)
			vlog(env, "invalid%s stack R%u off=%lld size=%u\n", what, regno,
			     (long long)span.lo, size);
		else
			vlog(env, "invalid variable-offset%s stack R%u var_off=%s off=%d size=%u\n",
			     what, regno, bits, off, size);
		return span.lo < -(s64)EBPF_MAX_STACK || span.lo > -1 ? -EACCES : -EINVAL;
	}
	depth = bits_round_up((u32)-span.lo, VSLOT_BYTES);
	env->func[f->func].depth = bits_max(env->func[f->func].depth, depth);
	*ret = span;
	return 0;
}

bool vstack_has_special(const struct venv *env, u32 frame, const struct vspan *span)
{
	const struct vframe *f = env->cur.frame[frame];
	u64 slots = slots_mask(span->lo, span->hi);
	u32 i;

	for (i = 0; i < f->nslots; i++)
		if (slots >> i & 1 && vspecial_is(&f->slot[i].spill))
			return true;
	return false;
}

void vstack_read_span(struct venv *env, u32 frame, const struct vspan *span)
{
	vorigin_stack_read(&env->cur, frame, slots_mask(span->lo, span->hi));
}

static int load_slot(struct venv *env, struct vslot *s, u32 byte, u32 size, struct vreg *ret)
{
	u8 bytes = byte_mask(byte, size);

	if (vspecial_is(&s->spill)) {
		vlog(env, "invalid read from stack of %s\n", vreg_type_name(&s->spill));
		return -EACCES;
	}
	if (vreg_is_pointer(&s->spill)) {
		if (size != VSLOT_BYTES) {
			vlog(env, "invalid size of register fill\n");
			return -EACCES;
		}
		*ret = s->spill;
		return 0;
	}
	if (vreg_is_scalar(&s->spill) && byte == 0 && size <= s->spill_size) {
		vreg_make_group(env, &s->spill);
		*ret = s->spill;
		vreg_truncate(ret, size);
		return 0;
	}
	if ((s->zero_mask & bytes) == bytes ||
	    (vreg_is_null(&s->spill) && byte + size <= s->spill_size)) {
		vreg_set_const(ret, 0);
	} else {
		vreg_set_unknown(ret);
		vreg_truncate(ret, size);
	}
	ret->origin = s->origin | s->spill.origin;
	return 0;
}

int vstack_load(struct venv *env, u32 regno, s32 off, u32 size, struct vreg *ret)
{
	u32 frame = vreg_of(env, regno)->frame;
	struct vframe *f = env->cur.frame[frame];
	struct vspan span;
	struct vreg out;
	int r = vstack_span(env, regno, off, size, VACCESS_READ, &span);

	if (r)
		return r;
	vstack_read_span(env, frame, &span);
	if (!span.fixed && vstack_has_special(env, frame, &span)) {
		vlog(env, "invalid read from stack R%u var_off\n", regno);
		return -EACCES;
	}
	if (!span.fixed || slot_of(span.lo) >= f->nslots) {
		vreg_set_unknown(&out);
		vreg_truncate(&out, size);
	} else {
		r = load_slot(env, &f->slot[slot_of(span.lo)], byte_in_slot(span.lo), size, &out);
		if (r)
			return r;
	}
	*ret = out;
	return 0;
}

static void slot_know(struct vslot *s, u32 byte, u32 size, const struct vreg *value)
{
	u8 bytes = byte_mask(byte, size);
	u64 bits = size == 8 ? ~0ull : ((1ull << (size * 8)) - 1) << (byte * 8);

	s->init_mask |= bytes;
	s->known_mask &= (u8)~bytes;
	s->zero_mask &= (u8)~bytes;
	if (!vreg_is_const(value))
		return;
	s->known_mask |= bytes;
	s->known = (s->known & ~bits) | ((value->v.t.value << (byte * 8)) & bits);
}

static void store_slot(struct vslot *s, u32 byte, u32 size, const struct vreg *value)
{
	bool whole = size == VSLOT_BYTES;

	if (s->spill.type != VREG_NONE) {
		/* what else was known of the slot goes with the register that was spilled there */
		s->zero_mask = 0;
		s->origin |= s->spill.origin;
		vreg_set_none(&s->spill);
		s->spill_size = 0;
	}
	slot_know(s, byte, size, value);
	s->origin = whole ? value->origin : s->origin | value->origin;
	if (byte == 0) {
		s->spill = *value;
		s->spill.precise = false;
		s->spill_size = (u8)size;
		vreg_truncate(&s->spill, size);
	} else if (vreg_is_null(value)) {
		s->zero_mask |= byte_mask(byte, size);
	}
}

/* Objects on the stack that a store of the span reaches are gone. */
static int overwrite_specials(struct venv *env, struct vframe *f, u64 slots)
{
	u32 i;
	int r = 0;

	for (i = 0; !r && i < f->nslots; i++)
		if (slots >> i & 1)
			r = vspecial_overwrite(env, f, i);
	return r;
}

static void store_somewhere(struct vframe *f, const struct vspan *span, const struct vreg *value)
{
	u64 slots = slots_mask(span->lo, span->hi);
	bool zero = vreg_is_null(value);
	u32 i;

	for (i = 0; i < f->nslots; i++) {
		struct vslot *s = &f->slot[i];

		if (!(slots >> i & 1))
			continue;
		if (s->spill.type != VREG_NONE || !zero)
			s->zero_mask = 0;
		s->origin |= s->spill.origin | value->origin;
		vreg_set_none(&s->spill);
		s->spill_size = 0;
		s->known_mask = s->zero_mask;
		s->known = 0;
		s->init_mask = 0xff;
	}
}

int vstack_store(struct venv *env, u32 regno, s32 off, u32 size, const struct vreg *value)
{
	u32 frame = vreg_of(env, regno)->frame;
	struct vframe *f = env->cur.frame[frame];
	struct vspan span;
	int r = vstack_span(env, regno, off, size, VACCESS_WRITE, &span);

	if (r)
		return r;
	r = vframe_grow(f, slot_of(span.lo) + 1);
	if (!r)
		r = overwrite_specials(env, f, slots_mask(span.lo, span.hi));
	if (r)
		return r;
	if (!span.fixed) {
		store_somewhere(f, &span, value);
		return 0;
	}
	if (vreg_is_pointer(value) && size != VSLOT_BYTES) {
		vlog(env, "invalid size of register spill\n");
		return -EACCES;
	}
	if (value->type == VREG_STACK && f != vstate_top(&env->cur)) {
		vlog(env, "cannot spill pointers to stack into stack frame of the caller\n");
		return -EINVAL;
	}
	store_slot(&f->slot[slot_of(span.lo)], byte_in_slot(span.lo), size, value);
	if (size == VSLOT_BYTES)
		f->written |= 1ull << slot_of(span.lo);
	return 0;
}

int vstack_clobber_span(struct venv *env, u32 frame, const struct vspan *span)
{
	struct vframe *f = env->cur.frame[frame];
	u64 slots = slots_mask(span->lo, span->hi);
	u32 i;
	int r;

	if (!slots)
		return 0;
	r = vframe_grow(f, slot_of(span->lo) + 1);
	if (!r)
		r = overwrite_specials(env, f, slots);
	if (r)
		return r;
	for (i = 0; i < f->nslots; i++) {
		struct vslot *s = &f->slot[i];
		s64 base = -(s64)VSLOT_BYTES * (i + 1);
		s64 lo = bits_max(span->lo, base), hi = bits_min(span->hi, base + VSLOT_BYTES);
		bool whole = span->fixed && hi - lo == VSLOT_BYTES;
		u8 bytes;

		if (!(slots >> i & 1))
			continue;
		bytes = byte_mask((u32)(lo - base), (u32)(hi - lo));
		if (s->spill.type != VREG_NONE)
			s->zero_mask = 0;
		s->origin = whole ? 0 : s->origin | s->spill.origin;
		vreg_set_none(&s->spill);
		s->spill_size = 0;
		s->known_mask &= (u8)~bytes;
		s->zero_mask &= (u8)~bytes;
		s->init_mask |= bytes;
		if (whole)
			f->written |= 1ull << i;
	}
	return 0;
}

bool vstack_const_u32(struct venv *env, u32 frame, const struct vspan *span, u32 *ret,
		      bool *ret_kernel, u64 *ret_origin)
{
	const struct vframe *f = env->cur.frame[frame];
	bool zeros = true, spilled = false;
	u64 origin = 0;
	u32 i, value = 0;

	if (!span->fixed)
		return false;
	for (i = 0; i < 4; i++) {
		const struct vslot *s;
		u32 byte = byte_in_slot(span->lo + i);

		if (slot_of(span->lo + i) >= f->nslots)
			return false;
		s = &f->slot[slot_of(span->lo + i)];
		if (!(s->known_mask >> byte & 1))
			return false;
		value |= (u32)(s->known >> (byte * 8) & 0xff) << (i * 8);
		origin |= s->origin | s->spill.origin;
		zeros = zeros && s->zero_mask >> byte & 1;
		if (i == 0)
			spilled = byte == 0 && s->spill.type == VREG_SCALAR && s->spill_size == 4;
	}
	*ret = value;
	*ret_kernel = zeros || spilled;
	*ret_origin = origin;
	return true;
}
