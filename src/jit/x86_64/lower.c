/* SPDX-License-Identifier: MIT */
#include "jit/x86_64/lower.h"

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
	return jit_reg_live_out(l->p, l->i, bpf_reg);
}

u64 lower_got(struct lower *l, enum jit_got_kind kind, u32 index)
{
	return jit_build_got(l->b, kind, index);
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
	l->b->tail_entry = l->w.len;
	if (!l->p->signals)
		return;
	x86_call(&l->w, (u64)l->b->code_off + l->p->func[0].entry);
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
	l->b->exits++;
	l->b->exit_end = l->w.len;
}

static void lower_insn(struct lower *l, const struct bpf_insn *insn)
{
	const struct jit_note *note = &l->p->note[l->i];

	switch (note->action) {
	case JIT_SKIP: return;
	case JIT_GOTO: lower_branch(l, LOWER_ALWAYS, jit_target(insn, l->i)); return;
	case JIT_KEY: x86_mov(&l->w, false, lower_def(l, 0), lower_reg(l, insn->src_reg)); return;
	case JIT_RMW: lower_rmw(l); return;
	case JIT_ROT: lower_rotate(l, insn); return;
	case JIT_IMM: lower_mem_imm(l, note->last, insn->imm); return;
	case JIT_LEA:
		x86_lea(&l->w, lower_def(l, insn->dst_reg), lower_reg(l, insn->src_reg),
			l->p->insns[note->last].imm);
		return;
	}
	switch (BPF_CLASS(insn->code)) {
	case BPF_ALU:
	case BPF_ALU64: lower_alu(l, insn); return;
	case BPF_LD:
		if (ebpf_insn_is_packet_load(insn))
			lower_packet_load(l, insn);
		else
			lower_ld_imm64(l, insn);
		return;
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

static void x86_64_pass(struct jit_build *b, u8 *buf, u32 cap)
{
	struct lower lower = {.b = b, .p = b->p}, *l = &lower;

	x86_init(&l->w, buf, cap, b->code_off);
	b->exits = 0;
	l->w.rip_at = b->rip_at;
	l->w.rip_cap = b->rip_cap;
	lower_start(l);
	for (u32 f = 0; f < l->p->nfuncs; f++) {
		l->fn = &l->p->func[f];
		l->fn->entry = l->w.len;
		if (l->fn->reached)
			lower_prologue(l);
		for (l->i = l->fn->first; l->i < l->fn->end; l->i++) {
			b->addr[l->i] = l->w.len;
			lower_insn(l, &l->p->insns[l->i]);
		}
	}
	b->addr[l->p->n] = b->len = l->w.len;
	b->nrip = l->w.nrip;
	if (!b->error)
		b->error = l->w.error;
}

const struct jit_backend jit_x86_64 = {
	.pass = x86_64_pass,
	.caller_saved = LOWER_CALLER_SAVED,
	.call_stack = 8,
	.reach_lo = -128,
	.reach_hi = 127,
	.inlinable = true,
	.tells_cpu = true,
};

void lower_branch(struct lower *l, u32 cc, u32 target)
{
	u64 to = (u64)l->b->code_off + l->b->addr[target];
	u8 width = l->b->width[l->i];

	if (width == JIT_SHORT && cc == LOWER_ALWAYS)
		x86_jmp8(&l->w, to);
	else if (width == JIT_SHORT)
		x86_jcc8(&l->w, cc, to);
	else if (width == JIT_LONG && cc == LOWER_ALWAYS)
		x86_jmp(&l->w, to);
	else if (width == JIT_LONG)
		x86_jcc(&l->w, cc, to);
	jit_build_branch(l->b, l->i, l->w.len, cc == LOWER_ALWAYS ? 3 : 4);
}
