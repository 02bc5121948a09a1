/* SPDX-License-Identifier: MIT */
#include "patch/x86_64/frame.h"

#include "abi/bpf.h"

#define FLAGS_AT ((s32)offsetof(struct nt_run, reserved)) /* ax with the saved flags */

static const struct {
	u8 hw, pt;
} regs[] = {
	{ X86_RAX, NT_RAX }, { X86_RCX, NT_RCX }, { X86_RDX, NT_RDX }, { X86_RSI, NT_RSI },
	{ X86_RDI, NT_RDI }, { X86_R8, NT_R8 },	  { X86_R9, NT_R9 },   { X86_R10, NT_R10 },
	{ X86_R11, NT_R11 }, { X86_RBX, NT_RBX }, { X86_RBP, NT_RBP }, { X86_R12, NT_R12 },
	{ X86_R13, NT_R13 }, { X86_R14, NT_R14 }, { X86_R15, NT_R15 },
};
#define NREGS (sizeof(regs) / sizeof(regs[0]))

static void frame_save(struct x86_writer *w, struct frame_need n, u64 skip)
{
	for (u32 i = 0; i < NREGS; i++)
		if (!(skip & 1ull << regs[i].hw) && (n.clobbers & 1u << regs[i].hw || n.ctx & 1ull << regs[i].pt))
			x86_store(w, 8, X86_RSP, REG(regs[i].pt), regs[i].hw);
}

void frame_restore(struct x86_writer *w, u32 mask)
{
	for (u32 i = 0; i < NREGS; i++)
		if (mask & 1u << regs[i].hw)
			x86_load(w, 8, regs[i].hw, X86_RSP, REG(regs[i].pt));
}

void frame_open(struct x86_writer *w, struct frame_need n, u64 skip)
{
	x86_lea(w, X86_RSP, X86_RSP, -FRAME);
	if (n.ctx & 1ull << NT_EFLAGS) {
		x86_pushfq(w);
		x86_pop_mem(w, X86_RSP, REG(NT_EFLAGS)); /* pop computes its address with rsp already raised */
	}
	frame_save(w, n, skip);
	x86_flags_to_ax(w);
	x86_store(w, 2, X86_RSP, FLAGS_AT, X86_RAX);
	if (n.ctx & 1ull << NT_ORIG_RAX)
		x86_store_imm(w, 8, X86_RSP, REG(NT_ORIG_RAX), -1);
	if (n.ctx & 1ull << NT_CS)
		x86_store_imm(w, 8, X86_RSP, REG(NT_CS), 0x33);
	if (n.ctx & 1ull << NT_SS)
		x86_store_imm(w, 8, X86_RSP, REG(NT_SS), 0x2b);
}

void frame_close_flags(struct x86_writer *w)
{
	x86_load(w, 2, X86_RAX, X86_RSP, FLAGS_AT);
	x86_flags_from_ax(w);
}

void frame_call_begin(struct x86_writer *w, u32 saved)
{
	struct frame_need rest = { .clobbers = FRAME_CALLER_SAVED & ~saved };

	frame_save(w, rest, 0);
}

void frame_call_end(struct x86_writer *w, u64 word, u32 saved)
{
	x86_call_rip(w, word);
	frame_restore(w, FRAME_CALLER_SAVED & ~saved & ~(1u << X86_RAX));
}

void frame_call(struct x86_writer *w, u64 word, u32 saved)
{
	frame_call_begin(w, saved);
	frame_call_end(w, word, saved);
}

void frame_call_word(struct x86_writer *w, u64 word, u32 saved)
{
	frame_call_begin(w, saved);
	x86_lea(w, X86_RDI, X86_RSP, FRAME + 8);
	frame_call_end(w, word, saved);
}

void frame_store_word(struct x86_writer *w, s32 at, enum x86_reg src)
{
	x86_store(w, 8, X86_RSP, at, src);
}

void frame_load_meta(struct x86_writer *w, const struct meta_ref *m, u32 off)
{
	s32 disp = (s32)off;

	switch (m->from) {
	case META_AT: x86_load_rip(w, X86_RAX, m->addr + off); return;
	case META_FROM_ENTRY: x86_load(w, 8, X86_RAX, X86_RBX, (s32)offsetof(struct nt_ret_entry, slot)); break;
	case META_FROM_SLOT:
		x86_load(w, 8, X86_RAX, X86_RSP, FRAME);
		disp -= m->back;
		break;
	}
	x86_load(w, 8, X86_RAX, X86_RAX, disp);
}

static void load_sp(struct x86_writer *w, s32 sp)
{
	if (sp == FRAME_SP_ON_STACK)
		x86_load(w, 8, X86_RAX, X86_RSP, FRAME);
	else
		x86_lea(w, X86_RAX, X86_RSP, sp);
}

void frame_fill_site(struct x86_writer *w, u64 ctx, const struct meta_ref *m, s32 sp)
{
	if (ctx & 1ull << NT_RIP) {
		frame_load_meta(w, m, offsetof(struct nt_slot_meta, func_ip));
		frame_store_word(w, REG(NT_RIP), X86_RAX);
	}
	if (ctx & 1ull << NT_RSP) {
		load_sp(w, sp);
		frame_store_word(w, REG(NT_RSP), X86_RAX);
	}
}

void frame_fill_returned(struct x86_writer *w, u64 ctx, s32 sp)
{
	if (ctx & 1ull << NT_RIP) {
		load_sp(w, sp);
		x86_load(w, 8, X86_RAX, X86_RAX, 0);
		frame_store_word(w, REG(NT_RIP), X86_RAX);
	}
	if (ctx & 1ull << NT_RSP) {
		load_sp(w, sp);
		x86_lea(w, X86_RAX, X86_RAX, 8);
		frame_store_word(w, REG(NT_RSP), X86_RAX);
	}
}
