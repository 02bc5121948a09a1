/* SPDX-License-Identifier: MIT */
/*
 * The exact code that aarch64 gets for programs whose cost matters, and what it says of itself; on any machine. The
 * comments are what a disassembler makes of the words. That such code does what it should is seen where it can run:
 * the other tests of this folder, by qemu (tools/cross/aarch64.ini).
 */
#include "harness.h"

#include "base/bits.h"
#include "isa/aarch64/writer.h"
#include "tap.h"

static struct jt t;

static int compile(bool has_rdpid)
{
	struct verifier_result facts = {.insn = t.fact};
	struct jit_input in = {.arch = JIT_AARCH64, .insns = t.insn, .n = t.n, .facts = &facts, .maps = t.map,
			       .nmaps = t.nmaps, .has_rdpid = has_rdpid};

	return jit_compile(&in, &t.img);
}

static void expect(const char *name, const u32 *want, u32 n)
{
	u32 got[64] = {0}, size;

	if (!tap_eq(compile(true), 0, "%s: compiles", name))
		return;
	size = t.img.size - t.img.entry;
	memcpy(got, t.img.code + t.img.entry, bits_min(size, (u32)sizeof(got)));
	if (!tap_ok(size == 4 * n && !memcmp(got, want, size), "%s: code", name))
		for (u32 k = 0; k < bits_max(n, size / 4) && k < 64; k++)
			printf("# %08x want %08x\n", k < size / 4 ? got[k] : 0, k < n ? want[k] : 0);
}

#define LOAD(...)                                                                                  \
	do {                                                                                       \
		const struct bpf_insn x[] = {__VA_ARGS__};                                         \
		jt_init(&t, x, bits_count(x));                                                     \
	} while (0)

static void array_counter(void)
{
	const u32 want[] = {
		0x58ffff87, /* ldr x7, table[0] */
		0xf94000ea, /* ldr x10, [x7] */
		0x9100054b, /* add x11, x10, #1 */
		0xf90000eb, /* str x11, [x7] */
		0xd2800007, /* mov x7, #0 */
		0xaa0703e0, /* mov x0, x7 */
		0xd65f03c0, /* ret */
	};

	LOAD(ST(BPF_W, 10, -4, 0), MOV64(2, 10), ALU64I(BPF_ADD, 2, -4), LD_MAP(1, 0), CALL(1),
	     JMPI(BPF_JEQ, 0, 0, 3), LDX(BPF_DW, 1, 0, 0), ALU64I(BPF_ADD, 1, 1),
	     STX(BPF_DW, 0, 0, 1), MOV64I(0, 0), EXIT());
	jt_map(&t, BPF_MAP_TYPE_ARRAY, 8, 1, 1);
	jt_fact_lookup(&t, 5, 0, 0);
	t.fact[7].mem = t.fact[9].mem = VMEM_MAP;
	expect("array counter", want, bits_count(want));
	tap_eq(t.img.clobbers, 1u << 0 | 1u << 7 | 1u << 10 | 1u << 11, "array counter: what it changes");
	tap_eq(t.img.stack, 0, "array counter: needs no stack");
	tap_ok(!t.img.calls && !t.img.inlinable && t.img.ngot == 1, "array counter: one table entry, no call");
	jt_deinit(&t);
}

static void percpu_counter(void)
{
	LOAD(MOV64I(0, 0), STX(BPF_W, 10, -4, 0), MOV64(2, 10), ALU64I(BPF_ADD, 2, -4), LD_MAP(1, 0), CALL(1), EXIT());
	jt_map(&t, BPF_MAP_TYPE_PERCPU_ARRAY, 8, 8, 4);
	jt_fact_lookup(&t, 6, 0, -1);
	tap_eq(compile(true), 0, "per-CPU look-up: compiles");
	tap_ok(t.img.calls, "per-CPU look-up: the helper knows the CPU, whatever the broker's has");
	jt_deinit(&t);
}

static void frame(void)
{
	const u32 want[] = {
		0xa9be7bfd, /* stp x29, x30, [sp, #-32]! */
		0xa9017ff3, /* stp x19, xzr, [sp, #16] */
		0x910003fd, /* mov x29, sp */
		0xd10043ff, /* sub sp, sp, #16 */
		0xaa0003f3, /* mov x19, x0 */
		0xf90007ff, /* str xzr, [sp, #8]         R10 - 8 */
		0x910023e0, /* add x0, sp, #8            R1 = R10 - 8 */
		0x58fffeb0, /* ldr x16, table[0] */
		0xd63f0200, /* blr x16 */
		0xaa0003e7, /* mov x7, x0 */
		0x8b1300e7, /* add x7, x7, x19 */
		0xaa0703e0, /* mov x0, x7 */
		0x910043ff, /* add sp, sp, #16 */
		0xa9417ff3, /* ldp x19, xzr, [sp, #16] */
		0xa8c27bfd, /* ldp x29, x30, [sp], #32 */
		0xd65f03c0, /* ret */
	};

	LOAD(MOV64(6, 1), ST(BPF_DW, 10, -8, 0), MOV64(1, 10), ALU64I(BPF_ADD, 1, -8), CALL(5), ALU64(BPF_ADD, 0, 6), EXIT());
	expect("a frame and a call", want, bits_count(want));
	tap_eq(t.img.stack, 48, "a frame and a call: stack");
	tap_ok(t.img.calls && t.img.clobbers == 0x3ffff, "a frame and a call: changes what a call may");
	jt_deinit(&t);
}

static void atomic(void)
{
	const u32 want[] = {
		0xd10043ff, /* sub sp, sp, #16 */
		0xf90007ff, /* str xzr, [sp, #8] */
		0xd28000a0, /* mov x0, #5 */
		0x910023e9, /* add x9, sp, #8 */
		0xc85f7d2a, /* again: ldxr x10, [x9] */
		0x8b00014b, /* add x11, x10, x0 */
		0xc80cfd2b, /* stlxr w12, x11, [x9] */
		0x35ffffac, /* cbnz w12, again */
		0xd5033bbf, /* dmb ish */
		0xaa0a03e0, /* mov x0, x10 */
		0xaa0003e7, /* mov x7, x0 */
		0xaa0703e0, /* mov x0, x7 */
		0x910043ff, /* add sp, sp, #16 */
		0xd65f03c0, /* ret */
	};

	LOAD(ST(BPF_DW, 10, -8, 0), MOV64I(1, 5), ATOMIC(BPF_DW, BPF_ADD | BPF_FETCH, 10, -8, 1), MOV64(0, 1), EXIT());
	expect("fetch and add", want, bits_count(want));
	jt_deinit(&t);
}

static void branches(void)
{
	const u32 want[] = {
		0xf9400007, /* ldr x7, [x0] */
		0xb4000087, /* cbz x7, end */
		0xf10014ff, /* cmp x7, #5 */
		0x54000048, /* b.hi end */
		0xd2800007, /* mov x7, #0 */
		0xaa0703e0, /* end: mov x0, x7 */
		0xd65f03c0, /* ret */
	};

	LOAD(LDX(BPF_DW, 0, 1, 0), JMPI(BPF_JEQ, 0, 0, 3), JMPI(BPF_JGT, 0, 5, 2), MOV64I(0, 0), JA(0), EXIT());
	expect("short branches", want, bits_count(want));
	jt_deinit(&t);
}

int main(void)
{
	array_counter();
	percpu_counter();
	frame();
	atomic();
	branches();
	return tap_done();
}
