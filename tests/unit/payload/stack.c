/* SPDX-License-Identifier: MIT */
/*
 * bpf_get_stack against libgcc's unwinder, which goes by the same tables in its own way. (Not through backtrace(3): the
 * address sanitizer puts a frame of its own around it.) This file is compiled without frame pointers, so what is found is
 * found by tables; the tests without tables keep theirs.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "abi/bpf.h"
#include "subject.h"
#include "tap.h"
#include "util/ehrows.h"
#include "util/proc.h"

#define NOINLINE __attribute__((noinline, noclone, noipa))
#define MAX 64

static const struct subject *s;

struct frame {
	struct nt_run run;
	u64 regs[NT_PT_REGS_SIZE / 8];
};

static u64 ours[MAX];
static void *theirs[MAX];
static s64 ours_len;
static int theirs_n;
static bool alone; /* libgcc could not bear it */

static struct util_ehrows rows_of(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct util_ehrows rows = {.row = NULL};
	struct stat st;
	u8 *bytes;

	fstat(fd, &st);
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED || util_ehrows_make(bytes, (u64)st.st_size, &rows))
		printf("# no table of %s\n", path);
	munmap(bytes, (size_t)st.st_size);
	close(fd);
	return rows;
}

static bool add_module(const struct proc_map *map, void *arg)
{
	struct util_ehrows rows;
	u64 pc;

	if (!strcmp(map->path, "[stack]"))
		s->state->stack_end = map->end;
	if (!(map->prot & PROT_EXEC) || map->path[0] != '/')
		return false;
	rows = rows_of(map->path);
	if (util_ehrows_pc(&rows, map->off, &pc))
		s->state->unwind[s->state->nunwind++] = (struct nt_unwind_module){
		    .lo = map->start, .hi = map->end, .bias = map->start - pc, .rows = (u64)rows.row, .nrows = rows.n};
	return false;
}

static _Unwind_Reason_Code add_caller(struct _Unwind_Context *ctx, void *arg)
{
	int *n = arg;

	/* The first is their_stack() itself. */
	if (*n >= 0)
		theirs[*n] = (void *)_Unwind_GetIP(ctx);
	return ++*n < MAX ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static NOINLINE int their_stack(void)
{
	int n = -1;

	_Unwind_Backtrace(add_caller, &n);
	return n > 0 && !theirs[n - 1] ? n - 1 : n;
}

/* Here and now, as if this instruction were probed. */
#define TAKE(flags, max)                                                                           \
	do {                                                                                       \
		struct frame here = {.regs = {0}};                                                 \
		__asm__ volatile("lea 0(%%rip), %%rax\n\t"                                         \
				 "mov %%rax, %0\n\tmov %%rsp, %1\n\tmov %%rbp, %2\n\t"            \
				 : "=m"(here.regs[NT_RIP]), "=m"(here.regs[NT_RSP]), "=m"(here.regs[NT_RBP]) \
				 :                                                                 \
				 : "rax", "memory");                                               \
		ours_len = call5(s->helper[67], (u64)here.regs, (u64)ours, 8 * (max), (flags), 0);     \
		theirs_n = alone ? 0 : their_stack();                                              \
		__asm__ volatile("" : : : "memory");                                               \
	} while (0)

/* All but the innermost: the same return addresses? */
static bool same_callers(int min)
{
	int n = (int)(ours_len / 8);

	if (n >= min && n == theirs_n && !memcmp(ours + 1, theirs + 1, sizeof(u64) * (size_t)(n - 1)))
		return true;
	printf("# ours %lld bytes, theirs %d\n", (long long)ours_len, theirs_n);
	for (int i = 0; i < 12; i++)
		printf("# %d %#llx %p\n", i, i < n ? (unsigned long long)ours[i] : 0, i < theirs_n ? theirs[i] : NULL);
	return false;
}

static NOINLINE void innermost(void)
{
	TAKE(BPF_F_USER_STACK, MAX);
	__asm__ volatile("" : : : "memory");
}

static NOINLINE void with_variable_frame(size_t n)
{
	char *p = __builtin_alloca(n);

	memset(p, 1, n);
	__asm__ volatile("" : : "r"(p) : "memory");
	innermost();
	__asm__ volatile("" : : "r"(p) : "memory");
}

static NOINLINE void with_aligned_frame(size_t n)
{
	struct {
		char c[64] __attribute__((aligned(64)));
	} big;
	char *p = __builtin_alloca(n);

	memset(&big, 1, sizeof(big));
	__asm__ volatile("" : : "r"(&big), "r"(p) : "memory");
	with_variable_frame(n);
	__asm__ volatile("" : : "r"(&big), "r"(p) : "memory");
}

static NOINLINE int middle(const void *a, const void *b)
{
	volatile char room[300];

	room[0] = 1;
	with_aligned_frame(1000 + (size_t)room[0]);
	return room[0] ? (*(const int *)a > *(const int *)b) : 0;
}

static void on_signal(int sig)
{
	innermost();
	__asm__ volatile("" : : : "memory");
}

static NOINLINE void raise_here(void)
{
	raise(SIGUSR1);
	__asm__ volatile("" : : : "memory");
}

static void test_tables(void)
{
	int two[2] = {1, 2};
	stack_t off = {.ss_flags = SS_DISABLE}, alt = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
	struct sigaction sa = {.sa_handler = on_signal};

	middle(&two[0], &two[1]);
	tap_ok(same_callers(6), "callers without frame pointers");
	qsort(two, 2, sizeof(int), middle);
	tap_ok(same_callers(7), "through libc");
	sigaction(SIGUSR1, &sa, NULL);
	raise_here();
	tap_ok(same_callers(6), "through a signal handler");
	sigaltstack(&alt, NULL);
	sa.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR1, &sa, NULL);
	raise_here();
	tap_ok(same_callers(6), "through a signal handler on a stack of its own");
	sigaltstack(&off, NULL);
	free(alt.ss_sp);
}

static void *thread_main(void *arg)
{
	int two[2] = {1, 2};

	qsort(two, 2, sizeof(int), middle);
	__asm__ volatile("" : : : "memory");
	return NULL;
}

static void test_threads(void)
{
	pthread_t t;
	ucontext_t self, co;
	struct nt_row *rows = (void *)s->state->rows;
	u32 sure = 0;

	pthread_create(&t, NULL, thread_main, NULL);
	pthread_join(t, NULL);
	tap_ok(same_callers(6), "in a thread");
	for (u32 i = 0; i < 1u << s->state->row_bits; i++)
		sure |= rows[i].sure;
	tap_ok(sure, "whose stack is known to %u pages", sure);
	s->state->flags |= NT_STATE_NO_SYSCALL;
	pthread_create(&t, NULL, thread_main, NULL);
	pthread_join(t, NULL);
	s->state->flags &= ~NT_STATE_NO_SYSCALL;
	tap_ok(ours_len >= 8, "a sandboxed thread: %lld bytes", (long long)ours_len);
	getcontext(&co);
	co.uc_stack.ss_sp = malloc(1 << 16);
	co.uc_stack.ss_size = 1 << 16;
	co.uc_link = &self;
	makecontext(&co, (void (*)(void))thread_main, 0);
	swapcontext(&self, &co);
	tap_ok(ours_len >= 8 * 5, "on a coroutine's stack: %lld bytes", (long long)ours_len);
	free(co.uc_stack.ss_sp);
}

static void test_arguments(void)
{
	u64 id[4 * 3];
	struct frame f = {.regs = {[NT_RIP] = 4711}};

	TAKE(BPF_F_USER_STACK, 3);
	tap_eq(ours_len, 24, "no more than there is room for");
	TAKE(BPF_F_USER_STACK | 1, 3);
	tap_ok(ours_len >= 16 && ours[0] == (u64)theirs[1], "frames that are skipped");
	TAKE(BPF_F_USER_STACK | 200, 3);
	tap_eq(ours_len, -EFAULT, "all of them");
	tap_ok(!ours[0] && !ours[2], "leaves zeros");
	TAKE(0, 3);
	tap_eq(ours_len, 0, "an empty kernel stack");
	tap_ok(!ours[0] && !ours[2], "leaves zeros");
	TAKE(BPF_F_USER_STACK | 1 << 12, 3);
	tap_eq(ours_len, -EINVAL, "unknown flag");
	tap_eq(call5(s->helper[67], (u64)f.regs, (u64)ours, 12, BPF_F_USER_STACK, 0), -EINVAL, "half an address");
	tap_eq(call5(s->helper[67], (u64)f.regs, (u64)id, 33, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID, 0), -EINVAL, "half a build id");
	tap_eq(call5(s->helper[67], (u64)f.regs, (u64)id, 96, BPF_F_USER_STACK | BPF_F_USER_BUILD_ID, 0) % 32, 0, "build ids");
	tap_ok((u32)id[0] == 2 && id[3] == 4711, "are addresses");
}

/* Anything in rbp and rsp, with tables and without: nobody may be hurt. */
static void test_nonsense(u64 seed)
{
	u64 x = seed, stack[64];

	for (int k = 0; k < 200000; k++) {
		struct frame f = {.regs = {0}};
		u64 r[3];

		for (int i = 0; i < 3; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			switch (x >> 60) {
			case 0: r[i] = x; break;
			case 1: r[i] = 0; break;
			case 2: case 3: r[i] = (u64)middle - 1000 + x % 8192; break;
			case 4: case 5: r[i] = (u64)qsort - 1000 + x % 65536; break;
			case 6: r[i] = s->state->stack_end - x % 128; break;
			case 7: r[i] = (u64)&x + x % (1 << 20); break;
			default: r[i] = (u64)stack + x % sizeof(stack); r[i] &= x >> 40 & 1 ? ~7ull : ~0ull;
			}
			stack[x >> 8 & 63] = r[i];
		}
		f.regs[NT_RIP] = r[0];
		f.regs[NT_RSP] = r[1];
		f.regs[NT_RBP] = r[2];
		call5(s->helper[67], (u64)f.regs, (u64)ours, sizeof(ours), BPF_F_USER_STACK, 0);
	}
	tap_ok(true, "nonsense in registers and on the stack, seed %llu", (unsigned long long)seed);
}

#pragma GCC push_options
#pragma GCC optimize("no-omit-frame-pointer")
static NOINLINE void fp_inner(u64 *ret_self)
{
	TAKE(BPF_F_USER_STACK, MAX);
	*ret_self = (u64)__builtin_return_address(0);
}

static NOINLINE void fp_outer(u64 ret[2])
{
	fp_inner(&ret[0]);
	ret[1] = (u64)__builtin_return_address(0);
}

/* As at a function's first instruction: the return address is on top of the stack. */
static NOINLINE void at_entry(u64 *ret_call)
{
	struct frame f = {.regs = {0}};
	u64 *fp = __builtin_frame_address(0);

	f.regs[NT_RIP] = 1;
	f.regs[NT_RSP] = (u64)(fp + 1);
	f.regs[NT_RBP] = *fp;
	ours_len = call5(s->helper[67], (u64)f.regs, (u64)ours, sizeof(ours), BPF_F_USER_STACK, 0);
	*ret_call = (u64)__builtin_return_address(0);
}

static NOINLINE void test_frame_pointers(void)
{
	u32 n = s->state->nunwind;
	u64 ret[2], call;

	s->state->nunwind = 0;
	at_entry(&call);
	tap_ok(ours_len >= 24 && ours[0] == 1 && ours[1] == call, "without tables: a function's entry");
	tap_ok(ours[2] == (u64)__builtin_return_address(0), "and frame pointers");
	s->state->nunwind = n;
	fp_outer(ret);
	tap_ok(ours[1] == ret[0] && ours[2] == ret[1], "with both");
}
#pragma GCC pop_options

static u64 fake_thunk_ra;

static NOINLINE void with_thunk(struct nt_ret_entry *e, u64 thunk)
{
	volatile u64 *word = (u64 *)__builtin_frame_address(0) + 1;

	e->sp = (u64)word;
	e->ra = fake_thunk_ra = *word;
	e->thunk = thunk;
	*word = thunk;
	innermost();
	*word = fake_thunk_ra;
}

/* A return address that one of our thunks has taken the place of. */
static void test_thunks(void)
{
	struct nt_ret_entry *pool = (void *)s->state->pool;
	struct nt_row *row = s->row_slow();
	u64 thunk = 0x7000000010;

	s->state->region[0] = (struct nt_region){.base = 0x7000000000, .size = 4096, .seq = 1, .state = NT_REGION_LIVE};
	s->state->nregions = 1;
	row->top = (u64)pool;
	alone = true;
	with_thunk(pool, thunk);
	row->top = 0;
	tap_ok(ours_len >= 24 && ours[2] == fake_thunk_ra, "a thunk's real return address");
	with_thunk(pool, thunk);
	tap_ok(ours_len >= 24 && ours[2] == thunk, "a thunk that nobody knows ends it");
	alone = false;
	s->state->nregions = 0;
}

static NOINLINE void timed(const char *what)
{
	struct timespec a, b;

	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 1000; i++) {
		struct frame f = {.regs = {0}};
		__asm__ volatile("lea 0(%%rip), %%rax\n\tmov %%rax, %0\n\tmov %%rsp, %1\n\tmov %%rbp, %2"
				 : "=m"(f.regs[NT_RIP]), "=m"(f.regs[NT_RSP]), "=m"(f.regs[NT_RBP])
				 :
				 : "rax", "memory");
		ours_len = call5(s->helper[67], (u64)f.regs, (u64)ours, 8 * MAX, BPF_F_USER_STACK, 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	printf("# %s: %lld frames, %.0f ns\n", what, (long long)ours_len / 8,
	       ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 1000);
}

int main(int argc, char **argv)
{
	u64 end;

	s = subject_new();
	proc_maps_each(getpid(), add_module, NULL);
	tap_ok(s->state->nunwind >= 2 && s->state->stack_end, "%u modules have tables", s->state->nunwind);
	test_tables();
	test_threads();
	test_arguments();
	test_frame_pointers();
	test_thunks();
	timed("main thread");
	end = s->state->stack_end;
	s->state->stack_end = 0;
	timed("asking the kernel");
	middle((int[]){1}, (int[]){2});
	tap_ok(same_callers(6), "on a stack of which nothing is known");
	s->state->stack_end = end;
	test_nonsense(argc > 1 ? strtoull(argv[1], NULL, 0) : 20);
	for (u32 i = 0; i < s->state->nunwind; i++)
		free((void *)s->state->unwind[i].rows);
	return tap_done();
}
