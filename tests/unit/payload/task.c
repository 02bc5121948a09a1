/* SPDX-License-Identifier: MIT */
/* Ids, names, CPU: who the program believes it runs in. */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "subject.h"
#include "tap.h"

static u64 id_of(pid_t tgid, pid_t tid)
{
	return (u64)tgid << 32 | (u32)tid;
}

struct thread_ids {
	const struct subject *s;
	u64 ids;
	pid_t tid;
	u64 task;
};

static void *thread_main(void *arg)
{
	struct thread_ids *t = arg;

	t->tid = gettid();
	t->ids = (u64)helper_call(t->s, 14, 0, 0, 0);
	t->task = (u64)helper_call(t->s, 35, 0, 0, 0);
	return NULL;
}

static void test_ids(const struct subject *s)
{
	struct thread_ids t = {.s = s};
	pthread_t p;

	tap_ok(s->state->tid_off, "libc keeps the tid at %d", s->state->tid_off);
	tap_eq(helper_call(s, 14, 0, 0, 0), id_of(getpid(), gettid()), "pid_tgid");
	tap_eq(s->local->tgid, getpid(), "the tgid is kept");
	pthread_create(&p, NULL, thread_main, &t);
	pthread_join(p, NULL);
	tap_eq(t.ids, id_of(getpid(), t.tid), "pid_tgid of a thread");
	tap_eq(t.task, p, "current task is the thread's");
	tap_eq(helper_call(s, 35, 0, 0, 0), pthread_self(), "current task");
	s->state->flags &= ~NT_STATE_FS0;
	tap_eq(helper_call(s, 35, 0, 0, 0), pthread_self(), "current task without fs:0");
	s->state->flags |= NT_STATE_FS0;
	tap_eq(helper_call(s, 15, 0, 0, 0), (u64)getgid() << 32 | getuid(), "uid_gid");
}

static void test_no_thread_block(const struct subject *s)
{
	s32 off = s->state->tid_off;

	s->state->tid_off = 0;
	s->local->tgid = 0;
	tap_eq(helper_call(s, 14, 0, 0, 0), id_of(getpid(), gettid()), "pid_tgid by asking");
	tap_eq(s->local->tgid, 0, "and it is not kept");
	s->state->flags |= NT_STATE_NO_SYSCALL;
	tap_eq(helper_call(s, 14, 0, 0, 0), -EINVAL, "no way to know");
	tap_eq(helper_call(s, 15, 0, 0, 0), -EINVAL, "no way to know the uid");
	s->state->flags &= ~NT_STATE_NO_SYSCALL;
	s->state->tid_off = off;
}

static void note_ids(const struct subject *s, u32 here, u32 there, u32 way)
{
	s->local->ids[here % NT_IDS_SETS * NT_IDS_WAYS + way] =
		(struct nt_ids){ .here = here, .there = there, .sum = nt_ids_sum(here, there) };
}

/* A broker in another namespace: it answers every question, with what is in the table by then. */
struct broker_there {
	const struct subject *s;
	u32 tid, there, seen; /* seen: of the bell, when the thread is made: it may start late */
	int answers;
	volatile bool end;
};

static void *broker_main(void *arg)
{
	struct broker_there *b = arg;
	struct nt_bell *bell = subject_bell(b->s);
	u32 asked = b->seen;

	while (!b->end) {
		if (at_load_acq(&bell->rbrk) == asked) {
			usleep(100);
			continue;
		}
		asked = at_load(&bell->rbrk);
		if (b->there) {
			b->s->local->tgid_there = 70001;
			note_ids(b->s, b->tid, b->there, NT_IDS_WAYS - 1);
		}
		b->answers++;
		at_store_rel(&bell->rbrk_done, asked);
		syscall(SYS_futex, &bell->rbrk_done, FUTEX_WAKE, 1, NULL, NULL, 0);
	}
	return NULL;
}

static void test_other_namespace(const struct subject *s)
{
	u32 tid = (u32)gettid();
	struct broker_there b = { .s = s, .tid = tid, .seen = subject_bell(s)->rbrk };
	pthread_t broker;

	s->state->flags |= NT_STATE_PIDNS;
	pthread_create(&broker, NULL, broker_main, &b);
	tap_eq(helper_call(s, 14, 0, 0, 0), id_of(getpid(), gettid()), "another namespace, the broker does not know: our own ids");
	tap_eq(b.answers, 1, "it was asked");
	tap_eq(helper_call(s, 14, 0, 0, 0), id_of(getpid(), gettid()), "the same");
	tap_eq(b.answers, 1, "without asking again at once");
	s->local->ids_again_ns = 0;
	b.there = 70002;
	tap_eq(helper_call(s, 14, 0, 0, 0), id_of(70001, 70002), "it does: its ids");
	tap_eq(b.answers, 2, "it was asked once more");
	tap_eq(helper_call(s, 14, 0, 0, 0), id_of(70001, 70002), "and they stay");
	tap_eq(b.answers, 2, "without asking");
	note_ids(s, tid + NT_IDS_SETS, 5, 0);
	tap_eq(helper_call(s, 14, 0, 0, 0), id_of(70001, 70002), "another thread's in the same set");
	b.there = 0;
	s->local->ids[tid % NT_IDS_SETS * NT_IDS_WAYS + NT_IDS_WAYS - 1].there = 6;
	tap_eq(helper_call(s, 14, 0, 0, 0), id_of(getpid(), gettid()), "half an entry is none");
	b.end = true;
	pthread_join(broker, NULL);
	memset(s->local->ids, 0, sizeof(s->local->ids));
	s->local->tgid_there = 0;
	s->local->ids_again_ns = 0;
	s->state->flags &= ~NT_STATE_PIDNS;
}

static int child_status(pid_t pid)
{
	int st = -1;

	waitpid(pid, &st, 0);
	return WIFEXITED(st) ? WEXITSTATUS(st) : -1;
}

static void test_fork(const struct subject *s)
{
	pid_t pid;

	helper_call(s, 14, 0, 0, 0);
	if (!s->wiped_on_fork) {
		tap_skip("hosted variables are not wiped", "ids after fork");
		return;
	}
	tap_eq(s->local->tgid, getpid(), "parent's tgid is known");
	pid = fork();
	if (!pid) {
		bool wiped = !s->local->tgid;
		bool right = (u64)helper_call(s, 14, 0, 0, 0) == id_of(getpid(), getpid());

		_exit(wiped && right && s->local->tgid == (u32)getpid() ? 0 : 1);
	}
	tap_eq(child_status(pid), 0, "a forked child finds its own ids");
	tap_eq(helper_call(s, 14, 0, 0, 0), id_of(getpid(), gettid()), "the parent keeps its own");
}

static void test_vfork(const struct subject *s)
{
	volatile u64 ids = 0;
	volatile pid_t child = 0;
	pid_t pid;

	s->local->tgid = 0;
	pid = vfork();
	if (!pid) {
		child = getpid();
		ids = (u64)helper_call(s, 14, 0, 0, 0);
		_exit(0);
	}
	child_status(pid);
	tap_eq(ids >> 32, child, "a vfork child that asks first gets its tgid");
	tap_eq(s->local->tgid, 0, "and leaves no trace in the memory it shares");
	tap_eq(helper_call(s, 14, 0, 0, 0), id_of(getpid(), gettid()), "the parent is itself");
}

static void test_comm(const struct subject *s)
{
	char b[24];

	prctl(PR_SET_NAME, "payload-test");
	memset(b, 'x', sizeof(b));
	tap_eq(helper_call(s, 16, b, 16, 0), 0, "comm");
	tap_ok(!memcmp(b, "payload-test\0\0\0\0x", 17), "padded with NULs to the size");
	tap_eq(helper_call(s, 16, b, 24, 0), 0, "comm into more");
	tap_ok(!memcmp(b, "payload-test\0\0\0\0\0\0\0\0\0\0\0\0", 24), "padded");
	memset(b, 'x', sizeof(b));
	tap_eq(helper_call(s, 16, b, 5, 0), 0, "comm into less");
	tap_ok(!memcmp(b, "payl\0x", 6), "cut");
	tap_eq(helper_call(s, 16, b, 1, 0), 0, "comm into one byte");
	tap_eq(b[0], 0, "NUL");
	b[0] = 'x';
	tap_eq(helper_call(s, 16, b, 0, 0), -EINVAL, "comm into nothing");
	tap_eq(b[0], 'x', "nothing is written");
	s->state->flags |= NT_STATE_NO_SYSCALL;
	tap_eq(helper_call(s, 16, b, 4, 0), -EINVAL, "comm without the kernel");
	tap_ok(!memcmp(b, "\0\0\0\0", 4), "is zeros");
	s->state->flags &= ~NT_STATE_NO_SYSCALL;
}

static void test_cpu(const struct subject *s)
{
	cpu_set_t all, one;
	u32 flags = s->state->flags;

	sched_getaffinity(0, sizeof(all), &all);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
		tap_eq(helper_call(s, 8, 0, 0, 0), cpu, "CPU %d", cpu);
		s->state->flags &= ~NT_STATE_RDPID;
		tap_eq(helper_call(s, 8, 0, 0, 0), cpu, "CPU %d by the segment limit", cpu);
		s->state->flags = flags;
	}
	sched_setaffinity(0, sizeof(all), &all);
}

static void test_run(const struct subject *s)
{
	struct {
		struct nt_run run;
		u64 regs[NT_PT_REGS_SIZE / 8];
	} f = {.run = {.cookie = 0xc00c1e, .func_ip = 0xf00}};

	tap_eq(helper_call(s, 174, f.regs, 0, 0), 0xc00c1e, "cookie");
	tap_eq(helper_call(s, 173, f.regs, 0, 0), 0xf00, "func_ip");
}

static void test_strncmp(const struct subject *s)
{
	tap_eq(helper_call(s, 182, "abc", 3, "abc"), 0, "strncmp equal");
	tap_eq(helper_call(s, 182, "abc", 4, "abd"), -1, "strncmp less");
	tap_eq(helper_call(s, 182, "abe", 4, "abd"), 1, "strncmp more");
	tap_eq(helper_call(s, 182, "abx", 2, "aby"), 0, "strncmp looks at the size");
	tap_eq(helper_call(s, 182, "ab\0x", 4, "ab\0y"), 0, "strncmp ends at NUL");
	tap_eq(helper_call(s, 182, "ab", 3, "abc"), -1, "strncmp shorter");
	tap_eq(helper_call(s, 182, "\xff", 2, "a"), 1, "strncmp compares unsigned");
	tap_eq(helper_call(s, 182, "x", 0, "y"), 0, "strncmp of nothing");
}

static void test_random(const struct subject *s)
{
	u64 rows = s->state->rows;
	u32 a = (u32)helper_call(s, 7, 0, 0, 0), ones = 0, same = 0;

	for (int i = 0; i < 1000; i++) {
		u64 r = (u64)helper_call(s, 7, 0, 0, 0);

		same += r == a || r >> 32;
		a = (u32)r;
		ones += (u32)__builtin_popcount(a);
	}
	tap_eq(same, 0, "1000 random numbers of 32 bits differ from their neighbours");
	tap_ok(ones > 15500 && ones < 16500, "half of their bits are set: %u of 32000", ones);
	s->state->rows = 0;
	tap_ok(helper_call(s, 7, 0, 0, 0) != helper_call(s, 7, 0, 0, 0),
	       "without rows they differ too");
	s->state->rows = rows;
}

int main(void)
{
	const struct subject *s = subject_new();

	test_ids(s);
	test_no_thread_block(s);
	test_other_namespace(s);
	test_fork(s);
	test_vfork(s);
	test_comm(s);
	test_cpu(s);
	test_run(s);
	test_strncmp(s);
	test_random(s);
	return tap_done();
}
