/* SPDX-License-Identifier: MIT */
/* What the verifier should never let through: refused, not miscompiled. And the interpreter's own
 * errors. */
#include "harness.h"

#include <errno.h>

#include "base/bits.h"
#include "tap.h"

static struct jt t;

static void refuse(const char *name, const struct bpf_insn *x, u32 n)
{
	jt_init(&t, x, n);
	jt_map(&t, BPF_MAP_TYPE_ARRAY, 8, 4, 1);
	memset(&t.img, 0x5a, sizeof(t.img));
	tap_eq(jt_compile(&t), -EINVAL, "refused: %s", name);
	tap_ok(t.img.size == 0x5a5a5a5a, "output untouched: %s", name);
	memset(&t.img, 0, sizeof(t.img));
	jt_deinit(&t);
}

#define REFUSE(name, ...)                                                                          \
	do {                                                                                       \
		const struct bpf_insn x[] = {__VA_ARGS__};                                         \
		refuse(name, x, bits_count(x));                                                    \
	} while (0)

static void compiler(void)
{
	REFUSE("empty instruction", I(0, 0, 0, 0, 0), EXIT());
	REFUSE("runs off the end", MOV64I(0, 0));
	REFUSE("register 11", MOV64I(11, 0), EXIT());
	REFUSE("source register 12", MOV64(0, 12), EXIT());
	REFUSE("write to R10", MOV64I(10, 0), EXIT());
	REFUSE("load to R10", LDX(BPF_DW, 10, 1, 0), EXIT());
	REFUSE("jump behind the end", JMPI(BPF_JEQ, 1, 0, 1), EXIT());
	REFUSE("jump before the start", JA(-2), EXIT());
	REFUSE("jump into LD_IMM64", JMPI(BPF_JEQ, 1, 0, 1), LD64(0, 1), EXIT());
	REFUSE("half an LD_IMM64", I(BPF_LD | BPF_IMM | BPF_DW, 0, 0, 0, 0));
	REFUSE("map that does not exist", LD_MAP(1, 1), EXIT());
	REFUSE("LD_IMM64 of a function", I(BPF_LD | BPF_IMM | BPF_DW, 0, 4, 0, 9), I(0, 0, 0, 0, 0),
	       EXIT());
	REFUSE("division by 0", ALU64I(BPF_DIV, 0, 0), EXIT());
	REFUSE("helper 256", CALL(256), EXIT());
	REFUSE("kfunc 0", I(BPF_JMP | BPF_CALL, 0, 2, 0, 0), EXIT());
	REFUSE("kfunc 1000", I(BPF_JMP | BPF_CALL, 0, 2, 0, 1000), EXIT());
	REFUSE("may_goto with a source", I(BPF_JMP | 0xe0, 0, 1, 0, 0), EXIT());
	REFUSE("may_goto behind the end", I(BPF_JMP | 0xe0, 0, 0, 5, 0), EXIT());
	REFUSE("packet load of 8 bytes", I(BPF_LD | BPF_ABS | BPF_DW, 0, 0, 0, 0), EXIT());
	REFUSE("packet load to another register", I(BPF_LD | BPF_ABS | BPF_W, 2, 0, 0, 0), EXIT());
	REFUSE("packet load with an offset", I(BPF_LD | BPF_IND | BPF_W, 0, 2, 8, 0), EXIT());
	REFUSE("atomic byte", ATOMIC(BPF_B, BPF_ADD, 10, -8, 1), EXIT());
	REFUSE("atomic sub", ATOMIC(BPF_DW, BPF_SUB, 10, -8, 1), EXIT());
	REFUSE("sign-extending 8-byte load", LDSX(BPF_DW, 0, 1, 0), EXIT());
	REFUSE("mov with offset 24", I(BPF_ALU64 | BPF_MOV | BPF_X, 0, 1, 24, 0), EXIT());
	REFUSE("swap of 24 bits", I(BPF_ALU | BPF_END | BPF_X, 0, 0, 0, 24), EXIT());
	REFUSE("jump into another function", CALL_LOCAL(1), JA(2), MOV64I(0, 0), EXIT(), EXIT());
	REFUSE("recursion", CALL_LOCAL(-1), EXIT());
	REFUSE("falls into another function", CALL_LOCAL(0), MOV64I(0, 0), EXIT());
}

static void facts(void)
{
	const struct bpf_insn x[] = {MOV64I(0, 0), EXIT()};

	jt_init(&t, x, 2);
	t.fact[1].seen = false;
	tap_eq(jt_compile(&t), -EINVAL, "refused: facts that contradict the program");
	t.fact[1].seen = true;
	t.fact[0].stack_depth = 520;
	tap_eq(jt_compile(&t), -EINVAL, "refused: too much stack");
	t.fact[0].stack_depth = 0;
	tap_eq(jit_compile(&(struct jit_input){.arch = 0xff, .insns = t.insn, .n = t.n}, &t.img), -EINVAL,
	       "refused: an architecture that nobody knows");
}

/* What loaders put in the place of what their kernel does not have, behind a check that is never true. */
static void dead_code(void)
{
	const struct bpf_insn poison[] = {CALL(0xbad2310), CALL_KFUNC(99999), CALL_LOCAL(5000), JA(77),
					  I(0xff, 15, 15, -1, -1), I(BPF_LD | BPF_IMM | BPF_DW, 0, 1, 0, 99)};

	for (u32 k = 0; k < bits_count(poison); k++) {
		const struct bpf_insn x[] = {MOV64I(0, 7), JMPI(BPF_JEQ, 0, 7, 2), poison[k], I(0, 0, 0, 0, 0), EXIT()};
		u32 bad = 0;

		jt_init(&t, x, bits_count(x));
		t.fact[2].seen = t.fact[3].seen = false;
		tap_eq(jt_compile(&t), 0, "dead code: kind %u compiles", k);
		tap_ok(t.text && jt_run(&t, &bad) == 7 && !bad, "dead code: kind %u is not run", k);
		jt_deinit(&t);
	}
}

/* bpf_loop(0, ...): the verifier has not looked into the callback. */
static void idle_callback(void)
{
	const struct bpf_insn x[] = {LD_FUNC(2, 3), MOV64I(0, 7), EXIT(), I(0xff, 0, 0, 0, 0), EXIT()};
	u32 bad = 0;

	jt_init(&t, x, bits_count(x));
	t.fact[4].seen = t.fact[5].seen = false;
	tap_eq(jt_compile(&t), 0, "a callback that is never called compiles");
	tap_ok(t.text && jt_run(&t, &bad) == 7 && !bad, "and the program runs");
	jt_deinit(&t);
}

#define INTERP(name, want, ...)                                                                    \
	do {                                                                                       \
		const struct bpf_insn x[] = {__VA_ARGS__};                                         \
		u64 r0;                                                                            \
		jt_init(&t, x, bits_count(x));                                                     \
		tap_eq(jt_interp(&t, &r0), want, "interpreter: %s", name);                         \
	} while (0)

static void interpreter(void)
{
	INTERP("load from nowhere", -EFAULT, LDX(BPF_B, 0, 0, 0), EXIT());
	INTERP("load across the end of ctx", -EFAULT, LDX(BPF_DW, 0, 1, 161), EXIT());
	INTERP("last word of ctx", 0, LDX(BPF_DW, 0, 1, 160), EXIT());
	INTERP("store to ctx", -EFAULT, STX(BPF_DW, 1, 0, 1), EXIT());
	INTERP("atomic on ctx", -EFAULT, ATOMIC(BPF_DW, BPF_ADD, 1, 0, 1), EXIT());
	INTERP("stack, one byte too high", -EFAULT, ST(BPF_W, 10, -3, 0), EXIT());
	INTERP("stack, one byte too low", -EFAULT, ST(BPF_B, 10, -513, 0), EXIT());
	INTERP("stack, lowest byte", 0, ST(BPF_B, 10, -512, 0), EXIT());
	INTERP("endless loop", -ELOOP, JA(-1), EXIT());
	INTERP("endless recursion", -E2BIG, CALL_LOCAL(-1), EXIT());
	INTERP("unknown instruction", -EINVAL, I(0xff, 0, 0, 0, 0), EXIT());
	INTERP("unknown helper", -EINVAL, CALL(99), EXIT());
	INTERP("end of program", -EINVAL, MOV64I(0, 0));
	INTERP("map that does not exist", -EINVAL, LD_MAP(1, 3), EXIT());
}

int main(void)
{
	compiler();
	facts();
	dead_code();
	idle_callback();
	interpreter();
	return tap_done();
}
