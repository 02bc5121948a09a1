/* SPDX-License-Identifier: MIT */
#include "isa/x86_64/writer.h"

#include <errno.h>

#define OP(...) (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__})

void x86_init(struct x86_writer *w, void *buf, u32 cap, u64 addr)
{
	*w = (struct x86_writer){.buf = buf, .cap = cap, .addr = addr};
}

u64 x86_here(const struct x86_writer *w)
{
	return w->addr + w->len;
}

void x86_byte(struct x86_writer *w, u8 b)
{
	if (w->buf) {
		if (w->len >= w->cap) {
			w->error = -ENOSPC;
			return;
		}
		w->buf[w->len] = b;
	}
	w->len++;
}

void x86_bytes(struct x86_writer *w, const void *p, u32 n)
{
	for (u32 i = 0; i < n; i++)
		x86_byte(w, ((const u8 *)p)[i]);
}

void x86_u32(struct x86_writer *w, u32 v)
{
	for (int i = 0; i < 4; i++)
		x86_byte(w, (u8)(v >> (8 * i)));
}

void x86_u64(struct x86_writer *w, u64 v)
{
	x86_u32(w, (u32)v);
	x86_u32(w, (u32)(v >> 32));
}

void x86_align(struct x86_writer *w, u32 n, u8 fill)
{
	while (x86_here(w) & (n - 1) && !w->error)
		x86_byte(w, fill);
}

static void rex(struct x86_writer *w, bool w64, u32 reg, u32 base, bool force)
{
	u8 b = (u8)(0x40 | (w64 ? 8 : 0) | (reg & 8 ? 4 : 0) | (base & 8 ? 1 : 0));

	if (b != 0x40 || force)
		x86_byte(w, b);
}

static void modrm_mem(struct x86_writer *w, u32 reg, u32 base, s32 disp)
{
	u32 rm = base & 7;
	u32 mod = disp == 0 && rm != 5 ? 0 : disp >= -128 && disp <= 127 ? 1 : 2;

	x86_byte(w, (u8)(mod << 6 | (reg & 7) << 3 | rm));
	if (rm == 4) /* rsp, r12: the encoding of "SIB follows" */
		x86_byte(w, 0x24);
	if (mod == 1)
		x86_byte(w, (u8)disp);
	else if (mod == 2)
		x86_u32(w, (u32)disp);
}

void x86_op_mem(struct x86_writer *w, bool w64, const u8 *opcode, u32 n, u32 reg, enum x86_reg base,
		s32 disp)
{
	rex(w, w64, reg, base, false);
	x86_bytes(w, opcode, n);
	modrm_mem(w, reg, base, disp);
}

void x86_op_reg(struct x86_writer *w, bool w64, const u8 *opcode, u32 n, u32 reg, u32 rm)
{
	rex(w, w64, reg, rm, false);
	x86_bytes(w, opcode, n);
	x86_byte(w, (u8)(0xc0 | (reg & 7) << 3 | (rm & 7)));
}

static void rel32(struct x86_writer *w, u64 target, u32 tail)
{
	s64 d = (s64)(target - (x86_here(w) + 4 + tail));

	if (d != (s32)d && w->buf)
		w->error = -ERANGE;
	x86_u32(w, (u32)d);
}

static void op_rip(struct x86_writer *w, bool w64, u8 opcode, u32 reg, u64 target)
{
	rex(w, w64, reg, 0, false);
	x86_byte(w, opcode);
	x86_byte(w, (u8)((reg & 7) << 3 | 5));
	if (w->rip_at && w->nrip < w->rip_cap)
		w->rip_at[w->nrip] = w->len;
	w->nrip++;
	rel32(w, target, 0);
}

void x86_load(struct x86_writer *w, u32 size, enum x86_reg dst, enum x86_reg base, s32 disp)
{
	switch (size) {
	case 1: x86_op_mem(w, false, OP(0x0f, 0xb6), dst, base, disp); break;
	case 2: x86_op_mem(w, false, OP(0x0f, 0xb7), dst, base, disp); break;
	case 4: x86_op_mem(w, false, OP(0x8b), dst, base, disp); break;
	default: x86_op_mem(w, true, OP(0x8b), dst, base, disp); break;
	}
}

void x86_load_sx(struct x86_writer *w, u32 size, enum x86_reg dst, enum x86_reg base, s32 disp)
{
	switch (size) {
	case 1: x86_op_mem(w, true, OP(0x0f, 0xbe), dst, base, disp); break;
	case 2: x86_op_mem(w, true, OP(0x0f, 0xbf), dst, base, disp); break;
	default: x86_op_mem(w, true, OP(0x63), dst, base, disp); break;
	}
}

/* Prefixes and REX of a memory operation of the given size whose byte form needs REX for sil, dil,
 * bpl, spl. */
static void mem_prefix(struct x86_writer *w, u32 size, bool lock, u32 reg, bool reg_is_byte,
		       u32 base)
{
	if (lock)
		x86_byte(w, 0xf0);
	if (size == 2)
		x86_byte(w, 0x66);
	rex(w, size == 8, reg, base, size == 1 && reg_is_byte && reg >= 4);
}

void x86_store(struct x86_writer *w, u32 size, enum x86_reg base, s32 disp, enum x86_reg src)
{
	mem_prefix(w, size, false, src, true, base);
	x86_byte(w, size == 1 ? 0x88 : 0x89);
	modrm_mem(w, src, base, disp);
}

static void imm_of(struct x86_writer *w, u32 size, s32 imm)
{
	if (size == 1)
		x86_byte(w, (u8)imm);
	else if (size == 2)
		x86_bytes(w, (u8[]){(u8)imm, (u8)(imm >> 8)}, 2);
	else
		x86_u32(w, (u32)imm);
}

void x86_store_imm(struct x86_writer *w, u32 size, enum x86_reg base, s32 disp, s32 imm)
{
	mem_prefix(w, size, false, 0, false, base);
	x86_byte(w, size == 1 ? 0xc6 : 0xc7);
	modrm_mem(w, 0, base, disp);
	imm_of(w, size, imm);
}

void x86_lea(struct x86_writer *w, enum x86_reg dst, enum x86_reg base, s32 disp)
{
	x86_op_mem(w, true, OP(0x8d), dst, base, disp);
}

void x86_lea_rip(struct x86_writer *w, enum x86_reg dst, u64 target)
{
	op_rip(w, true, 0x8d, dst, target);
}

void x86_load_rip(struct x86_writer *w, enum x86_reg dst, u64 target)
{
	op_rip(w, true, 0x8b, dst, target);
}

void x86_call_rip(struct x86_writer *w, u64 target)
{
	op_rip(w, false, 0xff, 2, target);
}

void x86_jmp_rip(struct x86_writer *w, u64 target)
{
	op_rip(w, false, 0xff, 4, target);
}

void x86_mov(struct x86_writer *w, bool w64, enum x86_reg dst, enum x86_reg src)
{
	x86_op_reg(w, w64, OP(0x89), src, dst);
}

void x86_mov_imm(struct x86_writer *w, enum x86_reg dst, u64 imm)
{
	if (imm == 0) {
		x86_alu(w, X86_XOR, false, dst, dst);
	} else if (imm <= 0xffffffffu) {
		rex(w, false, 0, dst, false);
		x86_byte(w, (u8)(0xb8 | (dst & 7)));
		x86_u32(w, (u32)imm);
	} else if ((s64)imm == (s32)imm) {
		x86_op_reg(w, true, OP(0xc7), 0, dst);
		x86_u32(w, (u32)imm);
	} else {
		rex(w, true, 0, dst, false);
		x86_byte(w, (u8)(0xb8 | (dst & 7)));
		x86_u64(w, imm);
	}
}

void x86_alu(struct x86_writer *w, enum x86_alu op, bool w64, enum x86_reg dst, enum x86_reg src)
{
	x86_op_reg(w, w64, OP((u8)(op << 3 | 1)), src, dst);
}

void x86_alu_imm(struct x86_writer *w, enum x86_alu op, bool w64, enum x86_reg dst, s32 imm)
{
	bool small = imm >= -128 && imm <= 127;

	x86_op_reg(w, w64, OP((u8)(small ? 0x83 : 0x81)), op, dst);
	imm_of(w, small ? 1 : 4, imm);
}

void x86_alu_mem(struct x86_writer *w, enum x86_alu op, u32 size, bool lock, enum x86_reg base,
		 s32 disp, enum x86_reg src)
{
	mem_prefix(w, size, lock, src, true, base);
	x86_byte(w, (u8)(op << 3 | (size == 1 ? 0 : 1)));
	modrm_mem(w, src, base, disp);
}

void x86_alu_mem_imm(struct x86_writer *w, enum x86_alu op, u32 size, bool lock, enum x86_reg base,
		     s32 disp, s32 imm)
{
	bool small = imm >= -128 && imm <= 127;

	mem_prefix(w, size, lock, 0, false, base);
	x86_byte(w, size == 1 ? 0x80 : small ? 0x83 : 0x81);
	modrm_mem(w, op, base, disp);
	imm_of(w, small ? 1 : size, imm);
}

void x86_test(struct x86_writer *w, bool w64, enum x86_reg a, enum x86_reg b)
{
	x86_op_reg(w, w64, OP(0x85), b, a);
}

void x86_shift_imm(struct x86_writer *w, enum x86_shift op, bool w64, enum x86_reg dst, u8 imm)
{
	x86_op_reg(w, w64, OP(0xc1), op, dst);
	x86_byte(w, imm);
}

/* VEX.LZ.{66,F2,F3}.0F38.W F7 /r */
void x86_shift_reg(struct x86_writer *w, enum x86_shift op, bool w64, enum x86_reg dst, enum x86_reg src,
		   enum x86_reg count)
{
	u8 prefix = op == X86_SHL ? 1 : op == X86_SHR ? 3 : 2;

	x86_byte(w, 0xc4);
	x86_byte(w, (u8)((dst & 8 ? 0 : 0x80) | 0x40 | (src & 8 ? 0 : 0x20) | 2));
	x86_byte(w, (u8)((w64 ? 0x80 : 0) | (~count & 15) << 3 | prefix));
	x86_byte(w, 0xf7);
	x86_byte(w, (u8)(0xc0 | (dst & 7) << 3 | (src & 7)));
}

/* VEX.LZ.F2.0F3A.W F0 /r ib */
void x86_rorx(struct x86_writer *w, bool w64, enum x86_reg dst, enum x86_reg src, u8 imm)
{
	x86_byte(w, 0xc4);
	x86_byte(w, (u8)((dst & 8 ? 0 : 0x80) | 0x40 | (src & 8 ? 0 : 0x20) | 3));
	x86_byte(w, (u8)((w64 ? 0x80 : 0) | 15 << 3 | 3));
	x86_byte(w, 0xf0);
	x86_byte(w, (u8)(0xc0 | (dst & 7) << 3 | (src & 7)));
	x86_byte(w, imm);
}

void x86_shift_cl(struct x86_writer *w, enum x86_shift op, bool w64, enum x86_reg dst)
{
	x86_op_reg(w, w64, OP(0xd3), op, dst);
}

void x86_push(struct x86_writer *w, enum x86_reg r)
{
	rex(w, false, 0, r, false);
	x86_byte(w, (u8)(0x50 | (r & 7)));
}

void x86_pop(struct x86_writer *w, enum x86_reg r)
{
	rex(w, false, 0, r, false);
	x86_byte(w, (u8)(0x58 | (r & 7)));
}

void x86_push_mem(struct x86_writer *w, enum x86_reg base, s32 disp)
{
	x86_op_mem(w, false, OP(0xff), 6, base, disp);
}

void x86_pop_mem(struct x86_writer *w, enum x86_reg base, s32 disp)
{
	x86_op_mem(w, false, OP(0x8f), 0, base, disp);
}

void x86_ret(struct x86_writer *w)
{
	x86_byte(w, 0xc3);
}

void x86_jmp_reg(struct x86_writer *w, enum x86_reg r)
{
	x86_op_reg(w, false, OP(0xff), 4, r);
}

void x86_call_reg(struct x86_writer *w, enum x86_reg r)
{
	x86_op_reg(w, false, OP(0xff), 2, r);
}

void x86_jmp(struct x86_writer *w, u64 target)
{
	x86_byte(w, 0xe9);
	rel32(w, target, 0);
}

void x86_call(struct x86_writer *w, u64 target)
{
	x86_byte(w, 0xe8);
	rel32(w, target, 0);
}

void x86_jcc(struct x86_writer *w, enum x86_cc cc, u64 target)
{
	x86_byte(w, 0x0f);
	x86_byte(w, (u8)(0x80 | cc));
	rel32(w, target, 0);
}

u32 x86_jcc_fwd(struct x86_writer *w, enum x86_cc cc)
{
	x86_byte(w, 0x0f);
	x86_byte(w, (u8)(0x80 | cc));
	x86_u32(w, 0);
	return w->len;
}

u32 x86_jmp_fwd(struct x86_writer *w)
{
	x86_byte(w, 0xe9);
	x86_u32(w, 0);
	return w->len;
}

void x86_patch_here(struct x86_writer *w, u32 mark)
{
	u32 d = w->len - mark;

	if (!w->buf || w->error)
		return;
	for (int i = 0; i < 4; i++)
		w->buf[mark - 4 + (u32)i] = (u8)(d >> (8 * i));
}

void x86_flags_to_ax(struct x86_writer *w)
{
	x86_bytes(w, OP(0x9f, 0x0f, 0x90, 0xc0));
}

void x86_flags_from_ax(struct x86_writer *w)
{
	x86_bytes(w, OP(0x04, 0x7f, 0x9e));
}

void x86_pushfq(struct x86_writer *w)
{
	x86_byte(w, 0x9c);
}

void x86_load_fs(struct x86_writer *w, enum x86_reg dst, s32 disp)
{
	x86_byte(w, 0x64);
	rex(w, true, dst, 0, false);
	x86_byte(w, 0x8b);
	x86_byte(w, (u8)((dst & 7) << 3 | 4)); /* ModRM: SIB follows; SIB 0x25: disp32 alone */
	x86_byte(w, 0x25);
	x86_u32(w, (u32)disp);
}

void x86_rdfsbase(struct x86_writer *w, enum x86_reg dst)
{
	x86_byte(w, 0xf3);
	x86_op_reg(w, true, OP(0x0f, 0xae), 0, dst);
}

void x86_imul(struct x86_writer *w, bool w64, enum x86_reg dst, enum x86_reg src)
{
	x86_op_reg(w, w64, OP(0x0f, 0xaf), dst, src);
}

void x86_imul_imm(struct x86_writer *w, bool w64, enum x86_reg dst, enum x86_reg src, s32 imm)
{
	bool small = imm >= -128 && imm <= 127;

	x86_op_reg(w, w64, OP((u8)(small ? 0x6b : 0x69)), dst, src);
	imm_of(w, small ? 1 : 4, imm);
}

void x86_unary(struct x86_writer *w, enum x86_unary op, bool w64, enum x86_reg r)
{
	x86_op_reg(w, w64, OP(0xf7), op, r);
}

void x86_cqo(struct x86_writer *w, bool w64)
{
	rex(w, w64, 0, 0, false);
	x86_byte(w, 0x99);
}

void x86_test_imm(struct x86_writer *w, bool w64, enum x86_reg r, s32 imm)
{
	x86_op_reg(w, w64, OP(0xf7), 0, r);
	x86_u32(w, (u32)imm);
}

void x86_bswap(struct x86_writer *w, bool w64, enum x86_reg r)
{
	rex(w, w64, 0, r, false);
	x86_bytes(w, OP(0x0f, (u8)(0xc8 | (r & 7))));
}

void x86_bswap16(struct x86_writer *w, enum x86_reg r)
{
	x86_byte(w, 0x66);
	x86_shift_imm(w, X86_ROL, false, r, 8);
}

void x86_movzx(struct x86_writer *w, u32 size, enum x86_reg dst, enum x86_reg src)
{
	rex(w, false, dst, src, size == 1 && src >= 4);
	x86_bytes(w, OP(0x0f, (u8)(size == 1 ? 0xb6 : 0xb7)));
	x86_byte(w, (u8)(0xc0 | (dst & 7) << 3 | (src & 7)));
}

void x86_movsx(struct x86_writer *w, bool w64, u32 size, enum x86_reg dst, enum x86_reg src)
{
	rex(w, w64, dst, src, size == 1 && src >= 4);
	if (size == 4)
		x86_byte(w, 0x63);
	else
		x86_bytes(w, OP(0x0f, (u8)(size == 1 ? 0xbe : 0xbf)));
	x86_byte(w, (u8)(0xc0 | (dst & 7) << 3 | (src & 7)));
}

void x86_alu_rip(struct x86_writer *w, enum x86_alu op, enum x86_reg dst, u64 target)
{
	op_rip(w, true, (u8)(op << 3 | 3), dst, target);
}

void x86_leave(struct x86_writer *w)
{
	x86_byte(w, 0xc9);
}

void x86_xadd(struct x86_writer *w, u32 size, enum x86_reg base, s32 disp, enum x86_reg src)
{
	mem_prefix(w, size, true, src, true, base);
	x86_bytes(w, OP(0x0f, (u8)(size == 1 ? 0xc0 : 0xc1)));
	modrm_mem(w, src, base, disp);
}

void x86_cmpxchg(struct x86_writer *w, u32 size, enum x86_reg base, s32 disp, enum x86_reg src)
{
	mem_prefix(w, size, true, src, true, base);
	x86_bytes(w, OP(0x0f, (u8)(size == 1 ? 0xb0 : 0xb1)));
	modrm_mem(w, src, base, disp);
}

void x86_xchg(struct x86_writer *w, u32 size, enum x86_reg base, s32 disp, enum x86_reg src)
{
	mem_prefix(w, size, false, src, true, base); /* xchg with memory locks by itself */
	x86_byte(w, size == 1 ? 0x86 : 0x87);
	modrm_mem(w, src, base, disp);
}

void x86_rdpid(struct x86_writer *w, enum x86_reg dst)
{
	x86_byte(w, 0xf3);
	x86_op_reg(w, false, OP(0x0f, 0xc7), 7, dst);
}

static void rel8(struct x86_writer *w, u64 target)
{
	s64 d = (s64)(target - (x86_here(w) + 1));

	if (d != (s8)d && w->buf)
		w->error = -ERANGE;
	x86_byte(w, (u8)d);
}

void x86_jmp8(struct x86_writer *w, u64 target)
{
	x86_byte(w, 0xeb);
	rel8(w, target);
}

void x86_jcc8(struct x86_writer *w, enum x86_cc cc, u64 target)
{
	x86_byte(w, (u8)(0x70 | cc));
	rel8(w, target);
}

u32 x86_jmp8_fwd(struct x86_writer *w)
{
	x86_bytes(w, OP(0xeb, 0));
	return w->len;
}

u32 x86_jcc8_fwd(struct x86_writer *w, enum x86_cc cc)
{
	x86_bytes(w, OP((u8)(0x70 | cc), 0));
	return w->len;
}

void x86_patch8_here(struct x86_writer *w, u32 mark)
{
	u32 d = w->len - mark;

	if (!w->buf || w->error)
		return;
	if (d > 127)
		w->error = -ERANGE;
	else
		w->buf[mark - 1] = (u8)d;
}
