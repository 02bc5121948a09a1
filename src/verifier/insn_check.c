/* SPDX-License-Identifier: MIT */
/*
 * Opcodes and reserved fields (RFC 9669). vinsn_is_known() holds for every instruction of a
 * program; vinsn_check() runs when the walk reaches one: loaders leave deliberately wrong calls in
 * code that a constant switches off.
 */
#include <errno.h>

#include "verifier/env.h"

static bool mem_is_known(u8 code)
{
	switch (BPF_CLASS(code)) {
	case BPF_LDX:
		return BPF_MODE(code) == BPF_MEM ||
		       (BPF_MODE(code) == BPF_MEMSX && BPF_SIZE(code) != BPF_DW);
	case BPF_ST: return BPF_MODE(code) == BPF_MEM;
	case BPF_STX: return BPF_MODE(code) == BPF_MEM || BPF_MODE(code) == BPF_ATOMIC;
	default: return code == (BPF_LD | BPF_IMM | BPF_DW) || ebpf_insn_is_packet_load(&(struct bpf_insn){.code = code});
	}
}

static bool alu_is_known(u8 code)
{
	u8 op = BPF_OP(code);

	if (op == BPF_NEG)
		return BPF_SRC(code) == BPF_K;
	if (op == BPF_END)
		return BPF_CLASS(code) == BPF_ALU || BPF_SRC(code) == BPF_K;
	return op < BPF_END;
}

bool vinsn_is_known(u8 code)
{
	u8 op = BPF_OP(code);

	switch (BPF_CLASS(code)) {
	case BPF_ALU:
	case BPF_ALU64: return alu_is_known(code);
	case BPF_JMP32:
		if (op == BPF_JA)
			return BPF_SRC(code) == BPF_K;
		return op != BPF_CALL && op != BPF_EXIT && op <= BPF_JSLE;
	case BPF_JMP:
		if (op == BPF_JA || op == BPF_CALL || op == BPF_EXIT)
			return BPF_SRC(code) == BPF_K;
		return op <= BPF_JSLE || code == (BPF_JMP | EBPF_JCOND);
	default: return mem_is_known(code);
	}
}

static bool mov_fields_ok(const struct bpf_insn *in)
{
	if (BPF_SRC(in->code) == BPF_K)
		return !in->src_reg && !in->off;
	if (ebpf_insn_is_cast(in))
		return true; /* arena.c */
	if (in->imm)
		return false;
	if (BPF_CLASS(in->code) == BPF_ALU)
		return in->off == 0 || in->off == 8 || in->off == 16;
	return in->off == 0 || in->off == 8 || in->off == 16 || in->off == 32;
}

static int alu_check(struct venv *env, const struct bpf_insn *in)
{
	bool is_x = BPF_SRC(in->code) == BPF_X;
	u8 op = BPF_OP(in->code);
	bool divides = op == BPF_DIV || op == BPF_MOD;
	const char *what = "BPF_ALU";
	bool ok;

	switch (op) {
	case BPF_NEG:
		what = "BPF_NEG";
		ok = !in->src_reg && !in->off && !in->imm;
		break;
	case BPF_END:
		what = "BPF_END";
		ok = !in->src_reg && !in->off && (in->imm == 16 || in->imm == 32 || in->imm == 64);
		break;
	case BPF_MOV:
		what = "BPF_MOV";
		ok = mov_fields_ok(in);
		break;
	default:
		ok =
		    (is_x ? !in->imm : !in->src_reg) && (in->off == 0 || (in->off == 1 && divides));
	}
	if (!ok) {
		vlog(env, "%s uses reserved fields\n", what);
		return -EINVAL;
	}
	return ebpf_insn_is_cast(in) ? varena_check_cast(env, in) : 0;
}

static bool atomic_op_ok(s32 imm)
{
	switch (imm) {
	case BPF_ADD:
	case BPF_OR:
	case BPF_AND:
	case BPF_XOR:
	case BPF_ADD | BPF_FETCH:
	case BPF_OR | BPF_FETCH:
	case BPF_AND | BPF_FETCH:
	case BPF_XOR | BPF_FETCH:
	case BPF_XCHG:
	case BPF_CMPXCHG: return true;
	default: return false;
	}
}

static int mem_check(struct venv *env, const struct bpf_insn *in)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_LDX:
		if (in->imm)
			goto reserved;
		return 0;
	case BPF_ST:
		if (in->src_reg)
			goto reserved;
		return 0;
	default:
		if (!ebpf_insn_is_atomic(in)) {
			if (in->imm)
				goto reserved;
			return 0;
		}
		if (in->imm == EBPF_LOAD_ACQ || in->imm == EBPF_STORE_REL)
			return 0;
		if (ebpf_insn_size(in) < 4) {
			vlog(env, "invalid atomic operand size\n");
			return -EINVAL;
		}
		if (!atomic_op_ok(in->imm)) {
			vlog(env, "BPF_ATOMIC uses invalid atomic opcode %02x\n", in->imm);
			return -EINVAL;
		}
		return 0;
	}
reserved:
	vlog(env, "%s uses reserved fields\n",
	     BPF_CLASS(in->code) == BPF_LDX  ? "BPF_LDX"
	     : BPF_CLASS(in->code) == BPF_ST ? "BPF_ST"
					     : "BPF_STX");
	return -EINVAL;
}

static int jmp_check(struct venv *env, const struct bpf_insn *in)
{
	const char *what = "BPF_JMP/JMP32";
	bool ok;
	int r = 0;

	switch (BPF_OP(in->code)) {
	case EBPF_JCOND:
		if (!in->src_reg && !in->dst_reg && !in->imm)
			return 0;
		vlog(env, "invalid may_goto imm %d\n", in->imm);
		return -EINVAL;
	case BPF_CALL:
		what = "BPF_CALL";
		ok = !in->off && !in->dst_reg && in->src_reg <= BPF_PSEUDO_KFUNC_CALL;
		break;
	case BPF_EXIT:
		what = "BPF_EXIT";
		ok = !in->imm && !in->src_reg && !in->dst_reg;
		break;
	case BPF_JA:
		what = "BPF_JA";
		ok = !in->src_reg && !in->dst_reg &&
		     (BPF_CLASS(in->code) == BPF_JMP ? !in->imm : !in->off);
		break;
	default:
		ok = BPF_SRC(in->code) == BPF_X ? !in->imm : !in->src_reg;
		r = ok ? 0 : vreg_check_read(env, in->dst_reg); /* what the kernel sees first */
	}
	if (ok || r)
		return r;
	vlog(env, "%s uses reserved fields\n", what);
	return -EINVAL;
}

int vinsn_check(struct venv *env, const struct bpf_insn *in)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64: return alu_check(env, in);
	case BPF_JMP:
	case BPF_JMP32: return jmp_check(env, in);
	case BPF_LD:
		if (ebpf_insn_is_packet_load(in))
			return 0; /* packet.c */
		/* cfg.c has looked at the rest of both halves */
		if (!in->off)
			return 0;
		vlog(env, "BPF_LD_IMM64 uses reserved fields\n");
		return -EINVAL;
	default: return mem_check(env, in);
	}
}
