/* SPDX-License-Identifier: MIT */
#include "jit/x86_64/lower.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/payload.h"
#include "base/bits.h"

enum x86_reg lower_reg(const struct lower *l, u32 bpf_reg)
{
	static const u8 host[JIT_NREGS] = {X86_RAX, X86_RDI, X86_RSI, X86_RDX, X86_RCX, X86_R8,
					   X86_RBX, X86_R13, X86_R14, X86_R15, X86_RBP};

	if (bpf_reg == JIT_FP && !l->fn->calls && l->fn->depth <= LOWER_RED_ZONE)
		return X86_RSP;
	return host[bpf_reg];
}

enum x86_reg lower_touch(struct lower *l, enum x86_reg r)
{
	l->fn->written |= 1u << r;
	return r;
}

enum x86_reg lower_def(struct lower *l, u32 bpf_reg)
{
	return lower_touch(l, lower_reg(l, bpf_reg));
}

bool lower_live(const struct lower *l, u32 bpf_reg)
{
	struct jit_live out;

	jit_live_out(l->p, l->i, &out);
	return out.regs >> bpf_reg & 1;
}

u64 lower_got(struct lower *l, enum jit_got_kind kind, u32 index)
{
	for (u32 i = 0; i < l->ngot; i++)
		if (l->got[i].kind == kind && l->got[i].index == index)
			return 8ull * i;
	if (l->ngot == l->got_cap) {
		u32 cap = bits_max(2 * l->got_cap, 8u);
		struct jit_got *got = realloc(l->got, cap * sizeof(*got));

		if (!got) {
			l->error = -ENOMEM;
			return 0;
		}
		l->got = got;
		l->got_cap = cap;
	}
	l->got[l->ngot] = (struct jit_got){.kind = (u8)kind, .index = index};
	return 8ull * l->ngot++;
}

/* Callee-saved registers in the order of the pushes; rbp is saved as frame pointer, not here. */
static const u8 saved[] = {X86_RBX, X86_R12, X86_R13, X86_R14, X86_R15};

/*
 * Where a program with tail calls or signals begins:
 *     mov dword [rdi + NT_CTX_TAIL_CALLS], 0
 *     call main; push rax; call [deliver_signals]; pop rax; ret          or on into main
 */
static void lower_start(struct lower *l)
{
	if (l->p->tail_calls)
		x86_store_imm(&l->w, 4, X86_RDI, NT_CTX_TAIL_CALLS, 0);
	l->tail_entry = l->w.len;
	if (!l->p->signals)
		return;
	x86_call(&l->w, (u64)l->code_off + l->p->func[0].entry);
	x86_push(&l->w, X86_RAX);
	x86_call_rip(&l->w, lower_got(l, JIT_GOT_HELPER, NT_HELPER_DELIVER_SIGNALS));
	x86_pop(&l->w, X86_RAX);
	x86_ret(&l->w);
}

void lower_prologue(struct lower *l)
{
	bool fp = l->fn->uses_fp && lower_reg(l, JIT_FP) == X86_RBP;

	l->fn->frame = 0;
	if (l->p->keeps_ctx && l->fn == l->p->func)
		lower_touch(l, X86_R12);
	if (fp) {
		x86_push(&l->w, X86_RBP);
		x86_mov(&l->w, true, X86_RBP, X86_RSP);
		if (l->fn->depth)
			x86_alu_imm(&l->w, X86_SUB, true, X86_RSP, (s32)l->fn->depth);
		l->fn->frame = 8;
	}
	for (u32 k = 0; k < bits_count(saved); k++) {
		if (!(l->fn->written >> saved[k] & 1))
			continue;
		x86_push(&l->w, saved[k]);
		l->fn->frame += 8;
	}
	if (l->fn->uses_fp)
		l->fn->frame += l->fn->depth;
	if (l->p->keeps_ctx && l->fn == l->p->func)
		x86_mov(&l->w, true, X86_R12, X86_RDI);
	if (l->fn->counts && l->fn->uses_fp)
		x86_store_imm(&l->w, 8, lower_reg(l, JIT_FP), -(s32)l->fn->depth, JIT_MAY_GOTO_MAX);
}

/* Out of the frame, all registers as the caller had them; rsp at the return address. */
void lower_leave(struct lower *l)
{
	for (u32 k = bits_count(saved); k-- > 0;)
		if (l->fn->written >> saved[k] & 1)
			x86_pop(&l->w, saved[k]);
	if (l->fn->uses_fp && lower_reg(l, JIT_FP) == X86_RBP)
		x86_leave(&l->w);
}

void lower_epilogue(struct lower *l)
{
	lower_leave(l);
	x86_ret(&l->w);
	l->exits++;
	l->exit_end = l->w.len;
}

static void lower_insn(struct lower *l, const struct bpf_insn *insn)
{
	const struct jit_note *note = &l->p->note[l->i];

	switch (note->action) {
	case JIT_SKIP: return;
	case JIT_GOTO: lower_branch(l, LOWER_ALWAYS, jit_target(insn, l->i)); return;
	case JIT_KEY: x86_mov(&l->w, false, lower_def(l, 0), lower_reg(l, insn->src_reg)); return;
	case JIT_RMW: lower_rmw(l); return;
	case JIT_IMM: lower_mem_imm(l, note->last, insn->imm); return;
	case JIT_LEA:
		x86_lea(&l->w, lower_def(l, insn->dst_reg), lower_reg(l, insn->src_reg),
			l->p->insns[note->last].imm);
		return;
	}
	switch (BPF_CLASS(insn->code)) {
	case BPF_ALU:
	case BPF_ALU64: lower_alu(l, insn); return;
	case BPF_LD: lower_ld_imm64(l, insn); return;
	case BPF_JMP:
	case BPF_JMP32:
		if (BPF_OP(insn->code) == BPF_CALL)
			lower_call(l, insn);
		else if (BPF_OP(insn->code) == BPF_EXIT)
			lower_epilogue(l);
		else
			lower_jump(l, insn);
		return;
	default:
		if (BPF_CLASS(insn->code) == BPF_STX && BPF_MODE(insn->code) == BPF_ATOMIC)
			lower_atomic(l, insn);
		else
			lower_mem(l, insn);
	}
}

/* One pass over everything. Which registers a function writes, so which ones its prologue saves, is
 * known only after the first pass; sizes count from the second on. */
static void lower_pass(struct lower *l, u8 *buf, u32 cap)
{
	x86_init(&l->w, buf, cap, l->code_off);
	l->exits = 0;
	l->w.rip_at = l->rip_at;
	l->w.rip_cap = l->rip_cap;
	lower_start(l);
	for (u32 f = 0; f < l->p->nfuncs; f++) {
		l->fn = &l->p->func[f];
		l->fn->entry = l->w.len;
		if (l->fn->reached)
			lower_prologue(l);
		for (l->i = l->fn->first; l->i < l->fn->end; l->i++) {
			l->addr[l->i] = l->w.len;
			lower_insn(l, &l->p->insns[l->i]);
		}
	}
	l->addr[l->p->n] = l->w.len;
}

/* Where the branch that belongs to instruction i goes; a lookup has the branch of the NULL check
 * fused into it. */
static u32 branch_target(const struct jit_prog *p, u32 i)
{
	u32 at = p->note[i].action == JIT_LOOKUP ? p->note[i].last : i;

	return jit_target(&p->insns[at], at);
}

/* Makes long branches short where the last pass' distances allow it. */
static bool lower_shrink(struct lower *l)
{
	bool changed = false;

	for (u32 i = 0; i < l->p->n; i++) {
		s64 d;

		if (!l->jump_end[i] || l->width[i] == LOWER_NONE)
			continue;
		d = (s64)l->addr[branch_target(l->p, i)] - l->jump_end[i];
		if (d < 0 && l->width[i] == LOWER_LONG) /* the short form ends earlier */
			d += jit_is_cond(&l->p->insns[i]) && l->p->note[i].action == JIT_PLAIN ? 4
											       : 3;
		if (d == 0 && l->jump_end[i] == l->addr[i + 1])
			l->width[i] = LOWER_NONE;
		else if (l->width[i] == LOWER_LONG && d >= -128 && d <= 127)
			l->width[i] = LOWER_SHORT;
		else
			continue;
		changed = true;
	}
	return changed;
}

void lower_branch(struct lower *l, u32 cc, u32 target)
{
	u64 to = (u64)l->code_off + l->addr[target];
	u8 width = l->width[l->i];

	if (width == LOWER_SHORT && cc == LOWER_ALWAYS)
		x86_jmp8(&l->w, to);
	else if (width == LOWER_SHORT)
		x86_jcc8(&l->w, cc, to);
	else if (width == LOWER_LONG && cc == LOWER_ALWAYS)
		x86_jmp(&l->w, to);
	else if (width == LOWER_LONG)
		x86_jcc(&l->w, cc, to);
	l->jump_end[l->i] = l->w.len;
}

/* Stack of a function and everything below it. The verifier never lets a recursion through. */
static int stack_of(const struct lower *l, struct jit_func *fn)
{
	u32 below = 0;

	if (fn->stack_state)
		return fn->stack_state == JIT_STACK_KNOWN ? 0 : -EINVAL;
	fn->stack_state = JIT_STACK_BUSY;
	for (u32 i = fn->first; i < fn->end; i++) {
		const struct bpf_insn *insn = &l->p->insns[i];
		struct jit_func *callee;
		int r;

		if (l->p->note[i].action != JIT_PLAIN || !(jit_is_local_call(insn) || jit_is_func_addr(insn)))
			continue;
		callee = jit_func_of(l->p, jit_target(insn, i));
		r = stack_of(l, callee);
		if (r)
			return r;
		below = bits_max(below, callee->stack + 8);
	}
	fn->stack = fn->frame + below;
	fn->stack_state = JIT_STACK_KNOWN;
	return 0;
}

/* Calls are RIP-relative to the code as well: only images without any can be moved piecewise. */
static bool lower_inlinable(const struct lower *l)
{
	u32 reached = 0;

	for (u32 f = 0; f < l->p->nfuncs; f++)
		reached += l->p->func[f].reached;
	return reached == 1 && !l->calls_helper && !l->p->keeps_ctx && l->exits == 1 &&
	       l->exit_end == l->w.len;
}

static int lower_finish(struct lower *l, struct jit_image *img)
{
	u32 written = 0;
	int r = stack_of(l, &l->p->func[0]);

	if (r)
		return r;
	for (u32 f = 0; f < l->p->nfuncs; f++)
		written |= l->p->func[f].reached ? l->p->func[f].written : 0;
	for (u32 i = 0; i < l->p->n; i++)
		img->insn_off[i] = l->code_off + l->addr[i];
	img->size = l->code_off + l->w.len;
	img->entry = l->code_off + (l->p->tail_calls || l->p->signals ? 0 : l->p->func[0].entry);
	img->tail_entry = l->code_off + (l->p->signals ? l->tail_entry : l->p->func[0].entry);
	img->ngot = l->ngot;
	img->clobbers = l->calls_helper ? (u32)LOWER_CALLER_SAVED : written & LOWER_CALLER_SAVED;
	img->stack = l->p->func[0].stack;
	img->calls = l->calls_helper;
	img->uses_cookie = l->uses_cookie;
	img->uses_func_ip = l->uses_func_ip;
	img->inlinable = lower_inlinable(l);
	img->nrip = l->w.nrip;
	for (u32 i = 0; i < img->nrip; i++)
		img->rip_at[i] += l->code_off;
	return l->error ? l->error : l->w.error;
}

static int lower_run(struct lower *l, struct jit_image *img)
{
	u32 len;

	lower_pass(l, NULL, 0);
	do {
		lower_pass(l, NULL, 0);
	} while (!l->error && lower_shrink(l));
	if (l->error)
		return l->error;
	l->code_off = bits_round_up(8 * l->ngot, 16u);
	len = l->w.len;
	img->code = calloc(1, (size_t)l->code_off + len);
	img->insn_off = calloc(l->p->n, sizeof(*img->insn_off));
	l->rip_cap = l->w.nrip;
	img->rip_at = calloc(l->rip_cap + 1, sizeof(*img->rip_at));
	if (!img->code || !img->insn_off || !img->rip_at)
		return -ENOMEM;
	l->rip_at = img->rip_at;
	lower_pass(l, img->code + l->code_off, len);
	return lower_finish(l, img);
}

int lower_prog(struct jit_prog *p, struct jit_image *ret)
{
	struct jit_image img = {0};
	struct lower l = {.p = p};
	int r = -ENOMEM;

	l.addr = calloc(p->n + 1, sizeof(*l.addr));
	l.jump_end = calloc(p->n, sizeof(*l.jump_end));
	l.width = calloc(p->n, sizeof(*l.width));
	if (l.addr && l.jump_end && l.width)
		r = lower_run(&l, &img);
	free(l.addr);
	free(l.jump_end);
	free(l.width);
	img.got = l.got;
	if (r)
		jit_image_deinit(&img);
	else
		*ret = img;
	return r;
}
