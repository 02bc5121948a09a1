/* SPDX-License-Identifier: MIT */
/*
 * Runs code where it stands and its displaced window from a copy, and compares all registers, flags, memory, stack
 * and the place where control ends up. The windows are in relocate_cases.S.
 */
#include "patch/plan.h"

#include <sys/mman.h>

#include "isa/x86_64/reader.h"
#include "isa/x86_64/relocator.h"
#include "tap.h"

#define CASES(X)                                                                                                     \
	X(push_pop) X(endbr) X(nop5) X(alu) X(rip_load) X(rip_store) X(rip_store_imm) X(rip_store_imm8) X(rip_lea)    \
	X(rip_cmp) X(rip_sse) X(jcc) X(jcc_long) X(jcc_last) X(jmp_short) X(jmp_long) X(jmp_reg) X(jmp_reg_inside)    \
	X(jmp_rip) X(jrcxz) X(jecxz) X(loop) X(loope) X(loopne) X(call) X(call_after_sub) X(call_reg) X(call_rip)     \
	X(call_mem) X(call_stack) X(call_stack_0) X(call_stack_far) X(call_stack_index) X(call_r12) X(ret) X(ret_imm) \
	X(leave) X(setcc) X(pushfq) X(xmm) X(high_byte) X(syscall)

#define DECLARE(name) extern const u8 case_##name[];
CASES(DECLARE)
#define ROW(name) { #name, case_##name },
static const struct { const char *name; const u8 *code; } cases[] = { CASES(ROW) };

extern u64 run_code(const u64 in[17], u64 out[17], const void *code);
extern const u8 jump_target[];
extern const u64 callee_ptr[2];
extern u8 memory[128];

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, FLAGS, NREGS };
enum { STACK_WORDS = 64, STATUS_FLAGS = 0xcd5 };

struct outcome {
	u64 reg[NREGS], exit;
	u8 mem[128];
	u64 stack[STACK_WORDS];
};

static u64 stack[STACK_WORDS];

static bool window_of(const u8 *code, struct patch_plan *p)
{
	u32 off = 0;

	*p = (struct patch_plan){ .vaddr = (u64)code, .form = PATCH_JMP_N, .patch_len = 5 };
	while (off < 5) {
		struct x86_insn i;

		if (!x86_read_strict(code + off, 15, &i) || !x86_can_relocate(code + off, &i))
			return false;
		p->insn_off[p->ninsn++] = (u8)off;
		off += i.len;
	}
	p->wlen = (u8)off;
	memcpy(p->orig, code, off);
	return true;
}

static void run(const u64 in[NREGS], const void *code, struct outcome *o)
{
	const u64 callee = callee_ptr[0];

	for (u32 i = 0; i < sizeof(memory); i++)
		memory[i] = (u8)(7 * i + 1);
	memset(memory + 48, 0xff, 8);
	memory[48] = 0xfd;
	for (u32 i = 0; i < STACK_WORDS; i++)
		stack[i] = i >= 32 && i < 52 ? callee : 0x1111 * i;
	if ((in[R11] & ~7ull) == ((u64)jump_target & ~7ull)) /* cases that return go there */
		stack[32] = (u64)jump_target;
	o->exit = run_code(in, o->reg, code);
	memcpy(o->mem, memory, sizeof(memory));
	memcpy(o->stack, stack, sizeof(stack));
}

/* Below the stack pointer our own pushes may differ; rcx after a syscall holds its address. */
static bool same(const char *name, const struct outcome *a, const struct outcome *b)
{
	bool ok = a->exit == b->exit && !memcmp(a->mem, b->mem, sizeof(a->mem));

	for (u32 r = 0; r < NREGS; r++) {
		u64 mask = r == FLAGS ? STATUS_FLAGS : ~0ull;

		if (r == RCX && !strcmp(name, "syscall"))
			continue;
		if ((a->reg[r] ^ b->reg[r]) & mask) {
			printf("# %s: register %u %#llx, copy %#llx\n", name, r, (unsigned long long)a->reg[r],
			       (unsigned long long)b->reg[r]);
			ok = false;
		}
	}
	/* Everything down to the word that a call pushed; deeper the callee's own pushes are equal too. */
	return ok && !memcmp(a->stack, b->stack, sizeof(a->stack));
}

/* The case's inputs: what the branches depend on in all combinations. */
static void inputs(u32 round, u64 in[NREGS])
{
	static const u64 counts[] = { 0, 1, 2, 0xffffffff00000000, 0x8000000000000000 };
	static const u64 flags[] = { 0x202, 0x202 | 0x40, 0x202 | 0x1, 0x202 | 0x80, 0x202 | 0x800, 0x202 | 0x8d5 };

	for (u32 r = 0; r < NREGS; r++)
		in[r] = 0x0101010101010101 * (r + 1);
	in[RCX] = counts[round % 5];
	in[RSP] = (u64)&stack[32];
	in[RBP] = (u64)&stack[40];
	in[R9] = 2;
	in[R10] = (u64)callee_ptr;
	in[R12] = (u64)callee_ptr;
	in[FLAGS] = flags[round / 5 % 6];
}

static void test_case(const char *name, const u8 *code, u8 *copy)
{
	bool jumps = !strncmp(name, "jmp", 3) || !strncmp(name, "ret", 3), ok = true;
	struct patch_plan p;
	u16 off[PATCH_INSNS_MAX];
	int n;

	if (!tap_ok(window_of(code, &p), "%s: can be displaced", name))
		return;
	n = patch_relocate(&p, (u64)code, (u64)copy, 0, copy, 256, off);
	tap_ok(n > 0 && (u32)n <= patch_relocated_size(&p), "%s: relocated in %d bytes", name, n);
	for (u32 round = 0; round < 30 && ok && n > 0; round++) {
		struct outcome a, b;
		u64 in[NREGS];

		inputs(round, in);
		in[R11] = jumps ? (u64)jump_target : callee_ptr[0];
		if (!strcmp(name, "syscall"))
			in[RAX] = 0; /* the window puts 39, getpid, into al */
		run(in, code, &a);
		run(in, copy, &b);
		ok = same(name, &a, &b);
	}
	tap_ok(ok, "%s: the copy does what the original does", name);
}

static void test_errors(void)
{
	struct patch_plan p;
	u8 out[64];
	u16 off[PATCH_INSNS_MAX] = { 9, 9, 9, 9, 9, 9, 9, 9 };

	window_of(case_rip_load, &p);
	tap_eq(patch_relocate(&p, 0x1000, 0x1000 + (3ull << 31), 0, out, sizeof(out), off), -34, "too far: -ERANGE");
	tap_eq(patch_relocate(&p, 0x1000, 0x2000, 0, out, 3, off), -28, "no room: -ENOSPC");
	tap_eq(off[0], 9, "offsets are untouched on failure");
	p.form = PATCH_REFUSED;
	tap_eq(patch_relocate(&p, 0x1000, 0x2000, 0, out, sizeof(out), off), -22, "a refusal cannot be relocated");
	tap_eq(patch_relocated_size(&p), 0, "and needs no room");
	{
		static const u8 call_rsp[] = { 0xff, 0xd4 }, call_below[] = { 0xff, 0x54, 0x24, 0xf8 },
				eip[] = { 0x67, 0x8b, 0x05, 0, 0, 0, 0 }, far_jmp[] = { 0xff, 0x28 },
				data16[] = { 0x66, 0xe8, 0, 0, 0, 0 },
				rexes[] = { 0x44, 0x44, 0x44, 0x44, 0x44, 0x44, 0xff, 0x54, 0x24, 0x08 };
		static const struct { const u8 *p; u32 n; } no[] = {
			{ call_rsp, 2 }, { call_below, 4 }, { eip, 7 }, { far_jmp, 2 }, { data16, 6 }, { rexes, 10 },
		};

		for (u32 i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
			struct x86_insn insn;

			tap_ok(x86_read_strict(no[i].p, no[i].n, &insn) && !x86_can_relocate(no[i].p, &insn),
			       "not relocatable: %02x %02x", no[i].p[0], no[i].p[1]);
		}
	}
}

int main(void)
{
	u8 *copy = NULL;
	u64 near = ((u64)memory & ~0xfffffull) + (64 << 20);

	copy = mmap((void *)near, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy == MAP_FAILED || (u64)copy - near > 1u << 30)
		tap_skip_all("no writable and executable page near the program");
	for (u32 i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		test_case(cases[i].name, cases[i].code, copy);
	test_errors();
	return tap_done();
}
