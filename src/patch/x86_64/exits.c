/* SPDX-License-Identifier: MIT */
/*
 * Where a function returns. A return probe that may not touch the stack (Go moves it; an unwinder that knows nothing of our
 * frames walks it) is a probe on every `ret` of the function instead. That is the same only if the function leaves by
 * nothing else, so the code is followed from the function's start, and from whatever else in it is jumped to:
 *
 *     call          comes back, or never does
 *     jmp, jcc      inside, or into a piece of the function that stands elsewhere (.cold): followed
 *                   anywhere else: a tail call, whose end cannot be told from other calls of that function: refused
 *     jmp *         through a table: its targets are known (jumptable.c); else a tail call: refused
 *     the last instruction goes on into the next function: refused
 */
#include "patch/x86_64/binary.h"

#include <stdlib.h>
#include <string.h>

#include "isa/x86_64/reader.h"

enum { SPANS_MAX = 8, TODO_MAX = 4096 };

struct span { /* a piece of the function */
	u64 lo, hi;
	u64 *seen; /* instructions that were followed, bit per byte */
};

struct walk {
	const struct patch_binary *b;
	struct span span[SPANS_MAX];
	u32 nspans;
	u64 *todo; /* [TODO_MAX] */
	u32 ntodo;
	u64 *out;
	u32 cap, n;
	enum patch_reason reason;
};

static struct span *span_of(struct walk *w, u64 addr)
{
	for (u32 i = 0; i < w->nspans; i++)
		if (addr - w->span[i].lo < w->span[i].hi - w->span[i].lo)
			return &w->span[i];
	return NULL;
}

static void push(struct walk *w, u64 addr)
{
	if (w->ntodo == TODO_MAX)
		w->reason = PATCH_R_NO_RETURN_PROBE;
	else
		w->todo[w->ntodo++] = addr;
}

/* Whatever a table, a landing pad or a recovered panic may lead to. */
static void push_targets(struct walk *w, const struct span *s)
{
	const struct text *t = binary_text(w->b, s->lo);

	for (u64 a = s->lo; a < s->hi && a < t->hi && !w->reason; a++)
		if (bit_test(t->target, a - t->lo) && bit_test(t->start, a - t->lo) && !bit_test(s->seen, a - s->lo))
			push(w, a);
}

static void add_span(struct walk *w, u64 lo, u64 hi)
{
	struct span *s = &w->span[w->nspans];

	if (w->nspans == SPANS_MAX) {
		w->reason = PATCH_R_NO_RETURN_PROBE;
		return;
	}
	*s = (struct span){ lo, hi, calloc((hi - lo) / 64 + 2, sizeof(u64)) };
	if (!s->seen) {
		w->reason = PATCH_R_NO_RETURN_PROBE;
		return;
	}
	w->nspans++;
	push_targets(w, s);
}

static void follow_jump(struct walk *w, u64 to)
{
	const struct patch_binary *b = w->b;
	s64 f;

	if (span_of(w, to)) {
		push(w, to);
		return;
	}
	f = binary_func_at(b, to);
	if (f >= 0 && b->desc.func[f].fragment && to < b->info[f].end) {
		add_span(w, b->desc.func[f].vaddr, b->info[f].end);
		push(w, to);
	} else {
		w->reason = PATCH_R_TAIL_JUMP;
	}
}

/* jmp [table + index * 8]; notrack jmp; add reg, other; jmp reg */
static bool uses_table(const u8 *p, const struct x86_insn *i, const struct x86_insn *before)
{
	u8 reg = (u8)((i->modrm & 7) | (i->rex & 1) << 3), dst;

	if (i->prefix & X86_P_SEG)
		return true;
	if (i->modrm >> 6 != 3)
		return (i->modrm & 7) == 4 && p[i->modrm_off + 1] >> 6 == 3 && (p[i->modrm_off + 1] >> 3 & 7) != 4;
	if (!before->len || before->map != X86_MAP_ONE || !(before->rex & 8) || before->modrm >> 6 != 3)
		return false;
	if (before->opcode == 0x01)
		dst = (u8)((before->modrm & 7) | (before->rex & 1) << 3);
	else if (before->opcode == 0x03)
		dst = (u8)((before->modrm >> 3 & 7) | (before->rex & 4) << 1);
	else
		return false;
	return dst == reg;
}

static void note_ret(struct walk *w, const struct x86_insn *i, u64 at)
{
	if (i->opcode != 0xc3 || i->map != X86_MAP_ONE) { /* ret n, lret, iret */
		w->reason = PATCH_R_TAIL_JUMP;
	} else if (w->n == w->cap) {
		w->reason = PATCH_R_NO_RETURN_PROBE;
	} else {
		w->out[w->n++] = at;
	}
}

/* One instruction; false: control does not go on behind it. */
static bool step(struct walk *w, const struct text *t, u64 at, struct x86_insn *i, const struct x86_insn *before)
{
	const u8 *p = t->bytes + (at - t->lo);

	if (!x86_read(p, t->hi - at, i)) {
		w->reason = PATCH_R_UNDECODABLE;
		return false;
	}
	switch (i->kind) {
	case X86_K_RET: note_ret(w, i, at); return false;
	case X86_K_STOP: return false;
	case X86_K_JMP: follow_jump(w, x86_target(i, at)); return false;
	case X86_K_JMP_IND:
		if (!uses_table(p, i, before))
			w->reason = PATCH_R_TAIL_JUMP;
		return false;
	case X86_K_JCC: case X86_K_LOOP: case X86_K_XBEGIN: follow_jump(w, x86_target(i, at)); return true;
	default: return true;
	}
}

static void follow(struct walk *w, u64 at)
{
	const struct text *t = binary_text(w->b, at);
	struct x86_insn i, before = { .len = 0 };

	while (!w->reason) {
		struct span *s = span_of(w, at);

		if (!s || !t) {
			/* A call that never comes back may be the last; anything else goes on elsewhere. */
			if (before.kind != X86_K_CALL && before.kind != X86_K_CALL_IND)
				w->reason = PATCH_R_TAIL_JUMP;
			return;
		}
		if (bit_test(s->seen, at - s->lo))
			return;
		bit_set(s->seen, at - s->lo);
		if (!step(w, t, at, &i, &before))
			return;
		if (i.kind != X86_K_NOP)
			before = i;
		at += i.len;
	}
}

static int compare(const void *x, const void *y)
{
	const u64 *a = x, *b = y;

	return *a < *b ? -1 : *a > *b;
}

static enum patch_reason walk_function(struct walk *w, s64 f)
{
	w->todo = malloc(TODO_MAX * sizeof(u64));
	if (!w->todo)
		return PATCH_R_NO_RETURN_PROBE;
	add_span(w, w->b->desc.func[f].vaddr, w->b->info[f].end);
	if (!w->reason)
		push(w, w->b->desc.func[f].vaddr);
	while (w->ntodo && !w->reason)
		follow(w, w->todo[--w->ntodo]);
	for (u32 i = 0; i < w->nspans; i++)
		free(w->span[i].seen);
	free(w->todo);
	if (!w->reason && w->n)
		qsort(w->out, w->n, sizeof(u64), compare);
	return w->reason;
}

/* The unwinder's own, which go where they want with their ret; and what Go calls in the middle, to copy as much as is needed. */
static bool ret_is_special(const char *name)
{
	return !strncmp(name, "_Unwind_R", 9) || !strncmp(name, "_Unwind_F", 9) || !strncmp(name, "runtime.duff", 12);
}

enum patch_reason patch_function_rets(const struct patch_binary *b, u64 vaddr, u64 *ret, u32 cap, u32 *ret_n)
{
	const struct text *t = binary_text(b, vaddr);
	struct walk w = { .b = b, .out = ret, .cap = cap };
	const struct patch_func *func = b->desc.func;
	s64 f = t ? binary_func_at(b, vaddr) : -1;
	enum patch_reason r;

	if (f < 0 || func[f].vaddr != vaddr || b->info[f].end <= vaddr || b->info[f].end > t->hi)
		return PATCH_R_NOT_ENTRY;
	for (s64 k = f; k < b->desc.nfunc && func[k].vaddr == vaddr; k++) {
		if (func[k].fragment)
			return PATCH_R_NOT_ENTRY;
		if (func[k].name && ret_is_special(func[k].name))
			return PATCH_R_NO_RETURN_PROBE;
	}
	r = binary_is_go(b, vaddr) ? go_refused(b, f, t->bytes + (vaddr - t->lo), t->hi - vaddr) : PATCH_OK;
	if (!r)
		r = walk_function(&w, f);
	if (!r)
		*ret_n = w.n;
	return r;
}
