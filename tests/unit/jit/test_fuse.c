/* SPDX-License-Identifier: MIT */
/* What may be fused or folded, and what only looks like it. */
#include "harness.h"
#include "machine.h"

#include "base/bits.h"
#include "tap.h"

static struct jt t;

/* Map 0 is an array of 4 elements of 16 bytes, map 1 a per-CPU array of one CPU. Returns the size
 * of the code. */
static u32 same(const char *name, const struct bpf_insn *x, u32 n, u64 want, u8 mem, s64 key)
{
	u32 size;
	u64 r0;

	jt_init(&t, x, n);
	jt_map(&t, BPF_MAP_TYPE_ARRAY, 16, 4, 1);
	jt_map(&t, BPF_MAP_TYPE_PERCPU_ARRAY, 16, 4, 1);
	for (u32 i = 0; i < n; i++) {
		t.fact[i].stack_depth = 64;
		if (x[i].code == (BPF_JMP | BPF_CALL) && x[i].src_reg == 0 && x[i].imm == 1)
			jt_fact_lookup(&t, i, (u32)x[i - 2].imm, key);
		if (BPF_CLASS(x[i].code) == BPF_LDX || BPF_CLASS(x[i].code) == BPF_STX)
			t.fact[i].mem = mem;
	}
	for (u32 m = 0; m < 2; m++)
		memcpy(t.map[m].base + t.map[m].data_off,
		       "\xff\xff\xff\xff\x01\0\0\0\x10\x20\x30\x40\x50\x60\x70\x80", 16);
	t.ctx[JT_RUN] = 5;
	if (!tap_eq(jt_compile(&t), 0, "%s: compiles", name))
		return 0;
	tap_ok(jt_agree(&t, &r0), "%s: both agree", name);
	tap_eq(r0, want, "%s: result", name);
	size = t.img.size - t.img.entry;
	jt_deinit(&t);
	return size;
}

/* R0 = address of the value, then the rest; the memory's first words are 0x1ffffffff and
 * 0x8070605040302010. */
#define SAME(name, want, mem, ...)                                                                 \
	({                                                                                         \
		const struct bpf_insn x[] = {LD_MAP_VALUE(6, (mem) == VMEM_PERCPU_MAP, 0),         \
					     __VA_ARGS__, EXIT()};                                 \
		same(name, x, bits_count(x), want, mem, 0);                                        \
	})

static void rmw(u8 mem, const char *kind)
{
	u32 fused, plain;

	printf("# %s\n", kind);
	fused = SAME("fused", 0x200000000, mem, LDX(BPF_DW, 1, 6, 0), ALU64I(BPF_ADD, 1, 1),
		     STX(BPF_DW, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
	plain = SAME("another address", 0x1ffffffff, mem, LDX(BPF_DW, 1, 6, 0),
		     ALU64I(BPF_ADD, 1, 1), STX(BPF_DW, 6, 8, 1), LDX(BPF_DW, 0, 6, 0));
	if (machine_arch == JIT_X86_64)
		tap_ok(fused < plain, "only one of them is fused");
	else /* nothing is gained but, where it is needed, that others are kept out */
		tap_ok(mem == VMEM_MAP ? fused == plain : fused > plain, "others are kept out");
	SAME("another size", 0x100000000, mem, LDX(BPF_DW, 1, 6, 0), ALU64I(BPF_ADD, 1, 1),
	     STX(BPF_W, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
	SAME("a 32-bit sum to 64 bits", 0, mem, LDX(BPF_DW, 1, 6, 0), ALU32I(BPF_ADD, 1, 1),
	     STX(BPF_DW, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
	SAME("a 64-bit sum to 32 bits", 0x100000000, mem, LDX(BPF_W, 1, 6, 0),
	     ALU64I(BPF_ADD, 1, 1), STX(BPF_W, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
	SAME("a 64-bit sum to 32 bits, used", 0x100000000, mem, LDX(BPF_W, 1, 6, 0),
	     ALU64I(BPF_ADD, 1, 1), STX(BPF_W, 6, 0, 1), MOV64(0, 1));
	SAME("a byte, used", 0x100, mem, LDX(BPF_B, 1, 6, 0), ALU64I(BPF_ADD, 1, 1),
	     STX(BPF_B, 6, 0, 1), MOV64(0, 1));
	SAME("across two words", 0x2010000000020000, mem, LDX(BPF_DW, 1, 6, 2), ALU64I(BPF_ADD, 1, 1),
	     STX(BPF_DW, 6, 2, 1), LDX(BPF_DW, 0, 6, 2));
	SAME("across two words, used", 0x02000000, mem, LDX(BPF_W, 1, 6, 1), ALU64I(BPF_ADD, 1, 1),
	     STX(BPF_W, 6, 1, 1), MOV64(0, 1));
	SAME("across two words, a register", 0x1005, mem, MOV64I(2, 5), LDX(BPF_H, 1, 6, 7),
	     ALU64(BPF_ADD, 1, 2), STX(BPF_H, 6, 7, 1), LDX(BPF_H, 0, 6, 7));
	SAME("twice the value", 0x3fffffffe, mem, LDX(BPF_DW, 1, 6, 0), ALU64(BPF_ADD, 1, 1),
	     STX(BPF_DW, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
	SAME("register minus memory", (u64)-0x1fffffffc, mem, MOV64I(2, 3), LDX(BPF_DW, 1, 6, 0),
	     ALU64(BPF_SUB, 2, 1), STX(BPF_DW, 6, 0, 2), LDX(BPF_DW, 0, 6, 0));
	SAME("memory minus register", 0x1fffffffc, mem, MOV64I(2, 3), LDX(BPF_DW, 1, 6, 0),
	     ALU64(BPF_SUB, 1, 2), STX(BPF_DW, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
	SAME("register plus memory, both used", 0x200000002 + 0x1ffffffff, mem, MOV64I(2, 3),
	     LDX(BPF_DW, 1, 6, 0), ALU64(BPF_ADD, 2, 1), STX(BPF_DW, 6, 0, 2), MOV64(0, 2),
	     ALU64(BPF_ADD, 0, 1));
	SAME("the address is loaded over", 0x1ffffffff, mem, MOV64(1, 6), STX(BPF_DW, 10, -8, 6),
	     MOV64(2, 10), ALU64I(BPF_ADD, 2, -8), LDX(BPF_DW, 2, 2, 0), ALU64I(BPF_ADD, 2, 8),
	     STX(BPF_DW, 10, -8, 2), LDX(BPF_DW, 0, 1, 0));
	SAME("a jump lands in the middle", 12, mem, LDX(BPF_DW, 2, 1, 0), MOV64I(1, 11),
	     JMPI(BPF_JEQ, 2, 5, 1), LDX(BPF_DW, 1, 6, 0), ALU64I(BPF_ADD, 1, 1),
	     STX(BPF_DW, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
}

static void immediates(void)
{
	SAME("stored constant", (u64)-2, VMEM_MAP, MOV64I(1, -2), STX(BPF_DW, 6, 0, 1),
	     LDX(BPF_DW, 0, 6, 0));
	SAME("stored constant, used", (u64)-4, VMEM_MAP, MOV64I(1, -2), STX(BPF_DW, 6, 0, 1),
	     LDX(BPF_DW, 0, 6, 0), ALU64(BPF_ADD, 0, 1));
	SAME("32-bit constant to 64 bits", 0xfffffffe, VMEM_MAP, ALU32I(BPF_MOV, 1, -2),
	     STX(BPF_DW, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
	SAME("constant of two bytes", 0x1fffffffe, VMEM_MAP, MOV64I(1, -2), STX(BPF_H, 6, 0, 1),
	     LDX(BPF_DW, 0, 6, 0));
	SAME("atomic add of a constant", 0x200000000, VMEM_MAP, MOV64I(1, 1),
	     ATOMIC(BPF_DW, BPF_ADD, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
	SAME("atomic and of a 32-bit constant", 0xfffffffe, VMEM_MAP, ALU32I(BPF_MOV, 1, -2),
	     ATOMIC(BPF_DW, BPF_AND, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
	SAME("fetching add of a constant", 0x1ffffffff, VMEM_MAP, MOV64I(1, 1),
	     ATOMIC(BPF_DW, BPF_ADD | BPF_FETCH, 6, 0, 1), MOV64(0, 1));
	SAME("exchange with a constant", 1, VMEM_MAP, MOV64I(1, 1),
	     ATOMIC(BPF_DW, BPF_XCHG, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
	SAME("store-release of a constant", 1, VMEM_MAP, MOV64I(1, 1),
	     ATOMIC(BPF_DW, 0x110, 6, 0, 1), LDX(BPF_DW, 0, 6, 0));
	SAME("constant into its own address", 8, VMEM_MAP, MOV64(2, 10), ALU64I(BPF_ADD, 2, -8),
	     MOV64(1, 2), STX(BPF_DW, 1, 0, 1), LDX(BPF_DW, 0, 10, -8), ALU64(BPF_SUB, 0, 10),
	     ALU64I(BPF_ADD, 0, 16));
}

#define LOOKUP(map)                                                                                \
	ST(BPF_W, 10, -4, 0), MOV64(2, 10), ALU64I(BPF_ADD, 2, -4), LD_MAP(1, map), CALL(1)

static void null_checks(void)
{
	u32 with, without;

	without = SAME("no check", 0x1ffffffff, VMEM_MAP, LOOKUP(0), LDX(BPF_DW, 0, 0, 0));
	with = SAME("check of a copy", 0x1ffffffff, VMEM_MAP, LOOKUP(0), MOV64(7, 0),
		    JMPI(BPF_JNE, 7, 0, 2), MOV64I(0, 0), EXIT(), LDX(BPF_DW, 0, 0, 0));
	tap_eq(with, without, "a check that cannot fail costs nothing");
	SAME("a pointer or 0", 9, VMEM_MAP, LDX(BPF_DW, 7, 1, 0), LOOKUP(0), JMPI(BPF_JNE, 7, 5, 1),
	     MOV64I(0, 0), JMPI(BPF_JEQ, 0, 0, 2), LDX(BPF_DW, 0, 0, 0), EXIT(), MOV64I(0, 9));
	SAME("0 or a pointer", 9, VMEM_MAP, LDX(BPF_DW, 7, 1, 0), MOV64I(0, 0),
	     JMPI(BPF_JEQ, 7, 5, 6), LOOKUP(0), JMPI(BPF_JEQ, 0, 0, 2), LDX(BPF_DW, 0, 0, 0),
	     EXIT(), MOV64I(0, 9));
	SAME("a pointer minus itself", 9, VMEM_MAP, LOOKUP(0), ALU64(BPF_SUB, 0, 0),
	     JMPI(BPF_JEQ, 0, 0, 2), MOV64I(0, 1), EXIT(), MOV64I(0, 9));
	SAME("low half of a pointer", 1, VMEM_MAP, LOOKUP(0), ALU32I(BPF_AND, 0, 0),
	     JMPI(BPF_JNE, 0, 0, 1), MOV64I(0, 1));
}

static void out_of_range(void)
{
	const struct bpf_insn x[] = {ST(BPF_W, 10, -4, 4), MOV64(2, 10), ALU64I(BPF_ADD, 2, -4),
				     LD_MAP(1, 0),	   CALL(1),	 JMPI(BPF_JNE, 0, 0, 1),
				     MOV64I(0, 8),	   EXIT()};

	same("constant key out of range", x, bits_count(x), 8, VMEM_MAP, 4);
}

int main(void)
{
	rmw(VMEM_MAP, "array");
	rmw(VMEM_PERCPU_MAP, "per-CPU array");
	rmw(VMEM_MIXED, "unknown memory");
	immediates();
	null_checks();
	out_of_range();
	return tap_done();
}
