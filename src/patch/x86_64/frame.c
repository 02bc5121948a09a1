/* SPDX-License-Identifier: MIT */
#include "patch/x86_64/frame.h"

#include "abi/bpf.h"

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
