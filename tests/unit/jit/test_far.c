/* SPDX-License-Identifier: MIT */
/*
 * A program so large that branches, the table and functions are out of the reach of the short instructions (aarch64:
 * 1 MiB): far branches of every kind, a helper, a map's value, a function and a callback behind a million bytes.
 */
#include "harness.h"

#include <sys/mman.h>

#include "machine.h"
#include "tap.h"

enum { FILL = 300000, BODY = 32000, MAX = FILL + 64 };

static struct bpf_insn x[MAX];
static struct verifier_insn fact[MAX];
static u32 n;
static u64 data[1024], ctx[JT_RUN + 21];
static struct jit_image img;
static u8 *text;

static void put(struct bpf_insn i)
{
	x[n++] = i;
}

static void put2(const struct bpf_insn i[2])
{
	put(i[0]);
	put(i[1]);
}

static u64 mix(u64 a)
{
	return a + 7;
}

/* ctx[0] times round a loop of FILL additions; then helper, value of the map, function, callback. */
static void far_calls(void)
{
	const struct bpf_insn value[] = {LD_MAP_VALUE(1, 0, 16)}, func[] = {LD_FUNC(2, 0)};
	u32 over, call, load;

	put(LDX(BPF_DW, 6, 1, 0));
	put(MOV64I(7, 0));
	put(I(BPF_JMP32 | BPF_JA, 0, 0, 0, 2)); /* to the test */
	over = n;
	put(I(BPF_JMP32 | BPF_JA, 0, 0, 0, 0)); /* leaves the loop */
	put(ALU64I(BPF_SUB, 6, 1));
	put(JMPI(BPF_JEQ, 6, 0, -3)); /* the test */
	for (u32 k = 0; k < FILL; k++)
		put(ALU64I(BPF_ADD, 7, 1));
	put(I(BPF_JMP32 | BPF_JA, 0, 0, 0, (s32)(over + 1) - (s32)n - 1));
	x[over].imm = (s32)(n - over - 1);
	put(MOV64(1, 7));
	put(CALL(5));
	put2(value);
	put(LDX(BPF_DW, 2, 1, 0));
	put(ALU64(BPF_ADD, 0, 2));
	put(MOV64(6, 0));
	call = n;
	put(CALL_LOCAL(0));
	put(ALU64(BPF_ADD, 6, 0));
	put(MOV64I(1, 3));
	load = n;
	put2(func);
	put(MOV64I(3, 0));
	put(MOV64I(4, 0));
	put(CALL(181));
	put(ALU64(BPF_ADD, 0, 6));
	put(EXIT());
	x[call].imm = (s32)(n - call - 1);
	put(MOV64I(0, 1000));
	put(EXIT());
	x[load].imm = (s32)(n - load - 1);
	put(MOV64I(0, 0));
	put(EXIT());
}

/* The same with conditional branches over a body as large, forward and back: few instructions, long code. */
static void far_branches(void)
{
	const struct bpf_insn value[] = {LD_MAP_VALUE(1, 0, 0)};

	put(LDX(BPF_DW, 6, 1, 0));
	put2(value);
	put(MOV64I(0, 0));
	put(MOV64I(2, 0));
	put(MOV64I(7, 0));
	put(JMPI(BPF_JEQ, 6, 0, BODY + 4));
	put(JMPI(BPF_JGT, 6, 100, BODY + 3));
	for (u32 k = 0; k < BODY; k++)
		put(ATOMIC(BPF_DW, BPF_CMPXCHG, 1, 4664, 2));
	put(ALU64I(BPF_ADD, 7, 1));
	put(ALU64I(BPF_SUB, 6, 1));
	put(JMPI(BPF_JNE, 6, 0, -(BODY + 4)));
	put(MOV64(0, 7));
	put(EXIT());
}

static u64 got_value(const struct jit_got *g)
{
	if (g->kind == JIT_GOT_MAP_DATA)
		return (u64)(uintptr_t)data;
	return g->index == 5 ? (u64)(uintptr_t)mix : (u64)(uintptr_t)machine_loop_stub;
}

static void compile(const char *name)
{
	struct nt_map_view map = {.type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 8192, .max_entries = 1,
				  .value_stride = 8192};
	struct verifier_result facts = {.insn = fact};
	struct jit_input in = {.arch = (u8)machine_arch, .insns = x, .n = n, .facts = &facts, .maps = &map, .nmaps = 1};

	for (u32 i = 0; i < n; i++)
		fact[i].seen = true;
	if (!tap_eq(jit_compile(&in, &img), 0, "%s: compiles", name))
		exit(tap_done());
	text = mmap(NULL, img.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (text == MAP_FAILED)
		abort();
	memcpy(text, img.code, img.size);
	for (u32 i = 0; i < img.ngot; i++)
		((u64 *)(void *)text)[i] = got_value(&img.got[i]);
	mprotect(text, img.size, PROT_READ | PROT_EXEC);
	__builtin___clear_cache((char *)text, (char *)text + img.size);
}

static void run(const char *name, u64 v, u64 want)
{
	u32 bad;

	ctx[JT_RUN] = v;
	tap_eq(machine_run((u64)(uintptr_t)text + img.entry, (u64)(uintptr_t)&ctx[JT_RUN], img.clobbers, &bad), want,
	       "%s: %u times round", name, (u32)v);
	tap_eq(bad, 0, "%s: registers survive", name);
}

static void done(void)
{
	munmap(text, img.size);
	jit_image_deinit(&img);
	n = 0;
}

int main(void)
{
	data[2] = 100;
	far_calls();
	compile("calls");
	tap_ok(img.size > 1 << 20, "calls: large: %u bytes", img.size);
	for (u64 v = 0; v < 3; v++)
		run("calls", v, FILL * v + 7 + 100 + 1000 + 3);
	done();
	far_branches();
	compile("branches");
	tap_ok(machine_arch != JIT_AARCH64 || img.size > 1 << 20, "branches: large: %u bytes", img.size);
	run("branches", 0, 0);
	run("branches", 1, 1);
	run("branches", 3, 3);
	run("branches", 101, 0);
	done();
	return tap_done();
}
