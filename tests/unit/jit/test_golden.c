/* SPDX-License-Identifier: MIT */
/* The exact bytes of programs whose cost decides the project, and what they report about
 * themselves. */
#include "harness.h"

#include "base/bits.h"
#include "isa/x86_64/writer.h"
#include "tap.h"

#define R(x) (1u << X86_##x)

static struct jt t;

/* Text: one instruction per group. Blanks are ignored. */
static void expect(const char *name, const char *hex)
{
	char got[4096], want[4096];
	size_t n = 0;
	int r = jt_compile(&t);

	tap_eq(r, 0, "%s: compiles", name);
	if (r)
		return;
	for (; *hex; hex++)
		if (*hex != ' ')
			want[n++] = *hex;
	want[n] = 0;
	jt_hex(&t, got, sizeof(got));
	if (!tap_ok(!strcmp(got, want), "%s: code", name))
		printf("#  got %s\n# want %s\n", got, want);
}

#define LOAD(...)                                                                                  \
	do {                                                                                       \
		const struct bpf_insn x[] = {__VA_ARGS__};                                         \
		jt_init(&t, x, bits_count(x));                                                     \
	} while (0)

static void array_counter(void)
{
	u32 bad;
	u64 r0, v;

	LOAD(ST(BPF_W, 10, -4, 0), MOV64(2, 10), ALU64I(BPF_ADD, 2, -4), LD_MAP(1, 0), CALL(1),
	     JMPI(BPF_JEQ, 0, 0, 3), LDX(BPF_DW, 1, 0, 0), ALU64I(BPF_ADD, 1, 1),
	     STX(BPF_DW, 0, 0, 1), MOV64I(0, 0), EXIT());
	jt_map(&t, BPF_MAP_TYPE_ARRAY, 8, 1, 1);
	jt_fact_lookup(&t, 5, 0, 0);
	t.fact[7].mem = t.fact[9].mem = VMEM_MAP;
	/* mov rax, [rip - 23]; add qword [rax], 1; xor eax, eax; ret */
	expect("array counter", "488b05e9ffffff 48830001 31c0 c3");
	tap_eq(t.img.clobbers, R(RAX), "array counter: changes rax only");
	tap_eq(t.img.stack, 0, "array counter: needs no stack");
	tap_ok(!t.img.calls, "array counter: calls nothing");
	tap_ok(t.img.ngot == 1 && t.img.got[0].kind == JIT_GOT_MAP_DATA && t.img.got[0].index == 0,
	       "array counter: one table entry, the data");
	r0 = jt_run(&t, &bad);
	r0 |= jt_run(&t, &bad);
	memcpy(&v, t.map[0].base + t.map[0].data_off, 8);
	tap_ok(r0 == 0 && !bad && v == 2, "array counter: counts");
	jt_deinit(&t);
}

static void array_counter_key5(void)
{
	LOAD(ST(BPF_W, 10, -4, 5), MOV64(2, 10), ALU64I(BPF_ADD, 2, -4), LD_MAP(1, 0), CALL(1),
	     JMPI(BPF_JNE, 0, 0, 2), MOV64I(0, 0), EXIT(), LDX(BPF_W, 1, 0, 4),
	     ALU32I(BPF_ADD, 1, 1), STX(BPF_W, 0, 4, 1), MOV64I(0, 0), EXIT());
	jt_map(&t, BPF_MAP_TYPE_ARRAY, 24, 8, 1);
	jt_fact_lookup(&t, 5, 0, 5);
	t.fact[9].mem = t.fact[11].mem = VMEM_MAP;
	/* mov rax, [rip]; add rax, 120; add dword [rax + 4], 1; xor eax, eax; ret */
	expect("constant key 5", "488b05e9ffffff 4883c078 83400401 31c0 c3");
	jt_deinit(&t);
}

static void percpu_counter(u32 ncpus, const char *hex)
{
	u64 sum = 0, v;
	u32 bad;

	LOAD(ST(BPF_W, 10, -4, 0), MOV64(2, 10), ALU64I(BPF_ADD, 2, -4), LD_MAP(1, 0), CALL(1),
	     JMPI(BPF_JEQ, 0, 0, 3), LDX(BPF_DW, 1, 0, 0), ALU64I(BPF_ADD, 1, 1),
	     STX(BPF_DW, 0, 0, 1), MOV64I(0, 0), EXIT());
	jt_map(&t, BPF_MAP_TYPE_PERCPU_ARRAY, 8, 8, ncpus); /* cpu_stride 128 */
	jt_fact_lookup(&t, 5, 0, 0);
	t.fact[7].mem = t.fact[9].mem = VMEM_PERCPU_MAP;
	expect("per-CPU counter", hex);
	tap_eq(t.img.clobbers, R(RAX), "per-CPU counter: changes rax only");
	jt_run(&t, &bad);
	for (u32 c = 0; c < ncpus; c++) {
		memcpy(&v, t.map[0].base + t.map[0].data_off + c * t.map[0].cpu_stride, 8);
		sum += v;
	}
	tap_ok(!bad && sum == 1, "per-CPU counter: counts");
	jt_deinit(&t);
}

static void histogram(void)
{
	u32 bad;

	/* key = R1's first field & 7: store, lookup, count */
	LOAD(LDX(BPF_DW, 1, 1, 112), ALU64I(BPF_AND, 1, 7), STX(BPF_W, 10, -4, 1), MOV64(2, 10),
	     ALU64I(BPF_ADD, 2, -4), LD_MAP(1, 0), CALL(1), JMPI(BPF_JEQ, 0, 0, 2), MOV64I(1, 1),
	     ATOMIC(BPF_DW, BPF_ADD, 0, 0, 1), MOV64I(0, 0), EXIT());
	jt_map(&t, BPF_MAP_TYPE_ARRAY, 8, 6, 1);
	jt_fact_lookup(&t, 7, 0, -1);
	/* mov rdi, [rdi + 112]; and rdi, 7; mov eax, edi; cmp eax, 6; jae out; shl rax, 3; add rax,
	 * [rip]; lock add qword [rax], 1; out: xor eax, eax; ret */
	expect("histogram",
	       "488b7f70 4883e707 89f8 83f806 7310 48c1e003 480305d6ffffff f048830001 31c0 c3");
	tap_eq(t.img.clobbers, R(RAX) | R(RDI), "histogram: changes rax and rdi");
	tap_eq(t.img.stack, 0, "histogram: the key never reaches the stack");
	for (u32 k = 0; k < 8; k++) {
		t.ctx[JT_RUN + 14] = k;
		tap_eq(jt_run(&t, &bad), 0, "histogram: key %u", k);
		tap_eq(bad, 0, "histogram: registers survive");
	}
	for (u32 k = 0; k < 6; k++)
		tap_eq(t.map[0].base[t.map[0].data_off + 8 * k], 1, "histogram: slot %u", k);
	jt_deinit(&t);
}

static void run_fields(void)
{
	LOAD(MOV64(6, 1), CALL(174), MOV64(7, 0), MOV64(1, 6), CALL(173), ALU64(BPF_XOR, 0, 7),
	     EXIT());
	expect("cookie and ip", "53 4155 4889fb 488b47e0 4989c5 4889df 488b47e8 4c31e8 415d 5b c3");
	tap_ok(t.img.uses_cookie && t.img.uses_func_ip, "cookie and ip: reported");
	jt_deinit(&t);
	LOAD(CALL(174), MOV64I(0, 0), EXIT());
	expect("a cookie nobody reads", "31c0 c3");
	tap_ok(!t.img.uses_cookie && t.img.clobbers == R(RAX),
	       "a cookie nobody reads: is not reported");
	jt_deinit(&t);
}

static void hash_lookup(void)
{
	LOAD(MOV64I(1, 1), STX(BPF_DW, 10, -8, 1), MOV64(2, 10), ALU64I(BPF_ADD, 2, -8),
	     LD_MAP(1, 0), CALL(1), JMPI(BPF_JEQ, 0, 0, 2), MOV64I(1, 1),
	     ATOMIC(BPF_DW, BPF_ADD, 0, 0, 1), MOV64I(0, 0), EXIT());
	jt_map(&t, BPF_MAP_TYPE_HASH, 8, 8, 1);
	t.map[0].key_size = 8;
	jt_fact_lookup(&t, 6, 0, -1);
	expect(
	    "hash lookup",
	    "55 4889e5 4883ec08 48c745f801000000 488d75f8 488b3dd5ffffff 488b05d6ffffff ffd0 4885c0 7405 "
	    "f048830001 31c0 c9 c3");
	tap_ok(t.img.calls && t.img.clobbers == (R(RAX) | R(RCX) | R(RDX) | R(RSI) | R(RDI) |
						 R(R8) | R(R9) | R(R10) | R(R11)),
	       "hash lookup: a call clobbers all caller-saved registers");
	tap_eq(t.img.stack, 16, "hash lookup: 8 bytes of stack and rbp");
	jt_deinit(&t);
}

/* The helper that a look-up calls. */
static u32 looked_up_by(u32 type, u32 key_size, bool known)
{
	u32 id = 0;

	LOAD(ST(BPF_DW, 10, -8, 1), ST(BPF_DW, 10, -16, 1), MOV64(2, 10), ALU64I(BPF_ADD, 2, -16), LD_MAP(1, 0), CALL(1),
	     MOV64I(0, 0), EXIT());
	jt_map(&t, type, 8, 8, 1);
	t.map[0].key_size = key_size;
	if (known)
		jt_fact_lookup(&t, 6, 0, -1);
	if (jt_compile(&t))
		return 0;
	for (u32 i = 0; i < t.img.ngot; i++)
		if (t.img.got[i].kind == JIT_GOT_HELPER)
			id = t.img.got[i].index;
	jt_deinit(&t);
	return id;
}

static void hash_by_key_size(void)
{
	tap_eq(looked_up_by(BPF_MAP_TYPE_HASH, 4, true), NT_HELPER_HASH_LOOKUP, "hash, 4 bytes of key");
	tap_eq(looked_up_by(BPF_MAP_TYPE_HASH, 8, true), NT_HELPER_HASH_LOOKUP + 1, "hash, 8 bytes of key");
	tap_eq(looked_up_by(BPF_MAP_TYPE_HASH, 16, true), NT_HELPER_HASH_LOOKUP + 2, "hash, 16 bytes of key");
	tap_eq(looked_up_by(BPF_MAP_TYPE_HASH, 8, false), 1, "a map that is not known");
	tap_eq(looked_up_by(BPF_MAP_TYPE_LRU_HASH, 8, true), 1, "another kind of hash");
}

/* As compilers write it: if r2 == 0 goto +1; goto the beginning. */
static void counted_loop(void)
{
	u64 r0;

	LOAD(LDX(BPF_DW, 2, 1, 0), MOV64I(0, 0), ALU64(BPF_ADD, 0, 2), ALU64I(BPF_ADD, 2, -1), JMPI(BPF_JEQ, 2, 0, 1), JA(-4), EXIT());
	t.ctx[JT_RUN] = 10;
	/* mov rsi, [rdi]; xor eax, eax; add rax, rsi; add rsi, -1; jne -9; ret */
	expect("loop", "488b37 31c0 4801f0 4883c6ff 75f7 c3");
	tap_ok(jt_agree(&t, &r0) && r0 == 55, "loop: counts down");
	jt_deinit(&t);
}

int main(void)
{
	counted_loop();
	array_counter();
	array_counter_key5();
	/* rdpid rax; and eax, 3; shl rax, 7; add rax, [rip]; lock add qword [rax], 1; xor eax, eax;
	 * ret */
	percpu_counter(4, "f30fc7f8 83e003 48c1e007 480305deffffff f048830001 31c0 c3");
	/* rdpid rax; and eax, 0xfff; cmp eax, 3; jb +2; xor eax, eax; ... */
	percpu_counter(
	    3, "f30fc7f8 81e0ff0f0000 83f803 7202 31c0 48c1e007 480305d4ffffff f048830001 31c0 c3");
	histogram();
	run_fields();
	hash_lookup();
	hash_by_key_size();
	return tap_done();
}
