/* SPDX-License-Identifier: MIT */
#include "ebpf/disasm.h"

#include <stdio.h>

#include "ebpf/helpers.h"
#include "ebpf/kfuncs.h"

static const char *const alu_op[16] = {"+=",  "-=", "*=", "/=", "|=",	"&=",	  "<<=", ">>=",
				       "neg", "%=", "^=", "=",	"s>>=", "endian", "?",	 "?"};
static const char *const jmp_op[16] = {"jmp",  "==",   ">", ">=", "&",	"!=",  "s>", "s>=",
				       "call", "exit", "<", "<=", "s<", "s<=", "?",  "?"};
static const char *const size_name[4] = {"u32", "u16", "u8", "u64"};
static const char *const signed_name[4] = {"s32", "s16", "s8", "s64"};

static const char *access_name(const struct bpf_insn *in)
{
	return size_name[BPF_SIZE(in->code) >> 3];
}

static void disasm_alu(const struct bpf_insn *in, char *buf, size_t n)
{
	bool is64 = BPF_CLASS(in->code) == BPF_ALU64;
	char w = is64 ? 'r' : 'w';
	u8 op = BPF_OP(in->code);
	const char *name = alu_op[op >> 4];

	if (op == BPF_END) {
		snprintf(buf, n, "(%02x) r%d = %s%d r%d", in->code, in->dst_reg,
			 is64				  ? "bswap"
			 : BPF_SRC(in->code) == BPF_TO_BE ? "be"
							  : "le",
			 in->imm, in->dst_reg);
	} else if (op == BPF_NEG) {
		snprintf(buf, n, "(%02x) %c%d = -%c%d", in->code, w, in->dst_reg, w, in->dst_reg);
	} else if (op == BPF_MOV && in->off && BPF_SRC(in->code) == BPF_X) {
		snprintf(buf, n, "(%02x) %c%d = (s%d)%c%d", in->code, w, in->dst_reg, in->off, w,
			 in->src_reg);
	} else {
		const char *sign = in->off == 1 && (op == BPF_DIV || op == BPF_MOD) ? "s" : "";

		if (BPF_SRC(in->code) == BPF_X)
			snprintf(buf, n, "(%02x) %c%d %s%s %c%d", in->code, w, in->dst_reg, sign,
				 name, w, in->src_reg);
		else
			snprintf(buf, n, "(%02x) %c%d %s%s %d", in->code, w, in->dst_reg, sign,
				 name, in->imm);
	}
}

static void disasm_atomic(const struct bpf_insn *in, char *buf, size_t n)
{
	const char *suffix = BPF_SIZE(in->code) == BPF_DW ? "64" : "";
	const char *type = access_name(in);

	switch (in->imm) {
	case BPF_ADD:
	case BPF_OR:
	case BPF_AND:
	case BPF_XOR:
		snprintf(buf, n, "(%02x) lock *(%s *)(r%d %+d) %s r%d", in->code, type, in->dst_reg,
			 in->off, alu_op[in->imm >> 4], in->src_reg);
		return;
	case BPF_ADD | BPF_FETCH:
	case BPF_OR | BPF_FETCH:
	case BPF_AND | BPF_FETCH:
	case BPF_XOR | BPF_FETCH: {
		static const char *const fetch[16] = {"add", "", "", "", "or", "and",
						      "",    "", "", "", "xor"};

		snprintf(buf, n, "(%02x) r%d = atomic%s_fetch_%s((%s *)(r%d %+d), r%d)", in->code,
			 in->src_reg, suffix, fetch[in->imm >> 4 & 15], type, in->dst_reg, in->off,
			 in->src_reg);
		return;
	}
	case BPF_XCHG:
		snprintf(buf, n, "(%02x) r%d = atomic%s_xchg((%s *)(r%d %+d), r%d)", in->code,
			 in->src_reg, suffix, type, in->dst_reg, in->off, in->src_reg);
		return;
	case BPF_CMPXCHG:
		snprintf(buf, n, "(%02x) r0 = atomic%s_cmpxchg((%s *)(r%d %+d), r0, r%d)", in->code,
			 suffix, type, in->dst_reg, in->off, in->src_reg);
		return;
	case EBPF_LOAD_ACQ:
		snprintf(buf, n, "(%02x) r%d = load_acquire((%s *)(r%d %+d))", in->code, in->dst_reg, type, in->src_reg,
			 in->off);
		return;
	case EBPF_STORE_REL:
		snprintf(buf, n, "(%02x) store_release((%s *)(r%d %+d), r%d)", in->code, type, in->dst_reg, in->off,
			 in->src_reg);
		return;
	default: snprintf(buf, n, "BUG_%02x", in->code);
	}
}

static void disasm_mem(const struct bpf_insn *in, char *buf, size_t n)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_LDX:
		snprintf(buf, n, "(%02x) r%d = *(%s *)(r%d %+d)", in->code, in->dst_reg,
			 BPF_MODE(in->code) == BPF_MEMSX ? signed_name[BPF_SIZE(in->code) >> 3]
							 : access_name(in),
			 in->src_reg, in->off);
		return;
	case BPF_ST:
		snprintf(buf, n, "(%02x) *(%s *)(r%d %+d) = %d", in->code, access_name(in),
			 in->dst_reg, in->off, in->imm);
		return;
	default:
		if (ebpf_insn_is_atomic(in))
			disasm_atomic(in, buf, n);
		else
			snprintf(buf, n, "(%02x) *(%s *)(r%d %+d) = r%d", in->code, access_name(in),
				 in->dst_reg, in->off, in->src_reg);
	}
}

static void disasm_ld(const struct bpf_insn *in, char *buf, size_t n)
{
	if (ebpf_insn_is_packet_load(in) && BPF_MODE(in->code) == BPF_ABS) {
		snprintf(buf, n, "(%02x) r0 = *(%s *)skb[%d]", in->code, access_name(in), in->imm);
		return;
	}
	if (ebpf_insn_is_packet_load(in)) {
		snprintf(buf, n, "(%02x) r0 = *(%s *)skb[r%d + %d]", in->code, access_name(in), in->src_reg, in->imm);
		return;
	}
	if (!ebpf_insn_is_ld64(in)) {
		snprintf(buf, n, "(%02x) ld?", in->code);
		return;
	}
	switch (in[0].src_reg) {
	case BPF_PSEUDO_MAP_FD:
		snprintf(buf, n, "(18) r%d = map[%u]", in->dst_reg, (u32)in->imm);
		return;
	case BPF_PSEUDO_MAP_VALUE:
		snprintf(buf, n, "(18) r%d = map[%u][0]+%u", in->dst_reg, (u32)in->imm,
			 (u32)in[1].imm);
		return;
	default:
		snprintf(buf, n, "(18) r%d = 0x%llx", in->dst_reg,
			 (unsigned long long)((u64)(u32)in[1].imm << 32 | (u32)in->imm));
	}
}

static void disasm_kfunc(const struct bpf_insn *in, char *buf, size_t n)
{
	const struct ebpf_kfunc_proto *k = ebpf_kfunc_get((u32)in->imm);

	snprintf(buf, n, "(85) call %s#%d", k ? k->name : "kernel-function", in->imm);
}

static void disasm_jmp(const struct bpf_insn *in, char *buf, size_t n)
{
	char w = BPF_CLASS(in->code) == BPF_JMP32 ? 'w' : 'r';
	u8 op = BPF_OP(in->code);

	if (in->code == (BPF_JMP | BPF_CALL)) {
		const char *name = ebpf_helper_name((u32)in->imm);

		if (in->src_reg == BPF_PSEUDO_CALL)
			snprintf(buf, n, "(85) call pc%+d", in->imm);
		else if (in->src_reg)
			disasm_kfunc(in, buf, n);
		else
			snprintf(buf, n, "(85) call %s#%d", name ? name : "unknown", in->imm);
	} else if (ebpf_insn_is_exit(in)) {
		snprintf(buf, n, "(95) exit");
	} else if (op == BPF_JA) {
		if (BPF_CLASS(in->code) == BPF_JMP)
			snprintf(buf, n, "(%02x) goto pc%+d", in->code, in->off);
		else
			snprintf(buf, n, "(%02x) gotol pc%+d", in->code, in->imm);
	} else if (ebpf_insn_is_may_goto(in)) {
		snprintf(buf, n, "(%02x) may_goto pc%+d", in->code, in->off);
	} else if (BPF_SRC(in->code) == BPF_X) {
		snprintf(buf, n, "(%02x) if %c%d %s %c%d goto pc%+d", in->code, w, in->dst_reg,
			 jmp_op[op >> 4], w, in->src_reg, in->off);
	} else {
		snprintf(buf, n, "(%02x) if %c%d %s 0x%x goto pc%+d", in->code, w, in->dst_reg,
			 jmp_op[op >> 4], (u32)in->imm, in->off);
	}
}

void ebpf_disasm(const struct bpf_insn *in, char *buf, size_t n)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_ALU:
	case BPF_ALU64: disasm_alu(in, buf, n); return;
	case BPF_LDX:
	case BPF_ST:
	case BPF_STX: disasm_mem(in, buf, n); return;
	case BPF_LD: disasm_ld(in, buf, n); return;
	default: disasm_jmp(in, buf, n);
	}
}
