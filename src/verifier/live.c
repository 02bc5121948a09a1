/* SPDX-License-Identifier: MIT */
/*
 * Static register liveness: for each instruction the registers that some path from it reads before
 * it writes them. Within one function; a call to another function reads R1-R5. Two states that
 * differ only in dead registers are the same to prune.c.
 */
#include "ebpf/helpers.h"
#include "ebpf/kfuncs.h"
#include "verifier/env.h"

#define REG(n) (1u << (n))
#define ARGS (REG(1) | REG(2) | REG(3) | REG(4) | REG(5))

static u16 call_uses(const struct bpf_insn *in)
{
	const struct ebpf_helper *h =
	    ebpf_insn_is_helper_call(in) ? ebpf_helper_get((u32)in->imm) : NULL;
	const struct ebpf_kfunc_proto *k =
	    in->src_reg == BPF_PSEUDO_KFUNC_CALL ? ebpf_kfunc_get((u32)in->imm) : NULL;
	u16 uses = 0;
	u32 i;

	for (i = 0; k && i < 5 && k->arg[i] != EBPF_KARG_NONE; i++)
		uses |= REG(i + 1);
	if (k)
		return uses;

	if (!h)
		return ARGS;
	for (i = 0; i < 5 && h->arg[i] != EBPF_ARG_NONE; i++)
		uses |= REG(i + 1);
	return uses;
}

u16 vlive_uses(const struct bpf_insn *in)
{
	u16 dst = REG(in->dst_reg), src = REG(in->src_reg);
	bool is_x = BPF_SRC(in->code) == BPF_X;
	u8 op = BPF_OP(in->code);

	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64:
		if (op == BPF_END || op == BPF_NEG)
			return dst;
		if (op == BPF_MOV)
			return is_x ? src : 0;
		return dst | (is_x ? src : 0);
	case BPF_LDX: return src;
	case BPF_ST: return dst;
	case BPF_STX:
		if (ebpf_insn_is_atomic(in) && in->imm == EBPF_LOAD_ACQ)
			return src;
		return dst | src | (ebpf_insn_is_atomic(in) && in->imm == BPF_CMPXCHG ? REG(0) : 0);
	case BPF_LD: return ebpf_insn_is_packet_load(in) ? REG(6) | (BPF_MODE(in->code) == BPF_IND ? src : 0) : 0;
	default:
		if (op == BPF_EXIT)
			return REG(0);
		if (op == BPF_CALL)
			return call_uses(in);
		if (op == BPF_JA || op == EBPF_JCOND)
			return 0;
		return dst | (is_x ? src : 0);
	}
}

u16 vlive_defs(const struct bpf_insn *in)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64:
	case BPF_LDX: return REG(in->dst_reg);
	case BPF_LD: return ebpf_insn_is_packet_load(in) ? REG(0) | ARGS : REG(in->dst_reg);
	case BPF_STX:
		if (ebpf_insn_is_atomic(in) && in->imm == EBPF_LOAD_ACQ)
			return REG(in->dst_reg);
		if (!ebpf_insn_is_atomic(in) || !(in->imm & BPF_FETCH))
			return 0;
		return in->imm == BPF_CMPXCHG ? REG(0) : REG(in->src_reg);
	case BPF_JMP: return BPF_OP(in->code) == BPF_CALL ? REG(0) | ARGS : 0;
	default: return 0;
	}
}

static u16 live_out(const struct venv *env, u32 i)
{
	const struct bpf_insn *in = &env->insns[i];
	u16 out = 0;

	if (ebpf_insn_is_exit(in))
		return 0;
	if (ebpf_insn_is_goto(in))
		return env->live[ebpf_insn_target(in, i)];
	if (ebpf_insn_is_cond(in))
		out = env->live[ebpf_insn_target(in, i)];
	return out | env->live[i + (ebpf_insn_is_ld64(in) ? 2 : 1)];
}

/* Jumps forwards are done in one round, every loop around a loop takes another. A program made to
 * need many more is not worth the time: with all registers live, states are only compared more
 * strictly. */
#define MAX_ROUNDS 32u

void vlive_compute(struct venv *env)
{
	bool changed = true;
	u32 i, round;

	for (round = 0; changed; round++) {
		changed = false;
		if (round == MAX_ROUNDS) {
			for (i = 0; i < env->n; i++)
				env->live[i] = 0x3ff;
			return;
		}
		for (i = env->n; i-- > 0;) {
			u16 live;

			if (env->flag[i] & VINSN_SECOND)
				continue;
			live = vlive_uses(&env->insns[i]) |
			       (live_out(env, i) & ~vlive_defs(&env->insns[i]));
			if (live != env->live[i]) {
				env->live[i] = live;
				changed = true;
			}
		}
	}
}
