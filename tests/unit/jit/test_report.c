/* SPDX-License-Identifier: MIT */
/*
 * What an image says about itself, checked against a disassembler's reading of the code: registers
 * it changes, table entries it reads, where instructions start; and the stack it takes, measured by
 * painting.
 */
#include <Zydis/Zydis.h>
#include <ucontext.h>

#include "gen.h"

#include "base/bits.h"
#include "isa/x86_64/writer.h"
#include "tap.h"

static struct jt t, base;

enum {
	CALLER_SAVED =
	    1u << X86_RAX | 1u << X86_RCX | 1u << X86_RDX | 1u << X86_RSI | 1u << X86_RDI | 0xf00
};

/* Number of the whole register a part of which `r` is, in the order of enum x86_reg; -1: another
 * kind. */
static int gpr(ZydisRegister r)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);

	return whole >= ZYDIS_REGISTER_RAX && whole <= ZYDIS_REGISTER_R15
		   ? (int)(whole - ZYDIS_REGISTER_RAX)
		   : -1;
}

struct seen {
	u32 written, got, insns;
	bool ok, calls;
	u8 start[1 << 16]; /* bytes at which an instruction starts */
};

static void read_operand(const ZydisDecodedInstruction *x, const ZydisDecodedOperand *op, u32 at,
			 struct seen *s)
{
	if (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
	    op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE && gpr(op->reg.value) >= 0)
		s->written |= 1u << gpr(op->reg.value);
	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.base != ZYDIS_REGISTER_RIP)
		return;
	at += x->length + (u32)op->mem.disp.value;
	s->ok &= at % 8 == 0 && at / 8 < t.img.ngot;
	if (at / 8 < 32)
		s->got |= 1u << at / 8;
}

static void disassemble(struct seen *s)
{
	ZydisDecoder dec;
	ZydisDecodedInstruction x;
	ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];

	*s = (struct seen){.ok = true};
	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (u32 at = t.img.entry; at < t.img.size; at += x.length) {
		if (ZYAN_FAILED(
			ZydisDecoderDecodeFull(&dec, t.img.code + at, t.img.size - at, &x, op))) {
			s->ok = false;
			return;
		}
		s->start[at] = 1;
		s->insns++;
		s->calls |=
		    x.mnemonic == ZYDIS_MNEMONIC_CALL && op[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE;
		for (u32 k = 0; k < x.operand_count; k++)
			read_operand(&x, &op[k], at, s);
	}
	s->start[t.img.size] = 1;
}

static bool report_is_true(void)
{
	static struct seen s;
	u32 all_got;

	disassemble(&s);
	all_got = t.img.ngot >= 32 ? ~0u : (1u << t.img.ngot) - 1;
	for (u32 i = 0; i < t.n; i++)
		if (t.img.insn_off[i] > t.img.size || !s.start[t.img.insn_off[i]])
			return false;
	if (s.written >> X86_R12 & 1)
		return false;
	return s.ok && s.got == all_got && s.calls == t.img.calls &&
	       t.img.clobbers == (s.calls ? (u32)CALLER_SAVED : s.written & CALLER_SAVED);
}

static void random_programs(void)
{
	const u32 seed = 7, runs = 1500;
	struct gen g;
	u32 k;

	for (k = 0; k < runs; k++) {
		bool ok;

		gen_init(&g, &t, NULL, 0, (seed + k) * 0x9e3779b97f4a7c15ull, GEN_V4 | GEN_ACQ_REL);
		gen_program(&g, gen_below(&g, 40));
		ok = !jt_compile(&t) && report_is_true();
		jt_deinit(&t);
		if (!ok)
			break;
	}
	tap_eq(k, runs, "registers, table and offsets of %u random programs, seed %u", runs, seed);
}

static ucontext_t caller, callee;
static u8 stack[1 << 16] __attribute__((aligned(4096)));
static struct jt *painted;

static void run_painted(void)
{
	u32 bad;

	jt_run(painted, &bad);
}

/* Bytes of `stack` that running the program dirties. */
static u32 dirt(struct jt *what)
{
	u32 i = 0;

	painted = what;
	memset(stack, 0xa5, sizeof(stack));
	getcontext(&callee);
	callee.uc_stack.ss_sp = stack;
	callee.uc_stack.ss_size = sizeof(stack);
	callee.uc_link = &caller;
	makecontext(&callee, run_painted, 0);
	swapcontext(&caller, &callee);
	while (i < sizeof(stack) && stack[i] == 0xa5)
		i++;
	return (u32)sizeof(stack) - i;
}

static void stack_is(const char *name, u32 want)
{
	tap_eq(jt_compile(&t), 0, "%s: compiles", name);
	tap_eq(t.img.stack, want, "%s: says what it takes", name);
	tap_eq(dirt(&t) - dirt(&base), want, "%s: takes that", name);
	jt_deinit(&t);
}

static void stacks(void)
{
	const struct bpf_insn nothing[] = {MOV64I(0, 0), EXIT()};
	const struct bpf_insn leaf[] = {STX(BPF_DW, 10, -64, 1), LDX(BPF_DW, 0, 10, -64), EXIT()};
	const struct bpf_insn large[] = {STX(BPF_DW, 10, -512, 1), LDX(BPF_DW, 0, 10, -512),
					 EXIT()};
	const struct bpf_insn nested[] = {MOV64(6, 1),
					  STX(BPF_DW, 10, -24, 1),
					  CALL_LOCAL(4),
					  LDX(BPF_DW, 1, 10, -24),
					  ALU64(BPF_ADD, 0, 6),
					  ALU64(BPF_ADD, 0, 1),
					  EXIT(),
					  MOV64(7, 1),
					  MOV64(8, 1),
					  MOV64(9, 7),
					  STX(BPF_DW, 10, -8, 9),
					  LDX(BPF_DW, 0, 10, -8),
					  ALU64(BPF_ADD, 0, 7),
					  ALU64(BPF_ADD, 0, 8),
					  ALU64(BPF_ADD, 0, 9),
					  EXIT()};

	jt_init(&base, nothing, bits_count(nothing));
	jt_compile(&base);
	jt_init(&t, leaf, bits_count(leaf));
	stack_is("leaf in the red zone", 64);
	jt_init(&t, large, bits_count(large));
	stack_is("512 bytes", 520);
	jt_init(&t, nested, bits_count(nested));
	t.fact[0].stack_depth = 24;
	t.fact[7].stack_depth = 8;
	/* rbp, 24, rbx | return address, r13, r14, r15, 8 in the red zone */
	stack_is("nested", 8 + 24 + 8 + 8 + 24 + 8);
	jt_deinit(&base);
}

/* A jump back to the only exit whose displacement, the last byte, looks like a ret. */
static void jump_like_ret(void)
{
	struct bpf_insn x[32];
	u32 n = 0;

	x[n++] = MOV64I(0, 0);
	x[n++] = JA(1);
	x[n++] = EXIT();
	for (u32 k = 0; k < 18; k++)
		x[n++] = ALU64(BPF_ADD, 0, 1); /* 3 bytes */
	x[n++] = ALU64I(BPF_ADD, 0, 5);	       /* 4 bytes */
	x[n++] = JA(0);
	x[n - 1].off = (s16)(2 - (s32)n);
	jt_init(&t, x, n);
	tap_eq(jt_compile(&t), 0, "jump like ret: compiles");
	tap_eq(t.img.code[t.img.size - 1], 0xc3, "jump like ret: ends in that byte");
	tap_ok(!t.img.inlinable, "jump like ret: is not taken for one");
	jt_deinit(&t);
}

int main(void)
{
	jump_like_ret();
	random_programs();
	stacks();
	return tap_done();
}
