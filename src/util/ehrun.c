/* SPDX-License-Identifier: MIT */
/*
 * .eh_frame, executed once for every address: each FDE's call frame instructions (DWARF 5, 6.4.2) are run from the
 * function's first byte to its last, and every change of the rule that matters becomes a row. What matters is little:
 * where the caller's stack pointer and rbp are. Rules that need an expression are taken only in the three forms that
 * compilers and linkers write; anything else is a row that says "not understood".
 */
#include "util/ehrun.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

enum { COL_RBP = 6, COL_RSP = 7 };
enum { REMEMBER_MAX = 16 };

enum reg_rule { REG_SAME, REG_AT_CFA, REG_AT_RBP, REG_UNDEFINED, REG_OTHER };

struct rule {
	u64 reg; /* of the CFA; or an expression: */
	s64 off;
	const u8 *expr;
	u64 expr_len;
	enum reg_rule rbp, ra;
	s64 rbp_off, ra_off; /* bytes from the CFA */
};

struct run {
	struct ehrun_table *t;
	const struct ehrun_cie *cie;
	struct rule now, first, stack[REMEMBER_MAX];
	u32 depth;
	u64 pc;
	bool failed; /* an instruction that is not known: nothing behind it is */
};

static void ehrun_add(struct ehrun_table *t, u64 pc, struct nt_unwind_row row)
{
	if (pc < t->base || pc - t->base > UINT32_MAX)
		return;
	if (t->n == t->cap) {
		u32 cap = bits_max(2 * t->cap, 4096u);
		struct nt_unwind_row *p = realloc(t->row, cap * sizeof(*p));

		if (!p) {
			t->error = -ENOMEM;
			return;
		}
		t->row = p;
		t->cap = cap;
	}
	row.pc = (u32)(pc - t->base);
	t->row[t->n++] = row;
}

/* DW_OP_breg7 8; breg16 0; lit15; and; litN; ge; lit3; shl; plus: what linkers write for a PLT. */
static bool is_plt(const struct rule *r, u16 *ret_from)
{
	static const u8 want[] = { 0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a, 0, 0x2a, 0x33, 0x24, 0x22 };

	if (!r->expr || r->expr_len != sizeof(want))
		return false;
	for (u32 i = 0; i < sizeof(want); i++)
		if (i != 6 && r->expr[i] != want[i])
			return false;
	*ret_from = (u16)(r->expr[6] - 0x30);
	return *ret_from < 16;
}

/* DW_OP_breg6 -8 n; deref. */
static bool is_deref(const struct rule *r, u16 *ret_off)
{
	struct dwarf_cur c = { r->expr, r->expr + r->expr_len, 0, false };
	s64 off;

	if (!r->expr || dwarf_uint(&c, 1) != 0x76)
		return false;
	off = -dwarf_sleb(&c);
	if (dwarf_uint(&c, 1) != 0x06 || c.p != c.end || c.bad || off < 0 || off % 8 || off / 8 > UINT16_MAX)
		return false;
	*ret_off = (u16)(off / 8);
	return true;
}

static struct nt_unwind_row row_of(const struct run *run)
{
	const struct rule *r = &run->now;
	struct nt_unwind_row row = { .kind = NT_UNWIND_NONE }, none = row;

	if (run->failed)
		return none;
	if (run->cie->signal)
		return (struct nt_unwind_row){ .kind = NT_UNWIND_SIGNAL };
	if (r->ra == REG_UNDEFINED)
		return (struct nt_unwind_row){ .kind = NT_UNWIND_END };
	if (r->ra != REG_AT_CFA || r->ra_off != -8)
		return none;
	if (is_plt(r, &row.off))
		row.kind = NT_UNWIND_PLT;
	else if (is_deref(r, &row.off))
		row.kind = NT_UNWIND_DEREF;
	else if (r->expr || (r->reg != COL_RSP && r->reg != COL_RBP) || r->off < 0 || r->off % 8 || r->off / 8 > UINT16_MAX)
		return none;
	else
		row = (struct nt_unwind_row){ .kind = r->reg == COL_RSP ? NT_UNWIND_RSP : NT_UNWIND_RBP, .off = (u16)(r->off / 8) };
	switch (r->rbp) {
	case REG_SAME:
	case REG_UNDEFINED: return row;
	case REG_AT_RBP: row.rbp = NT_UNWIND_RBP_AT_RBP; return row;
	case REG_AT_CFA:
		if (r->rbp_off % 8 || r->rbp_off / 8 < -128 || r->rbp_off / 8 >= 0)
			return none;
		row.rbp = (s8)(r->rbp_off / 8);
		return row;
	default: return none;
	}
}

static void set_reg(struct run *run, u64 reg, enum reg_rule how, s64 off)
{
	if (reg == COL_RBP) {
		run->now.rbp = how;
		run->now.rbp_off = off;
	} else if (reg == EHRUN_COL_RIP) {
		run->now.ra = how;
		run->now.ra_off = off;
	}
}

static void restore_reg(struct run *run, u64 reg)
{
	const struct rule *f = &run->first;

	if (reg == COL_RBP)
		set_reg(run, reg, f->rbp, f->rbp_off);
	else
		set_reg(run, reg, f->ra, f->ra_off);
}

static void advance(struct run *run, u64 delta)
{
	u64 next = run->pc + delta * run->cie->code_align;

	if (next > run->pc)
		ehrun_add(run->t, run->pc, row_of(run));
	run->pc = next;
}

static void set_cfa(struct run *run, u64 reg, s64 off)
{
	run->now.reg = reg;
	run->now.off = off;
	run->now.expr = NULL;
}

/* DW_CFA_expression: the only one that is understood says that rbp is where rbp points. */
static void reg_expression(struct run *run, struct dwarf_cur *c, bool value)
{
	u64 reg = dwarf_uleb(c), n = dwarf_uleb(c);
	const u8 *p = dwarf_take(c, n);
	bool at_rbp = !value && p && n == 2 && p[0] == 0x76 && p[1] == 0;

	set_reg(run, reg, reg == COL_RBP && at_rbp ? REG_AT_RBP : REG_OTHER, 0);
}

static void step_rare(struct run *run, struct dwarf_cur *c, u8 op)
{
	s64 da = run->cie->data_align;
	u64 reg;

	switch (op) {
	case 0x05: reg = dwarf_uleb(c); set_reg(run, reg, REG_AT_CFA, (s64)dwarf_uleb(c) * da); return;
	case 0x06: restore_reg(run, dwarf_uleb(c)); return;
	case 0x07: set_reg(run, dwarf_uleb(c), REG_UNDEFINED, 0); return;
	case 0x08: set_reg(run, dwarf_uleb(c), REG_SAME, 0); return;
	case 0x09: reg = dwarf_uleb(c); dwarf_uleb(c); set_reg(run, reg, REG_OTHER, 0); return;
	case 0x0f:
		run->now.expr_len = dwarf_uleb(c);
		run->now.expr = dwarf_take(c, run->now.expr_len);
		return;
	case 0x10: reg_expression(run, c, false); return;
	case 0x11: reg = dwarf_uleb(c); set_reg(run, reg, REG_AT_CFA, dwarf_sleb(c) * da); return;
	case 0x12: reg = dwarf_uleb(c); set_cfa(run, reg, dwarf_sleb(c) * da); return;
	case 0x13: run->now.off = dwarf_sleb(c) * da; return;
	case 0x14: reg = dwarf_uleb(c); dwarf_uleb(c); set_reg(run, reg, REG_OTHER, 0); return;
	case 0x15: reg = dwarf_uleb(c); dwarf_sleb(c); set_reg(run, reg, REG_OTHER, 0); return;
	case 0x16: reg_expression(run, c, true); return;
	case 0x2d: return;
	case 0x2e: dwarf_uleb(c); return;
	default: run->failed = true;
	}
}

static void step(struct run *run, struct dwarf_cur *c)
{
	u8 op = (u8)dwarf_uint(c, 1), low = op & 0x3f;
	u64 reg;

	switch (op >> 6) {
	case 1: advance(run, low); return;
	case 2: set_reg(run, low, REG_AT_CFA, (s64)dwarf_uleb(c) * run->cie->data_align); return;
	case 3: restore_reg(run, low); return;
	}
	switch (op) {
	case 0x00: return;
	case 0x01: run->failed = true; return; /* DW_CFA_set_loc: nobody writes it */
	case 0x02: advance(run, dwarf_uint(c, 1)); return;
	case 0x03: advance(run, dwarf_uint(c, 2)); return;
	case 0x04: advance(run, dwarf_uint(c, 4)); return;
	case 0x0a:
		if (run->depth < REMEMBER_MAX)
			run->stack[run->depth++] = run->now;
		else
			run->failed = true;
		return;
	case 0x0b:
		if (run->depth)
			run->now = run->stack[--run->depth];
		else
			run->failed = true;
		return;
	case 0x0c: reg = dwarf_uleb(c); set_cfa(run, reg, (s64)dwarf_uleb(c)); return;
	case 0x0d: set_cfa(run, dwarf_uleb(c), run->now.off); return;
	case 0x0e: run->now.off = (s64)dwarf_uleb(c); return;
	default: step_rare(run, c, op);
	}
}

static void run_all(struct run *run, struct dwarf_cur c)
{
	while (c.p < c.end && !c.bad && !run->failed)
		step(run, &c);
	run->failed |= c.bad;
}

void ehrun_fde(struct ehrun_table *t, const struct ehrun_cie *cie, struct dwarf_cur insns, u64 start, u64 size)
{
	struct run run = { .t = t, .cie = cie, .pc = start };

	run_all(&run, cie->insns);
	run.first = run.now;
	run.depth = 0;
	run_all(&run, insns);
	if (run.pc < start + size)
		ehrun_add(t, run.pc, row_of(&run));
	ehrun_add(t, start + size, (struct nt_unwind_row){ .kind = NT_UNWIND_NONE });
}
