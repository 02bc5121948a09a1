/* SPDX-License-Identifier: MIT */
/*
 * Go's compiler puts a nop behind a function's last call if that does not return (a panic), so that the address it leaves on the
 * stack belongs to the function:
 *
 *     f:    cmp rsp, ...; jbe grow         is there room on the stack?
 *           ...
 *           call runtime.gopanic
 *           nop                            <- nothing gets here
 *     grow: mov [rsp+8], rax; ...          arguments
 *           call runtime.morestack
 *           mov rax, [rsp+8]; ...; jmp f
 *
 * A way through the nop would begin the function anew from its own middle, with the stack pointer moved: there is none. So
 * it is padding inside of the function. (No jump would fit in there: it is one byte, and the next one is jumped to.)
 */
#include "patch/x86_64/binary.h"

#include "isa/x86_64/reader.h"

enum { FIRST_INSNS = 8, GROW_INSNS = 64, NOP_MAX = 15 };

static bool read_at(const struct text *t, u64 a, u64 end, struct x86_insn *ret)
{
	return a < end && x86_read(t->bytes + (a - t->lo), end - a, ret);
}

/* Where the first conditional jump leads, before the stack pointer has moved; 0: nowhere such. */
static u64 find_grow(const struct text *t, u64 lo, u64 end)
{
	struct x86_insn i;

	for (u32 k = 0; k < FIRST_INSNS && read_at(t, lo, end, &i); k++, lo += i.len) {
		if (i.kind == X86_K_JCC)
			return x86_target(&i, lo) > lo && x86_target(&i, lo) < end ? x86_target(&i, lo) : 0;
		if (i.kind != X86_K_PLAIN || i.map != X86_MAP_ONE ||
		    !(i.opcode == 0x8b || i.opcode == 0x8d || i.opcode == 0x3b || i.opcode == 0x39 || i.opcode == 0x81 ||
		      i.opcode == 0x83) ||
		    ((i.opcode == 0x8b || i.opcode == 0x8d) && (i.modrm >> 3 & 7) == 4 && !(i.rex & 4)) ||
		    (i.opcode <= 0x83 && i.opcode >= 0x81 && (i.modrm & 7) == 4 && i.modrm >> 6 == 3 && (i.modrm >> 3 & 7) != 7))
			return 0;
	}
	return 0;
}

/* Moves between registers and words over the stack pointer, one call, and a jump to the function. */
static bool is_grow(const struct text *t, u64 a, u64 end, u64 func)
{
	u32 calls = 0;
	struct x86_insn i;

	for (u32 k = 0; k < GROW_INSNS && read_at(t, a, end, &i); k++, a += i.len) {
		bool on_stack = i.modrm_off && i.modrm >> 6 != 3 && (i.modrm & 7) == 4 && t->bytes[a - t->lo + i.modrm_off + 1] == 0x24;

		if (i.kind == X86_K_JMP)
			return calls == 1 && x86_target(&i, a) == func;
		if (i.kind == X86_K_CALL) {
			calls++;
			continue;
		}
		if (i.kind == X86_K_NOP)
			continue;
		if (i.kind != X86_K_PLAIN || !on_stack)
			return false;
		if (i.map == X86_MAP_ONE ? i.opcode < 0x88 || i.opcode > 0x8b : i.map != X86_MAP_0F)
			return false;
	}
	return false;
}

bool go_unreached(const struct text *t, u64 lo, u64 end, struct patch_range *ret)
{
	u64 grow = find_grow(t, lo, end), a, before;
	struct x86_insn i;

	if (!grow || !is_grow(t, grow, end, lo))
		return false;
	for (a = grow - 1; a > lo && grow - a < NOP_MAX && !bit_test(t->start, a - t->lo);)
		a--;
	for (before = a - 1; before > lo && a - before < NOP_MAX && !bit_test(t->start, before - t->lo);)
		before--;
	if (before <= lo || !read_at(t, a, end, &i) || i.kind != X86_K_NOP || a + i.len != grow)
		return false;
	if (!read_at(t, before, end, &i) || before + i.len != a || (i.kind != X86_K_CALL && i.kind != X86_K_CALL_IND))
		return false;
	*ret = (struct patch_range){ a, grow };
	return true;
}
