/* SPDX-License-Identifier: MIT */
/* Stopping all threads: what is seen while they stand, what changes when they go on, and who cannot be stopped. */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "inject/internal.h"
#include "util/proc.h"
#include "victim_run.h"

struct shared {
	volatile u64 count[8]; /* of each spinning thread */
	volatile u64 moved;    /* set by the code that a thread's pc is moved to */
	volatile u64 marker;   /* address of a stack word that holds MARKER */
	volatile int ready;
};
#define MARKER 0x5ca1ab1edeadbee5ull

static struct shared *sh;

static void *spin(void *arg)
{
	for (;;)
		sh->count[(uintptr_t)arg]++;
	return NULL;
}

static void *hold_marker(void *arg)
{
	volatile u64 word[200] = {0};

	word[150] = MARKER;
	sh->marker = (u64)&word[150];
	sh->ready = 1;
	for (;;)
		usleep(1000);
	return NULL;
}

__attribute__((noinline, noreturn)) static void moved_here(void)
{
	sh->moved = 1;
	for (;;)
		usleep(1000);
}

/* A child that runs fn in its main thread. */
static pid_t child(void (*fn)(void))
{
	pid_t pid;

	fflush(stdout);
	sh->ready = 0;
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn();
		_exit(0);
	}
	for (int i = 0; i < 1000 && !sh->ready; i++)
		test_sleep_us(10000);
	test_sleep_us(20000);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void spinners(void)
{
	pthread_t t;

	for (u64 i = 0; i < 4; i++)
		pthread_create(&t, NULL, spin, (void *)i);
	sh->ready = 1;
	for (;;)
		pause();
}

static void test_all_stand_still(void)
{
	pid_t pid = child(spinners);
	struct inject_target t;
	u64 before[4], longest = 0;
	bool still = true, on = true;

	tap_eq(inject_open(pid, &t), 0, "open");
	for (int k = 0; k < 20; k++) {
		if (!tap_eq(inject_stop(&t, 5000), 0, "stop"))
			break;
		for (int i = 0; i < 4; i++)
			before[i] = sh->count[i];
		test_sleep_us(2000);
		for (int i = 0; i < 4; i++)
			still &= before[i] == sh->count[i];
		inject_resume(&t);
		for (int i = 0; i < 4; i++) {
			for (int n = 0; n < 500 && before[i] == sh->count[i]; n++)
				test_sleep_us(10000);
			on &= before[i] != sh->count[i];
		}
		longest = inject_pause_ns(&t) > longest ? inject_pause_ns(&t) : longest;
	}
	tap_eq(t.nthreads, 5, "all five threads were seen");
	tap_ok(still, "no thread moves while stopped");
	tap_ok(on, "every thread moves afterwards");
	tap_ok(longest >= 2000000, "the pause is measured: %.1f ms with 2 ms of sleep in it", (double)longest / 1e6);
	inject_close(&t);
	end(pid);
}

static void visit(u64 word, u64 addr, u32 thread, void *arg)
{
	u64 *seen = arg;

	seen[0]++;
	if (word == MARKER && addr == sh->marker)
		seen[1]++;
}

static void markers(void)
{
	pthread_t t;

	pthread_create(&t, NULL, hold_marker, NULL);
	for (;;)
		pause();
}

static void test_stacks(void)
{
	pid_t pid = child(markers);
	struct inject_target t;
	u64 seen[2] = {0};
	int r;

	tap_eq(inject_open(pid, &t), 0, "open");
	tap_eq(inject_stop(&t, 5000), 0, "stop");
	r = inject_scan_stacks(&t, MARKER, MARKER + 1, 1u << 20, visit, seen);
	tap_ok(r > 0 && (u64)r == seen[0], "scanned: %d visits", r);
	tap_eq(seen[1], 1, "the word is found where it is");
	seen[0] = seen[1] = 0;
	r = inject_scan_stacks(&t, MARKER, MARKER + 1, 64, visit, seen);
	tap_eq(r, 0, "not within the first 64 bytes");
	r = inject_scan_stacks(&t, MARKER + 1, MARKER + 2, 1u << 20, visit, seen);
	tap_eq(r, 0, "not in another range");
	r = inject_scan_stacks(&t, 0, ~0ull, 16u << 20, visit, seen);
	tap_ok(r > 1000, "a limit beyond the stack's end is no error: %d", r);
	inject_resume(&t);
	inject_close(&t);
	end(pid);
}

#define HOLDERS 12
static volatile u64 *holder_words; /* addresses of their markers */

static void *hold_another(void *arg)
{
	volatile u64 word[600] = {0};

	word[500] = MARKER;
	holder_words[(uintptr_t)arg] = (u64)&word[500];
	for (;;)
		usleep(1000);
	return NULL;
}

static void holders(void)
{
	pthread_t t;

	for (u64 i = 0; i < HOLDERS; i++)
		pthread_create(&t, NULL, hold_another, (void *)i);
	for (u64 i = 0; i < HOLDERS; i++)
		while (!holder_words[i])
			usleep(1000);
	sh->ready = 1;
	for (;;)
		pause();
}

static void find_holder(u64 word, u64 addr, u32 thread, void *arg)
{
	u32 *seen = arg;

	for (u32 i = 0; i < HOLDERS; i++)
		seen[i] += word == MARKER && addr == holder_words[i];
}

enum look { UNPREPARED, PREPARED, OUTDATED };

/* Is every marker seen once? */
static bool sees_all(struct inject_target *t, enum look look)
{
	u32 seen[HOLDERS] = {0}, good = 0;

	if (look != UNPREPARED)
		inject_scan_prepare(t);
	if (inject_stop(t, 5000))
		return false;
	for (u32 i = 0; look == OUTDATED && i < t->areas.n; i++)
		t->areas.area[i].end += 16 * 4096; /* less is there than before the stop */
	inject_scan_stacks(t, MARKER, MARKER + 1, 1u << 17, find_holder, seen);
	inject_resume(t);
	for (u32 i = 0; i < HOLDERS; i++)
		good += seen[i] == 1;
	return good == HOLDERS;
}

static void test_many_stacks(void)
{
	struct inject_target t;
	pid_t pid;

	holder_words = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = child(holders);
	tap_eq(inject_open(pid, &t), 0, "open");
	tap_ok(sees_all(&t, UNPREPARED), "each of %d stacks is read", HOLDERS);
	tap_ok(!t.areas.n, "without a look at the map");
	tap_ok(sees_all(&t, PREPARED), "with one: together");
	tap_ok(t.areas.n > 2, "%u areas", t.areas.n);
	tap_ok(sees_all(&t, OUTDATED), "where the map has changed since: each on its own");
	inject_close(&t);
	end(pid);
}

static void one_spinner(void)
{
	sh->ready = 1;
	spin((void *)5);
}

static void test_set_pc(void)
{
	pid_t pid = child(one_spinner);
	struct inject_target t;

	tap_eq(inject_open(pid, &t), 0, "open");
	tap_eq(inject_stop(&t, 5000), 0, "stop");
	tap_eq(inject_regs(&t, 0), 0, "registers");
	tap_eq(inject_regs(&t, 1), -ESRCH, "no such thread");
	tap_ok(!inject_restarts(&t, 0), "it is not in a system call");
	t.thread[0].regs.rsp = (t.thread[0].regs.rsp & ~15ull) - 8; /* as a call leaves it */
	inject_set_pc(&t, 0, (u64)moved_here);
	tap_eq(inject_borrow(&t), 0, "borrow it between");
	tap_eq(inject_syscall(&t, SYS_getpid, 0, 0, 0, 0, 0, 0), pid, "getpid");
	tap_eq(sh->moved, 0, "not moved before the resume");
	inject_resume(&t);
	for (int i = 0; i < 200 && !sh->moved; i++)
		test_sleep_us(10000);
	tap_eq(sh->moved, 1, "it goes on at the new pc");
	inject_close(&t);
	end(pid);
}

static void vforker(void)
{
	sh->ready = 1;
	if (!vfork()) {
		struct timespec ts = {.tv_sec = 1};

		nanosleep(&ts, NULL);
		_exit(0);
	}
	for (;;) {
		sh->count[6]++;
		usleep(1000);
	}
}

static void test_vfork(void)
{
	pid_t pid = child(vforker);
	struct inject_target t;
	u64 begin = test_now_ms();

	tap_eq(inject_open(pid, &t), 0, "open a vfork parent");
	tap_eq(inject_stop(&t, 100), -ETIMEDOUT, "it does not stop: -ETIMEDOUT");
	tap_eq(inject_borrow(&t), -ETIMEDOUT, "nor can it be borrowed: -ETIMEDOUT");
	tap_ok(test_now_ms() - begin < 900, "the limits hold");
	tap_eq(inject_stop(&t, 5000), 0, "with more patience it does when the child is gone");
	inject_resume(&t);
	sh->count[6] = 0;
	for (int i = 0; i < 300 && !sh->count[6]; i++)
		test_sleep_us(10000);
	tap_ok(sh->count[6] > 0, "it runs on");
	inject_close(&t);
	end(pid);
}

/* As above, but it must run on by itself: nobody looks at it any more when the child ends. */
static void test_vfork_left_alone(void)
{
	struct inject_target t;
	struct proc_status st;
	pid_t pid;

	sh->count[6] = 0;
	pid = child(vforker);
	tap_eq(inject_open(pid, &t), 0, "open a vfork parent");
	tap_eq(inject_stop(&t, 50), -ETIMEDOUT, "stop: -ETIMEDOUT");
	for (int i = 0; i < 300 && !sh->count[6]; i++)
		test_sleep_us(10000);
	tap_ok(sh->count[6] > 0, "it runs on when its child has ended");
	tap_ok(!proc_status_read(pid, &st) && !st.tracer, "and is not traced");
	inject_close(&t);
	end(pid);
}

static s64 seize_and_interrupt(struct inject_target *t, void *unused)
{
	int i = inject_thread_add(t, t->pid), r = inject_thread_seize(t, &t->thread[i]);

	if (r || ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL))
		return r ? r : -errno;
	return inject_thread_halt(t, &t->thread[i], inject_now_ns() + 50 * INJECT_MS);
}

/* The look before the stop can come too early. An interrupt under way to a thread that cannot stop must go away with
 * the tracer, at once. */
static void test_vfork_interrupted(void)
{
	struct inject_target t;
	struct proc_status st;
	pid_t pid;

	sh->count[6] = 0;
	pid = child(vforker);
	tap_eq(inject_open(pid, &t), 0, "open a vfork parent");
	tap_eq(inject_tracer_begin(&t), 0, "tracer");
	tap_eq(inject_tracer_run(&t, seize_and_interrupt, NULL), -ETIMEDOUT, "interrupted, it does not stop");
	tap_ok(!proc_status_read(pid, &st) && st.tracer, "it is traced");
	inject_tracer_end(&t);
	tap_ok(!proc_status_read(pid, &st) && !st.tracer, "it is free when the tracer has ended");
	tap_eq(sh->count[6], 0, "still waiting for its child");
	for (int i = 0; i < 300 && !sh->count[6]; i++)
		test_sleep_us(10000);
	tap_ok(sh->count[6] > 0, "it runs on when its child has ended");
	tap_eq(inject_stop(&t, 1000), 0, "and can be stopped again");
	inject_resume(&t);
	inject_close(&t);
	end(pid);
}

#define CROWD_MS 300

static void pin_to_last_cpu(void)
{
	cpu_set_t set;
	int last = -1;

	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			last = i;
	CPU_ZERO(&set);
	CPU_SET(last, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void pinned_spinner(void)
{
	pin_to_last_cpu();
	one_spinner();
}

/* Keeps everybody else from a CPU for a while. */
static void crowd(void)
{
	struct sched_param p = {.sched_priority = 2};
	u64 end_ms;

	pin_to_last_cpu();
	sh->moved = sched_setscheduler(0, SCHED_FIFO, &p) ? 0 : 1;
	end_ms = test_now_ms() + CROWD_MS;
	sh->marker = (u64)getpid();
	while (sh->moved && test_now_ms() < end_ms)
		;
	sh->marker = 0;
}

/* Who gets no CPU cannot stop; that is no reason to give up. */
static void test_starved(void)
{
	pid_t pid = child(pinned_spinner), other;
	struct inject_target t;

	tap_eq(inject_open(pid, &t), 0, "open");
	for (int borrow = 0; borrow < 2; borrow++) {
		fflush(stdout);
		sh->marker = 0;
		other = fork();
		if (!other) {
			crowd();
			_exit(0);
		}
		for (int i = 0; i < 500 && !sh->marker; i++)
			test_sleep_us(1000);
		if (!sh->moved) {
			tap_skip("not permitted", "real-time priority");
		} else if (borrow) {
			tap_eq(inject_borrow(&t), 0, "a thread that waits for a CPU is borrowed when it has got one");
			inject_give_back(&t);
		} else {
			tap_eq(inject_stop(&t, 20), 0, "and stopped, though that takes longer than the limit");
			inject_resume(&t);
		}
		waitpid(other, NULL, 0);
	}
	inject_close(&t);
	end(pid);
}

static void *leader_gone(void *arg)
{
	sh->ready = 1;
	spin((void *)7);
	return NULL;
}

static void exit_leader(void)
{
	pthread_t t;

	pthread_create(&t, NULL, leader_gone, NULL);
	pthread_exit(NULL);
}

static void test_dead_leader(void)
{
	pid_t pid = child(exit_leader);
	struct inject_target t;
	u64 n;

	/* /proc shows such a process as a zombie without memory: it is refused, unharmed. */
	tap_eq(inject_open(pid, &t), -ESRCH, "a process whose first thread has ended: -ESRCH");
	n = sh->count[7];
	test_sleep_us(50000);
	for (int i = 0; i < 200 && sh->count[7] == n; i++)
		test_sleep_us(10000);
	tap_ok(sh->count[7] != n, "it runs on");
	end(pid);
}

static void *nothing(void *arg)
{
	return arg;
}

static void births(void)
{
	pthread_t t[8];

	sh->ready = 1;
	for (;;) {
		for (int i = 0; i < 8; i++)
			if (pthread_create(&t[i], NULL, nothing, NULL))
				_exit(3);
		for (int i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
		sh->count[0]++;
	}
}

static void test_births(void)
{
	pid_t pid = child(births);
	struct inject_target t;
	u32 rounds = 0;
	int good = 0;
	u64 n;

	tap_eq(inject_open(pid, &t), 0, "open");
	for (int i = 0; i < 200; i++) {
		int r = inject_stop(&t, 5000);

		if (r) {
			printf("# stop %d: %d\n", i, r);
			break;
		}
		n = sh->count[0];
		rounds = t.rounds > rounds ? t.rounds : rounds;
		good += n == sh->count[0];
		inject_resume(&t);
	}
	tap_eq(good, 200, "200 stops of a process whose threads come and go, at most %u scans", rounds);
	n = sh->count[0];
	for (int i = 0; i < 200 && sh->count[0] == n; i++)
		test_sleep_us(10000);
	tap_ok(sh->count[0] != n && !waitpid(pid, NULL, WNOHANG), "it runs on");
	inject_close(&t);
	end(pid);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	sh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED)
		return 1;
	test_all_stand_still();
	test_stacks();
	test_many_stacks();
	test_set_pc();
	test_vfork();
	test_vfork_left_alone();
	test_vfork_interrupted();
	test_starved();
	test_dead_leader();
	test_births();
	return tap_done();
}
