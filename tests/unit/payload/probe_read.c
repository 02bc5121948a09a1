/* SPDX-License-Identifier: MIT */
/* bpf_probe_read*: whatever the address, the program goes on and gets what the kernel would give.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "subject.h"
#include "tap.h"

#define PAGE 4096
#define NON_CANONICAL 0x0000800000000000ull
#define KERNEL_HALF 0xffff888000000000ull

static const int read_ids[] = {4, 112, 113}, str_ids[] = {45, 114, 115};

static bool all_bytes(const u8 *p, size_t n, u8 b)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != b)
			return false;
	return true;
}

/* [readable][PROT_NONE][readable], then unmapped */
static u8 *broken_memory(void)
{
	u8 *m = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(m, 'a', 4 * PAGE);
	mprotect(m + PAGE, PAGE, PROT_NONE);
	munmap(m + 3 * PAGE, PAGE);
	return m;
}

static void test_bad_addresses(const struct subject *s, u8 *m)
{
	const struct {
		const char *name;
		u64 addr;
	} bad[] = {
	    {"NULL", 0},
	    {"first page", 8},
	    {"PROT_NONE", (u64)m + PAGE},
	    {"unmapped", (u64)m + 3 * PAGE},
	    {"readable then PROT_NONE", (u64)m + PAGE - 8},
	    {"readable then unmapped", (u64)m + 3 * PAGE - 8},
	    {"non-canonical", NON_CANONICAL},
	    {"non-canonical end", NON_CANONICAL - 8},
	    {"kernel half", KERNEL_HALF},
	    {"last byte", ~0ull},
	    {"wraps round", ~0ull - 7},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (int k = 0; k < 3; k++) {
			u8 dst[24];

			memset(dst, 0xcc, sizeof(dst));
			tap_ok(helper_call(s, read_ids[k], dst, 16, bad[i].addr) == -EFAULT &&
				   all_bytes(dst, 16, 0) && all_bytes(dst + 16, 8, 0xcc),
			       "read %d of %s is -EFAULT and zeros", read_ids[k], bad[i].name);
			memset(dst, 0xcc, sizeof(dst));
			tap_ok(helper_call(s, str_ids[k], dst, 16, bad[i].addr) == -EFAULT &&
				   all_bytes(dst, 16, 0) && all_bytes(dst + 16, 8, 0xcc),
			       "string %d of %s is -EFAULT and zeros", str_ids[k], bad[i].name);
		}
	}
}

static void test_sizes(const struct subject *s, u8 *m)
{
	u8 dst[64];

	memset(dst, 0xcc, sizeof(dst));
	tap_eq(helper_call(s, 112, dst, 0, m), 0, "nothing, of a good address");
	tap_eq(helper_call(s, 112, dst, 0, 0), 0, "nothing, of NULL");
	tap_eq(helper_call(s, 112, dst, 0, KERNEL_HALF), -EFAULT, "nothing, of the kernel");
	tap_eq(helper_call(s, 114, dst, 0, m), 0, "no string");
	tap_ok(all_bytes(dst, sizeof(dst), 0xcc), "nothing is written");
	tap_eq(helper_call(s, 112, dst, 8 | 1ull << 32, m), 0, "the size is 32 bits wide");
	tap_ok(all_bytes(dst, 8, 'a') && all_bytes(dst + 8, 8, 0xcc), "8 bytes");
	tap_eq(helper_call(s, 112, dst, 16, m + PAGE - 16), 0, "the last bytes before a hole");
	tap_ok(all_bytes(dst, 16, 'a') && dst[16] == 0xcc, "16 bytes");
}

static void test_strings(const struct subject *s, u8 *m)
{
	static char big[3 * PAGE], out[3 * PAGE];
	char dst[64];

	memset(dst, 'x', sizeof(dst));
	strcpy((char *)m + 100, "hello");
	tap_eq(helper_call(s, 114, dst, 32, m + 100), 6, "length with NUL");
	tap_ok(!memcmp(dst, "hello\0xx", 8), "bytes behind the NUL stay");
	tap_eq(helper_call(s, 114, dst, 6, m + 100), 6, "fits exactly");
	tap_eq(helper_call(s, 114, dst, 5, m + 100), 5, "cut: the size");
	tap_ok(!memcmp(dst, "hell", 5), "cut text ends with NUL");
	tap_eq(helper_call(s, 114, dst, 1, m + 100), 1, "room for the NUL only");
	tap_eq(dst[0], 0, "which is written");
	m[PAGE - 1] = 0;
	tap_eq(helper_call(s, 114, dst, 32, m + PAGE - 4), 4, "ends with the page before a hole");
	tap_ok(!memcmp(dst, "aaa", 4), "its text");
	tap_eq(helper_call(s, 114, dst, 32, m + PAGE - 1), 1, "empty, last byte of a page");
	m[PAGE - 1] = 'a';
	tap_eq(helper_call(s, 114, dst, 4, m + PAGE - 4), 4, "cut at a hole");
	tap_eq(helper_call(s, 114, dst, 5, m + PAGE - 4), -EFAULT, "needs one byte of the hole");
	tap_ok(all_bytes((u8 *)dst, 5, 0), "and is zeroed");

	memset(big, 'b', sizeof(big) - 1);
	for (u32 len = 250; len < 2 * PAGE + 600; len += 257) {
		char keep = big[len];
		s64 r;

		big[len] = 0;
		memset(out, 'x', sizeof(out));
		r = helper_call(s, 114, out, sizeof(out), big);
		tap_ok(r == len + 1 && strlen(out) == len && out[len + 1] == 'x', "string of %u",
		       len);
		big[len] = keep;
	}
}

/* Any piece of memory with holes, against what is known to be there. */
static void test_random(const struct subject *s)
{
	enum { NPAGES = 8, ROUNDS = 20000 };
	u8 *m =
	    mmap(NULL, NPAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static u8 model[NPAGES * PAGE], dst[3 * PAGE];
	u32 seed = (u32)getpid(), wrong = 0;

	printf("# seed %u\n", seed);
	srandom(seed);
	for (u32 i = 0; i < NPAGES * PAGE; i++)
		m[i] = model[i] = random() % 97 ? (u8)(1 + random() % 255) : 0;
	mprotect(m + 2 * PAGE, PAGE, PROT_NONE);
	munmap(m + 5 * PAGE, PAGE);
	for (int i = 0; i < ROUNDS; i++) {
		u32 at = (u32)random() % (NPAGES * PAGE),
		    n = (u32)random() % (random() & 1 ? 64 : 2 * PAGE);
		u32 good = 0;
		const u8 *nul;
		s64 want, got;

		if (at + n > NPAGES * PAGE)
			n = NPAGES * PAGE - at;
		while (good < n && (at + good) / PAGE != 2 && (at + good) / PAGE != 5)
			good++;
		memset(dst, 0xcc, n + 1);
		got = helper_call(s, 112, dst, n, m + at);
		want = good == n ? 0 : -EFAULT;
		wrong += got != want || dst[n] != 0xcc ||
			 (want ? !all_bytes(dst, n, 0) : !!memcmp(dst, model + at, n));
		memset(dst, 0xcc, n + 1);
		got = helper_call(s, 114, dst, n, m + at);
		nul = memchr(model + at, 0, good);
		want = nul ? nul - (model + at) + 1 : good == n ? (s64)n : -EFAULT;
		wrong += got != want || dst[n] != 0xcc;
		if (want > 0)
			wrong += !!memcmp(dst, model + at, (size_t)want - 1) || dst[want - 1];
		else
			wrong += !all_bytes(dst, n, 0);
	}
	tap_eq(wrong, 0, "%d random reads", ROUNDS);
}

/* A program's stack and ctx lie above the helper's frame: where they share its page no system call
 * is made. */
__attribute__((noinline)) static int own_stack_at(const struct subject *s, u32 shift)
{
	volatile u8 room[PAGE];
	volatile u64 value[4] = {11, 22, 33, 44};
	u64 out[4] = {0}, here = (u64)__builtin_frame_address(0);
	s64 r;

	(void)room;
	(void)shift;
	/* Below us the helper's frame, 64 bytes at most to its return address. */
	if (((u64)&out - 512) / PAGE != ((u64)value + sizeof(value)) / PAGE ||
	    here - (u64)value > PAGE)
		return -1;
	r = helper_call(s, 113, out, sizeof(out), value);
	return r == 0 && out[0] == 11 && out[3] == 44;
}

__attribute__((noinline)) static int own_stack(const struct subject *s, u32 depth)
{
	volatile u8 pad[208];
	int r;

	pad[0] = 0;
	r = own_stack_at(s, depth);
	if (r < 0 && depth < 60)
		r = own_stack(s, depth + 1);
	return r + pad[0];
}

static void test_own_stack(const struct subject *s)
{
	u64 value = 77, out = 0;
	u8 far[3 * PAGE], *page = (u8 *)(((u64)far + PAGE) & ~(u64)(PAGE - 1));

	tap_eq(helper_call(s, 113, &out, sizeof(out), &value), 0, "own stack");
	tap_eq(out, 77, "its value");
	memset(far, 'f', sizeof(far));
	page[PAGE + 3] = 0;
	tap_eq(helper_call(s, 115, far, 64, page + PAGE - 5), 9,
	       "string across two pages of the stack");
	s->state->flags |= NT_STATE_NO_SYSCALL;
	tap_eq(own_stack(s, 0), 1, "own stack, same page, without the kernel");
	tap_eq(helper_call(s, 113, &out, sizeof(out), s->state), -EFAULT,
	       "elsewhere: not without the kernel");
	tap_eq(out, 0, "zeroed");
	s->state->flags &= ~NT_STATE_NO_SYSCALL;
	tap_eq(helper_call(s, 113, &out, sizeof(out), &s->state->magic), 0, "with the kernel");
	tap_eq(out, NT_STATE_MAGIC, "its value");
}

struct edge {
	const struct subject *s;
	u8 *hole; /* begins where the thread's stack ends */
	s64 read, cross, str;
};

static void *edge_main(void *arg)
{
	struct edge *e = arg;
	u8 dst[16];

	e->read = helper_call(e->s, 113, dst, sizeof(dst), e->hole);
	e->cross = helper_call(e->s, 113, dst, sizeof(dst), e->hole - 8);
	e->hole[-1] = 'x';
	e->str = helper_call(e->s, 115, dst, sizeof(dst), e->hole - 1);
	return NULL;
}

/* Memory above this thread's stack is not there: the short cut must not go that far. */
static void test_stack_end(const struct subject *s)
{
	enum { STACK = 64 * 1024 };
	u8 *m =
	    mmap(NULL, STACK + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct edge e = {.s = s, .hole = m + STACK};
	pthread_attr_t attr;
	pthread_t t;

	mprotect(e.hole, PAGE, PROT_NONE);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, m, STACK);
	if (pthread_create(&t, &attr, edge_main, &e)) {
		tap_ok(false, "pthread_create");
		return;
	}
	pthread_join(t, NULL);
	tap_ok(e.read == -EFAULT && e.cross == -EFAULT && e.str == -EFAULT, "just above the stack");
}

int main(void)
{
	const struct subject *s = subject_new();
	u8 *m = broken_memory();

	errno = 4711;
	test_bad_addresses(s, m);
	tap_eq(errno, 4711, "errno is not touched");
	test_sizes(s, m);
	test_strings(s, m);
	test_own_stack(s);
	test_stack_end(s);
	test_random(s);
	s->state->tid_off = 0;
	s->local->tgid = 0;
	test_sizes(s, m);
	tap_eq(s->local->tgid, 0, "without a thread block the tgid is not kept");
	s->local->tgid = 0x7ffffffe;
	test_sizes(s, m);
	return tap_done();
}
