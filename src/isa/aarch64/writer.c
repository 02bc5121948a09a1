/* SPDX-License-Identifier: MIT */
#include "isa/aarch64/writer.h"

#include <errno.h>

enum { A64_SF = 1u << 31, A64_NEAR = 1 << 20 }; /* reach of 19 bits of words, of 21 bits of bytes */

void a64_init(struct a64_writer *w, void *buf, u32 cap, u64 addr)
{
	*w = (struct a64_writer){.buf = buf, .cap = cap, .addr = addr};
}

u64 a64_here(const struct a64_writer *w)
{
	return w->addr + w->len;
}

static void put_word(u8 *at, u32 v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (u8)(v >> (8 * i));
}

static u32 get_word(const u8 *at)
{
	return at[0] | (u32)at[1] << 8 | (u32)at[2] << 16 | (u32)at[3] << 24;
}

void a64_word(struct a64_writer *w, u32 insn)
{
	if (w->buf) {
		if (w->cap < 4 || w->len > w->cap - 4) {
			w->error = -ENOSPC;
			return;
		}
		put_word(w->buf + w->len, insn);
	}
	w->len += 4;
}

/* The operand has no encoding: the length stays what it would be. */
static void bad_operand(struct a64_writer *w)
{
	w->error = -EINVAL;
	a64_word(w, 0);
}

static u32 sf(bool w64)
{
	return w64 ? (u32)A64_SF : 0;
}

/* Rd, Rn and Rm stand at the same place everywhere. */
static u32 regs(u32 rd, u32 rn, u32 rm)
{
	return rd | rn << 5 | rm << 16;
}

void a64_arith(struct a64_writer *w, enum a64_arith op, bool w64, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm)
{
	a64_word(w, 0x0b000000 | sf(w64) | (u32)op << 29 | regs(rd, rn, rm));
}

bool a64_arith_fits(u64 imm)
{
	return imm < 1u << 12 || (imm < 1u << 24 && !(imm & 0xfff));
}

void a64_arith_imm(struct a64_writer *w, enum a64_arith op, bool w64, enum a64_reg rd, enum a64_reg rn, u64 imm)
{
	bool shift = imm >> 12;

	if (!a64_arith_fits(imm)) {
		bad_operand(w);
		return;
	}
	a64_word(w, 0x11000000 | sf(w64) | (u32)op << 29 | (u32)shift << 22 | (u32)(shift ? imm >> 12 : imm) << 10 |
			regs(rd, rn, 0));
}

void a64_add_sxtw(struct a64_writer *w, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm)
{
	a64_word(w, 0x8b20c000 | regs(rd, rn, rm));
}

void a64_add_sp(struct a64_writer *w, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm)
{
	a64_word(w, 0x8b206000 | regs(rd, rn, rm));
}

void a64_logic(struct a64_writer *w, enum a64_logic op, bool w64, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm)
{
	a64_word(w, 0x0a000000 | sf(w64) | (u32)op << 29 | regs(rd, rn, rm));
}

static u64 ones(u32 n)
{
	return n >= 64 ? ~0ull : (1ull << n) - 1;
}

/*
 * N:immr:imms of a number, 13 bits, or -1. The number is made of equal elements; an element is a run of `len` ones
 * rotated right by `rot`. imms tells the element's size by its leading ones, and len - 1.
 */
static s32 logic_field(bool w64, u64 v)
{
	u32 size = 64, rot = 0, len;
	u64 e;

	if (!w64)
		v = (v & 0xffffffff) | v << 32;
	if (!v || v == ~0ull)
		return -1;
	while (size > 2 && (v & ones(size / 2)) == (v >> size / 2 & ones(size / 2)))
		size /= 2;
	e = v & ones(size);
	/* Rotate left until the run begins at bit 0: bit 0 is set and the highest one is not. */
	while (!(e & 1) || e >> (size - 1)) {
		e = (e << 1 | e >> (size - 1)) & ones(size);
		rot++;
	}
	len = (u32)__builtin_popcountll(e);
	if (e != ones(len))
		return -1;
	return (s32)((size == 64) << 12 | rot << 6 | (((~(size - 1) << 1) | (len - 1)) & 0x3f));
}

bool a64_logic_fits(bool w64, u64 imm)
{
	return logic_field(w64, imm) >= 0;
}

void a64_logic_imm(struct a64_writer *w, enum a64_logic op, bool w64, enum a64_reg rd, enum a64_reg rn, u64 imm)
{
	s32 field = logic_field(w64, imm);

	if (field < 0) {
		bad_operand(w);
		return;
	}
	a64_word(w, 0x12000000 | sf(w64) | (u32)op << 29 | (u32)field << 10 | regs(rd, rn, 0));
}

void a64_mov(struct a64_writer *w, bool w64, enum a64_reg rd, enum a64_reg rm)
{
	a64_logic(w, A64_ORR, w64, rd, A64_ZR, rm);
}

enum { MOVN = 0x92800000u, MOVZ = 0xd2800000u, MOVK = 0xf2800000u };

static void mov_part(struct a64_writer *w, u32 op, enum a64_reg rd, u32 part, u64 imm)
{
	a64_word(w, op | part << 21 | (u32)(imm >> (16 * part) & 0xffff) << 5 | rd);
}

void a64_mov_imm(struct a64_writer *w, enum a64_reg rd, u64 imm)
{
	u32 zeros = 0, all = 0;
	bool begun = false, inverse;
	u64 fill;

	for (u32 i = 0; i < 4; i++) {
		zeros += (imm >> (16 * i) & 0xffff) == 0;
		all += (imm >> (16 * i) & 0xffff) == 0xffff;
	}
	inverse = all > zeros;
	if ((inverse ? all : zeros) < 3 && a64_logic_fits(true, imm)) {
		a64_logic_imm(w, A64_ORR, true, rd, A64_ZR, imm);
		return;
	}
	fill = inverse ? 0xffff : 0;
	for (u32 i = 0; i < 4; i++) {
		if ((imm >> (16 * i) & 0xffff) == fill)
			continue;
		if (begun)
			mov_part(w, MOVK, rd, i, imm);
		else
			mov_part(w, inverse ? MOVN : MOVZ, rd, i, inverse ? ~imm : imm);
		begun = true;
	}
	if (!begun)
		mov_part(w, inverse ? MOVN : MOVZ, rd, 0, 0);
}

void a64_mov_s32(struct a64_writer *w, enum a64_reg rd, s32 imm)
{
	u64 v = (u64)(s64)imm;

	mov_part(w, imm < 0 ? MOVN : MOVZ, rd, 1, imm < 0 ? ~v : v);
	mov_part(w, MOVK, rd, 0, v);
}

void a64_two(struct a64_writer *w, enum a64_two op, bool w64, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm)
{
	a64_word(w, 0x1ac00000 | sf(w64) | (u32)op << 10 | regs(rd, rn, rm));
}

void a64_madd(struct a64_writer *w, bool w64, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm, enum a64_reg ra)
{
	a64_word(w, 0x1b000000 | sf(w64) | (u32)ra << 10 | regs(rd, rn, rm));
}

void a64_msub(struct a64_writer *w, bool w64, enum a64_reg rd, enum a64_reg rn, enum a64_reg rm, enum a64_reg ra)
{
	a64_word(w, 0x1b008000 | sf(w64) | (u32)ra << 10 | regs(rd, rn, rm));
}

/* Bits immr .. imms of rn, or bits 0 .. imms moved up. */
static void bitfield(struct a64_writer *w, bool sign, bool w64, enum a64_reg rd, enum a64_reg rn, u32 immr, u32 imms)
{
	a64_word(w, (sign ? 0x13000000u : 0x53000000u) | sf(w64) | (u32)w64 << 22 | immr << 16 | imms << 10 |
			regs(rd, rn, 0));
}

void a64_shift_imm(struct a64_writer *w, enum a64_two op, bool w64, enum a64_reg rd, enum a64_reg rn, u32 n)
{
	u32 top = w64 ? 63 : 31;

	if (n > top)
		bad_operand(w);
	else if (op == A64_LSL)
		bitfield(w, false, w64, rd, rn, (0 - n) & top, top - n);
	else
		bitfield(w, op == A64_ASR, w64, rd, rn, n, top);
}

/* EXTR with both halves the same */
void a64_ror_imm(struct a64_writer *w, bool w64, enum a64_reg rd, enum a64_reg rn, u32 n)
{
	if (n > (w64 ? 63u : 31u))
		bad_operand(w);
	else
		a64_word(w, 0x13800000 | sf(w64) | (u32)w64 << 22 | n << 10 | regs(rd, rn, rn));
}

void a64_uxt(struct a64_writer *w, u32 size, enum a64_reg rd, enum a64_reg rn)
{
	bitfield(w, false, false, rd, rn, 0, 8 * size - 1);
}

void a64_sxt(struct a64_writer *w, bool w64, u32 size, enum a64_reg rd, enum a64_reg rn)
{
	bitfield(w, true, w64, rd, rn, 0, 8 * size - 1);
}

void a64_rev(struct a64_writer *w, u32 size, enum a64_reg rd, enum a64_reg rn)
{
	u32 op = size == 2 ? 0x5ac00400 : size == 4 ? 0x5ac00800 : 0xdac00c00;

	a64_word(w, op | regs(rd, rn, 0));
}

/* The field `opc` of a load or store. */
enum { MEM_STORE, MEM_LOAD, MEM_LOAD_SX };

static u32 log2_size(u32 size)
{
	return (u32)__builtin_ctz(size);
}

bool a64_mem_fits(u32 size, s64 off)
{
	return (off >= -256 && off < 256) || (off >= 0 && off % size == 0 && off / size < 1 << 12);
}

static void mem(struct a64_writer *w, u32 opc, u32 size, u32 rt, u32 rn, s64 off)
{
	u32 common = log2_size(size) << 30 | opc << 22 | regs(rt, rn, 0);

	if (!a64_mem_fits(size, off))
		bad_operand(w);
	else if (off >= 0 && off % size == 0)
		a64_word(w, 0x39000000 | common | (u32)(off / size) << 10);
	else
		a64_word(w, 0x38000000 | common | ((u32)off & 0x1ff) << 12);
}

static void mem_reg(struct a64_writer *w, u32 opc, u32 size, u32 rt, u32 rn, u32 rm)
{
	a64_word(w, 0x38206800 | log2_size(size) << 30 | opc << 22 | regs(rt, rn, rm));
}

void a64_load(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, s64 off)
{
	mem(w, MEM_LOAD, size, rt, rn, off);
}

void a64_load_sx(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, s64 off)
{
	mem(w, MEM_LOAD_SX, size, rt, rn, off);
}

void a64_store(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, s64 off)
{
	mem(w, MEM_STORE, size, rt, rn, off);
}

void a64_load_reg(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, enum a64_reg rm)
{
	mem_reg(w, MEM_LOAD, size, rt, rn, rm);
}

void a64_load_sx_reg(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, enum a64_reg rm)
{
	mem_reg(w, MEM_LOAD_SX, size, rt, rn, rm);
}

void a64_store_reg(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn, enum a64_reg rm)
{
	mem_reg(w, MEM_STORE, size, rt, rn, rm);
}

static void pair(struct a64_writer *w, u32 op, u32 rt, u32 rt2, u32 rn, s32 off)
{
	if (off & 7 || off < -512 || off > 504)
		bad_operand(w);
	else
		a64_word(w, op | ((u32)(off / 8) & 0x7f) << 15 | rt2 << 10 | regs(rt, rn, 0));
}

void a64_stp(struct a64_writer *w, enum a64_reg rt, enum a64_reg rt2, enum a64_reg rn, s32 off)
{
	pair(w, 0xa9000000, rt, rt2, rn, off);
}

void a64_ldp(struct a64_writer *w, enum a64_reg rt, enum a64_reg rt2, enum a64_reg rn, s32 off)
{
	pair(w, 0xa9400000, rt, rt2, rn, off);
}

void a64_stp_pre(struct a64_writer *w, enum a64_reg rt, enum a64_reg rt2, enum a64_reg rn, s32 off)
{
	pair(w, 0xa9800000, rt, rt2, rn, off);
}

void a64_ldp_post(struct a64_writer *w, enum a64_reg rt, enum a64_reg rt2, enum a64_reg rn, s32 off)
{
	pair(w, 0xa8c00000, rt, rt2, rn, off);
}

/* Distance to a target; counting only, it is not known yet. */
static s64 distance(struct a64_writer *w, u64 target, s64 reach, u32 unit)
{
	s64 d = (s64)(target - a64_here(w));

	if (!w->buf)
		return 0;
	if (d < -reach || d >= reach || d % unit) {
		w->error = -ERANGE;
		return 0;
	}
	return d;
}

static u32 field19(s64 d)
{
	return ((u32)(d / 4) & 0x7ffff) << 5;
}

void a64_load_lit(struct a64_writer *w, enum a64_reg rt, u64 target)
{
	a64_word(w, 0x58000000 | field19(distance(w, target, A64_NEAR, 4)) | rt);
}

void a64_adr(struct a64_writer *w, enum a64_reg rd, u64 target)
{
	u32 d = (u32)distance(w, target, A64_NEAR, 1);

	a64_word(w, 0x10000000 | (d & 3) << 29 | (d >> 2 & 0x7ffff) << 5 | rd);
}

void a64_ldxr(struct a64_writer *w, u32 size, bool acq, enum a64_reg rt, enum a64_reg rn)
{
	a64_word(w, 0x085f7c00 | log2_size(size) << 30 | (u32)acq << 15 | regs(rt, rn, 0));
}

void a64_stxr(struct a64_writer *w, u32 size, bool rel, enum a64_reg rs, enum a64_reg rt, enum a64_reg rn)
{
	a64_word(w, 0x08007c00 | log2_size(size) << 30 | (u32)rel << 15 | regs(rt, rn, rs));
}

void a64_ldar(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn)
{
	a64_word(w, 0x08dffc00 | log2_size(size) << 30 | regs(rt, rn, 0));
}

void a64_stlr(struct a64_writer *w, u32 size, enum a64_reg rt, enum a64_reg rn)
{
	a64_word(w, 0x089ffc00 | log2_size(size) << 30 | regs(rt, rn, 0));
}

void a64_dmb_ish(struct a64_writer *w)
{
	a64_word(w, 0xd5033bbf);
}

static u32 field26(struct a64_writer *w, u64 target)
{
	return (u32)(distance(w, target, 1 << 27, 4) / 4) & 0x3ffffff;
}

void a64_b(struct a64_writer *w, u64 target)
{
	a64_word(w, 0x14000000 | field26(w, target));
}

void a64_bl(struct a64_writer *w, u64 target)
{
	a64_word(w, 0x94000000 | field26(w, target));
}

void a64_bcc(struct a64_writer *w, enum a64_cc cc, u64 target)
{
	a64_word(w, 0x54000000 | field19(distance(w, target, A64_NEAR, 4)) | cc);
}

void a64_cbz(struct a64_writer *w, bool w64, enum a64_reg rt, u64 target)
{
	a64_word(w, 0x34000000 | sf(w64) | field19(distance(w, target, A64_NEAR, 4)) | rt);
}

void a64_cbnz(struct a64_writer *w, bool w64, enum a64_reg rt, u64 target)
{
	a64_word(w, 0x35000000 | sf(w64) | field19(distance(w, target, A64_NEAR, 4)) | rt);
}

void a64_br(struct a64_writer *w, enum a64_reg rn)
{
	a64_word(w, 0xd61f0000 | regs(0, rn, 0));
}

void a64_blr(struct a64_writer *w, enum a64_reg rn)
{
	a64_word(w, 0xd63f0000 | regs(0, rn, 0));
}

void a64_ret(struct a64_writer *w)
{
	a64_word(w, 0xd65f03c0);
}

void a64_patch_here(struct a64_writer *w, u32 mark)
{
	s64 d = (s64)w->len - mark;
	u32 insn;

	if (!w->buf || w->error)
		return;
	insn = get_word(w->buf + mark);
	if ((insn & 0x7c000000) == 0x14000000) {
		put_word(w->buf + mark, (insn & 0xfc000000) | ((u32)(d / 4) & 0x3ffffff));
		return;
	}
	if (d >= A64_NEAR)
		w->error = -ERANGE;
	put_word(w->buf + mark, (insn & ~(0x7ffffu << 5)) | field19(d));
}
