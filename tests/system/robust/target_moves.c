/* SPDX-License-Identifier: MIT */
/*
 * Targets that do not hold still: they die, run another program, fork, make threads, are stopped, while links come and
 * go. Whatever they do, their results are right, the counts of a link that stays are exact, and nobody hangs.
 */
#include "stage.h"

#include <limits.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

static const char *victim(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", stage_victim(name));
	return path;
}

/* --- dying --- */

/* Killed, or told to end, somewhere in the attach of 50,000 functions. */
static void test_dies(bool killed, int rounds)
{
	int wrong = 0, attached = 0;
	struct victim_io l;

	tap_ok(loader_start(&l), "a loader");
	for (int i = 0; i < rounds; i++) {
		struct victim_io v = victim_make("manyfuncs", "2", NULL);
		char line[PATH_MAX + 64];

		snprintf(line, sizeof(line), "attach 0 in %s f????? %d", victim("manyfuncs"), (int)v.pid);
		victim_tell(&l, line);
		nanosleep(&(struct timespec){.tv_nsec = random() % (i % 2 ? 250000000 : 50000000)}, NULL);
		if (killed)
			kill(v.pid, SIGKILL);
		wrong += victim_end(&v) != (killed ? 256 + SIGKILL : 0);
		if (!victim_line(&l, line, sizeof(line)) || (strcmp(line, "ok") && strncmp(line, "error 3 ", 8))) {
			printf("# round %d: %s\n", i, line);
			wrong++;
		}
		attached += !strcmp(line, "ok");
		loader_does(&l, "detach 0");
	}
	tap_eq(wrong, 0, "a target %s during the attach, %d times: attached (%d) or ESRCH", killed ? "is killed" : "exits", rounds,
	       attached);
	tap_eq(loader_end(&l), 0, "the loader ends");
}

/* --- another program --- */

static bool ready_again(struct victim_io *v)
{
	char line[128];

	victim_tell(v, "exec");
	return victim_line(v, line, sizeof(line)) && !strncmp(line, "ready ", 6);
}

static void test_exec(bool filter)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;
	int pid = filter ? (int)v.pid : -1;

	tap_ok(loader_start(&l) && loader_does(&l, "attach 0 in %s all %d", victim("acrobat"), pid) &&
		       loader_does(&l, "attach 1 out %s all %d", victim("acrobat"), pid),
	       "exec: two links %s", filter ? "with a pid filter" : "for all");
	tap_ok(victim_do(&v, "run 100") && loader_counts(&l, "in", 100) && loader_counts(&l, "out", 100), "count");
	for (int i = 2; i < 5; i++) {
		tap_ok(ready_again(&v), "the victim runs its program anew");
		nap_ms(300);
		tap_ok(victim_do(&v, "run 100") && loader_counts(&l, "in", 100ull * (unsigned)i) &&
			       loader_counts(&l, "out", 100ull * (unsigned)i),
		       "and is counted as before");
	}
	/* At once: what runs before it is noticed is not counted, but all goes well. */
	for (int i = 0; i < 20; i++)
		if (!ready_again(&v) || !victim_do(&v, "run 5"))
			tap_ok(false, "exec %d", i);
	loader_does(&l, "detach 0");
	loader_does(&l, "detach 1");
	tap_eq(code_differs(v.pid), 0, "nothing is left");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

/* --- storms --- */

static unsigned long long total(struct victim_io *v)
{
	unsigned long long n = 0;
	char line[128];

	victim_tell(v, "total");
	if (!victim_line(v, line, sizeof(line)) || sscanf(line, "total %llu", &n) != 1)
		return 0;
	return n;
}

/* One loader stays attached, another comes and goes. */
static void test_storm(const char *what, int ms, bool filter)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), stays, comes;
	int pid = filter ? (int)v.pid : -1;
	unsigned long long n;
	char line[PATH_MAX + 64];

	tap_ok(loader_start(&stays) && loader_start(&comes) &&
		       loader_does(&stays, "attach 0 in %s all %d", victim("acrobat"), pid) &&
		       loader_does(&stays, "attach 1 out %s all %d", victim("acrobat"), pid),
	       "%s: two links", what);
	snprintf(line, sizeof(line), "storm %s %d", what, ms);
	victim_tell(&v, line);
	snprintf(line, sizeof(line), "churn %s all %d 100000", victim("acrobat"), pid);
	victim_tell(&comes, line);
	tap_ok(victim_done(&v), "a storm of %s while others come and go", what);
	loader_kill(&comes);
	n = total(&v);
	tap_ok(n > 10, "%llu rounds", n);
	tap_ok(loader_counts(&stays, "in", n) && loader_counts(&stays, "out", n), "all counted, once");
	tap_eq(loader_end(&stays), 0, "the loader ends");
	tap_ok(no_sites(v.pid, 2000) && code_differs(v.pid) == 0, "nothing is left");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

static void test_forker(void)
{
	struct victim_io v = victim_make("forker", "20", NULL), l;
	char line[PATH_MAX + 64];

	tap_ok(loader_start(&l), "a loader");
	snprintf(line, sizeof(line), "churn %s all -1 40", victim("forker"));
	tap_ok(loader_does(&l, "%s", line), "comes and goes 40 times while a victim forks all the time");
	snprintf(line, sizeof(line), "churn %s all %d 40", victim("forker"), (int)v.pid);
	tap_ok(loader_does(&l, "%s", line), "and 40 times with a pid filter");
	tap_eq(loader_end(&l), 0, "it ends");
	tap_eq(code_differs(v.pid), 0, "nothing is left");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

/* --- where a thread stands --- */

/* Right behind a system call that will be made again, its instruction now under a jump; and on an island. */
static void test_positions(void)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;

	tap_ok(victim_do(&v, "sleep") && loader_start(&l), "one thread waits in a call, one jumps from an island");
	nap_ms(50);
	tap_ok(loader_does(&l, "attach 2 in %s acrobat_read %d", victim("acrobat"), (int)v.pid), "the call's function is probed");
	tap_ok(loader_does(&l, "churn %s v_jmp %d 150", victim("acrobat"), (int)v.pid), "links on the island come and go");
	tap_ok(victim_do(&v, "wake"), "both threads end well");
	tap_ok(victim_do(&v, "sleep"), "again, with the call's function probed before");
	nap_ms(50);
	tap_ok(loader_does(&l, "detach 2"), "now the probe is taken out");
	tap_ok(victim_do(&v, "wake"), "both threads end well");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

/* --- stopped --- */

static char state_of(pid_t pid)
{
	char path[32], text[512] = "", *p;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f && !fgets(text, sizeof(text), f))
		*text = '\0';
	if (f)
		fclose(f);
	p = strrchr(text, ')');
	return p ? p[2] : '?';
}

static bool is_stopped(void *arg)
{
	return state_of(*(pid_t *)arg) == 'T';
}

static bool is_not_stopped(void *arg)
{
	return !is_stopped(arg);
}

/* The address that the two-byte jump at a function leads to, 0 = there is none. */
static unsigned long island_of(pid_t pid, unsigned long function)
{
	unsigned char code[2] = {0};
	struct iovec here = {code, 2}, there = {(void *)function, 2};

	if (process_vm_readv(pid, &here, 1, &there, 1, 0) != 2 || code[0] != 0xeb)
		return 0;
	return function + 2 + (unsigned long)(long)(signed char)code[1];
}

/* Steps a running process to an address and leaves it there, stopped by SIGSTOP. */
static bool park_at(pid_t pid, unsigned long address)
{
	struct user_regs_struct regs = {.rip = 0};
	int status;

	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid)
		return false;
	for (int i = 0; i < 300000 && regs.rip != address; i++)
		if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) || waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
		    ptrace(PTRACE_GETREGS, pid, NULL, &regs))
			return false;
	return !ptrace(PTRACE_DETACH, pid, NULL, (void *)(long)SIGSTOP) && regs.rip == address && within(2000, is_stopped, &pid);
}

static void test_on_island(bool kill_broker)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;
	unsigned long function = 0, island;
	char line[128];

	tap_ok(loader_start(&l) && loader_does(&l, "attach 0 in %s all %d", victim("acrobat"), (int)v.pid), "attached");
	victim_tell(&v, "where");
	tap_ok(victim_line(&v, line, sizeof(line)) && sscanf(line, "where %lx", &function) == 1 &&
		       (island = island_of(v.pid, function)),
	       "a function that is reached by an island");
	victim_tell(&v, "run 200000");
	nap_ms(20);
	tap_ok(park_at(v.pid, island), "a thread stands on it");
	if (kill_broker) {
		kill(ps_broker(), SIGKILL);
		loader_end(&l);
		tap_ok(loader_start(&l), "a new broker takes the probes of a killed one out");
	} else {
		tap_ok(loader_does(&l, "detach 0"), "while the probes are taken out");
	}
	tap_eq(code_differs(v.pid), 0, "all of them");
	kill(v.pid, SIGCONT);
	tap_ok(victim_done(&v), "the thread goes on");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}


static void test_stopped(bool busy)
{
	struct victim_io v = victim_make("counter", NULL, NULL), l;

	if (busy)
		victim_do(&v, "spin");
	kill(v.pid, SIGSTOP);
	tap_ok(within(2000, is_stopped, &v.pid), "stopped (%s)", busy ? "busy threads" : "idle");
	tap_ok(loader_start(&l) && loader_does(&l, "attach 0 in %s all %d", victim("counter"), (int)v.pid) &&
		       loader_does(&l, "attach 1 out %s all %d", victim("counter"), (int)v.pid),
	       "a stopped process can be attached");
	nap_ms(200);
	tap_eq(state_of(v.pid), 'T', "and stays stopped");
	kill(v.pid, SIGCONT);
	tap_ok(within(2000, is_not_stopped, &v.pid), "goes on");
	if (busy) {
		tap_ok(victim_do(&v, "still"), "when told so");
		loader_does(&l, "zero");
	}
	tap_ok(victim_do(&v, "run 2 100") && loader_counts(&l, "in", 200) && loader_counts(&l, "out", 200),
	       "and is counted exactly");
	kill(v.pid, SIGSTOP);
	within(2000, is_stopped, &v.pid);
	tap_ok(loader_does(&l, "detach 0") && loader_does(&l, "detach 1"), "detached while stopped");
	nap_ms(200);
	tap_eq(state_of(v.pid), 'T', "it stays stopped");
	tap_eq(code_differs(v.pid), 0, "with its own code");
	kill(v.pid, SIGCONT);
	tap_ok(victim_do(&v, "run 2 100"), "and goes on");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

/* In a system call at the site itself, from which signals call it away: their handler returns to behind the call. */
static void test_pestered(void)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;
	char line[PATH_MAX + 64];

	tap_ok(victim_do(&v, "pester") && loader_start(&l), "signals call a thread out of a system call");
	snprintf(line, sizeof(line), "churn %s acrobat_call %d 300", victim("acrobat"), (int)v.pid);
	tap_ok(loader_does(&l, "%s", line), "whose instruction gets a probe, 300 times");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_ok(victim_do(&v, "leave"), "the thread saw nothing of it");
	tap_eq(code_differs(v.pid), 0, "nothing is left");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

int main(void)
{
	stage_begin();
	stage_seed();
	test_dies(true, 8);
	test_dies(false, 8);
	test_exec(true);
	test_exec(false);
	test_storm("threads", 1000, true);
	test_storm("forks", 1000, false);
	test_storm("vforks", 1000, true);
	test_storm("spawns", 1000, false);
	test_forker();
	test_positions();
	test_pestered();
	test_on_island(false);
	test_on_island(true);
	test_stopped(false);
	test_stopped(true);
	tap_ok(stage_end(tap_failed), "no process of the broker is left");
	return tap_done();
}
