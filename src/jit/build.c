/* SPDX-License-Identifier: MIT */
#include "jit/build.h"

#include <errno.h>
#include <stdlib.h>

#include "base/bits.h"

u64 jit_build_got(struct jit_build *b, enum jit_got_kind kind, u32 index)
{
	for (u32 i = 0; i < b->ngot; i++)
		if (b->got[i].kind == kind && b->got[i].index == index)
			return 8ull * i;
	if (b->ngot == b->got_cap) {
		u32 cap = bits_max(2 * b->got_cap, 8u);
		struct jit_got *got = realloc(b->got, cap * sizeof(*got));

		if (!got) {
			b->error = -ENOMEM;
			return 0;
		}
		b->got = got;
		b->got_cap = cap;
	}
	b->got[b->ngot] = (struct jit_got){.kind = (u8)kind, .index = index};
	return 8ull * b->ngot++;
}

void jit_build_branch(struct jit_build *b, u32 i, u32 end, u8 saves)
{
	b->jump_end[i] = end;
	b->saves[i] = saves;
}

/* Where the branch that belongs to instruction i goes; a lookup has the branch of the NULL check
 * fused into it, a branch the goto that it jumps over. */
static u32 branch_target(const struct jit_prog *p, u32 i)
{
	bool other = p->note[i].action == JIT_LOOKUP || p->note[i].action == JIT_UNLESS;
	u32 at = other ? p->note[i].last : i;

	return jit_target(&p->insns[at], at);
}

/* Makes long branches short where the last pass' distances allow it. */
static bool build_shrink(struct jit_build *b)
{
	bool changed = false;

	for (u32 i = 0; i < b->p->n; i++) {
		s64 d;

		if (!b->jump_end[i] || b->width[i] == JIT_NONE)
			continue;
		d = (s64)b->addr[branch_target(b->p, i)] - b->jump_end[i];
		if (d < 0 && b->width[i] == JIT_LONG) /* the short form ends earlier */
			d += b->saves[i];
		if (d == 0 && b->jump_end[i] == b->addr[i + 1])
			b->width[i] = JIT_NONE;
		else if (b->width[i] == JIT_LONG && d >= b->arch->reach_lo && d <= b->arch->reach_hi)
			b->width[i] = JIT_SHORT;
		else
			continue;
		changed = true;
	}
	return changed;
}

/* Stack of a function and everything below it. The verifier never lets a recursion through. */
static int stack_of(const struct jit_build *b, struct jit_func *fn)
{
	u32 below = 0;

	if (fn->stack_state)
		return fn->stack_state == JIT_STACK_KNOWN ? 0 : -EINVAL;
	fn->stack_state = JIT_STACK_BUSY;
	for (u32 i = fn->first; i < fn->end; i++) {
		const struct bpf_insn *insn = &b->p->insns[i];
		struct jit_func *callee;
		int r;

		if (b->p->note[i].action != JIT_PLAIN || !(jit_is_local_call(insn) || jit_is_func_addr(insn)))
			continue;
		callee = jit_func_of(b->p, jit_target(insn, i));
		r = stack_of(b, callee);
		if (r)
			return r;
		below = bits_max(below, callee->stack + b->arch->call_stack);
	}
	fn->stack = fn->frame + below;
	fn->stack_state = JIT_STACK_KNOWN;
	return 0;
}

/* Calls are relative to the code as well: only images without any can be moved piecewise. */
static bool is_inlinable(const struct jit_build *b)
{
	u32 reached = 0;

	for (u32 f = 0; f < b->p->nfuncs; f++)
		reached += b->p->func[f].reached;
	return b->arch->inlinable && reached == 1 && !b->calls_helper && !b->p->keeps_ctx && b->exits == 1 &&
	       b->exit_end == b->len;
}

static int build_finish(struct jit_build *b, struct jit_image *img)
{
	const struct jit_prog *p = b->p;
	u32 written = 0;
	int r = stack_of(b, &p->func[0]);

	if (r)
		return r;
	for (u32 f = 0; f < p->nfuncs; f++)
		written |= p->func[f].reached ? p->func[f].written : 0;
	for (u32 i = 0; i < p->n; i++)
		img->insn_off[i] = b->code_off + b->addr[i];
	img->size = b->code_off + b->len;
	img->entry = b->code_off + (p->tail_calls || p->signals ? 0 : p->func[0].entry);
	img->tail_entry = b->code_off + (p->signals ? b->tail_entry : p->func[0].entry);
	img->ngot = b->ngot;
	img->clobbers = (b->calls_helper ? ~0u : written) & b->arch->caller_saved;
	img->stack = p->func[0].stack;
	img->calls = b->calls_helper;
	img->uses_cookie = b->uses_cookie;
	img->uses_func_ip = b->uses_func_ip;
	img->inlinable = is_inlinable(b);
	img->nrip = b->nrip;
	for (u32 i = 0; i < img->nrip; i++)
		img->rip_at[i] += b->code_off;
	return b->error;
}

static int build_run(struct jit_build *b, struct jit_image *img)
{
	u32 len;

	/* Which registers a function writes, so which ones its prologue saves, is known only after
	 * the first pass; sizes count from the second on. */
	b->arch->pass(b, NULL, 0);
	do {
		b->arch->pass(b, NULL, 0);
	} while (!b->error && build_shrink(b));
	if (b->error)
		return b->error;
	b->code_off = bits_round_up(8 * b->ngot, 16u);
	len = b->len;
	img->code = calloc(1, (size_t)b->code_off + len);
	img->insn_off = calloc(b->p->n, sizeof(*img->insn_off));
	b->rip_cap = b->nrip;
	img->rip_at = calloc(b->rip_cap + 1, sizeof(*img->rip_at));
	if (!img->code || !img->insn_off || !img->rip_at)
		return -ENOMEM;
	b->rip_at = img->rip_at;
	b->arch->pass(b, img->code + b->code_off, len);
	return build_finish(b, img);
}

int jit_build(struct jit_prog *p, const struct jit_backend *arch, struct jit_image *ret)
{
	struct jit_image img = {0};
	struct jit_build b = {.p = p, .arch = arch};
	int r = -ENOMEM;

	b.addr = calloc(p->n + 1, sizeof(*b.addr));
	b.jump_end = calloc(p->n, sizeof(*b.jump_end));
	b.width = calloc(p->n, sizeof(*b.width));
	b.saves = calloc(p->n, sizeof(*b.saves));
	if (b.addr && b.jump_end && b.width && b.saves)
		r = build_run(&b, &img);
	free(b.addr);
	free(b.jump_end);
	free(b.width);
	free(b.saves);
	img.got = b.got;
	if (r)
		jit_image_deinit(&img);
	else
		*ret = img;
	return r;
}
