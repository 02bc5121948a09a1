/* SPDX-License-Identifier: MIT */
/*
 * A fault on a nil pointer in Go becomes a panic: the runtime's signal handler makes it look as if the instruction had called
 * sigpanic(). What it writes below the stack pointer as the return address is the program counter of the fault; one that it does
 * not know, as that of a copy, it takes for a call that went astray, and believes the word at the top of the stack instead
 * (shouldPushSigpanic() in runtime/panic.go; before 1.11, the same lines in preparePanic()). So before a copy faults, that word is put there:
 *
 *     original             copy
 *     mov rax, [rbx+8]         is rbx+8 an address that could be nil's?  no ---> mov rax, [rbx+8]
 *                              yes: push the original's address; mov rax, [rbx+8]      (faults)
 *
 * The handler finds and leaves every register, every flag and every word of the stack as if the original had faulted. And the
 * word below the stack pointer is written only where the handler would write it itself: how much room is left there is known
 * to the linker to the byte.
 *
 * To compare an address without a register, a flag or a word of the stack:
 *
 *     xchg rcx, busy           the program's rcx is in the thread's word (go_stack.c) ...
 *     jrcxz idle
 *     xchg rcx, busy           (in use: a signal's handler, whose stack has room)
 *     jmp push
 *     idle: mov rcx, busy
 *     lea rcx, [operand]
 *     mov cx, 0                nothing is mapped below 65536
 *     jrcxz nil
 *     mov ecx, 0
 *     xchg rcx, busy           ... and back
 *
 * A hit in a signal's handler meanwhile sees a word in use, or one that is 0 because the program's rcx is; then it takes the
 * words and leaves that one as 0.
 */
#include "patch/x86_64/guard.h"

enum { BUSY_AT = 32 }; /* as in go_stack.c */

struct operand { /* lea rcx, ... */
	u8 code[12];
	u32 len;
};

static bool is_string(const struct x86_insn *i)
{
	return i->map == X86_MAP_ONE && ((i->opcode >= 0xa4 && i->opcode <= 0xa7) || (i->opcode >= 0xaa && i->opcode <= 0xaf));
}

/* Does it do more with the stack pointer, or the flow, than a copy under another stack pointer may? */
static bool minds_stack(const struct x86_insn *i)
{
	u32 reg = i->modrm >> 3 & 7;

	if (i->kind != X86_K_PLAIN)
		return true;
	if (i->map == X86_MAP_ONE && (i->opcode == 0x8f || (i->opcode == 0xff && reg >= 2 && reg <= 6)))
		return true; /* pop, call, jmp, push */
	if (reg != 4 || i->rex & 4)
		return false;
	switch (i->map) { /* is the register rsp? */
	case X86_MAP_ONE: return i->opcode < 0xc0 && !(i->opcode >= 0x80 && i->opcode <= 0x83);
	case X86_MAP_0F:
		return (i->opcode >= 0x40 && i->opcode <= 0x4f) || (i->opcode >= 0xa0 && i->opcode <= 0xc1 && i->opcode != 0xae);
	case X86_MAP_0F38: return i->opcode >= 0xf0;
	}
	return false;
}

/* Bits X and B of the prefix, as in REX. False: none that is known here. */
static bool extension(const u8 *p, const struct x86_insn *i, u8 *ret)
{
	*ret = i->rex & 3;
	if (i->map != X86_MAP_VECTOR)
		return true;
	for (u32 at = 0; at + 1 < i->op_off; at++) {
		if (p[at] == 0xc5)
			return true;
		if (p[at] == 0xc4) {
			*ret = (u8)~p[at + 1] >> 5 & 3;
			return true;
		}
		if (p[at] == 0x62) /* its displacement counts in other units */
			return false;
	}
	return false;
}

static bool read_operand(const u8 *p, const struct x86_insn *i, struct operand *ret)
{
	struct operand o = {.len = 0};
	u8 rex, mod = i->modrm >> 6, rm = i->modrm & 7, sib = 0;
	u32 n = 1 + i->disp_len;

	if (!i->modrm_off || mod == 3 || i->rip_rel || i->prefix & (X86_P_67 | X86_P_FSGS) || !extension(p, i, &rex))
		return false;
	if (rm == 4) {
		sib = p[i->modrm_off + 1];
		n++;
		if ((sib & 7) == 4 && !(rex & 1)) /* the stack pointer */
			return false;
	}
	if (i->disp_len && i->disp_off != i->modrm_off + n - i->disp_len)
		return false;
	o.code[o.len++] = 0x48 | rex;
	o.code[o.len++] = 0x8d;
	o.code[o.len++] = (u8)((i->modrm & 0xc7) | 1 << 3);
	for (u32 k = 1; k < n; k++)
		o.code[o.len++] = p[i->modrm_off + k];
	*ret = o;
	return true;
}

bool guard_possible(const u8 *bytes, const struct x86_insn *i)
{
	struct operand o;

	if (is_string(i))
		return !(i->prefix & (X86_P_67 | X86_P_FSGS));
	return !minds_stack(i) && read_operand(bytes, i, &o);
}

static void xchg_busy(struct x86_writer *w, u32 words, u8 opcode)
{
	const u8 code[] = {0x64, 0x48, opcode, 0x0c, 0x25};

	x86_bytes(w, code, sizeof(code));
	x86_u32(w, words + BUSY_AT);
}

/* A short jump; returns where its distance stands. */
static u32 jump(struct x86_writer *w, u8 opcode)
{
	x86_byte(w, opcode);
	x86_byte(w, 0);
	return w->len;
}

static void land(struct x86_writer *w, u32 from)
{
	if (w->buf && !w->error)
		w->buf[from - 1] = (u8)(w->len - from);
}

enum { JRCXZ = 0xe3, JMP = 0xeb, XCHG = 0x87, LOAD = 0x8b };

/* rcx = 0 if it is an address that nothing is mapped at. */
static u32 ask(struct x86_writer *w, u32 words, const u8 *lea, u32 n)
{
	static const u8 low[] = {0x66, 0xb9, 0, 0}; /* mov cx, 0 */

	xchg_busy(w, words, LOAD);
	x86_bytes(w, lea, n);
	x86_bytes(w, low, sizeof(low));
	return jump(w, JRCXZ);
}

void guard_write(struct x86_writer *w, u32 words, const u8 *bytes, const struct x86_insn *i, u64 pc)
{
	static const u8 zero[] = {0xb9, 0, 0, 0, 0}, push[] = {0xff, 0x35}, drop[] = {0x48, 0x8d, 0x64, 0x24, 8};
	static const u8 rdi[] = {0x48, 0x8d, 0x0f}, rsi[] = {0x48, 0x8d, 0x0e};
	bool string = is_string(i), repeated = string && i->prefix & (X86_P_F2 | X86_P_F3);
	u32 none = repeated ? jump(w, JRCXZ) : 0, idle, busy, nil, nil2 = 0, done, done2, word;
	struct operand o;

	xchg_busy(w, words, XCHG);
	idle = jump(w, JRCXZ);
	xchg_busy(w, words, XCHG);
	busy = jump(w, JMP);
	land(w, idle);
	if (string) {
		nil = ask(w, words, rdi, sizeof(rdi));
		nil2 = ask(w, words, rsi, sizeof(rsi));
	} else if (read_operand(bytes, i, &o)) {
		nil = ask(w, words, o.code, o.len);
	} else {
		w->error = w->error ? w->error : -22;
		return;
	}
	x86_bytes(w, zero, sizeof(zero));
	xchg_busy(w, words, XCHG);
	if (repeated)
		land(w, none);
	x86_bytes(w, bytes, i->len);
	done = jump(w, JMP);
	land(w, nil);
	if (nil2)
		land(w, nil2);
	xchg_busy(w, words, XCHG);
	land(w, busy);
	x86_bytes(w, push, sizeof(push));
	x86_u32(w, 0);
	word = w->len;
	x86_bytes(w, bytes, i->len);
	x86_bytes(w, drop, sizeof(drop));
	done2 = jump(w, JMP);
	if (w->buf && !w->error) {
		u32 d = w->len - word;

		for (u32 k = 0; k < 4; k++)
			w->buf[word - 4 + k] = (u8)(d >> 8 * k);
	}
	x86_u64(w, pc);
	land(w, done);
	land(w, done2);
}
