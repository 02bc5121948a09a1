/* SPDX-License-Identifier: MIT */
/*
 * Every instruction with every pair of registers and operands at which machines differ, against the
 * interpreter; and the corner cases against numbers, so that compiler and interpreter cannot be
 * wrong in the same way.
 */
#include "harness.h"

#include <errno.h>

#include "base/bits.h"
#include "tap.h"

static struct jt t;
static u32 thin = 1, turn; /* an emulator runs every n-th pair of numbers, others for each program */
static const u64 odd[] = {0,
			  1,
			  2,
			  3,
			  31,
			  32,
			  63,
			  64,
			  0x80,
			  0x7fff,
			  0x8080,
			  0x7fffffff,
			  0x80000000,
			  0xffffffff,
			  0x100000000,
			  0x123456789abcdef0,
			  0x7fffffffffffffff,
			  0x8000000000000000,
			  0xffffffff80000000,
			  0xffffffffffffffff};

/* All registers from ctx, the instruction, all registers mixed into R0. */
static void wrap(struct bpf_insn x)
{
	struct bpf_insn p[64];
	u32 n = 0;

	p[n++] = STX(BPF_DW, 10, -16, 1); /* the slot memory instructions use */
	p[n++] = LDX(BPF_DW, 0, 1, 16);
	p[n++] = STX(BPF_DW, 10, -8, 0);
	for (u32 r = 0; r < 10; r++)
		if (r != 1)
			p[n++] = LDX(BPF_DW, r, 1, (s16)(8 * r));
	p[n++] = LDX(BPF_DW, 1, 1, 8);
	p[n++] = x;
	for (u32 r = 1; r < 10; r++) {
		p[n++] = ALU64I(BPF_MUL, 0, 31);
		p[n++] = ALU64(BPF_XOR, 0, r);
	}
	p[n++] = LDX(BPF_DW, 1, 10, -8);
	p[n++] = ALU64I(BPF_MUL, 0, 31);
	p[n++] = ALU64(BPF_XOR, 0, 1);
	p[n++] = EXIT();
	jt_init(&t, p, n);
}

static bool agrees(u32 dst, u32 src)
{
	bool ok = true;

	if (jt_compile(&t))
		return false;
	for (u32 i = 0; i < 10; i++)
		t.ctx[JT_RUN + i] = 0x0102030405060708ull * (i + 1);
	for (u32 a = 0; ok && a < bits_count(odd); a++)
		for (u32 b = 0; ok && b < bits_count(odd); b++) {
			u64 jit, interp;
			u32 bad;

			if (turn++ % thin)
				continue;
			t.ctx[JT_RUN + src] = odd[b];
			t.ctx[JT_RUN + dst] = odd[a];
			jit = jt_run(&t, &bad);
			ok = !jt_interp(&t, &interp) && jit == interp && !bad;
			if (!ok)
				printf("# r%u = %#llx, r%u = %#llx: %#llx, want %#llx; lost %#x\n",
				       dst, (unsigned long long)odd[a], src,
				       (unsigned long long)odd[b], (unsigned long long)jit,
				       (unsigned long long)interp, bad);
		}
	jt_deinit(&t);
	return ok;
}

/* The instruction's register form with all pairs of registers; some pairs of registers for the
 * immediate form. */
static bool all_registers(struct bpf_insn x)
{
	for (u32 d = 0; d < 10; d++)
		for (u32 s = 0; s < 10; s++) {
			x.dst_reg = d & 15;
			x.src_reg = s & 15;
			wrap(x);
			if (!agrees(d, s))
				return false;
		}
	return true;
}

static bool all_immediates(struct bpf_insn x, bool shift, bool divide)
{
	u8 op = BPF_OP(x.code);

	for (u32 d = 0; d < 10; d++)
		for (u32 i = 0; i < bits_count(odd); i++) {
			x.dst_reg = d & 15;
			x.imm = (s32)odd[i];
			if (shift)
				x.imm &= BPF_CLASS(x.code) == BPF_ALU64 ? 63 : 31;
			if (divide && !x.imm)
				continue;
			if (op == BPF_NEG)
				x.imm = 0;
			wrap(x);
			if (!agrees(d, (d + 1) % 10))
				return false;
		}
	return true;
}

static void alu(void)
{
	static const char *const name[] = {"add", "sub", "mul", "div", "or",  "and", "lsh",
					   "rsh", "neg", "mod", "xor", "mov", "arsh"};

	for (u32 w64 = 0; w64 < 2; w64++)
		for (u32 k = 0; k < bits_count(name); k++) {
			u8 op = (u8)(k << 4), class = w64 ? BPF_ALU64 : BPF_ALU;
			bool div = op == BPF_DIV || op == BPF_MOD;

			for (s16 off = 0; off <= (div ? 1 : 0); off++) {
				const char *sign = off ? "s" : "", *bits = w64 ? "64" : "32";

				if (op != BPF_NEG)
					tap_ok(all_registers(I(class | op | BPF_X, 0, 0, off, 0)),
					       "%s%s%s reg", sign, name[k], bits);
				tap_ok(all_immediates(
					   I(class | op | BPF_K, 0, 0, off, 0),
					   op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH, div),
				       "%s%s%s imm", sign, name[k], bits);
			}
		}
}

static void extend(void)
{
	for (s16 bits = 8; bits <= 32; bits *= 2) {
		tap_ok(all_registers(I(BPF_ALU64 | BPF_MOV | BPF_X, 0, 0, bits, 0)), "movsx64 %d",
		       bits);
		if (bits < 32)
			tap_ok(all_registers(I(BPF_ALU | BPF_MOV | BPF_X, 0, 0, bits, 0)),
			       "movsx32 %d", bits);
	}
	for (s32 bits = 16; bits <= 64; bits *= 2) {
		bool ok[3] = {true, true, true};
		static const u8 code[] = {BPF_ALU | BPF_END | BPF_K, BPF_ALU | BPF_END | BPF_X,
					  BPF_ALU64 | BPF_END};

		for (u32 k = 0; k < 3; k++)
			for (u32 d = 0; d < 10; d++) {
				wrap(I(code[k], d, 0, 0, bits));
				ok[k] &= agrees(d, (d + 1) % 10);
			}
		tap_ok(ok[0] && ok[1] && ok[2], "le, be, bswap %d", bits);
	}
}

static void jumps(void)
{
	static const char *const name[] = {"ja",   "jeq", "jgt", "jge", "jset", "jne",	"jsgt",
					   "jsge", 0,	  0,	 "jlt", "jle",	"jslt", "jsle"};

	for (u32 w64 = 0; w64 < 2; w64++)
		for (u32 k = 1; k < bits_count(name); k++) {
			u8 class = w64 ? BPF_JMP : BPF_JMP32, op = (u8)(k << 4);

			if (!name[k])
				continue;
			/* Jumps over one instruction of the mixing, so that it is seen. */
			tap_ok(all_registers(I(class | op | BPF_X, 0, 0, 1, 0)), "%s%s reg",
			       name[k], w64 ? "" : "32");
			tap_ok(all_immediates(I(class | op | BPF_K, 0, 0, 1, 0), false, false),
			       "%s%s imm", name[k], w64 ? "" : "32");
		}
}

static void memory(void)
{
	static const u8 size[] = {BPF_B, BPF_H, BPF_W, BPF_DW};
	static const s32 op[] = {BPF_ADD,
				 BPF_OR,
				 BPF_AND,
				 BPF_XOR,
				 BPF_ADD | BPF_FETCH,
				 BPF_OR | BPF_FETCH,
				 BPF_AND | BPF_FETCH,
				 BPF_XOR | BPF_FETCH,
				 BPF_XCHG,
				 BPF_CMPXCHG,
				 0x110};

	for (u32 k = 0; k < 4; k++) {
		bool ld = true, st = true, sti = true, sx = true, acq = true;

		for (u32 r = 0; r < 10; r++) {
			wrap(LDX(size[k], r, 10, -8));
			ld &= agrees(r, 2);
			if (k < 3) {
				wrap(LDSX(size[k], r, 10, -8));
				sx &= agrees(r, 2);
			}
			wrap(STX(size[k], 10, -8, r));
			st &= agrees(r, 2);
			wrap(ATOMIC(size[k], 0x100, r, -8, 10));
			acq &= agrees(r, 2);
			wrap(ST(size[k], 10, -8, odd[r + 6]));
			sti &= agrees(r, 2);
		}
		tap_ok(ld && st && sti && sx && acq,
		       "load, store, sign-extending load, load-acquire of size %u", 1 << k);
	}
	for (u32 w64 = 0; w64 < 2; w64++)
		for (u32 k = 0; k < bits_count(op); k++) {
			bool ok = true;

			for (u32 r = 0; r < 10; r++) {
				wrap(ATOMIC(w64 ? BPF_DW : BPF_W, op[k], 10, -8, r));
				ok &= agrees(r, 2) &&
				      (wrap(ATOMIC(w64 ? BPF_DW : BPF_W, op[k], 10, -8, r)),
				       agrees(0, 2));
			}
			tap_ok(ok, "atomic %#x of size %u", op[k], w64 ? 8 : 4);
		}
}

/* The address of an atomic in each register, R0 among them. */
static void atomic_address(void)
{
	static const s32 op[] = {BPF_ADD, BPF_ADD | BPF_FETCH, BPF_OR | BPF_FETCH,
				 BPF_XOR | BPF_FETCH, BPF_XCHG};
	bool ok = true;

	for (u32 k = 0; k < bits_count(op); k++)
		for (u32 a = 0; a < 10; a++)
			for (u32 s = 0; s < 10; s++) {
				const struct bpf_insn x[] = {ST(BPF_DW, 10, -8, 0x1234567),
							     MOV64I(0, 77),
							     MOV64I(s, 0x5555),
							     MOV64(a, 10),
							     ATOMIC(BPF_DW, op[k], a, -8, s),
							     MOV64I(a, a == s ? 0x99 : 3),
							     LDX(BPF_DW, 1, 10, -8),
							     ALU64I(BPF_MUL, 1, 3),
							     ALU64(BPF_XOR, 1, s),
							     ALU64(BPF_XOR, 0, 1),
							     EXIT()};
				u64 jit, interp;
				u32 bad;

				if (a == s || a == 1 || s == 1)
					continue;
				jt_init(&t, x, bits_count(x));
				ok &= !jt_compile(&t);
				jit = jt_run(&t, &bad);
				ok &= !jt_interp(&t, &interp) && jit == interp && !bad;
				jt_deinit(&t);
			}
	tap_ok(ok, "atomics through every register");
}

static void corner(const char *name, struct bpf_insn x, u64 dst, u64 src, u64 want)
{
	const struct bpf_insn p[] = {LDX(BPF_DW, 0, 1, 0), LDX(BPF_DW, 3, 1, 8), x, EXIT()};
	u64 interp = 0;
	u32 bad;

	jt_init(&t, p, bits_count(p));
	t.ctx[JT_RUN] = dst;
	t.ctx[JT_RUN + 1] = src;
	if (!tap_eq(jt_compile(&t), 0, "%s: compiles", name))
		return;
	tap_eq(jt_run(&t, &bad), want, "%s: compiled", name);
	tap_ok(!jt_interp(&t, &interp) && interp == want, "%s: interpreted", name);
	jt_deinit(&t);
}

static void corners(void)
{
	const u64 min64 = 1ull << 63, min32 = 1u << 31;

	corner("x / 0", ALU64(BPF_DIV, 0, 3), 7, 0, 0);
	corner("x % 0", ALU64(BPF_MOD, 0, 3), 0xf00000007, 0, 0xf00000007);
	corner("w % 0", ALU32(BPF_MOD, 0, 3), 0xf00000007, 0, 7);
	corner("w / 0, upper half not 0", ALU32(BPF_DIV, 0, 3), 7, 1ull << 32, 0);
	corner("min / -1", I(BPF_ALU64 | BPF_DIV | BPF_X, 0, 3, 1, 0), min64, ~0ull, min64);
	corner("min % -1", I(BPF_ALU64 | BPF_MOD | BPF_X, 0, 3, 1, 0), min64, ~0ull, 0);
	corner("min32 / -1", I(BPF_ALU | BPF_DIV | BPF_X, 0, 3, 1, 0), min32, ~0ull, min32);
	corner("min32 / -1 imm", I(BPF_ALU | BPF_DIV | BPF_K, 0, 0, 1, -1), min32, 0, min32);
	corner("-7 / 2", I(BPF_ALU64 | BPF_DIV | BPF_K, 0, 0, 1, 2), (u64)-7, 0, (u64)-3);
	corner("-7 % 2", I(BPF_ALU64 | BPF_MOD | BPF_K, 0, 0, 1, 2), (u64)-7, 0, (u64)-1);
	corner("unsigned / negative imm", ALU64I(BPF_DIV, 0, -1), ~0ull, 0, 1);
	corner("x % 2^30", ALU32I(BPF_MOD, 0, 1 << 30), 0xffffffff, 0, 0x3fffffff);
	corner("x % 2^31", ALU32I(BPF_MOD, 0, 1u << 31), 0xffffffff, 0, 0x7fffffff);
	corner("x / 2^31", ALU32I(BPF_DIV, 0, 1u << 31), 0xffffffff, 0, 1);
	corner("shift by 65", ALU64(BPF_LSH, 0, 3), 1, 65, 2);
	corner("shift32 by 33", ALU32(BPF_LSH, 0, 3), 1, 33, 2);
	corner("arsh32", ALU32I(BPF_ARSH, 0, 4), 0xffffffff80000000, 0, 0xf8000000);
	corner("mov32 imm", ALU32I(BPF_MOV, 0, -1), 0, 0, 0xffffffff);
	corner("mov64 imm", MOV64I(0, -1), 0, 0, ~0ull);
	corner("add32 wraps", ALU32I(BPF_ADD, 0, 1), ~0ull, 0, 0);
	corner("movsx8", I(BPF_ALU64 | BPF_MOV | BPF_X, 0, 3, 8, 0), 0, 0x80, (u64)-128);
	corner("movsx8 to 32", I(BPF_ALU | BPF_MOV | BPF_X, 0, 3, 8, 0), 0, 0x80, 0xffffff80);
	corner("be16", I(BPF_ALU | BPF_END | BPF_X, 0, 0, 0, 16), 0xaabb1122, 0, 0x2211);
	corner("le32", I(BPF_ALU | BPF_END | BPF_K, 0, 0, 0, 32), 0x1aabb1122, 0, 0xaabb1122);
	corner("bswap64", I(BPF_ALU64 | BPF_END, 0, 0, 0, 64), 0x0102030405060708, 0,
	       0x0807060504030201);
	corner("and imm is sign-extended", ALU64I(BPF_AND, 0, -16), ~0ull, 0, ~15ull);
}

/* A loop and a jump over the same body, of every length in bytes around those where short branches
 * end. */
static void distances(void)
{
	bool ok = true;

	for (u32 len = 90; len < 160; len++) {
		struct bpf_insn p[200];
		u32 n = 0, start;
		u64 r0;

		p[n++] = MOV64I(0, 0);
		p[n++] = LDX(BPF_DW, 2, 1, 0);
		p[n++] = MOV64I(3, 3);
		start = n;
		p[n++] = JMPI(BPF_JEQ, 2, 1, 0);
		for (
		    u32 left = len;
		    left;) { /* add rax, r: 3 bytes; add eax, imm8: 3; add rax, imm8: 4; add eax, imm32: 6 */
			bool four = left % 3 && left >= 4;

			p[n++] = four ? ALU64I(BPF_ADD, 0, 5) : ALU64(BPF_ADD, 0, 3);
			left -= four ? 4 : left < 3 ? left : 3;
		}
		p[start].off = (s16)(n - start - 1);
		p[n++] = ALU64I(BPF_SUB, 3, 1);
		p[n++] = JMPI(BPF_JNE, 3, 0, 0);
		p[n - 1].off = (s16)(start - n);
		p[n++] = EXIT();
		jt_init(&t, p, n);
		for (u64 v = 0; ok && v < 2; v++) {
			t.ctx[JT_RUN] = v;
			ok = !jt_compile(&t) && jt_agree(&t, &r0);
			jt_deinit(&t);
		}
	}
	tap_ok(ok, "branches around the reach of short ones");
}

/* Argument: leave out all but the n-th. */
int main(int argc, char **argv)
{
	if (argc > 1)
		thin = (u32)atoi(argv[1]);
	distances();
	corners();
	alu();
	extend();
	jumps();
	memory();
	atomic_address();
	return tap_done();
}
