/* SPDX-License-Identifier: MIT */
/*
 * Go turns a fault on a nil pointer into a panic, and finds its way from there if it knows either the function or the
 * word at the top of the stack: not so in a copy, once the stack pointer has moved. Which instructions may fault so?
 *
 * A nil pointer is what its runtime takes for one: an address below 4096, and what its compiler leaves to the hardware:
 * a pointer and a constant, never an index (those are compared before). Everything else that faults ends the program.
 * And not a pointer that was followed just before, with no way in between to come from elsewhere:
 *
 *     mov rcx, [rax+8]        may fault
 *     mov rdx, [rax+16]       not any more
 *     mov rax, [rax]          neither
 *     mov rsi, [rax]          may: this is another rax
 */
#include "patch/x86_64/window.h"

enum { NIL_END = 4096, LOOK_BACK = 96, NO_REG = 16, ALL_REGS = 0xffff };

static u32 reg_of(const struct x86_insn *i)
{
	return (i->modrm >> 3 & 7) | (i->rex & 4) << 1;
}

static u32 rm_of(const struct x86_insn *i)
{
	return (i->modrm & 7) | (i->rex & 1) << 3;
}

/* Register r; without REX 4 to 7 may be ah to bh. */
static u32 bits_of(const struct x86_insn *i, u32 r)
{
	return 1u << r | (!i->rex && r >= 4 && r < 8 ? 1u << (r - 4) : 0);
}

static u32 rm_bits(const struct x86_insn *i)
{
	return i->modrm_off && i->modrm >> 6 == 3 ? bits_of(i, rm_of(i)) : 0;
}

/* The register of [reg + constant], NO_REG: it is no such access, or none that a nil pointer could be in. */
static u32 pointer_of(const u8 *p, const struct x86_insn *i)
{
	u8 sib;

	if (i->modrm >> 6 == 3 || i->rip_rel || (i->opcode == 0x8d && i->map == X86_MAP_ONE))
		return NO_REG;
	if (i->disp_len && (i->disp < 0 || i->disp >= NIL_END))
		return NO_REG;
	if ((i->modrm & 7) != 4)
		return rm_of(i);
	sib = p[i->modrm_off + 1];
	if ((sib >> 3 & 7) != 4 || i->rex & 2) /* has an index */
		return NO_REG;
	if (i->prefix & X86_P_FSGS && i->modrm >> 6 == 0 && sib == 0x25) /* a word of the thread */
		return NO_REG;
	return (sib & 7) != 4 || i->rex & 1 ? (sib & 7u) | (i->rex & 1) << 3 : NO_REG; /* rsp is none */
}

/* Of an instruction without ModRM: strings, xlat, absolute addresses. */
static bool hidden_access(const struct x86_insn *i)
{
	return i->map == X86_MAP_ONE &&
	       ((i->opcode >= 0xa0 && i->opcode <= 0xa7) || (i->opcode >= 0xaa && i->opcode <= 0xaf) || i->opcode == 0xd7);
}

/* Registers that a one-byte opcode may write; all of them where it is not an ordinary one. */
static u32 writes_one(const struct x86_insn *i)
{
	u32 reg = bits_of(i, reg_of(i)), rm = rm_bits(i), digit = i->modrm >> 3 & 7;

	switch (i->opcode) {
	case 0x00 ... 0x3f:
		if (i->opcode >= 0x38)
			return 0; /* cmp */
		return (i->opcode & 7) < 2 ? rm : (i->opcode & 7) < 4 ? reg : 1;
	case 0x50 ... 0x57: case 0x68: case 0x6a: case 0x70 ... 0x7f: case 0x84: case 0x85: case 0x90: case 0xa8: case 0xa9:
		return 0;
	case 0x58 ... 0x5f: case 0xb0 ... 0xbf:
		return bits_of(i, (i->opcode & 7) | (i->rex & 1) << 3);
	case 0x63: case 0x69: case 0x6b: case 0x8a: case 0x8b: case 0x8d:
		return reg;
	case 0x80: case 0x81: case 0x83:
		return digit == 7 ? 0 : rm;
	case 0x88: case 0x89: case 0xc0: case 0xc1: case 0xc6: case 0xc7: case 0xd0 ... 0xd3:
		return rm;
	case 0x86: case 0x87:
		return reg | rm;
	case 0x98:
		return 1u << 0;
	case 0x99:
		return 1u << 2;
	case 0xf6: case 0xf7:
		return digit < 2 ? 0 : digit < 4 ? rm : 1u << 0 | 1u << 2;
	case 0xfe: case 0xff:
		return digit < 2 ? rm : ALL_REGS;
	}
	return ALL_REGS;
}

static u32 writes_0f(const struct x86_insn *i)
{
	switch (i->opcode) {
	case 0x10 ... 0x17: case 0x1f: case 0x28: case 0x29: case 0x2e: case 0x2f: case 0x51 ... 0x5f: case 0x6f: case 0x7f:
	case 0x80 ... 0x8f: case 0xd6: case 0xef:
		return 0; /* vector registers, flags, jumps */
	case 0x6e: case 0x7e: case 0x90 ... 0x9f: case 0x2c: case 0x2d: case 0x40 ... 0x4f: case 0xaf: case 0xb6: case 0xb7:
	case 0xbc ... 0xbf:
		return bits_of(i, reg_of(i)) | rm_bits(i);
	}
	return ALL_REGS;
}

/* The first instruction of the straight way that leads to `at`: nothing comes to it but from the one before. */
static u64 straight_from(const struct text *t, u64 at)
{
	u64 first = at;

	for (u64 a = at; a > t->lo && at - a < LOOK_BACK && !bit_test(t->target, a - t->lo); ) {
		a--;
		if (bit_test(t->start, a - t->lo))
			first = a;
	}
	return first;
}

/* Was this register followed as a pointer on the way, and not written since? */
static bool was_followed(const struct text *t, u64 at, u32 pointer)
{
	u32 good = 0;

	for (u64 a = straight_from(t, at); a < at;) {
		const u8 *p = t->bytes + (a - t->lo);
		struct x86_insn i;
		u32 reg, written;

		if (!x86_read(p, at - a, &i))
			return false;
		reg = i.modrm_off && i.map <= X86_MAP_0F ? pointer_of(p, &i) : NO_REG;
		written = x86_ends_flow(&i) || i.kind == X86_K_CALL || i.kind == X86_K_CALL_IND ? ALL_REGS
			  : i.map == X86_MAP_ONE ? writes_one(&i) : i.map == X86_MAP_0F ? writes_0f(&i) : ALL_REGS;
		good = (good | (reg == NO_REG || i.kind == X86_K_NOP ? 0 : 1u << reg)) & ~written;
		a += i.len;
	}
	return good & 1u << pointer;
}

bool nil_may_fault(const struct text *t, u64 at, const struct x86_insn *i)
{
	u32 reg;

	if (i->kind == X86_K_NOP)
		return false;
	if (!i->modrm_off)
		return hidden_access(i);
	if (i->map == X86_MAP_VECTOR) /* its registers are not in a REX byte */
		return i->modrm >> 6 != 3 && !i->rip_rel;
	reg = pointer_of(t->bytes + (at - t->lo), i);
	return reg != NO_REG && !was_followed(t, at, reg);
}
