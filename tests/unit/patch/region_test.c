/* SPDX-License-Identifier: MIT */
/* A region built for this very process: patched functions run through slots, dispatchers, thunks and exits. */
#include "patch/region.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "abi/bpf.h"
#include "isa/x86_64/writer.h"
#include "tap.h"

#define ROW_BITS 4
#define CODE_AT 0x20000000ul
#define REGION_AT 0x20100000ul

static struct nt_row rows[(1 << ROW_BITS) + 1];
static struct nt_ret_entry pool[64];
static u32 gate = 1, local_gate = 1;
static u64 entries, returns, order[8], norder, last_cookie, last_ip, slow_rows, slow_entries;
static u64 seen[NT_PT_NREGS];
static bool no_memory;

static u64 thread_pointer(void)
{
	u64 fs;

	__asm__("mov %%fs:0, %0" : "=r"(fs));
	return fs;
}

static struct nt_row *row_slow(void)
{
	u64 fs = thread_pointer();
	u32 i = (u32)((fs * NT_ROW_HASH_MUL) >> (64 - ROW_BITS));

	slow_rows++;
	if (no_memory)
		return NULL;
	rows[i].fs = fs;
	return &rows[i];
}

static struct nt_ret_entry *ret_slow(void)
{
	struct nt_row *row = row_slow();

	slow_entries++;
	if (!row)
		return NULL;
	for (u32 i = 0; i < 64; i++) {
		pool[i].next = row->free;
		row->free = (u64)&pool[i];
	}
	return (struct nt_ret_entry *)row->free;
}

/* The real one: tests/unit/payload/depth.c. */
static struct nt_row *ret_deep(u64 word_at)
{
	return row_slow();
}

static void note(u64 who)
{
	if (norder < 8)
		order[norder++] = who;
}

static u64 on_entry(const u64 *ctx)
{
	entries++;
	note(1);
	last_cookie = ctx[-4];
	last_ip = ctx[-3];
	memcpy(seen, ctx, sizeof(seen));
	return 0;
}

static u64 on_return(const u64 *ctx)
{
	returns++;
	note(2);
	last_cookie = ctx[-4];
	memcpy(seen, ctx, sizeof(seen));
	return 0;
}

/* f(a, b) = a + b * 2, called and calling as compilers do; the window is push, mov, lea. */
static const u8 function[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0x8d, 0x04, 0x77, 0x5d, 0xc3 };
static u8 *code;

static struct patch_plan plan_of(bool entry)
{
	struct patch_plan p = { .vaddr = CODE_AT, .form = PATCH_JMP_N, .wlen = 8, .room = 64, .patch_len = 5, .entry = entry,
				.ninsn = 3, .insn_off = { 0, 1, 4 } };

	memcpy(p.orig, function, sizeof(function));
	return p;
}

/* Patches the function with the given consumers; returns the region for inspection. */
static struct region_layout setup(struct region_consumer *c, u32 n, const u64 *cookies, bool entry)
{
	static struct patch_plan plan;
	struct region_shape shape = { .consumer = c, .n = n };
	struct region_site site = { .plan = &plan, .addr = CODE_AT, .cookie = cookies };
	struct region_env env = { .fn_ret_slow = (u64)ret_slow, .fn_row_slow = (u64)row_slow,
				  .fn_ret_deep = (u64)ret_deep, .rows = (u64)rows,
				  .row_bits = ROW_BITS, .fs0 = true };
	struct region_layout l = { 0 };
	u8 bytes[5], island[PATCH_FAR_MAX];
	u32 bound;

	plan = plan_of(entry);
	bound = region_bound(&shape, 1, &site, 1);
	munmap((void *)REGION_AT, 1 << 20);
	if (mmap((void *)REGION_AT, bound, PROT_READ | PROT_WRITE | PROT_EXEC,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		abort();
	tap_eq(region_build(&env, &shape, 1, &site, 1, REGION_AT, (u8 *)REGION_AT, bound, &l), 0, "region is built");
	tap_ok(l.size <= bound, "within its bound (%u of %u)", l.size, bound);
	tap_eq(site.error, 0, "the site has a slot");
	tap_eq(region_site_bytes(&site, REGION_AT, 0, bytes, island), 0, "the jump reaches");
	memcpy(code, function, sizeof(function));
	memcpy(code, bytes, 5);
	entries = returns = norder = 0;
	return l;
}

/* Calls *asm_target with a canary in every register that the function does not use; stores what they are afterwards. */
u64 asm_target, asm_after[7], asm_flags[2];
u64 asm_call(u64 a, u64 b);
__asm__(".text\n"
	"asm_call:\n"
	"	push %rbx\n	push %r12\n"
	"	mov $0x1111111111111111, %r10\n"
	"	mov $0x2222222222222222, %r11\n"
	"	mov $0x3333333333333333, %r8\n"
	"	mov $0x4444444444444444, %r9\n"
	"	mov $0x5555555555555555, %rcx\n"
	"	mov $0x6666666666666666, %rbx\n"
	"	mov $0x7777777777777777, %r12\n"
	"	mov $0x7fffffff, %eax\n	add $1, %eax\n" /* OF, SF, AF, PF set */
	"	pushfq\n	pop asm_flags(%rip)\n"
	"	call *asm_target(%rip)\n"
	"	pushfq\n	pop asm_flags+8(%rip)\n"
	"	mov %r10, asm_after(%rip)\n	mov %r11, asm_after+8(%rip)\n"
	"	mov %r8, asm_after+16(%rip)\n	mov %r9, asm_after+24(%rip)\n"
	"	mov %rcx, asm_after+32(%rip)\n	mov %rbx, asm_after+40(%rip)\n"
	"	mov %r12, asm_after+48(%rip)\n"
	"	pop %r12\n	pop %rbx\n	ret\n");

static bool call_checked(u64 a, u64 b, u64 *ret)
{
	static const u64 want[7] = { 0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0x4444444444444444,
				     0x5555555555555555, 0x6666666666666666, 0x7777777777777777 };

	asm_target = (u64)code;
	*ret = asm_call(a, b);
	return !memcmp(want, asm_after, sizeof(want)) && (asm_flags[0] & 0x8d5) == (asm_flags[1] & 0x8d5);
}

#define ALL_CTX ((1ull << NT_PT_NREGS) - 1)
#define CALLER_SAVED 0xfc7u /* rax rcx rdx rsi rdi r8-r11 */

static struct region_consumer consumer(u64 (*fn)(const u64 *), bool at_return)
{
	return (struct region_consumer){ .gate = (u64)&gate, .entry = (u64)fn, .ctx_read = ALL_CTX,
					 .clobbers = CALLER_SAVED, .needs_ctx = true, .uses_cookie = true,
					 .uses_func_ip = true, .at_return = at_return };
}

static void test_entry(void)
{
	struct region_consumer c = consumer(on_entry, false);
	u64 r;

	setup(&c, 1, (u64[]){ 77 }, true);
	tap_ok(call_checked(40, 1, &r), "entry: every register and flag survives");
	tap_eq(r, 42, "entry: the function's result is right");
	tap_eq(entries, 1, "entry: the program ran once");
	tap_eq(last_cookie, 77, "entry: cookie");
	tap_eq(last_ip, CODE_AT, "entry: func_ip");
	tap_eq(seen[NT_RDI], 40, "entry: rdi in ctx");
	tap_eq(seen[NT_RBX], 0x6666666666666666, "entry: rbx in ctx");
	tap_eq(seen[NT_R10], 0x1111111111111111, "entry: r10 in ctx");
	tap_eq(seen[NT_RIP], CODE_AT, "entry: ip in ctx");
	tap_eq(seen[NT_ORIG_RAX], -1, "entry: orig_rax in ctx");
	tap_eq(seen[NT_CS], 0x33, "entry: cs in ctx");
	tap_eq(seen[NT_EFLAGS] & 0x8d5, 0x894, "entry: flags in ctx (OF SF AF PF)");
	gate = 0;
	tap_ok(call_checked(40, 1, &r) && r == 42 && entries == 1, "a closed gate keeps the program from running");
	gate = 1;
	c.local_gate = (u64)&local_gate;
	setup(&c, 1, (u64[]){ 77 }, true);
	local_gate = 0;
	tap_ok(call_checked(40, 1, &r) && r == 42 && entries == 0, "a closed per-process gate too");
	local_gate = 1;
	tap_ok(call_checked(40, 1, &r) && r == 42 && entries == 1, "an open one lets it");
}

static void test_middle(void)
{
	struct region_consumer c = consumer(on_entry, false);
	u64 r;

	setup(&c, 1, (u64[]){ 5 }, false);
	tap_ok(call_checked(40, 1, &r) && r == 42, "middle: every register and flag survives");
	tap_eq(entries, 1, "middle: the program ran once");
	tap_eq(last_cookie, 5, "middle: cookie");
	tap_eq(last_ip, CODE_AT, "middle: func_ip");
}

static void test_return(void)
{
	struct region_consumer c[3] = { consumer(on_return, true), consumer(on_entry, false), consumer(on_return, true) };
	struct region_layout l;
	u64 r, frame_sp;

	memset(rows, 0, sizeof(rows));
	slow_rows = slow_entries = 0;
	l = setup(c, 3, (u64[]){ 10, 20, 30 }, true);
	tap_ok(l.frames_hi - l.frames_lo == 16 && l.eh_frame_hdr == l.frames_hi, "one thunk is described to unwinders");
	tap_ok(call_checked(40, 1, &r), "return: every register and flag survives");
	tap_eq(r, 42, "return: the function's result is right");
	tap_eq(entries, 1, "return: the entry program ran once");
	tap_eq(returns, 2, "return: both return programs ran");
	tap_ok(norder == 3 && order[0] == 1 && order[1] == 2 && order[2] == 2, "return: entry first, then returns");
	tap_eq(last_cookie, 30, "return: cookie of the last consumer");
	tap_eq(seen[NT_RAX], 42, "return: rax in ctx is the result");
	tap_ok(seen[NT_RIP] > (u64)asm_call && seen[NT_RIP] < (u64)asm_call + 256, "return: ip is the caller");
	frame_sp = seen[NT_RSP];
	tap_ok(frame_sp > (u64)&r - 4096 && frame_sp < (u64)&r + 4096, "return: sp is the caller's");
	tap_eq(seen[NT_RBX], 0x6666666666666666, "return: rbx in ctx is the caller's, not our pointer");
	tap_eq(slow_entries, 1, "the free list was filled once");
	for (int i = 0; i < 1000; i++)
		if (!call_checked((u64)i, 2, &r) || r != (u64)i + 4)
			break;
	tap_eq(returns, 2002, "1000 more calls are all reported");
	tap_eq(slow_entries, 1, "and used the same entry again");
	tap_ok(!pool[63].in_use, "which is free now");

	no_memory = true;
	memset(rows, 0, sizeof(rows));
	returns = entries = 0;
	tap_ok(call_checked(40, 1, &r) && r == 42, "without memory for an entry the call is right all the same");
	tap_ok(entries == 1 && returns == 0, "its entry is reported, its return is not");
	no_memory = false;
}

int main(void)
{
	code = mmap((void *)CODE_AT, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (code == MAP_FAILED)
		tap_skip_all("no writable and executable memory here");
	test_entry();
	test_middle();
	test_return();
	return tap_done();
}
