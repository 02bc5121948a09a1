/* SPDX-License-Identifier: MIT */
/*
 * A slot: the meta, the way to the programs, the displaced instructions, the way back, and behind it copies of what else
 * the patch displaces.
 */
#include "patch/x86_64/region_build.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"

#define SLOT_ALIGN 16u
#define INLINE_ALIGN 64u /* of a slot with everything in it: where it lies in its cache lines shall not matter */
#define CONSUMER_BOUND 224u /* of a consumer, but for its inlined code */
#define SESSION_BOUND 320u /* more for a session */
#define GO_BOUND 640u /* the change of stacks */
#define INLINE_BOUND 1536u /* without consumers, a slot that calls no dispatcher */
#define SLOT_FIXED (5u + 5u + 5u + 8u) /* red zone skip, call, jump to thunk or red zone restore */
/* Slots with everything in them are faster while few are hot, and slower when tens of thousands compete for the
 * instruction cache: beyond this many they share dispatchers. */
#define INLINE_SITES_MAX 256u
#define INLINE_CONSUMERS_MAX 3u

u32 slot_consumers_bound(const struct region_shape *s)
{
	u32 size = 0;

	for (u32 i = 0; i < s->n; i++)
		size += CONSUMER_BOUND + (s->consumer[i].session ? SESSION_BOUND : 0) +
			(s->consumer[i].inlined ? s->consumer[i].inlined->len : 0);
	return size;
}

bool slot_inlined(const struct region_shape *shape, const struct region_site *s, u32 nsites)
{
	if (s->plan->go)
		return true;
	return nsites <= INLINE_SITES_MAX && shape[s->shape].n <= INLINE_CONSUMERS_MAX && s->plan->entry &&
	       !dispatch_shape_has_sessions(&shape[s->shape]) && !dispatch_shape_overrides(&shape[s->shape]);
}

bool slot_returns(const struct region_shape *shape, const struct region_site *s)
{
	return s->plan->entry && !s->plan->go && dispatch_shape_returns(&shape[s->shape]);
}

u32 slot_bound(const struct region_shape *shape, const struct region_site *s, u32 nsites)
{
	u32 inlined = slot_inlined(shape, s, nsites) ? INLINE_BOUND + INLINE_ALIGN + slot_consumers_bound(&shape[s->shape]) : 0;

	return inlined + (s->plan->go ? GO_BOUND : 0) + dispatch_meta_size(&shape[s->shape]) + SLOT_FIXED + s->plan->room + SLOT_ALIGN;
}

/* What else the patch displaces, behind the slot: the instructions before the site, and a victim's. Advances *at. */
static int write_displaced(struct region_build *b, struct region_site *s, u32 *at)
{
	const struct patch_plan *p = s->plan;
	u32 words = b->env->go_words;
	int n = 0;

	s->jump_off = s->slot_off;
	s->victim_off = 0;
	if (p->back) {
		s->jump_off = *at;
		n = patch_relocate_head(p, s->addr, b->base + *at, b->base + s->slot_off, words, b->out + *at, b->cap - *at,
					s->new_off);
		*at += n > 0 ? (u32)n : 0;
	}
	if (n >= 0 && p->victim.len) {
		s->victim_off = *at;
		n = patch_relocate_victim(p, s->addr + (p->island - p->vaddr), b->base + *at, words, b->out + *at, b->cap - *at,
					  s->victim_new_off);
		*at += n > 0 ? (u32)n : 0;
	}
	return n < 0 ? n : 0;
}

int slot_write(struct region_build *b, struct region_site *s, u32 *at, u32 thunk)
{
	const struct region_shape *shape = &b->shape[s->shape];
	const struct shape_code *code = &b->code[s->shape];
	struct nt_slot_meta meta = { .func_ip = s->addr, .exit = code->exit };
	bool inlined = slot_inlined(b->shape, s, b->nsites);
	struct dispatch_words words = build_words(b, inlined ? s->shape : 0);
	struct dispatch_tail tail;
	struct go_stack go;
	u32 meta_at = *at, meta_size = dispatch_meta_size(shape);
	struct x86_writer w;
	u32 body;
	int n;

	s->slot_off = bits_round_up(meta_at + meta_size, inlined ? INLINE_ALIGN : SLOT_ALIGN);
	meta_at = s->slot_off - meta_size;
	memset(b->out + *at, 0xcc, meta_at - *at);
	s->meta_off = meta_at;
	x86_init(&w, b->out + s->slot_off, b->cap - s->slot_off, b->base + s->slot_off);
	if (s->plan->go && !b->env->go_stacks)
		return -ERANGE;
	if (s->plan->go) {
		go_stack_enter(&w, b->env, &words, !s->plan->entry, &go);
		dispatch_emit_inline(&w, b->env, shape, &words, b->base + meta_at, 0, true, &tail);
		go_stack_leave(&w, &go);
	} else if (inlined) {
		dispatch_emit_inline(&w, b->env, shape, &words, b->base + meta_at, thunk ? b->base + thunk + 5 : 0, false,
				     &tail);
	} else if (s->plan->entry) {
		x86_call(&w, code->entry);
		if (thunk)
			x86_jmp(&w, b->base + thunk);
	} else {
		x86_lea(&w, X86_RSP, X86_RSP, -128);
		x86_call(&w, code->middle);
		x86_lea(&w, X86_RSP, X86_RSP, 128);
	}
	if (w.error)
		return w.error;
	body = s->slot_off + w.len;
	n = patch_relocate(s->plan, s->addr, b->base + body, b->env->go_words, b->out + body, b->cap - body, s->new_off);
	if (n < 0)
		return n;
	s->body_off = body;
	w.len += (u32)n;
	if (inlined)
		dispatch_emit_tail(&w, &words, &tail);
	if (s->plan->go)
		go_stack_tail(&w, &go);
	if (w.error)
		return w.error;
	*at = s->slot_off + w.len;
	n = write_displaced(b, s, at);
	if (n)
		return n;
	meta.body = b->base + body;
	if (thunk) {
		meta.thunk = b->base + thunk + 5;
		x86_init(&w, b->out + thunk, SLOT_THUNK_SIZE, b->base + thunk);
		x86_call(&w, meta.body);
		x86_jmp_rip(&w, b->base + meta_at + offsetof(struct nt_slot_meta, exit));
		if (w.error)
			return w.error;
	}
	memcpy(b->out + meta_at, &meta, sizeof(meta));
	memcpy(b->out + meta_at + sizeof(meta), s->cookie, 8ull * dispatch_meta_words(shape));
	return 0;
}
