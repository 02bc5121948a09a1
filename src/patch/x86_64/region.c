/* SPDX-License-Identifier: MIT */
/* The sections of a region, in their order (region.h). */
#include "patch/region.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "patch/x86_64/frames.h"
#include "patch/x86_64/region_build.h"

#define DISPATCH_BOUND 2560u	      /* one dispatcher or exit without consumers */
#define FOLLOW_BOUND 64u
#define REGION_MAX (1u << 30)
#define FIXED_WORDS 11u

static u32 words_count(const struct region_shape *shape, u32 n)
{
	u32 words = FIXED_WORDS;

	for (u32 i = 0; i < n; i++)
		for (u32 j = 0; j < shape[i].n; j++)
			words += dispatch_words_of(&shape[i].consumer[j]);
	return words;
}

struct sums { /* over all sites: with many of them each look at a plan is a cache miss */
	u64 size; /* bound, in bytes */
	u32 nreturns, nledger;
	bool any_inlined;
};

static struct sums sum_sites(const struct region_shape *shape, u32 nshapes, const struct region_site *site, u32 nsites)
{
	struct sums s = { .size = 8ull * words_count(shape, nshapes) + 64 + FRAMES_SIZE + FOLLOW_BOUND + 64 };

	for (u32 i = 0; i < nshapes; i++)
		s.size += 3 * (DISPATCH_BOUND + slot_consumers_bound(&shape[i])) + 64;
	for (u32 i = 0; i < nsites; i++) {
		region_prefetch(site, i, nsites);
		s.size += slot_bound(shape, &site[i], nsites) + SLOT_THUNK_SIZE;
		s.nledger += 1 + (site[i].plan->far_len != 0);
		s.nreturns += slot_returns(shape, &site[i]);
		s.any_inlined |= slot_inlined(shape, &site[i], nsites);
	}
	s.size = bits_round_up(s.size + s.nledger * (u64)sizeof(struct nt_ledger_site), NT_PAGE);
	return s;
}

u32 region_bound(const struct region_shape *shape, u32 nshapes, const struct region_site *site, u32 nsites)
{
	struct sums s = sum_sites(shape, nshapes, site, nsites);

	return s.size > REGION_MAX ? REGION_MAX : (u32)s.size;
}

static void put_word(struct region_build *b, u32 index, u64 value)
{
	memcpy(b->out + b->words + 8 * index, &value, 8);
}

static void write_words(struct region_build *b)
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

struct dispatch_words build_words(const struct region_build *b, u32 shape)
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

static int write_dispatchers(struct region_build *b, u32 *ret_end)
{
	struct x86_writer w;

	x86_init(&w, b->out + b->text, b->cap - b->text, b->base + b->text);
	for (u32 i = 0; i < b->nshapes; i++) {
		const struct region_shape *s = &b->shape[i];
		struct dispatch_words words = build_words(b, i);

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

static void put_ledger(struct region_build *b, u32 *index, const struct nt_ledger_site *l)
{
	memcpy(b->out + b->ledger + (*index)++ * sizeof(*l), l, sizeof(*l));
}

/* void: the site has no slot, its entries stay for the numbering only. */
static void write_ledger(struct region_build *b, const struct region_site *s, u32 *index)
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

static int write_sites(struct region_build *b, u32 *ret_end)
{
	u32 at = b->slots, thunk = b->thunks, ledger = 0;

	for (u32 i = 0; i < b->nsites; i++) {
		struct region_site *s = &b->site[i];
		u32 this_thunk = slot_returns(b->shape, s) ? thunk : 0;

		region_prefetch(b->site, i, b->nsites);
		if (this_thunk)
			thunk += SLOT_THUNK_SIZE;
		s->error = slot_write(b, s, &at, this_thunk);
		if (s->error && s->error != -ERANGE)
			return s->error;
		write_ledger(b, s, &ledger);
	}
	*ret_end = at;
	return 0;
}

/* What is not code. Between slots they see to it themselves. */
static void fill(struct region_build *b, u32 from, u32 to)
{
	memset(b->out + from, 0xcc, to - from);
}

static int build_all(struct region_build *b, struct region_layout *ret)
{
	u32 words = words_count(b->shape, b->nshapes), end;
	struct region_layout l = { 0 };
	int r;

	b->text = bits_round_up(8 * words, 64u);
	fill(b, 8 * words, b->text);
	write_words(b);
	r = write_dispatchers(b, &end);
	if (r)
		return r;
	b->thunks = bits_round_up(end, 64u);
	b->frames = b->thunks + SLOT_THUNK_SIZE * b->nreturns;
	b->ledger = bits_round_up(b->frames + (b->nreturns ? FRAMES_SIZE : 0), 16u);
	b->slots = bits_round_up(b->ledger + b->nledger * (u32)sizeof(struct nt_ledger_site), 64u);
	fill(b, end, b->slots);
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
	l.code_end = b->any_inlined ? end : b->thunks;
	l.nledger = b->nledger;
	l.ledger_off = b->ledger;
	l.follow_off = b->follow;
	l.size = end;
	*ret = l;
	return 0;
}

int region_build(const struct region_env *env, const struct region_shape *shape, u32 nshapes,
		 struct region_site *site, u32 nsites, u64 base, u8 *out, u32 cap, struct region_layout *ret)
{
	struct region_build b = { .env = env, .shape = shape, .nshapes = nshapes, .site = site, .nsites = nsites,
			   .base = base, .out = out, .cap = cap };
	struct sums s = sum_sites(shape, nshapes, site, nsites);
	int r;

	if (cap < (s.size > REGION_MAX ? REGION_MAX : s.size))
		return -ENOSPC;
	b.nreturns = s.nreturns;
	b.nledger = s.nledger;
	b.any_inlined = s.any_inlined;
	b.code = calloc(nshapes + 1, sizeof(*b.code));
	b.consumer_words = calloc(words_count(shape, nshapes), sizeof(*b.consumer_words));
	if (!b.code || !b.consumer_words) {
		free(b.code);
		free(b.consumer_words);
		return -ENOMEM;
	}
	r = build_all(&b, ret);
	free(b.code);
	free(b.consumer_words);
	return r;
}
