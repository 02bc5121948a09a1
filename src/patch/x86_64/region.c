/* SPDX-License-Identifier: MIT */
#include "patch/region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "patch/x86_64/dispatch.h"
#include "patch/x86_64/frames.h"

#define THUNK_SIZE 16u
#define SLOT_ALIGN 16u
#define INLINE_ALIGN 64u /* of a slot with everything in it: where it lies in its cache lines shall not matter */
#define DISPATCH_BOUND 2560u	      /* one dispatcher or exit without consumers ... */
#define CONSUMER_BOUND 224u	      /* ... and for each of them, but for its inlined code */
#define SESSION_BOUND 320u	      /* more for a session */
#define FOLLOW_BOUND 64u
#define GO_BOUND 640u		      /* the change of stacks */
#define INLINE_BOUND 1536u	      /* the same for a slot that calls no dispatcher */
/* Slots with everything in them are faster while few are hot, and slower when tens of thousands compete for the
 * instruction cache: beyond this many they share dispatchers. */
#define INLINE_SITES_MAX 256u
#define INLINE_CONSUMERS_MAX 3u
#define SLOT_FIXED (5u + 5u + 5u + 8u) /* red zone skip, call, jump to thunk or red zone restore */
#define REGION_MAX (1u << 30)
#define FIXED_WORDS 11u

struct shape_code { /* run-time addresses */
	u64 entry, middle, exit;
};

struct build {
	const struct region_env *env;
	const struct region_shape *shape;
	u32 nshapes;
	struct region_site *site;
	u32 nsites;
	u64 base;
	u8 *out;
	u32 cap;
	struct shape_code *code;
	u64 *consumer_words; /* run-time address of each consumer's words, shape after shape */
	u32 nreturns;
	u32 words, text, follow, thunks, frames, ledger, slots; /* offsets of the sections */
};

static u32 words_count(const struct region_shape *shape, u32 n)
{
	u32 words = FIXED_WORDS;

	for (u32 i = 0; i < n; i++)
		for (u32 j = 0; j < shape[i].n; j++)
			words += dispatch_words_of(&shape[i].consumer[j]);
	return words;
}

static u32 consumers_bound(const struct region_shape *s)
{
	u32 size = 0;

	for (u32 i = 0; i < s->n; i++)
		size += CONSUMER_BOUND + (s->consumer[i].session ? SESSION_BOUND : 0) +
			(s->consumer[i].inlined ? s->consumer[i].inlined->len : 0);
	return size;
}

/* Does a slot of this site hold everything? Short lists, at entries of functions. */
static bool site_inlined(const struct region_shape *shape, const struct region_site *s, u32 nsites)
{
	if (s->plan->go)
		return true;
	return nsites <= INLINE_SITES_MAX && shape[s->shape].n <= INLINE_CONSUMERS_MAX && s->plan->entry &&
	       !dispatch_shape_has_sessions(&shape[s->shape]);
}

static bool site_returns(const struct region_shape *shape, const struct region_site *s)
{
	return s->plan->entry && !s->plan->go && dispatch_shape_returns(&shape[s->shape]);
}

static u32 slot_bound(const struct region_shape *shape, const struct region_site *s, u32 nsites)
{
	u32 inlined = site_inlined(shape, s, nsites) ? INLINE_BOUND + INLINE_ALIGN + consumers_bound(&shape[s->shape]) : 0;

	return inlined + (s->plan->go ? GO_BOUND : 0) + dispatch_meta_size(&shape[s->shape]) + SLOT_FIXED + patch_relocated_size(s->plan) + SLOT_ALIGN;
}

u32 region_bound(const struct region_shape *shape, u32 nshapes, const struct region_site *site, u32 nsites)
{
	u64 size = 8ull * words_count(shape, nshapes) + 64;

	for (u32 i = 0; i < nshapes; i++)
		size += 3 * (DISPATCH_BOUND + consumers_bound(&shape[i])) + 64;
	size += FRAMES_SIZE + FOLLOW_BOUND + 64;
	for (u32 i = 0; i < nsites; i++)
		size += slot_bound(shape, &site[i], nsites) + THUNK_SIZE;
	size += region_ledger_count(site, nsites) * sizeof(struct nt_ledger_site);
	return size > REGION_MAX ? REGION_MAX : (u32)bits_round_up(size, NT_PAGE);
}

static void put_word(struct build *b, u32 index, u64 value)
{
	memcpy(b->out + b->words + 8 * index, &value, 8);
}

static void write_words(struct build *b)
{
	u32 at = FIXED_WORDS, k = 0;

	put_word(b, 0, b->env->fn_ret_slow);
	put_word(b, 1, b->env->fn_row_slow);
	put_word(b, 2, b->env->rows);
	put_word(b, 3, b->env->rows + (sizeof(struct nt_row) << b->env->row_bits));
	put_word(b, 4, b->env->fn_ret_deep);
	put_word(b, 5, b->env->fn_session_open);
	put_word(b, 6, b->env->fn_session_keep);
	put_word(b, 7, b->env->fn_session_at);
	put_word(b, 8, b->env->fn_session_more);
	put_word(b, 9, b->env->fn_stats_run);
	put_word(b, 10, b->env->go_stacks);
	for (u32 i = 0; i < b->nshapes; i++)
		for (u32 j = 0; j < b->shape[i].n; j++) {
			const struct region_consumer *c = &b->shape[i].consumer[j];

			b->consumer_words[k++] = b->base + b->words + 8 * at;
			put_word(b, at++, c->gate);
			put_word(b, at++, c->local_gate);
			put_word(b, at++, c->entry);
			put_word(b, at++, c->key);
			put_word(b, at++, c->stats);
			for (u32 g = 0; c->inlined && g < c->inlined->nwords; g++)
				put_word(b, at++, c->inlined->word[g]);
		}
}

static struct dispatch_words words_of(const struct build *b, u32 shape)
{
	u64 fixed = b->base + b->words;
	u32 first = 0;

	for (u32 i = 0; i < shape; i++)
		first += b->shape[i].n;
	return (struct dispatch_words){ .consumer = b->consumer_words + first, .fn_ret_slow = fixed, .fn_row_slow = fixed + 8,
					.rows = fixed + 16, .no_row = fixed + 24, .go_stacks = fixed + 80, .fn_ret_deep = fixed + 32,
					.fn_session_open = fixed + 40, .fn_session_keep = fixed + 48,
					.fn_session_at = fixed + 56, .fn_session_more = fixed + 64,
					.fn_stats_run = fixed + 72 };
}

static int write_dispatchers(struct build *b, u32 *ret_end)
{
	struct x86_writer w;

	x86_init(&w, b->out + b->text, b->cap - b->text, b->base + b->text);
	for (u32 i = 0; i < b->nshapes; i++) {
		const struct region_shape *s = &b->shape[i];
		struct dispatch_words words = words_of(b, i);

		x86_align(&w, 64, 0xcc);
		b->code[i].entry = x86_here(&w);
		dispatch_emit_entry(&w, b->env, s, &words, true);
		x86_align(&w, 16, 0xcc);
		b->code[i].middle = x86_here(&w);
		dispatch_emit_entry(&w, b->env, s, &words, false);
		/* Also where nobody wants returns: calls that began under an older list may come here. */
		x86_align(&w, 64, 0xcc);
		b->code[i].exit = x86_here(&w);
		dispatch_emit_exit(&w, b->env, s, &words);
	}
	x86_align(&w, 16, 0xcc);
	b->follow = b->text + w.len;
	dispatch_emit_follow(&w);
	*ret_end = b->text + w.len;
	return w.error;
}

/* What else the patch displaces, behind the slot: the instructions before the site, and a victim's. Advances *at. */
static int write_displaced(struct build *b, struct region_site *s, u32 *at)
{
	const struct patch_plan *p = s->plan;
	int n = 0;

	s->jump_off = s->slot_off;
	s->victim_off = 0;
	if (p->back) {
		s->jump_off = *at;
		n = patch_relocate_head(p, s->addr, b->base + *at, b->base + s->slot_off, b->out + *at, b->cap - *at, s->new_off);
		*at += n > 0 ? (u32)n : 0;
	}
	if (n >= 0 && p->victim.len) {
		s->victim_off = *at;
		n = patch_relocate_victim(p, s->addr + (p->island - p->vaddr), b->base + *at, b->out + *at, b->cap - *at,
					  s->victim_new_off);
		*at += n > 0 ? (u32)n : 0;
	}
	return n < 0 ? n : 0;
}

/* One slot; thunk is the offset of its thunk or 0. Advances *at. */
static int write_slot(struct build *b, struct region_site *s, u32 *at, u32 thunk)
{
	const struct region_shape *shape = &b->shape[s->shape];
	const struct shape_code *code = &b->code[s->shape];
	struct nt_slot_meta meta = { .func_ip = s->addr, .exit = code->exit };
	bool inlined = site_inlined(b->shape, s, b->nsites);
	struct dispatch_words words = words_of(b, inlined ? s->shape : 0);
	struct dispatch_tail tail;
	struct go_stack go;
	u32 meta_at = *at, meta_size = dispatch_meta_size(shape);
	struct x86_writer w;
	u32 body;
	int n;

	s->slot_off = bits_round_up(meta_at + meta_size, inlined ? INLINE_ALIGN : SLOT_ALIGN);
	meta_at = s->slot_off - meta_size;
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
	n = patch_relocate(s->plan, s->addr, b->base + body, b->out + body, b->cap - body, s->new_off);
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
		x86_init(&w, b->out + thunk, THUNK_SIZE, b->base + thunk);
		x86_call(&w, meta.body);
		x86_jmp_rip(&w, b->base + meta_at + offsetof(struct nt_slot_meta, exit));
		if (w.error)
			return w.error;
	}
	memcpy(b->out + meta_at, &meta, sizeof(meta));
	memcpy(b->out + meta_at + sizeof(meta), s->cookie, 8ull * dispatch_meta_words(shape));
	return 0;
}

u32 region_ledger_count(const struct region_site *site, u32 nsites)
{
	u32 n = nsites;

	for (u32 i = 0; i < nsites; i++)
		n += site[i].plan->far_len != 0;
	return n;
}

static void put_ledger(struct build *b, u32 *index, const struct nt_ledger_site *l)
{
	memcpy(b->out + b->ledger + (*index)++ * sizeof(*l), l, sizeof(*l));
}

/* void: the site has no slot, its entries stay for the numbering only. */
static void write_ledger(struct build *b, const struct region_site *s, u32 *index)
{
	const struct patch_plan *p = s->plan;
	struct nt_ledger_site l = { .addr = s->error ? 0 : s->addr - p->back, .slot_off = s->jump_off, .len = p->patch_len,
				    .back = p->back };

	memcpy(l.orig, p->orig, 5);
	put_ledger(b, index, &l);
	if (!p->far_len)
		return;
	l = (struct nt_ledger_site){ .addr = s->error ? 0 : s->addr + (p->island - p->vaddr), .len = p->far_len,
				     .slot_off = p->victim.len ? s->victim_off : s->jump_off, .back = NT_LEDGER_FAR };
	memcpy(l.orig, p->island_orig, p->far_len);
	put_ledger(b, index, &l);
}

static int write_sites(struct build *b, u32 *ret_end)
{
	u32 at = b->slots, thunk = b->thunks, ledger = 0;

	for (u32 i = 0; i < b->nsites; i++) {
		struct region_site *s = &b->site[i];
		u32 this_thunk = site_returns(b->shape, s) ? thunk : 0;

		if (this_thunk)
			thunk += THUNK_SIZE;
		s->error = write_slot(b, s, &at, this_thunk);
		if (s->error && s->error != -ERANGE)
			return s->error;
		write_ledger(b, s, &ledger);
	}
	*ret_end = at;
	return 0;
}

static int build_all(struct build *b, struct region_layout *ret)
{
	struct region_layout l = { 0 };
	u32 end;
	int r;

	b->text = bits_round_up(8 * words_count(b->shape, b->nshapes), 64u);
	write_words(b);
	r = write_dispatchers(b, &end);
	if (r)
		return r;
	b->thunks = bits_round_up(end, 64u);
	b->frames = b->thunks + THUNK_SIZE * b->nreturns;
	b->ledger = bits_round_up(b->frames + (b->nreturns ? FRAMES_SIZE : 0), 16u);
	b->slots = bits_round_up(b->ledger + region_ledger_count(b->site, b->nsites) * (u32)sizeof(struct nt_ledger_site), 64u);
	if (b->nreturns) {
		l.frames_lo = b->base + b->thunks;
		l.frames_hi = b->base + b->frames;
		l.eh_frame_hdr = b->base + b->frames;
		r = frames_write(l.frames_lo, l.frames_hi, l.eh_frame_hdr, b->out + b->frames);
		if (r)
			return r;
	}
	r = write_sites(b, &end);
	if (r)
		return r;
	l.code_end = b->thunks;
	for (u32 i = 0; i < b->nsites; i++)
		if (site_inlined(b->shape, &b->site[i], b->nsites))
			l.code_end = end;
	l.ledger_off = b->ledger;
	l.follow_off = b->follow;
	l.size = end;
	*ret = l;
	return 0;
}

int region_build(const struct region_env *env, const struct region_shape *shape, u32 nshapes,
		 struct region_site *site, u32 nsites, u64 base, u8 *out, u32 cap, struct region_layout *ret)
{
	struct build b = { .env = env, .shape = shape, .nshapes = nshapes, .site = site, .nsites = nsites,
			   .base = base, .out = out, .cap = cap };
	int r;

	if (cap < region_bound(shape, nshapes, site, nsites))
		return -ENOSPC;
	b.code = calloc(nshapes + 1, sizeof(*b.code));
	b.consumer_words = calloc(words_count(shape, nshapes), sizeof(*b.consumer_words));
	if (!b.code || !b.consumer_words) {
		free(b.code);
		free(b.consumer_words);
		return -ENOMEM;
	}
	memset(out, 0xcc, cap);
	for (u32 i = 0; i < nsites; i++)
		b.nreturns += site_returns(shape, &site[i]);
	r = build_all(&b, ret);
	free(b.code);
	free(b.consumer_words);
	return r;
}

static int jump(u64 from, u64 to, u8 bytes[5])
{
	s64 d = (s64)(to - (from + 5));

	if (d != (s32)d)
		return -ERANGE;
	bytes[0] = 0xe9;
	memcpy(bytes + 1, &(s32){ (s32)d }, 4);
	return 0;
}

int region_site_bytes(const struct region_site *s, u64 base, u64 far_addr, u8 ret_bytes[5], u8 ret_far[PATCH_FAR_MAX])
{
	u64 at = s->addr - s->plan->back, hop = far_addr + s->plan->far_len - 5;
	s64 d;

	if (!s->plan->far_len)
		return jump(at, base + s->jump_off, ret_bytes);
	d = (s64)(hop - (at + 2));
	if (d != (s8)d)
		return -ERANGE;
	ret_bytes[0] = 0xeb;
	ret_bytes[1] = (u8)d;
	if (s->plan->victim.len && jump(far_addr, base + s->victim_off, ret_far))
		return -ERANGE;
	return jump(hop, base + s->jump_off, ret_far + (hop - far_addr));
}

/* At the site itself its program has not run yet; before it the way to it is not finished. */
u32 region_moved(const struct region_site *s, u64 addr)
{
	const struct patch_plan *p = s->plan;
	u64 off = addr - (s->addr - p->back);

	for (u32 i = 1; off && off < p->wlen && i < p->ninsn; i++) {
		if (p->insn_off[i] != off)
			continue;
		if (i == p->first)
			return s->slot_off;
		return (i < p->first ? s->jump_off : s->body_off) + s->new_off[i];
	}
	return 0;
}

u32 region_moved_victim(const struct region_site *s, u64 victim, u64 addr)
{
	const struct patch_victim *v = &s->plan->victim;
	u64 off = addr - victim;

	for (u32 i = 1; off && off < v->len && i < v->ninsn; i++)
		if (v->insn_off[i] == off)
			return s->victim_off + s->victim_new_off[i];
	return 0;
}
