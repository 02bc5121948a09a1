/* SPDX-License-Identifier: MIT */
/* Stores to the stack that look dead and are not, because somebody else has a pointer. */
#include "harness.h"

#include "base/bits.h"
#include "tap.h"

static struct jt t;

static void same(const char *name, const struct bpf_insn *x, u32 n, u64 want)
{
	u64 r0;

	jt_init(&t, x, n);
	jt_map(&t, BPF_MAP_TYPE_ARRAY, 8, 4, 1);
	for (u32 i = 0; i < n; i++) {
		t.fact[i].stack_depth = 64;
		if (x[i].code == (BPF_JMP | BPF_CALL) && x[i].src_reg == 0 && x[i].imm == 1)
			jt_fact_lookup(&t, i, 0, -1);
	}
	t.ctx[JT_RUN] = 5;
	if (!tap_eq(jt_compile(&t), 0, "%s: compiles", name))
		return;
	tap_ok(jt_agree(&t, &r0), "%s: both agree", name);
	tap_eq(r0, want, "%s: result", name);
	jt_deinit(&t);
}

#define SAME(name, want, ...)                                                                      \
	do {                                                                                       \
		const struct bpf_insn x[] = {__VA_ARGS__};                                         \
		same(name, x, bits_count(x), want);                                                \
	} while (0)

int main(void)
{
	SAME("read by a sub-program", 42, ST(BPF_DW, 10, -8, 42), MOV64(1, 10),
	     ALU64I(BPF_ADD, 1, -8), CALL_LOCAL(1), EXIT(), LDX(BPF_DW, 0, 1, 0), EXIT());
	SAME("read below the pointer, by a sub-program", 43, ST(BPF_DW, 10, -16, 43), MOV64(1, 10),
	     CALL_LOCAL(1), EXIT(), LDX(BPF_DW, 0, 1, -16), EXIT());
	SAME("read through a spilled pointer", 44, ST(BPF_DW, 10, -16, 44), MOV64(1, 10),
	     STX(BPF_DW, 10, -8, 1), LDX(BPF_DW, 2, 10, -8), LDX(BPF_DW, 0, 2, -16), EXIT());
	SAME("read through one of two pointers", 45, ST(BPF_DW, 10, -16, 45),
	     ST(BPF_DW, 10, -24, 46), MOV64(2, 10), LDX(BPF_DW, 3, 1, 0), JMPI(BPF_JEQ, 3, 5, 1),
	     ALU64I(BPF_ADD, 2, -8), LDX(BPF_DW, 0, 2, -16), EXIT());
	SAME("read through r10 + register", 46, ST(BPF_DW, 10, -16, 46), MOV64I(3, -16),
	     MOV64(2, 10), ALU64(BPF_ADD, 2, 3), LDX(BPF_DW, 0, 2, 0), EXIT());
	SAME("written through one of two pointers", 47, ST(BPF_DW, 10, -16, 47),
	     ST(BPF_DW, 10, -24, 7), MOV64(2, 10), LDX(BPF_DW, 3, 1, 0), JMPI(BPF_JNE, 3, 5, 1),
	     ALU64I(BPF_ADD, 2, -8), ST(BPF_DW, 2, -16, 9), LDX(BPF_DW, 0, 10, -16), EXIT());
	SAME("half overwritten", 0x100000030, ST(BPF_W, 10, -8, 1), ST(BPF_W, 10, -4, 1),
	     ST(BPF_W, 10, -8, 0x30), LDX(BPF_DW, 0, 10, -8), EXIT());
	SAME("one byte overwritten", 0x3131, ST(BPF_W, 10, -8, 0x3232), ST(BPF_B, 10, -8, 0x31),
	     ST(BPF_B, 10, -7, 0x31), LDX(BPF_W, 0, 10, -8), EXIT());
	SAME("key read again after the lookup", 3, MOV64I(6, 3), STX(BPF_W, 10, -4, 6),
	     MOV64(2, 10), ALU64I(BPF_ADD, 2, -4), LD_MAP(1, 0), CALL(1), LDX(BPF_W, 0, 10, -4),
	     EXIT());
	SAME("key changed by a byte", 0, MOV64I(6, 0), STX(BPF_W, 10, -4, 6), ST(BPF_B, 10, -4, 9),
	     MOV64(2, 10), ALU64I(BPF_ADD, 2, -4), LD_MAP(1, 0), CALL(1), EXIT());
	SAME("key and a use of R0 on the way", 7, MOV64I(6, 9), MOV64I(0, 7), STX(BPF_W, 10, -4, 6),
	     MOV64(7, 0), MOV64(2, 10), ALU64I(BPF_ADD, 2, -4), LD_MAP(1, 0), CALL(1),
	     JMPI(BPF_JNE, 0, 0, 1), MOV64(0, 7), EXIT());
	SAME("key stored on one path only", 2, LDX(BPF_DW, 3, 1, 0), MOV64I(6, 9),
	     ST(BPF_W, 10, -4, 2), MOV64I(0, 77), JMPI(BPF_JEQ, 3, 5, 1), STX(BPF_W, 10, -4, 6),
	     MOV64(2, 10), ALU64I(BPF_ADD, 2, -4), LD_MAP(1, 0), CALL(1), JMPI(BPF_JEQ, 0, 0, 2),
	     MOV64I(0, 2), EXIT(), MOV64I(0, 1), EXIT());
	SAME("a helper reads behind the pointer", 0xaf63bd4c8601b7dfull, ST(BPF_DW, 10, -8, 0),
	     MOV64(1, 10), ALU64I(BPF_ADD, 1, -8), MOV64I(2, 1), CALL(6), EXIT());
	return tap_done();
}
