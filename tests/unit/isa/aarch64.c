/* SPDX-License-Identifier: MIT */
/*
 * Every AArch64 instruction the writer can write, with many registers and operands, against an assembler's opinion
 * of the same text (llvm-mc). A few known words and what must be refused are checked without one.
 */
#include <errno.h>
#include <unistd.h>

#include "base/bits.h"
#include "isa/aarch64/writer.h"
#include "tap.h"

enum { MAX_LINES = 60000, TARGET = 0x4000 };

static u32 code[2];
static struct a64_writer w;
static struct {
	u32 word;
	char text[44];
} line[MAX_LINES];
static u32 nlines;

static const char *name(bool w64, u32 r, bool sp)
{
	static char buf[8][8];
	static u32 turn;
	char *s = buf[turn++ % 8];

	if (r == 31)
		snprintf(s, 8, "%s", sp ? (w64 ? "sp" : "wsp") : w64 ? "xzr" : "wzr");
	else
		snprintf(s, 8, "%c%u", w64 ? 'x' : 'w', r);
	return s;
}

static const char *r(bool w64, u32 n)
{
	return name(w64, n, false);
}

static const char *rsp(bool w64, u32 n)
{
	return name(w64, n, true);
}

/* The instruction that was just written; then starts anew. */
__attribute__((format(printf, 1, 2))) static void is(const char *fmt, ...)
{
	va_list ap;

	if (nlines == MAX_LINES || w.error || w.len != 4) {
		tap_ok(false, "one instruction, no error: %s (%d, %u bytes)", fmt, w.error, w.len);
		a64_init(&w, code, sizeof(code), TARGET);
		return;
	}
	line[nlines].word = code[0];
	va_start(ap, fmt);
	vsnprintf(line[nlines++].text, sizeof(line[0].text), fmt, ap);
	va_end(ap);
	a64_init(&w, code, sizeof(code), TARGET);
}

static u32 some_reg(u32 k)
{
	static const u32 pick[] = {0, 1, 7, 16, 19, 29, 30, 31};

	return pick[k % bits_count(pick)];
}

static void registers(bool w64, u32 d, u32 n, u32 m)
{
	static const char *const arith[] = {"add", "adds", "sub", "subs"}, *const logic[] = {"and", "orr", "eor", "ands"};
	static const struct {
		enum a64_two op;
		const char *name;
	} two[] = {{A64_UDIV, "udiv"}, {A64_SDIV, "sdiv"}, {A64_LSL, "lsl"}, {A64_LSR, "lsr"}, {A64_ASR, "asr"}, {A64_ROR, "ror"}};
	const char *const rd = r(w64, d), *const rn = r(w64, n), *const rm = r(w64, m);

	for (u32 k = 0; k < 4; k++) {
		a64_arith(&w, k, w64, d, n, m);
		is("%s %s, %s, %s", arith[k], rd, rn, rm);
		a64_logic(&w, k, w64, d, n, m);
		is("%s %s, %s, %s", logic[k], rd, rn, rm);
	}
	for (u32 k = 0; k < bits_count(two); k++) {
		a64_two(&w, two[k].op, w64, d, n, m);
		is("%s %s, %s, %s", two[k].name, rd, rn, rm);
	}
	a64_madd(&w, w64, d, n, m, n);
	is("madd %s, %s, %s, %s", rd, rn, rm, rn);
	a64_msub(&w, w64, d, n, m, d);
	is("msub %s, %s, %s, %s", rd, rn, rm, rd);
}

static void one_register(bool w64, u32 d, u32 n)
{
	static const char *const sx[] = {"sxtb", "sxth", "sxtw"};

	a64_mov(&w, w64, d, n);
	is("orr %s, %s, %s", r(w64, d), r(w64, 31), r(w64, n));
	for (u32 k = 0; k < (w64 ? 3 : 2); k++) {
		a64_sxt(&w, w64, 1u << k, d, n);
		is("%s %s, %s", sx[k], r(w64, d), r(false, n));
	}
	for (u32 s = 0; s < (w64 ? 64 : 32); s += s < 3 ? 1 : 7) {
		a64_ror_imm(&w, w64, d, n, s);
		is("ror %s, %s, #%u", r(w64, d), r(w64, n), s);
		a64_shift_imm(&w, A64_LSL, w64, d, n, s);
		is("lsl %s, %s, #%u", r(w64, d), r(w64, n), s);
		a64_shift_imm(&w, A64_LSR, w64, d, n, s);
		is("lsr %s, %s, #%u", r(w64, d), r(w64, n), s);
		a64_shift_imm(&w, A64_ASR, w64, d, n, s);
		is("asr %s, %s, #%u", r(w64, d), r(w64, n), s);
	}
	if (w64) {
		a64_rev(&w, 8, d, n);
		is("rev %s, %s", r(true, d), r(true, n));
		a64_add_sxtw(&w, d, n, some_reg(d));
		is("add %s, %s, %s, sxtw", rsp(true, d), rsp(true, n), r(false, some_reg(d)));
		a64_add_sp(&w, d, n, some_reg(d));
		is("add %s, %s, %s, uxtx", rsp(true, d), rsp(true, n), r(true, some_reg(d)));
		return;
	}
	a64_rev(&w, 2, d, n);
	is("rev16 %s, %s", r(false, d), r(false, n));
	a64_rev(&w, 4, d, n);
	is("rev %s, %s", r(false, d), r(false, n));
	a64_uxt(&w, 1, d, n);
	is("uxtb %s, %s", r(false, d), r(false, n));
	a64_uxt(&w, 2, d, n);
	is("uxth %s, %s", r(false, d), r(false, n));
}

static void numbers(bool w64, u32 d, u32 n)
{
	static const u64 imm[] = {0, 1, 0x7ff, 0xfff, 0x1000, 0xfff000, 0xabc000};

	for (u32 k = 0; k < bits_count(imm); k++) {
		a64_arith_imm(&w, A64_ADD, w64, d, n, imm[k]);
		is("add %s, %s, #%#llx", rsp(w64, d), rsp(w64, n), (unsigned long long)imm[k]);
		a64_arith_imm(&w, A64_SUB, w64, d, n, imm[k]);
		is("sub %s, %s, #%#llx", rsp(w64, d), rsp(w64, n), (unsigned long long)imm[k]);
		a64_arith_imm(&w, A64_ADDS, w64, d, n, imm[k]);
		is("adds %s, %s, #%#llx", r(w64, d), rsp(w64, n), (unsigned long long)imm[k]);
		a64_arith_imm(&w, A64_SUBS, w64, d, n, imm[k]);
		is("subs %s, %s, #%#llx", r(w64, d), rsp(w64, n), (unsigned long long)imm[k]);
	}
}

/* All 5334 + 1302 numbers that have an encoding. */
static void bit_masks(void)
{
	u32 found = 0;

	for (u32 size = 2; size <= 64; size *= 2)
		for (u32 len = 1; len < size; len++)
			for (u32 rot = 0; rot < size; rot++) {
				u64 e = (1ull << len) - 1, v = 0;

				e = rot ? (e << rot | e >> (size - rot)) & (size == 64 ? ~0ull : (1ull << size) - 1) : e;
				for (u32 at = 0; at < 64; at += size)
					v |= e << at;
				if (!a64_logic_fits(true, v))
					continue;
				found++;
				a64_logic_imm(&w, A64_ORR, true, 3, 4, v);
				is("orr x3, x4, #%#llx", (unsigned long long)v);
				if (size == 64)
					continue;
				a64_logic_imm(&w, A64_ANDS, false, 3, 4, (u32)v);
				is("ands w3, w4, #%#x", (u32)v);
			}
	tap_eq(found, 5334, "numbers for and, or, xor: all there are");
	tap_ok(!a64_logic_fits(true, 0) && !a64_logic_fits(true, ~0ull) && !a64_logic_fits(false, ~0u) &&
		       !a64_logic_fits(true, 5) && !a64_logic_fits(true, 0xf0f) && !a64_logic_fits(true, 0xf00000000000000d),
	       "and no others");
	tap_ok(a64_logic_fits(false, 0xff0000ff) && a64_logic_fits(false, ~0ull << 8), "of 32 bits, the others do not count");
}

static void memory(u32 t, u32 n)
{
	static const char *const ld[] = {"ldrb", "ldrh", "ldr", "ldr"}, *const st[] = {"strb", "strh", "str", "str"},
			  *const sx[] = {"ldrsb", "ldrsh", "ldrsw"}, *const uld[] = {"ldurb", "ldurh", "ldur", "ldur"},
			  *const ust[] = {"sturb", "sturh", "stur", "stur"}, *const usx[] = {"ldursb", "ldursh", "ldursw"},
			  *const sfx[] = {"b", "h", "", ""};

	for (u32 k = 0; k < 4; k++) {
		const u32 size = 1u << k;
		const s32 off[] = {0, 1, 8, 255, -1, -256, (s32)size * 4095};

		for (u32 o = 0; o < bits_count(off); o++) {
			bool near = off[o] < 0 || off[o] % (s32)size;

			a64_load(&w, size, t, n, off[o]);
			is("%s %s, [%s, #%d]", near ? uld[k] : ld[k], r(k == 3, t), rsp(true, n), off[o]);
			a64_store(&w, size, t, n, off[o]);
			is("%s %s, [%s, #%d]", near ? ust[k] : st[k], r(k == 3, t), rsp(true, n), off[o]);
			if (k < 3) {
				a64_load_sx(&w, size, t, n, off[o]);
				is("%s %s, [%s, #%d]", near ? usx[k] : sx[k], r(true, t), rsp(true, n), off[o]);
			}
		}
		a64_load_reg(&w, size, t, n, t);
		is("%s %s, [%s, %s]", ld[k], r(k == 3, t), rsp(true, n), r(true, t));
		a64_store_reg(&w, size, t, n, t);
		is("%s %s, [%s, %s]", st[k], r(k == 3, t), rsp(true, n), r(true, t));
		if (k < 3) {
			a64_load_sx_reg(&w, size, t, n, t);
			is("%s %s, [%s, %s]", sx[k], r(true, t), rsp(true, n), r(true, t));
		}
		for (u32 order = 0; order < 2; order++) {
			u32 s = (t + 1) % 31 == n ? (t + 2) % 31 : (t + 1) % 31; /* must differ from both */

			a64_ldxr(&w, size, order, t, n);
			is("ld%sxr%s %s, [%s]", order ? "a" : "", sfx[k], r(k == 3, t), rsp(true, n));
			a64_stxr(&w, size, order, s, t, n);
			is("st%sxr%s %s, %s, [%s]", order ? "l" : "", sfx[k], r(false, s), r(k == 3, t), rsp(true, n));
		}
		a64_ldar(&w, size, t, n);
		is("ldar%s %s, [%s]", sfx[k], r(k == 3, t), rsp(true, n));
		a64_stlr(&w, size, t, n);
		is("stlr%s %s, [%s]", sfx[k], r(k == 3, t), rsp(true, n));
	}
}

static void pairs(void)
{
	for (s32 off = -512; off <= 504; off += 8)
		for (u32 k = 0; k < 3; k++) {
			u32 a = 19 + 2 * k, b = k ? a + 1 : 31;

			a64_stp(&w, a, b, A64_SP, off);
			is("stp %s, %s, [sp, #%d]", r(true, a), r(true, b), off);
			a64_ldp(&w, a, b, A64_SP, off);
			is("ldp %s, %s, [sp, #%d]", r(true, a), r(true, b), off);
			a64_stp_pre(&w, a, b, A64_SP, off);
			is("stp %s, %s, [sp, #%d]!", r(true, a), r(true, b), off);
			a64_ldp_post(&w, a, b, A64_SP, off);
			is("ldp %s, %s, [sp], #%d", r(true, a), r(true, b), off);
		}
}

static void branches(void)
{
	static const char *const cc[] = {"eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le"};
	static const s32 far[] = {0, 4, -4, 1024, 1048572, -1048576}, further[] = {134217724, -134217728};

	for (u32 k = 0; k < bits_count(far); k++) {
		s32 d = far[k];
		u64 to = (u64)(TARGET + (s64)d);

		for (u32 c = 0; c < bits_count(cc); c++) {
			a64_bcc(&w, c, to);
			is("b.%s #%d", cc[c], d);
		}
		for (u32 x = 0; x < 2; x++) {
			a64_cbz(&w, x, 9, to);
			is("cbz %s, #%d", r(x, 9), d);
			a64_cbnz(&w, x, 30, to);
			is("cbnz %s, #%d", r(x, 30), d);
		}
		a64_b(&w, to);
		is("b #%d", d);
		a64_bl(&w, to);
		is("bl #%d", d);
		a64_load_lit(&w, 12, to);
		is("ldr x12, #%d", d);
		a64_adr(&w, 13, to + 3);
		is("adr x13, #%d", d + 3);
	}
	for (u32 k = 0; k < bits_count(further); k++) {
		a64_b(&w, (u64)(TARGET + (s64)further[k]));
		is("b #%d", further[k]);
		a64_bl(&w, (u64)(TARGET + (s64)further[k]));
		is("bl #%d", further[k]);
	}
	a64_br(&w, 16), is("br x16");
	a64_blr(&w, 30), is("blr x30");
	a64_ret(&w), is("ret");
	a64_dmb_ish(&w), is("dmb ish");
}

/* Runs the assembler over all lines; compares. */
static void assemble(void)
{
	char dir[] = "/tmp/nt-a64-XXXXXX", in[64], cmd[256], got[512];
	u32 k = 0, wrong = 0;
	FILE *f;

	if (system("llvm-mc --version >/dev/null 2>&1")) {
		tap_skip("llvm-mc is not installed (package llvm)", "%u instructions are what an assembler makes of them", nlines);
		return;
	}
	if (!mkdtemp(dir))
		abort();
	snprintf(in, sizeof(in), "%s/in.s", dir);
	f = fopen(in, "w");
	for (u32 i = 0; f && i < nlines; i++)
		fprintf(f, "%s\n", line[i].text);
	if (f)
		fclose(f);
	snprintf(cmd, sizeof(cmd), "llvm-mc --assemble --triple=aarch64 --show-encoding %s 2>%s/err", in, dir);
	f = popen(cmd, "r");
	while (f && fgets(got, sizeof(got), f)) {
		const char *at = strstr(got, "encoding: [");
		u32 b[4];

		if (!at || sscanf(at, "encoding: [0x%x,0x%x,0x%x,0x%x]", b, b + 1, b + 2, b + 3) != 4)
			continue;
		if (k < nlines && line[k].word != (b[0] | b[1] << 8 | b[2] << 16 | b[3] << 24) && wrong++ < 10)
			printf("# %s: wrote %08x, assembler says %02x%02x%02x%02x\n", line[k].text, line[k].word, b[3], b[2], b[1], b[0]);
		k++;
	}
	if (f)
		pclose(f);
	snprintf(cmd, sizeof(cmd), "head -3 %s/err | sed 's/^/# /'; rm -r %s", dir, dir);
	if (system(cmd))
		printf("# cannot clean up %s\n", dir);
	tap_eq(k, nlines, "the assembler knows all instructions");
	tap_eq(wrong, 0, "%u instructions are what an assembler makes of them", nlines);
}

static u64 mov_runs(u64 v, u32 *ret_n)
{
	u32 buf[8];
	u64 got = 0;

	a64_init(&w, buf, sizeof(buf), 0);
	a64_mov_imm(&w, 5, v);
	for (u32 k = 0; k < w.len / 4; k++) {
		u32 hw = buf[k] >> 21 & 3, imm = buf[k] >> 5 & 0xffff;

		switch (buf[k] >> 23) {
		case 0x1a5: got = (u64)imm << (16 * hw); break;
		case 0x125: got = ~((u64)imm << (16 * hw)); break;
		case 0x1e5: got = (got & ~(0xffffull << (16 * hw))) | (u64)imm << (16 * hw); break;
		default: got = v; /* orr: the assembler knows */
		}
	}
	*ret_n = w.len / 4;
	return got;
}

static void constants(void)
{
	static const struct {
		u64 v;
		u32 n;
	} want[] = {{0, 1}, {1, 1}, {0xffff, 1}, {0x10000, 1}, {0x12345, 2}, {~0ull, 1}, {~0ull - 5, 1}, {0xffffffff, 1},
		    {0xfffffffe, 1}, {0x80000000, 1}, {0xffffffff80000000, 1}, {0x123456789abcdef0, 4}, {0xffff12345678ffff, 2},
		    {0x1234ffffffff, 2}, {0x00ff00ff00ff00ff, 1}, {0xffffffff12345678, 2}};
	u64 v = 88172645463325252ull;
	bool ok = true;
	u32 n;

	for (u32 k = 0; k < bits_count(want); k++) {
		u64 got = mov_runs(want[k].v, &n);

		tap_ok(got == want[k].v && n == want[k].n, "%#llx takes %u: %#llx, %u", (unsigned long long)want[k].v, want[k].n,
		       (unsigned long long)got, n);
	}
	for (u32 k = 0; k < 100000; k++) {
		v ^= v << 13, v ^= v >> 7, v ^= v << 17;
		ok &= mov_runs(k & 1 ? v : v & (~0ull << (v & 63)), &n) == (k & 1 ? v : v & (~0ull << (v & 63))) && n <= 4;
	}
	tap_ok(ok, "100000 random constants");
	a64_init(&w, code, sizeof(code), 0);
	a64_mov_s32(&w, 9, -5);
	tap_ok(w.len == 8 && code[0] == 0x92a00009 && code[1] == 0xf29fff69, "a signed number takes two: %08x %08x", code[0], code[1]);
}

/* No assembler needed. */
static void known(void)
{
	const u32 want[] = {0xd65f03c0, 0xa9bf7bfd, 0x910003fd, 0x8b010000, 0xf9400c41, 0x54000040};
	u32 got[6];

	a64_init(&w, got, sizeof(got), 0);
	a64_ret(&w);
	a64_stp_pre(&w, A64_FP, A64_LR, A64_SP, -16);
	a64_arith_imm(&w, A64_ADD, true, A64_FP, A64_SP, 0);
	a64_arith(&w, A64_ADD, true, 0, 0, 1);
	a64_load(&w, 8, 1, 2, 24);
	a64_bcc(&w, A64_EQ, a64_here(&w) + 8);
	tap_ok(!w.error && !memcmp(got, want, sizeof(want)), "known words");
}

#define REFUSED(want, call)                                                                                   \
	do {                                                                                                  \
		a64_init(&w, code, sizeof(code), TARGET);                                                     \
		call;                                                                                         \
		tap_ok(w.error == (want) && w.len == 4, "refused: " #call);                                   \
	} while (0)

static void refused(void)
{
	REFUSED(-EINVAL, a64_arith_imm(&w, A64_ADD, true, 0, 0, 0x1001));
	REFUSED(-EINVAL, a64_arith_imm(&w, A64_ADD, true, 0, 0, 1 << 24));
	REFUSED(-EINVAL, a64_logic_imm(&w, A64_AND, true, 0, 0, 5));
	REFUSED(-EINVAL, a64_shift_imm(&w, A64_LSL, false, 0, 0, 32));
	REFUSED(-EINVAL, a64_ror_imm(&w, true, 0, 0, 64));
	REFUSED(-EINVAL, a64_load(&w, 8, 0, 0, -257));
	REFUSED(-EINVAL, a64_load(&w, 8, 0, 0, 257));
	REFUSED(-EINVAL, a64_load(&w, 8, 0, 0, 8 * 4096));
	REFUSED(-EINVAL, a64_stp(&w, 0, 1, 2, 512));
	REFUSED(-EINVAL, a64_stp(&w, 0, 1, 2, 4));
	REFUSED(-ERANGE, a64_bcc(&w, A64_EQ, TARGET + (1 << 20)));
	REFUSED(-ERANGE, a64_b(&w, TARGET + (1 << 27)));
	REFUSED(-ERANGE, a64_bl(&w, TARGET + 2));
	REFUSED(-ERANGE, a64_adr(&w, 0, TARGET + (1 << 20)));
	a64_init(&w, code, sizeof(code), TARGET);
	for (u32 k = 0; k < 3; k++)
		a64_ret(&w);
	tap_ok(w.error == -ENOSPC && w.len == 8, "no room");
	a64_init(&w, NULL, 0, 0);
	a64_b(&w, ~0ull);
	a64_patch_here(&w, 0);
	tap_ok(!w.error && w.len == 4, "counting only");
}

static void forward(void)
{
	u32 buf[8];

	a64_init(&w, buf, sizeof(buf), 0x1000);
	a64_bcc(&w, A64_NE, 0x1000);
	a64_cbz(&w, true, 3, 0x1000);
	a64_b(&w, 0x1000);
	a64_ret(&w);
	a64_patch_here(&w, 0);
	a64_patch_here(&w, 4);
	a64_patch_here(&w, 8);
	tap_ok(!w.error && buf[0] == 0x54000081 && buf[1] == 0xb4000063 && buf[2] == 0x14000002, "forward branches: %08x %08x %08x",
	       buf[0], buf[1], buf[2]);
}

int main(void)
{
	a64_init(&w, code, sizeof(code), TARGET);
	for (u32 k = 0; k < 8 * 8 * 8; k++) {
		registers(false, some_reg(k), some_reg(k / 8), some_reg(k / 64));
		registers(true, some_reg(k), some_reg(k / 8), some_reg(k / 64));
	}
	for (u32 k = 0; k < 64; k++) {
		one_register(false, some_reg(k), some_reg(k / 8));
		one_register(true, some_reg(k), some_reg(k / 8));
		numbers(false, some_reg(k), some_reg(k / 8));
		numbers(true, some_reg(k), some_reg(k / 8));
		memory(some_reg(k), some_reg(k / 8));
	}
	bit_masks();
	pairs();
	branches();
	assemble();
	constants();
	known();
	refused();
	forward();
	return tap_done();
}
