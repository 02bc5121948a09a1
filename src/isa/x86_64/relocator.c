/* SPDX-License-Identifier: MIT */
#include "isa/x86_64/relocator.h"

#include <errno.h>

enum { OP_PUSH_IMM32 = 0x68, OP_JMP8 = 0xeb, OP_GROUP5 = 0xff, GROUP5_JMP = 4 };

static bool is_near_indirect(const struct x86_insn *i)
{
	u8 digit = i->modrm >> 3 & 7;

	return i->map == X86_MAP_ONE && i->opcode == OP_GROUP5 && (digit == 2 || digit == 4);
}

/* base rsp, with or without index */
static bool is_stack_operand(const u8 *p, const struct x86_insn *i)
{
	return i->modrm >> 6 != 3 && (i->modrm & 7) == 4 && (p[i->modrm_off + 1] & 7) == 4 &&
	       !(i->rex & 1);
}

static bool can_relocate_call(const u8 *p, const struct x86_insn *i)
{
	if (!is_near_indirect(i) || i->prefix & (X86_P_66 | X86_P_67))
		return false;
	if (is_stack_operand(p, i) && i->op_off > 4) /* prefixes: no room for more */
		return false;
	if (is_stack_operand(p, i))
		return !i->disp_len || i->disp >= 0; /* below rsp: it would read what we push */
	return i->modrm != 0xd4 || i->rex & 1; /* call rsp */
}

bool x86_can_relocate(const u8 *p, const struct x86_insn *i)
{
	if (i->rip_rel && i->prefix & X86_P_67)
		return false;
	switch (i->kind) {
	case X86_K_JMP: case X86_K_JCC: case X86_K_CALL: case X86_K_XBEGIN:
		return !(i->prefix & X86_P_66) || i->rex & 8;
	case X86_K_LOOP: case X86_K_RET:
		return !(i->prefix & X86_P_66);
	case X86_K_CALL_IND:
		return can_relocate_call(p, i);
	case X86_K_JMP_IND:
		return is_near_indirect(i) && !(i->prefix & X86_P_66);
	default:
		return true;
	}
}

/* The s32 that reaches target from the end of an instruction with `tail` more bytes behind it. */
static void write_rel32(struct x86_writer *w, u64 target, u32 tail)
{
	s64 d = (s64)(target - (x86_here(w) + 4 + tail));

	if (d != (s32)d && w->buf)
		w->error = -ERANGE;
	x86_u32(w, (u32)d);
}

static void copy_rip_relative(struct x86_writer *w, const u8 *p, const struct x86_insn *i, u64 from)
{
	u32 tail = (u32)i->len - i->disp_off - 4;

	x86_bytes(w, p, i->disp_off);
	write_rel32(w, x86_rip_operand(i, from), tail);
	x86_bytes(w, p + i->disp_off + 4, tail);
}

/* push imm32 stores 8 bytes, the upper half is put right after it; neither instruction touches
 * flags. Always both, so that the length is the same for every address. */
static void push_address(struct x86_writer *w, u64 addr)
{
	x86_byte(w, OP_PUSH_IMM32);
	x86_u32(w, (u32)addr);
	x86_store_imm(w, 4, X86_RSP, 4, (s32)(addr >> 32));
}

/* jmp [rsp + index + disp + 8]: the original addressed the stack before the return address was
 * pushed. */
static void jmp_stack_operand(struct x86_writer *w, const u8 *p, const struct x86_insn *i)
{
	s32 disp = i->disp_len ? i->disp : 0;

	if (__builtin_add_overflow(disp, 8, &disp) && w->buf)
		w->error = -ERANGE;
	x86_bytes(w, p, i->op_off); /* prefixes */
	x86_byte(w, OP_GROUP5);
	x86_byte(w, 2 << 6 | GROUP5_JMP << 3 | 4);
	x86_byte(w, p[i->modrm_off + 1]);
	x86_u32(w, (u32)disp);
}

static void relocate_call_indirect(struct x86_writer *w, const u8 *p, const struct x86_insn *i,
				   u64 from)
{
	u8 jmp[X86_INSN_MAX];

	push_address(w, from + i->len);
	if (is_stack_operand(p, i)) {
		jmp_stack_operand(w, p, i);
		return;
	}
	for (u32 k = 0; k < i->len; k++)
		jmp[k] = p[k];
	jmp[i->modrm_off] = (u8)((i->modrm & 0xc7) | GROUP5_JMP << 3);
	if (i->rip_rel)
		copy_rip_relative(w, jmp, i, from);
	else
		x86_bytes(w, jmp, i->len);
}

/* They have no long form and the two that count in rcx must run exactly once: taken goes over a
 * short jmp. */
static void relocate_loop(struct x86_writer *w, const u8 *p, const struct x86_insn *i, u64 target)
{
	x86_bytes(w, p, i->rel_off);
	x86_byte(w, 2);
	x86_byte(w, OP_JMP8);
	x86_byte(w, 5);
	x86_jmp(w, target);
}

void x86_relocate(struct x86_writer *w, const u8 *p, const struct x86_insn *i, u64 from)
{
	u64 target = x86_target(i, from);

	switch (i->kind) {
	case X86_K_JMP:
		x86_jmp(w, target);
		break;
	case X86_K_JCC:
		x86_jcc(w, (enum x86_cc)(i->opcode & 15), target);
		break;
	case X86_K_LOOP:
		relocate_loop(w, p, i, target);
		break;
	case X86_K_XBEGIN:
		x86_bytes(w, p, i->rel_off);
		write_rel32(w, target, 0);
		break;
	case X86_K_CALL:
		push_address(w, from + i->len);
		x86_jmp(w, target);
		break;
	case X86_K_CALL_IND:
		relocate_call_indirect(w, p, i, from);
		break;
	default:
		if (i->rip_rel)
			copy_rip_relative(w, p, i, from);
		else
			x86_bytes(w, p, i->len);
	}
}
