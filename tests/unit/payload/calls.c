/* SPDX-License-Identifier: MIT */
/* Helpers over text, dynptrs, signals, callbacks and places. tests/system/helper_parity asks the kernel, too. */
#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "subject.h"
#include "tap.h"

static s64 call(const struct subject *s, u32 id, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	return call5(s->helper[id], a, b, c, d, e);
}

#define PTR(p) ((u64)(uintptr_t)(p))

static void test_text(const struct subject *s)
{
	char out[32];
	u64 arg[3] = {7, PTR("seven"), 0};
	s64 v = 99;

	tap_eq(call(s, 105, PTR(" -17x"), 5, 0, PTR(&v), 0), 4, "strtol takes 4 characters");
	tap_eq(v, -17, "of -17");
	tap_eq(call(s, 105, PTR("x"), 1, 0, PTR(&v), 0), -EINVAL, "strtol without a digit");
	tap_eq(v, 0, "leaves 0");
	tap_eq(call(s, 106, PTR("-1"), 2, 0, PTR(&v), 0), -EINVAL, "strtoul of a negative number");
	tap_eq(call(s, 106, PTR("0xff"), 4, 0, PTR(&v), 0), 4, "strtoul");
	tap_eq(v, 255, "hexadecimal");
	tap_eq(call(s, 165, PTR(out), sizeof(out), PTR("%d %s"), PTR(arg), 16), 8, "snprintf");
	tap_ok(!strcmp(out, "7 seven"), "\"%s\"", out);
	memset(out, 'x', sizeof(out));
	tap_eq(call(s, 165, PTR(out), 4, PTR("%d %s"), PTR(arg), 16), 8, "snprintf into less");
	tap_ok(!memcmp(out, "7 s\0x", 5), "is cut");
	tap_eq(call(s, 165, PTR(out), 4, PTR("%d"), PTR(arg), 7), -EINVAL, "arguments of 7 bytes");
	tap_eq(call(s, 165, PTR(out), 4, PTR("%d"), PTR(arg), 104), -EINVAL, "13 arguments");
}

static void test_ring_dynptr(const struct subject *s)
{
	struct nt_map_view *ring = subject_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 1);
	u64 d[2] = {1, 1}, word = 0;

	s->state->rings[0] = PTR(ring);
	s->state->nrings = 1;
	tap_eq(call(s, 198, PTR(ring), 16, 0, PTR(d), 0), 0, "reserve a dynptr");
	tap_eq(call(s, 202, PTR(d), 8, PTR("12345678"), 8, 0), 0, "write into it");
	tap_eq(call(s, 202, PTR(d), 9, PTR("12345678"), 8, 0), -E2BIG, "beyond its end");
	tap_ok(call(s, 203, PTR(d), 8, 8, 0, 0), "a slice");
	tap_eq(call(s, 203, PTR(d), 8, 9, 0, 0), 0, "a slice beyond its end");
	tap_eq(call(s, 199, PTR(d), 0, 0, 0, 0), 0, "submit");
	tap_eq(d[0], 0, "the dynptr is empty");
	memcpy(&word, ring->base + NT_RING_DATA_OFF + NT_RING_HDR + 8, 8);
	tap_ok(!memcmp(&word, "12345678", 8), "the record is in the ring");
	tap_eq(call(s, 198, PTR(ring), 8192, 0, PTR(d), 0), -EINVAL, "no room");
	tap_eq(d[0], 0, "no dynptr");
	tap_eq(call(s, 200, PTR(d), 0, 0, 0, 0), 0, "discard nothing");
	tap_eq(call(s, 201, PTR(&word), 1, PTR(d), 0, 0), -EINVAL, "read from nothing");
	s->state->nrings = 0;
}

static volatile sig_atomic_t got[65];

static void on_signal(int sig)
{
	got[sig]++;
}

static void test_signals(const struct subject *s)
{
	signal(SIGUSR1, on_signal);
	signal(SIGUSR2, on_signal);
	tap_eq(call(s, 109, SIGUSR1, 0, 0, 0, 0), 0, "send a signal");
	tap_eq(call(s, 117, SIGUSR2, 0, 0, 0, 0), 0, "send one to the thread");
	tap_eq(got[SIGUSR1] + got[SIGUSR2], 0, "they wait");
	call(s, NT_HELPER_DELIVER_SIGNALS, 0, 0, 0, 0, 0);
	tap_ok(got[SIGUSR1] == 1 && got[SIGUSR2] == 1, "for the program's end");
	call(s, NT_HELPER_DELIVER_SIGNALS, 0, 0, 0, 0, 0);
	tap_ok(got[SIGUSR1] == 1 && got[SIGUSR2] == 1, "and come once");
	for (int i = 0; i < 9; i++)
		tap_eq(call(s, 117, SIGUSR2, 0, 0, 0, 0), 0, "signal %d", i);
	tap_eq(got[SIGUSR2], 2, "what finds no room comes at once");
	call(s, NT_HELPER_DELIVER_SIGNALS, 0, 0, 0, 0, 0);
	tap_ok(got[SIGUSR2] > 2, "the others later");
	tap_eq(call(s, 109, 65, 0, 0, 0, 0), -EINVAL, "no such signal");
	tap_eq(call(s, 109, 0, 0, 0, 0, 0), 0, "signal 0 asks only");
	s->state->flags |= NT_STATE_NO_SYSCALL;
	tap_eq(call(s, 109, SIGUSR1, 0, 0, 0, 0), -EPERM, "without the kernel there are none");
	s->state->flags &= ~NT_STATE_NO_SYSCALL;
}

static u64 sum_to_seven(u64 i, u64 ctx, u64 r3, u64 r4, u64 r5)
{
	*(u64 *)ctx += i;
	return i == 7;
}

static void test_loop(const struct subject *s)
{
	u64 sum = 0;

	tap_eq(call(s, 181, 5, PTR(sum_to_seven), PTR(&sum), 0, 0), 5, "a loop of 5");
	tap_eq(sum, 10, "calls back with 0 to 4");
	tap_eq(call(s, 181, 1000, PTR(sum_to_seven), PTR(&sum), 0, 0), 8, "the callback ends it");
	tap_eq(call(s, 181, 0, PTR(sum_to_seven), PTR(&sum), 0, 0), 0, "a loop of 0");
	tap_eq(call(s, 181, (1 << 23) + 1, PTR(sum_to_seven), PTR(&sum), 0, 0), (u32)-E2BIG, "too many");
	tap_eq(call(s, 181, 1, PTR(sum_to_seven), PTR(&sum), 1, 0), -EINVAL, "flags");
}

static void test_places(const struct subject *s)
{
	struct {
		u32 pid, tgid;
	} ids = {1, 1};
	struct stat st;
	unsigned int cpu, node = 77;

	stat("/proc/self/ns/pid", &st);
	s->state->pidns_dev = st.st_dev;
	s->state->pidns_ino = st.st_ino;
	tap_eq(call(s, 120, st.st_dev, st.st_ino, PTR(&ids), 8, 0), 0, "ids in our pid namespace");
	tap_ok(ids.pid == (u32)gettid() && ids.tgid == (u32)getpid(), "are %u %u", ids.pid, ids.tgid);
	tap_eq(call(s, 120, st.st_dev, st.st_ino + 1, PTR(&ids), 8, 0), -EINVAL, "another namespace");
	tap_ok(!ids.pid && !ids.tgid, "leaves zeros");
	tap_eq(call(s, 80, 0, 0, 0, 0, 0), 0, "cgroup not known");
	s->state->cgroup[0] = 1;
	s->state->cgroup[1] = 42;
	s->state->cgroup_n = 2;
	tap_eq(call(s, 80, 0, 0, 0, 0, 0), 42, "cgroup id");
	tap_eq(call(s, 123, 0, 0, 0, 0, 0), 1, "the root's");
	tap_eq(call(s, 123, 1, 0, 0, 0, 0), 42, "ancestor at our own level");
	tap_eq(call(s, 123, 2, 0, 0, 0, 0), 0, "below us there is none");
	tap_eq(call(s, 123, ~0ull, 0, 0, 0, 0), 0, "a level that is none");
	getcpu(&cpu, &node);
	tap_eq(call(s, 42, 0, 0, 0, 0, 0), node, "NUMA node");
	tap_eq(call(s, 176, 0, 0, 0, 0, 0), -ENOENT, "no branch records");
}

int main(void)
{
	const struct subject *s = subject_new();

	test_text(s);
	test_ring_dynptr(s);
	test_signals(s);
	test_loop(s);
	test_places(s);
	return tap_done();
}
