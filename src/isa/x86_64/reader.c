/* SPDX-License-Identifier: MIT */
/*
 * The table reader. An instruction is
 *
 *     legacy prefixes | REX | opcode (map one, 0f, 0f38, 0f3a) | ModRM [SIB] [disp8/32] | immediate
 *     VEX c5 xx / c4 xx xx  | opcode                           | ModRM [SIB] [disp8/32] | [imm8]
 *
 * and a flag word per opcode says which of the optional parts follow. Rules: what is rare or has
 * a length that depends on more than this (EVEX, XOP, 3DNow, prefixes behind REX, branches with a
 * 16-bit operand) is SLOW and goes to the strict reader; tests/unit/isa compares the two over whole
 * libraries.
 */
#include "isa/x86_64/reader.h"

#include <string.h>

enum {
	M = 1,	   /* ModRM */
	IB = 2,	   /* imm8 */
	IZ = 4,	   /* imm32, imm16 with prefix 66 */
	IW = 8,	   /* imm16 */
	IV = 16,   /* imm32, imm16 with 66, imm64 with REX.W */
	OFFS = 32, /* absolute address of 8 bytes, 4 with 67 */
	PFX = 64,
	SLOW = 128,
	MORE = 256, /* the opcode alone does not say it all: branches, groups, nops */
};

/* The eight arithmetic instructions: r/m,r  r,r/m  al,imm  eax,imm. */
#define ALU(b) [(b) ... (b) + 3] = M, [(b) + 4] = IB, [(b) + 5] = IZ

static const u16 one[256] = {
	ALU(0x00), ALU(0x08), ALU(0x10), ALU(0x18), ALU(0x20), ALU(0x28), ALU(0x30), ALU(0x38),
	[0x06 ... 0x07] = SLOW, [0x0e] = SLOW, [0x16 ... 0x17] = SLOW, [0x1e ... 0x1f] = SLOW,
	[0x27] = SLOW, [0x2f] = SLOW, [0x37] = SLOW, [0x3f] = SLOW,
	[0x26] = PFX, [0x2e] = PFX, [0x36] = PFX, [0x3e] = PFX,
	[0x40 ... 0x4f] = SLOW, /* a second REX */
	[0x60] = SLOW, [0x61] = SLOW, [0x62] = SLOW, [0x63] = M,
	[0x64 ... 0x67] = PFX, [0x68] = IZ, [0x69] = M | IZ, [0x6a] = IB, [0x6b] = M | IB,
	[0x70 ... 0x7f] = IB | MORE,
	[0x80] = M | IB, [0x81] = M | IZ, [0x82] = SLOW, [0x83] = M | IB, [0x84 ... 0x8e] = M,
	[0x8f] = SLOW,
	[0x90] = MORE, [0x9a] = SLOW, [0x9b] = SLOW, [0xa0 ... 0xa3] = OFFS, [0xa8] = IB,
	[0xa9] = IZ,
	[0xb0 ... 0xb7] = IB, [0xb8 ... 0xbf] = IV,
	[0xc0 ... 0xc1] = M | IB, [0xc2] = IW | MORE, [0xc3] = MORE, [0xc4 ... 0xc5] = SLOW,
	[0xc6] = M | IB | MORE, [0xc7] = M | IZ | MORE,
	[0xc8] = SLOW, [0xca] = IW | MORE, [0xcb ... 0xcc] = MORE, [0xcd] = IB, [0xce] = SLOW,
	[0xcf] = MORE,
	[0xd0 ... 0xd3] = M, [0xd4 ... 0xd6] = SLOW, [0xd8 ... 0xdf] = M,
	[0xe0 ... 0xe3] = IB | MORE, [0xe4 ... 0xe7] = IB, [0xe8 ... 0xe9] = IZ | MORE,
	[0xea] = SLOW, [0xeb] = IB | MORE,
	[0xf0] = PFX, [0xf1] = MORE, [0xf2 ... 0xf3] = PFX, [0xf4] = MORE,
	[0xf6 ... 0xf7] = M | MORE, [0xfe] = M, [0xff] = M | MORE,
};

static const u16 two[256] = {
	[0x00 ... 0x03] = M, [0x04] = SLOW, [0x0a] = SLOW, [0x0b] = MORE, [0x0c] = SLOW, [0x0d] = M,
	[0x0f] = SLOW,
	[0x10 ... 0x1e] = M, [0x1f] = M | MORE, [0x20 ... 0x27] = SLOW, [0x28 ... 0x2f] = M,
	[0x38 ... 0x3f] = SLOW, [0x40 ... 0x6f] = M,
	[0x70 ... 0x73] = M | IB, [0x74 ... 0x76] = M, [0x78 ... 0x7b] = SLOW, [0x7c ... 0x7f] = M,
	[0x80 ... 0x8f] = IZ | MORE, [0x90 ... 0x9f] = M,
	[0xa3] = M, [0xa4] = M | IB, [0xa5] = M, [0xa6 ... 0xa7] = SLOW, [0xab] = M,
	[0xac] = M | IB, [0xad ... 0xaf] = M,
	[0xb0 ... 0xb7] = M, [0xb8] = M, [0xb9] = SLOW, [0xba] = M | IB, [0xbb ... 0xbf] = M,
	[0xc0 ... 0xc1] = M, [0xc2] = M | IB, [0xc3] = M, [0xc4 ... 0xc6] = M | IB, [0xc7] = M,
	[0xd0 ... 0xfe] = M, [0xff] = SLOW,
};

static u8 prefix_bit(u8 c)
{
	switch (c) {
	case 0x66: return X86_P_66;
	case 0x67: return X86_P_67;
	case 0xf0: return X86_P_LOCK;
	case 0xf2: return X86_P_F2;
	case 0xf3: return X86_P_F3;
	case 0x64: case 0x65: return X86_P_FSGS;
	default: return X86_P_SEG;
	}
}

static s32 get_s32(const u8 *p)
{
	s32 v;

	memcpy(&v, p, 4);
	return v;
}

/* The memory operand that begins with the ModRM byte at p[n]; returns the offset behind it. */
static inline u32 read_modrm(const u8 *p, u32 n, struct x86_insn *i)
{
	u8 m = p[n], mod = m >> 6, rm = m & 7;
	u32 disp = mod == 1 ? 1 : mod == 2 ? 4 : 0;

	i->modrm_off = (u8)n;
	i->modrm = m;
	n++;
	if (mod == 3)
		return n;
	if (rm == 4) {
		if (mod == 0 && (p[n] & 7) == 5)
			disp = 4;
		n++;
	} else if (rm == 5 && mod == 0) {
		disp = 4;
		i->rip_rel = true;
	}
	if (disp) {
		i->disp_off = (u8)n;
		i->disp_len = (u8)disp;
		i->disp = disp == 1 ? (s8)p[n] : get_s32(p + n);
	}
	return n + disp;
}

static void set_rel(const u8 *p, struct x86_insn *i, enum x86_kind kind, u32 off, u32 len)
{
	i->kind = (u8)kind;
	i->rel_off = (u8)off;
	i->rel_len = (u8)len;
	i->rel = len == 1 ? (s8)p[off] : get_s32(p + off);
}

static void classify_one(const u8 *p, struct x86_insn *i)
{
	switch (i->opcode) {
	case 0x70 ... 0x7f: set_rel(p, i, X86_K_JCC, i->len - 1u, 1); break;
	case 0x90:
		if (!(i->prefix & (X86_P_F3 | X86_P_LOCK)) && !(i->rex & 1))
			i->kind = X86_K_NOP;
		break;
	case 0xc2: case 0xc3: case 0xca: case 0xcb: case 0xcf: i->kind = X86_K_RET; break;
	case 0xcc: case 0xf1: case 0xf4: i->kind = X86_K_STOP; break;
	case 0xe0 ... 0xe3: set_rel(p, i, X86_K_LOOP, i->len - 1u, 1); break;
	case 0xe8: set_rel(p, i, X86_K_CALL, i->len - 4u, 4); break;
	case 0xe9: set_rel(p, i, X86_K_JMP, i->len - 4u, 4); break;
	case 0xeb: set_rel(p, i, X86_K_JMP, i->len - 1u, 1); break;
	case 0xc7:
		if (i->modrm == 0xf8)
			set_rel(p, i, X86_K_XBEGIN, i->len - 4u, 4);
		break;
	case 0xff:
		switch (i->modrm >> 3 & 7) {
		case 2: case 3: i->kind = X86_K_CALL_IND; break;
		case 4: case 5: i->kind = X86_K_JMP_IND; break;
		}
		break;
	}
}

static void classify_two(const u8 *p, struct x86_insn *i)
{
	switch (i->opcode) {
	case 0x80 ... 0x8f: set_rel(p, i, X86_K_JCC, i->len - 4u, 4); break;
	case 0x0b: i->kind = X86_K_STOP; break;
	case 0x1f: i->kind = X86_K_NOP; break;
	}
}

static bool needs_strict(const struct x86_insn *i)
{
	if (i->map == X86_MAP_ONE) {
		switch (i->opcode) {
		case 0xe8: case 0xe9: return i->prefix & X86_P_66;
		case 0xc7: /* xbegin; else only /0 is mov */
			return i->modrm == 0xf8 ? i->prefix & X86_P_66 : i->modrm >> 3 & 7;
		case 0xc6: return i->modrm >> 3 & 7;
		case 0x90: return i->prefix & (X86_P_F2 | X86_P_F3);
		case 0xff: return (i->modrm >> 3 & 7) == 7;
		}
	} else if (i->map == X86_MAP_0F) {
		switch (i->opcode) {
		case 0x80 ... 0x8f: return i->prefix & X86_P_66;
		case 0x1f: return i->prefix & ~(X86_P_66 | X86_P_SEG | X86_P_FSGS);
		}
	}
	return false;
}

static inline u32 imm_bytes(u16 flags, const struct x86_insn *i)
{
	bool w = i->rex & 8, o16 = i->prefix & X86_P_66 && !w;
	u32 n = 0;

	if (flags & IB)
		n += 1;
	if (flags & IZ)
		n += o16 ? 2 : 4;
	if (flags & IW)
		n += 2;
	if (flags & IV)
		n += w ? 8 : o16 ? 2 : 4;
	if (flags & OFFS)
		n += i->prefix & X86_P_67 ? 4 : 8;
	/* test r/m, imm is the one member of its group that has an immediate */
	if (flags & MORE && i->map == X86_MAP_ONE && (i->opcode & 0xfe) == 0xf6 &&
	    (i->modrm >> 3 & 7) < 2)
		n += i->opcode == 0xf6 ? 1 : o16 ? 2 : 4;
	return n;
}

/* VEX: c5 has one byte of fields and map 0f; c4 has two, the first names the map. The length,
 * or 0 = ask the strict reader. */
static u32 read_vex(const u8 *p, u32 n, struct x86_insn *i)
{
	u8 map = p[n] == 0xc5 ? 1 : p[n + 1] & 31;

	i->map = X86_MAP_VECTOR;
	n += p[n] == 0xc5 ? 2 : 3;
	i->opcode = p[n];
	i->op_off = (u8)n;
	n++;
	if (map == 1 && i->opcode == 0x77) /* vzeroupper */
		return n;
	if (map < 1 || map > 3 || (map == 1 && !(two[i->opcode] & M)))
		return 0;
	n = read_modrm(p, n, i);
	return n + (map == 3 || (map == 1 && two[i->opcode] & IB) ? 1 : 0);
}

/* Opcode and map at p[n]; returns the opcode's flags, *at is the offset behind the opcode. */
static inline u16 read_opcode(const u8 *p, u32 n, struct x86_insn *i, u32 *at)
{
	u16 flags;

	if (p[n] != 0x0f) {
		i->map = X86_MAP_ONE;
		flags = one[p[n]];
	} else if (p[n + 1] == 0x38) {
		n += 2;
		i->map = X86_MAP_0F38;
		flags = M;
	} else if (p[n + 1] == 0x3a) {
		n += 2;
		i->map = X86_MAP_0F3A;
		flags = M | IB;
	} else {
		n++;
		i->map = X86_MAP_0F;
		flags = two[p[n]];
	}
	i->opcode = p[n];
	i->op_off = (u8)n;
	*at = n + 1;
	return flags;
}

static bool read_legacy(const u8 *p, u32 n, struct x86_insn *i)
{
	u16 flags = read_opcode(p, n, i, &n);

	if (flags & (SLOW | PFX))
		return false;
	if (flags & M)
		n = read_modrm(p, n, i);
	if (flags & MORE && needs_strict(i))
		return false;
	n += imm_bytes(flags, i);
	if (n > X86_INSN_MAX)
		return false;
	i->len = (u8)n;
	if (flags & MORE) {
		if (i->map == X86_MAP_ONE)
			classify_one(p, i);
		else
			classify_two(p, i);
	}
	return true;
}

static bool read_table(const u8 *p, struct x86_insn *i)
{
	u32 n = 0;

	for (; one[p[n]] & PFX; n++) {
		if (n > 10)
			return false;
		i->prefix |= prefix_bit(p[n]);
	}
	if ((p[n] & 0xf0) == 0x40)
		i->rex = p[n++];
	if ((p[n] & 0xfe) != 0xc4)
		return read_legacy(p, n, i);
	if (i->prefix & ~(X86_P_SEG | X86_P_FSGS | X86_P_67) || i->rex)
		return false;
	n = read_vex(p, n, i);
	i->len = (u8)n;
	return n && n <= X86_INSN_MAX;
}

bool x86_read(const u8 *p, size_t avail, struct x86_insn *ret)
{
	if (avail >= 2 * X86_INSN_MAX) { /* the table reader reads ahead without looking */
		*ret = (struct x86_insn){ 0 };
		if (read_table(p, ret))
			return true;
	}
	return x86_read_strict(p, avail, ret);
}
