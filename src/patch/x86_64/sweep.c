/* SPDX-License-Identifier: MIT */
/*
 * One linear pass over all code, function by function, that collects who jumps where.
 *
 *     func A            pad      func B        code nobody names      pad      func C
 *     |================|........|=============|======================|........|====
 *     ^ chunk                   ^ chunk                                       ^ chunk
 *
 * A chunk runs from one known function start to the next, so a wrong step (data in code) is over at
 * the next function. Bytes between a function's end and the next start are swept like code: static
 * functions of stripped binaries live there. Only a run of padding that (a) follows an instruction
 * that ends the flow, (b) reaches up to a known start or the end of the text and (c) lies outside
 * every function is dead.
 *
 * The sweep errs on one side only: what it takes for a branch by mistake makes a site look worse,
 * never better.
 */
#include "patch/x86_64/binary.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "isa/x86_64/reader.h"

enum { OP_LEA = 0x8d, OP_INT3 = 0xcc };

struct sweep {
	struct patch_binary *b;
	struct text *t;
	struct table_list *tables;
	struct run_list *runs, *idle;
	s64 func;	/* function that begins this chunk, -1 none */
	s64 cover;	/* function that reaches furthest so far: may contain this chunk's */
	u64 cover_end;	/* end of all functions so far */
	u64 run;	/* start of the padding we are in, 0 none */
	u64 deferreturn; /* Go: the function that ends what a deferred call has recovered */
	bool flow_ended;
	bool failed;	/* out of memory */
};

static bool grow(void **array, size_t n, size_t *cap, size_t size)
{
	size_t c = *cap ? 2 * *cap : 1024;
	void *p;

	if (n < *cap)
		return true;
	p = realloc(*array, c * size);
	if (!p)
		return false;
	*array = p;
	*cap = c;
	return true;
}

/* The function's end is known when its chunk has been swept: set_table_bounds(). */
static void add_table(struct sweep *s, u64 addr)
{
	struct table_list *l = s->tables;

	if (!grow((void **)&l->table, l->n, &l->cap, sizeof(*l->table)))
		s->failed = true;
	else
		l->table[l->n++] = (struct table){ .addr = addr };
}

static void set_table_bounds(struct sweep *s, size_t first, u64 lo, u64 hi)
{
	for (size_t i = first; i < s->tables->n; i++) {
		s->tables->table[i].lo = lo;
		s->tables->table[i].hi = hi;
	}
}

static void add_run(struct sweep *s, struct run_list *l, u64 lo, u64 hi)
{
	if (lo >= hi)
		return;
	if (!grow((void **)&l->run, l->n, &l->cap, sizeof(*l->run)))
		s->failed = true;
	else
		l->run[l->n++] = (struct patch_range){ lo, hi };
}

/* A jump back to the first instruction makes it a loop head instead of a pure entry. */
static void note_loop(struct sweep *s, u64 target)
{
	const struct patch_func *f = s->b->desc.func;
	s64 to;

	if (s->func >= 0 && f[s->func].vaddr == target) {
		s->b->info[s->func].flags |= FUNC_LOOPS;
	} else if (s->cover >= 0 && f[s->cover].vaddr == target) {
		s->b->info[s->cover].flags |= FUNC_LOOPS;
	} else if (s->func >= 0 && f[s->func].fragment) {
		to = binary_func_at(s->b, target);
		if (to >= 0 && f[to].vaddr == target)
			s->b->info[to].flags |= FUNC_LOOPS;
	}
}

static void note_branch(struct sweep *s, const struct x86_insn *i, u64 addr)
{
	u64 target = x86_target(i, addr);

	if (target - s->t->lo < s->t->hi - s->t->lo)
		bit_set(s->t->target, target - s->t->lo);
	else
		binary_mark_target(s->b, target);
	if (i->kind != X86_K_CALL)
		note_loop(s, target);
	else if (s->deferreturn && target == s->deferreturn) /* where a recovered panic goes on */
		bit_set(s->t->target, addr - s->t->lo);
}

static void note_lea(struct sweep *s, u64 addr)
{
	struct text *t = binary_text(s->b, addr);

	if (t)
		bit_set(t->target, addr - t->lo);
	add_table(s, addr);
}

static void rbx_first_use(struct sweep *s, s64 f, enum x86_rbx use)
{
	u8 *flags = &s->b->info[f].flags;

	if (!(*flags & (FUNC_RBX_SAVED | FUNC_RBX_USED)))
		*flags |= use == X86_RBX_SAVED ? FUNC_RBX_SAVED : FUNC_RBX_USED;
}

static void note_rbx(struct sweep *s, const u8 *p, const struct x86_insn *i, u64 addr)
{
	const struct func_info *info = s->b->info;
	const u8 known = FUNC_RBX_SAVED | FUNC_RBX_USED;
	bool covered = s->cover >= 0 && addr < s->cover_end;
	enum x86_rbx use;

	if ((s->func < 0 || info[s->func].flags & known) &&
	    (!covered || info[s->cover].flags & known))
		return;
	use = x86_rbx_use(p, i);
	if (use == X86_RBX_UNUSED)
		return;
	if (s->func >= 0)
		rbx_first_use(s, s->func, use);
	if (covered)
		rbx_first_use(s, s->cover, use);
}

/* Non-PIE code holds addresses in 32-bit constants and displacements: any that could be code is
 * taken for code if an instruction begins there. */
static void note_constants(struct sweep *s, const u8 *p, const struct x86_insn *i)
{
	u32 end = i->modrm_off ? i->modrm_off + 1u : i->op_off + 1u; /* of what comes before the immediate operand */
	u32 v;

	if (i->modrm_off && i->modrm >> 6 != 3 && (i->modrm & 7) == 4)
		end++; /* SIB */
	if (i->disp_len)
		end = i->disp_off + i->disp_len;
	if (i->disp_len == 4 && !i->rip_rel)
		binary_mark_guess(s->b, (u32)i->disp);
	if (i->rel_len || i->len < end + 4u)
		return;
	memcpy(&v, p + i->len - (i->len - end == 8 ? 8 : 4), 4);
	binary_mark_guess(s->b, v);
}

static void note_insn(struct sweep *s, const u8 *p, const struct x86_insn *i, u64 addr)
{
	bit_set(s->t->start, addr - s->t->lo);
	if (i->rel_len)
		note_branch(s, i, addr);
	else if (i->rip_rel && i->opcode == OP_LEA && i->map == X86_MAP_ONE)
		note_lea(s, x86_rip_operand(i, addr));
	if (s->b->desc.fixed)
		note_constants(s, p, i);
	note_rbx(s, p, i, addr);
}

/* Length of one piece of padding at p, or 0. Zeros count only when nothing else comes before `left`
 * is used up. */
static u64 padding_at(const u8 *p, u64 left, const struct x86_insn *i)
{
	u64 n = 0;

	if (i && (i->kind == X86_K_NOP || (i->opcode == OP_INT3 && i->len == 1)))
		return i->len;
	while (n < left && !p[n])
		n++;
	return n == left ? n : 0;
}

/* Padding that something follows before the chunk is over. */
static void end_run(struct sweep *s, u64 at)
{
	if (s->run)
		add_run(s, s->idle, s->run, at);
	s->run = 0;
}

static void sweep_chunk(struct sweep *s, u64 lo, u64 hi)
{
	struct text *t = s->t;
	struct x86_insn i;
	u64 a = lo;

	s->flow_ended = false;
	s->run = 0;
	while (a < hi) {
		const u8 *p = t->bytes + (a - t->lo);
		bool known = x86_read(p, t->hi - a, &i);
		u64 pad = s->flow_ended || s->run ? padding_at(p, hi - a, known ? &i : NULL) : 0;

		if (pad && !s->run)
			s->run = a;
		else if (!pad)
			end_run(s, a);
		if (known)
			note_insn(s, p, &i, a);
		s->flow_ended = pad || (known && x86_ends_flow(&i));
		a += pad ? pad : known ? i.len : 1;
	}
	if (a > hi) /* overlaps the next function: not padding, whatever it is */
		s->run = 0;
}

/* Functions without a size end where the padding before the next one begins. */
static u64 func_end(const struct sweep *s, s64 f, s64 next, u64 chunk_end)
{
	const struct patch_func *func = s->b->desc.func;
	u64 size = 0;

	for (s64 k = f; k < next; k++)
		if (func[k].size > size)
			size = func[k].size;
	if (size)
		return func[f].vaddr + size;
	return s->run ? s->run : chunk_end;
}

static void sweep_func(struct sweep *s, s64 f, s64 next, u64 hi)
{
	u64 lo = s->b->desc.func[f].vaddr, end;
	struct patch_range unreached;
	size_t tables = s->tables->n;

	s->func = f;
	if (s->cover_end <= lo)
		s->cover = -1;
	sweep_chunk(s, lo, hi);
	/* Up to hi, not end: nameless code behind the function may be what loads the table. */
	set_table_bounds(s, tables, s->cover >= 0 ? s->b->desc.func[s->cover].vaddr : lo,
			 s->cover_end > hi ? s->cover_end : hi);
	end = func_end(s, f, next, hi);
	s->b->info[f].end = end;
	if (end > s->cover_end) {
		s->cover_end = end;
		s->cover = f;
	}
	if (binary_is_go(s->b, lo) && go_unreached(s->t, lo, end < s->t->hi ? end : s->t->hi, &unreached))
		add_run(s, s->idle, unreached.lo, unreached.hi);
	if (s->run)
		add_run(s, s->runs, s->run > s->cover_end ? s->run : s->cover_end, hi);
}

static void sweep_text(struct sweep *s)
{
	const struct patch_func *func = s->b->desc.func;
	s64 n = s->b->desc.nfunc, f = 0, next;
	struct text *t = s->t;
	size_t tables = s->tables->n;
	u64 first;

	s->func = s->cover = -1;
	s->cover_end = 0;
	while (f < n && func[f].vaddr < t->lo)
		f++;
	first = f < n && func[f].vaddr < t->hi ? func[f].vaddr : t->hi;
	sweep_chunk(s, t->lo, first);
	set_table_bounds(s, tables, t->lo, first);
	for (; f < n && func[f].vaddr < t->hi; f = next) {
		for (next = f + 1; next < n && func[next].vaddr == func[f].vaddr;)
			next++;
		sweep_func(s, f, next,
			   next < n && func[next].vaddr < t->hi ? func[next].vaddr : t->hi);
	}
}

int sweep_code(struct patch_binary *b, struct table_list *ret_tables, struct run_list *ret_runs, struct run_list *ret_idle)
{
	struct sweep s = { .b = b, .tables = ret_tables, .runs = ret_runs, .idle = ret_idle };

	for (u32 i = 0; i < b->desc.nfunc && b->desc.is_go; i++)
		if (b->desc.func[i].name && !strcmp(b->desc.func[i].name, "runtime.deferreturn"))
			s.deferreturn = b->desc.func[i].vaddr;
	for (u32 i = 0; i < b->desc.nseg; i++) {
		s.t = &b->text[i];
		sweep_text(&s);
	}
	return s.failed ? -ENOMEM : 0;
}

void dead_mark(struct patch_binary *b, const struct run_list *runs)
{
	for (size_t i = 0; i < runs->n; i++) {
		u64 lo = runs->run[i].lo, hi = runs->run[i].hi, a = lo;
		struct text *t = binary_text(b, lo);

		while (a < hi && !bit_test(t->target, a - t->lo))
			a++;
		if (a < hi)
			continue;
		for (a = lo; a < hi; a++)
			bit_set(t->dead, a - t->lo);
	}
}

void idle_mark(struct patch_binary *b, const struct run_list *runs)
{
	for (size_t i = 0; i < runs->n; i++) {
		u64 a = runs->run[i].lo, hi = runs->run[i].hi;
		struct text *t = binary_text(b, a);

		for (; a < hi && !bit_test(t->target, a - t->lo); a++)
			bit_set(t->idle, a - t->lo);
	}
}
