/* SPDX-License-Identifier: MIT */
/* Callbacks, tail calls, kfuncs, signals, may_goto: what leaves the straight way. */
#include "harness.h"

#include "base/bits.h"
#include "ebpf/kfuncs.h"
#include "tap.h"

static struct jt t, other;

static u64 *run_word(s32 off)
{
	return (u64 *)(void *)((u8 *)&t.ctx[JT_RUN] + off);
}

static u64 run(struct jt *j, const char *name)
{
	u32 bad;
	u64 r = jt_run(j, &bad);

	if (bad)
		tap_ok(false, "%s: lost registers %#x", name, bad);
	return r;
}

#define PROGRAM(j, depth, ...)                                                                     \
	do {                                                                                       \
		const struct bpf_insn x[] = {__VA_ARGS__};                                         \
		jt_init((j), x, bits_count(x));                                                    \
		(j)->fact[0].stack_depth = (depth);                                                \
		tap_eq(jt_compile(j), 0, "compiles, line %d", __LINE__);                           \
	} while (0)

static void callbacks(void)
{
	/* for i in 0..9: sum += i, *below* the pointer that is handed on; stops behind 5 */
	PROGRAM(&t, 16, ST(BPF_DW, 10, -16, 100), MOV64I(1, 10), LD_FUNC(2, 9), MOV64(3, 10), ALU64I(BPF_ADD, 3, -8),
		MOV64I(4, 0), MOV64I(6, 7), CALL(181), LDX(BPF_DW, 1, 10, -16), ALU64(BPF_ADD, 0, 1), EXIT(),
		/* callback(i, data) */
		LDX(BPF_DW, 6, 2, -8), ALU64(BPF_ADD, 6, 1), STX(BPF_DW, 2, -8, 6), MOV64I(0, 0),
		JMPI(BPF_JLE, 1, 4, 1), MOV64I(0, 1), EXIT());
	tap_eq(run(&t, "loop"), 6 + 100 + 0 + 1 + 2 + 3 + 4 + 5, "a callback reaches the caller's frame");
	jt_deinit(&t);

	PROGRAM(&t, 8, ST(BPF_DW, 10, -8, 0), MOV64(9, 1), MOV64I(1, 3), LD_FUNC(2, 7), MOV64(3, 10), ALU64I(BPF_ADD, 3, -8),
		MOV64I(4, 0), CALL(181), LDX(BPF_DW, 0, 10, -8), EXIT(),
		/* callback: data += session cookie's address */
		MOV64(6, 2), CALL_KFUNC(EBPF_KFUNC_SESSION_COOKIE), LDX(BPF_DW, 1, 6, 0), ALU64(BPF_ADD, 1, 0),
		STX(BPF_DW, 6, 0, 1), MOV64I(0, 0), EXIT());
	*run_word(NT_CTX_SESSION) = 1000;
	tap_eq(run(&t, "kfunc in a callback"), 3000, "ctx is known in a callback");
	jt_deinit(&t);
}

static void kfuncs(void)
{
	PROGRAM(&t, 0, CALL_KFUNC(EBPF_KFUNC_SESSION_IS_RETURN), EXIT());
	*run_word(NT_CTX_IS_RETURN) = 1;
	tap_eq(run(&t, "is_return"), 1, "session_is_return");
	*run_word(NT_CTX_IS_RETURN) = 0;
	tap_eq(run(&t, "is_return"), 0, "session_is_return at entry");
	tap_ok(!t.img.calls, "is no call");
	jt_deinit(&t);
	PROGRAM(&t, 0, CALL_KFUNC(EBPF_KFUNC_RCU_READ_LOCK), CALL_KFUNC(EBPF_KFUNC_CAST_TO_KERN_CTX), EXIT());
	jt_deinit(&t);
	PROGRAM(&t, 0, MOV64(6, 1), CALL_KFUNC(EBPF_KFUNC_PREEMPT_DISABLE), MOV64(1, 6),
		CALL_KFUNC(EBPF_KFUNC_CAST_TO_KERN_CTX), EXIT());
	tap_ok(run(&t, "cast") == (u64)(uintptr_t)&t.ctx[JT_RUN], "a cast gives its argument");
	tap_ok(!t.img.calls, "and no call is left");
	jt_deinit(&t);
	PROGRAM(&t, 8, ST(BPF_DW, 10, -8, 0x636261), MOV64(1, 10), ALU64I(BPF_ADD, 1, -8), CALL_KFUNC(EBPF_KFUNC_STRLEN), EXIT());
	tap_eq(run(&t, "strlen"), 3, "a kfunc with a body");
	jt_deinit(&t);
}

static void tail_calls(void)
{
	/* counts itself in map 0 */
	const struct bpf_insn self[] = {MOV64(6, 1), MOV64I(7, 77), LD_MAP_VALUE(1, 0, 0), MOV64I(2, 1),
					ATOMIC(BPF_DW, BPF_ADD, 1, 0, 2), MOV64(1, 6), MOV64I(2, 0), MOV64I(3, 0), CALL(12),
					MOV64(0, 7), EXIT()};

	jt_init(&t, self, bits_count(self));
	jt_map(&t, BPF_MAP_TYPE_ARRAY, 8, 1, 1);
	tap_eq(jt_compile(&t), 0, "compiles");
	jt_tail_target[0] = 0;
	tap_eq(run(&t, "no target"), 77, "an empty slot: the program goes on");
	tap_eq(*(u64 *)(void *)(t.map[0].base + t.map[0].data_off), 1, "once");
	jt_tail_target[0] = (u64)(uintptr_t)t.text + t.img.tail_entry;
	tap_eq(run(&t, "itself"), 77, "33 tail calls and no more");
	tap_eq(*(u64 *)(void *)(t.map[0].base + t.map[0].data_off), 1 + 34, "runs");
	tap_eq(run(&t, "itself"), 77, "the next run");
	tap_eq(*(u64 *)(void *)(t.map[0].base + t.map[0].data_off), 1 + 34 + 34, "counts from 0");

	/* into a program that knows nothing of tail calls, out of a function with a frame, and back to its caller */
	PROGRAM(&other, 0, LDX(BPF_DW, 0, 1, 0), ALU64I(BPF_ADD, 0, 5), EXIT());
	jt_tail_target[0] = (u64)(uintptr_t)other.text + other.img.tail_entry;
	t.ctx[JT_RUN] = 1000;
	tap_eq(run(&t, "other"), 1005, "ctx arrives there");
	jt_deinit(&t);
	PROGRAM(&t, 0, MOV64I(6, 1), MOV64I(2, 0), MOV64I(3, 0), CALL_LOCAL(2), ALU64(BPF_ADD, 0, 6), EXIT(),
		ST(BPF_DW, 10, -8, 0), MOV64I(6, 99), MOV64I(7, 98), CALL(12), MOV64I(0, 3), EXIT());
	t.fact[6].stack_depth = 8;
	t.ctx[JT_RUN] = 2000;
	jt_tail_target[0] = (u64)(uintptr_t)other.text + other.img.tail_entry;
	tap_eq(run(&t, "from a function"), 2006, "a function's tail call returns to its caller");
	jt_tail_target[0] = 0;
	tap_eq(run(&t, "from a function"), 4, "or stays");
	jt_deinit(&t);
	jt_deinit(&other);
}

static void signals(void)
{
	PROGRAM(&t, 0, MOV64I(1, 10), CALL(109), MOV64I(0, 42), EXIT());
	jt_delivered = 0;
	tap_eq(run(&t, "signal"), 42, "a program that sends a signal returns what it did");
	tap_eq(jt_delivered, 1, "then signals are delivered");
	jt_deinit(&t);
}

static void may_goto(void)
{
	u64 r0 = 0;

	PROGRAM(&t, 0, MOV64I(0, 0), MAY_GOTO(2), ALU64I(BPF_ADD, 0, 1), JA(-3), EXIT());
	tap_eq(run(&t, "may_goto"), 1 << 23, "an endless loop ends");
	tap_eq(run(&t, "may_goto"), 1 << 23, "every time");
	jt_deinit(&t);
	PROGRAM(&t, 8, ST(BPF_DW, 10, -8, 7), MOV64I(0, 0), MAY_GOTO(2), ALU64I(BPF_ADD, 0, 1), JMPI(BPF_JLT, 0, 1000, -3),
		LDX(BPF_DW, 1, 10, -8), ALU64(BPF_ADD, 0, 1), MAY_GOTO(-3), EXIT());
	tap_ok(jt_agree(&t, &r0), "interpreter and compiler agree on nested ones");
	jt_deinit(&t);
	PROGRAM(&t, 0, MOV64I(0, 0), MAY_GOTO(1), JMPI(BPF_JEQ, 0, 5, 1), CALL_LOCAL(1), EXIT(), MOV64I(0, 1), MAY_GOTO(1),
		ALU64I(BPF_ADD, 0, 1), EXIT());
	tap_eq(run(&t, "function"), 2, "a function has a counter of its own");
	jt_deinit(&t);
}

/* By every register, in a frame with everything in it, of packets that end before, at and behind the load. */
static void packet_loads(void)
{
	static const u8 size[] = {BPF_B, BPF_H, BPF_W};
	u32 wrong = 0, ended = 0;
	u64 r0;

	for (u32 k = 0; k < 3 * 11 * 8; k++) {
		u8 reg = k / 24 == 6 ? 2 : (u8)(k / 24), s = size[k % 3];
		bool abs = reg == 10;
		const struct bpf_insn x[] = {ST(BPF_DW, 10, -8, 5), MOV64(6, 1), MOV64I(7, 1), MOV64I(8, 2), MOV64I(9, 3),
					     abs ? MOV64I(7, 1) : MOV64I(reg, k % 8), abs ? LD_ABS(s, k % 8) : LD_IND(s, reg, k & 8 ? 3 : -1),
					     LDX(BPF_DW, 1, 10, -8), ALU64I(BPF_LSH, 0, 8), ALU64(BPF_ADD, 0, 1), ALU64(BPF_ADD, 0, 7),
					     ALU64(BPF_ADD, 0, 8), ALU64(BPF_ADD, 0, 9), EXIT()};

		for (u64 n = 0; n < 16; n++) {
			jt_init(&t, x, bits_count(x));
			t.ctx[JT_RUN] = n;
			wrong += jt_compile(&t) || !jt_agree(&t, &r0);
			ended += !r0;
			jt_deinit(&t);
		}
	}
	tap_eq(wrong, 0, "packet loads: compiled as interpreted");
	tap_ok(ended > 500 && ended < 3700, "packet loads: %u times the packet ended before", ended);
	PROGRAM(&t, 0, MOV64(6, 1), LD_ABS(BPF_W, 2), EXIT());
	t.ctx[JT_RUN] = 6;
	tap_eq(run(&t, "packet load"), 0x82838485, "bytes in the order of the network");
	t.ctx[JT_RUN] = 5;
	tap_eq(run(&t, "packet load, outside"), 0, "outside of the packet the program ends");
	jt_deinit(&t);
}

int main(void)
{
	packet_loads();
	callbacks();
	kfuncs();
	tail_calls();
	signals();
	may_goto();
	return tap_done();
}
