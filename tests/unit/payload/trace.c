/* SPDX-License-Identifier: MIT */
/* bpf_trace_printk and bpf_trace_vprintk against snprintf(), and what the kernel refuses. */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "subject.h"
#include "tap.h"

static struct nt_map_view *ring;

static u64 position(u32 off)
{
	return *(u64 *)(void *)(ring->base + off);
}

/* The next record, or NULL. */
static const struct nt_trace_rec *next_record(u32 *ret_len)
{
	u64 cons = position(NT_RING_CONS_OFF);
	u8 *at = ring->base + NT_RING_DATA_OFF + cons % ring->max_entries;
	u32 len = *(u32 *)(void *)at;

	if (cons == position(NT_RING_PROD_OFF) || len & (NT_RING_BUSY | NT_RING_DISCARD))
		return NULL;
	*(u64 *)(void *)(ring->base + NT_RING_CONS_OFF) = cons + ((len + NT_RING_HDR + 7) & ~7u);
	*ret_len = len;
	return (void *)(at + NT_RING_HDR);
}

static s64 print(const struct subject *s, const char *fmt, const u64 *arg, u32 n)
{
	return call5(s->helper[177], (u64)fmt, strlen(fmt) + 1, (u64)arg, 8 * n, 0);
}

static void check(const struct subject *s, const char *want, s64 got)
{
	u32 len = 0;
	const struct nt_trace_rec *r = next_record(&len);
	size_t n = strlen(want);
	char name[61];

	snprintf(name, sizeof(name), "%s", want);
	for (char *p = name; *p; p++)
		*p = *p < ' '	 ? '.'
		     : *p == '#' ? '.'
				 : *p; /* TAP lives on lines, # begins a directive */
	tap_ok(r && (size_t)got == n && r->len == n && !memcmp(r->text, want, n), "\"%s\"", name);
	if (!r || (size_t)got != n || memcmp(r->text, want, n))
		printf("# got %lld \"%.*s\"\n", (long long)got, r ? (int)r->len : 0,
		       r ? r->text : "");
}

#define same(s, fmt, a, b, c)                                                                      \
	do {                                                                                       \
		char want[200];                                                                    \
		u64 arg[3] = {(u64)(a), (u64)(b), (u64)(c)};                                       \
		snprintf(want, sizeof(want), fmt, a, b, c);                                        \
		check(s, want, print(s, fmt, arg, 3));                                             \
		check(s, want,                                                                     \
		      call5((s)->helper[6], (u64)(fmt), sizeof(fmt), arg[0], arg[1], arg[2]));     \
	} while (0)

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat"
static void test_formats(const struct subject *s)
{
	static const char hello[] = "hello";

	same(s, "%d %i %u", -1, 2147483647, 4294967295u);
	same(s, "%x %X %x", 0xdeadbeef, 0xdeadbeef, 0);
	same(s, "%ld %lu %lx", -1L, ~0UL, ~0UL);
	same(s, "%lld %llu %llX", (long long)(1ull << 63), ~0ull, 0x123456789abcdefull);
	same(s, "[%5d][%-5d][%05d]", 42, 42, 42);
	same(s, "[%5d][%-5d][%05d]", -42, -42, -42);
	same(s, "[%+d][% d][%+5d]", 42, 42, 42);
	same(s, "[%-05d][%+05d][%1d]", 42, 42, 123456);
	same(s, "[%08x][%16lx][%-12llx]", 0xbeef, 0xbeefUL, 0xbeefull);
	same(s, "[%s][%10s][%-10s]", hello, hello, hello);
	same(s, "[%c][%3c][%-3c]", 'x', 'y', 'z');
	same(s, "100%% of %d%%, %s, %c", 7, hello, '!');
	same(s, "tab\there\n%d %d %d\n", 1, 2, 3);
	same(s, "%3s|%1s|%20s", hello, hello, "");
}
#pragma GCC diagnostic pop

static void test_kernel_forms(const struct subject *s)
{
	u64 p[2] = {0xffff888012345678, 0};
	u64 str[3] = {(u64) "abc", (u64) "def", 0};

	check(s, "ffff888012345678 0000000000000000", print(s, "%p %p", p, 2));
	check(s, "ffff888012345678,   0", print(s, "%px, %3pK", p, 2));
	check(s, "0xffff888012345678 0x0.", print(s, "%ps %pS.", p, 2));
	check(s, "abc def", print(s, "%pks %pus", str, 2));
	check(s, "", print(s, "", NULL, 0));
	check(s, "plain", print(s, "plain", NULL, 0));
	check(s, "<>", print(s, "<%s>", p, 1));
	check(s, "<     >", print(s, "<%5s>", p + 1, 1));
	check(s, "4294967295 -1", print(s, "%u %d", (u64[]){~0ull, ~0ull}, 2));
	check(s, "1 2 3 4 5 6 7 8 9 10 11 12",
	      print(s, "%d %d %d %d %d %d %d %d %d %d %d %d",
		    (u64[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 12));
}

static void test_refusals(const struct subject *s)
{
	static const char *const bad[] = {"%",	   "%q",   "%5",   "%l",    "%lld%", "%hd",
					  "%sx",   "%.3d", "%*d",  "%f",
					  "%lllx", "%llp", "\x01", "a\x7f", "%n"};
	u64 arg[13] = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		tap_eq(print(s, bad[i], arg, 3), -EINVAL, "refused: %s",
		       bad[i][0] == 1 || bad[i][0] == 'a' ? "not text" : bad[i]);
	tap_eq(print(s, "%d %d", arg, 1), -EINVAL, "more conversions than arguments");
	tap_eq(call5(s->helper[6], (u64) "%d%d%d%d", 9, 1, 2, 3), -EINVAL, "more than three");
	tap_eq(call5(s->helper[6], (u64) "abc", 3, 0, 0, 0), -EINVAL, "no NUL within the size");
	tap_eq(call5(s->helper[6], (u64) "abc", 0, 0, 0, 0), -EINVAL, "no format");
	tap_eq(call5(s->helper[177], (u64) "a", 2, (u64)arg, 7, 0), -EINVAL,
	       "argument size not a multiple of 8");
	tap_eq(call5(s->helper[177], (u64) "a", 2, (u64)arg, 104, 0), -EINVAL,
	       "more than 12 arguments");
	tap_eq(call5(s->helper[177], (u64) "a", 2, 0, 8, 0), -EINVAL, "no arguments");
	tap_ok(!next_record(&(u32){0}), "nothing of it was written");
}

static void test_long(const struct subject *s)
{
	static char big[3000];
	const struct nt_trace_rec *r;
	u64 arg[2] = {(u64)big, 7};
	u32 len;

	memset(big, 'z', sizeof(big) - 1);
	tap_eq(print(s, "%s%d", arg, 2), 512, "a long string is cut");
	r = next_record(&len);
	tap_ok(r && r->len == 512 && r->text[510] == 'z' && r->text[511] == '7', "its text");
	tap_eq(print(s, "%1200d|%d", (u64[]){1, 2}, 2), 1202,
	       "the length is that of the whole text");
	r = next_record(&len);
	tap_ok(r && r->len == 1023 && r->text[0] == ' ' && r->text[1022] == ' ',
	       "a long text is cut");
	tap_eq(print(s, "%99999999999d", (u64[]){1}, 1), (1 << 23) - 1, "the largest width");
	r = next_record(&len);
	tap_ok(r && r->len == 1023, "is cut");
	tap_eq(print(s, "%700d%s", (u64[]){1, (u64)big}, 2), 1211, "string beyond the end");
	r = next_record(&len);
	tap_ok(r && r->len == 1023 && r->text[699] == '1' && r->text[1022] == 'z',
	       "as much of it as fits");
}

static void test_record(const struct subject *s)
{
	struct timespec t;
	const struct nt_trace_rec *r;
	struct nt_ring_ctl *ctl = (void *)(ring->base + ring->ctl_off);
	u32 len, rung = subject_bell(s)->rung, flags = s->state->flags;
	u8 *base = s->state->trace.base;

	prctl(PR_SET_NAME, "tracer");
	ctl->armed = 1;
	print(s, "x", NULL, 0);
	clock_gettime(CLOCK_MONOTONIC, &t);
	r = next_record(&len);
	tap_ok(r && r->tgid == (u32)getpid() && r->tid == (u32)gettid() &&
		   !strcmp(r->comm, "tracer"),
	       "who");
	tap_ok(r && (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec - r->ts < 1000000000u, "when");
	tap_eq(subject_bell(s)->rung, rung + 1, "the bell was rung");

	for (int i = 0; i < 200; i++)
		print(s, "%900d", (u64[]){1}, 1);
	tap_eq(print(s, "%900d", (u64[]){1}, 1), 900, "a full ring does not change the result");
	while (next_record(&len))
		;
	s->state->trace.base = NULL;
	tap_eq(print(s, "gone", NULL, 0), 4, "no ring: the same result");
	s->state->trace.base = base;
	tap_ok(!next_record(&len), "and no record");
	s->state->flags |= NT_STATE_NO_SYSCALL;
	check(s, "<>", print(s, "<%s>", (u64[]){(u64)ring}, 1));
	s->state->flags = flags;
}

int main(void)
{
	const struct subject *s = subject_new();

	ring = subject_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 16384, 1);
	s->state->trace = *ring;
	test_formats(s);
	test_kernel_forms(s);
	test_refusals(s);
	test_long(s);
	test_record(s);
	return tap_done();
}
