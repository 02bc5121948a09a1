/* SPDX-License-Identifier: MIT */
/*
 * The target is killed at every step of a session. Each function must answer -ESRCH (or succeed, for what was done in
 * time), none may hang, and the dead process must be free for its parent to reap.
 *
 * A child of ours and a child of somebody else differ in who reaps, so both are tried.
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "inject/inject.h"
#include "victim_run.h"

enum step { OPENED, BORROWED, CALLED, GAVE_BACK, STOPPED, STOPPED_BORROWED, STOPPED_CALLED, RESUMED, NSTEPS };
static const char *const step_name[] = {"open",  "borrow",	 "a call",	   "give back",
					"stop",	 "borrow while stopped", "a call while stopped", "resume"};

static void *idle(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void *busy(void *arg)
{
	for (volatile u64 i = 0;; i++)
		;
	return NULL;
}

static void run_target(int nthreads)
{
	pthread_t t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 1; i < nthreads; i++)
		pthread_create(&t, NULL, i % 2 ? idle : busy, NULL);
	idle(NULL);
}

/* The target; *ret_keeper is a process between us that is its parent and ends when the target has been reaped. */
static pid_t start(bool own, int nthreads, pid_t *ret_keeper)
{
	pid_t pid, keeper = 0;
	int p[2];

	fflush(stdout);
	if (own) {
		pid = fork();
		if (!pid)
			run_target(nthreads);
	} else {
		if (pipe(p))
			return -1;
		keeper = fork();
		if (!keeper) {
			int status;

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			pid = fork();
			if (!pid)
				run_target(nthreads);
			if (write(p[1], &pid, sizeof(pid)) != sizeof(pid) || waitpid(pid, &status, 0) != pid)
				_exit(9);
			_exit(WIFSIGNALED(status) ? WTERMSIG(status) : 0);
		}
		if (read(p[0], &pid, sizeof(pid)) != sizeof(pid))
			return -1;
		close(p[0]);
		close(p[1]);
	}
	test_sleep_us(30000);
	*ret_keeper = keeper;
	return pid;
}

/* Is the dead target's status there for its parent within 2 s? */
static bool reaped(pid_t pid, pid_t keeper)
{
	pid_t wait_for = keeper ? keeper : pid;
	int status;

	for (int i = 0; i < 200; i++) {
		pid_t w = waitpid(wait_for, &status, WNOHANG);

		if (w == wait_for)
			return keeper ? WIFEXITED(status) && WEXITSTATUS(status) == SIGKILL :
					WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
		if (w < 0)
			return false;
		test_sleep_us(10000);
	}
	kill(wait_for, SIGKILL);
	return false;
}

/* Late death: the kill must have taken effect, or the next call may still be served. */
static void kill_it(pid_t pid, bool wait)
{
	kill(pid, SIGKILL);
	if (wait)
		test_sleep_us(10000);
}

#define STEP(s, call)                                                                                      \
	({                                                                                                 \
		s64 step_r = (call);                                                                       \
		if (at == (s))                                                                             \
			kill_it(pid, wait);                                                                \
		step_r;                                                                                    \
	})

static void killed_after(enum step at, bool own, int nthreads, bool wait)
{
	struct inject_target t;
	pid_t keeper = 0, pid = start(own, nthreads, &keeper);
	u64 begin = test_now_ms();
	s64 r[NSTEPS] = {0};
	bool ok = true;

	r[OPENED] = STEP(OPENED, inject_open(pid, &t));
	if (!tap_eq(r[OPENED], 0, "open"))
		return;
	r[BORROWED] = STEP(BORROWED, inject_borrow(&t));
	r[CALLED] = STEP(CALLED, inject_syscall(&t, SYS_getpid, 0, 0, 0, 0, 0, 0));
	r[GAVE_BACK] = STEP(GAVE_BACK, (inject_give_back(&t), 0));
	r[STOPPED] = STEP(STOPPED, inject_stop(&t, 2000));
	r[STOPPED_BORROWED] = STEP(STOPPED_BORROWED, inject_borrow(&t));
	r[STOPPED_CALLED] = STEP(STOPPED_CALLED, inject_syscall(&t, SYS_getpid, 0, 0, 0, 0, 0, 0));
	r[RESUMED] = STEP(RESUMED, (inject_resume(&t), 0));
	inject_close(&t);
	for (int i = 0; i < NSTEPS; i++) {
		bool call = i == CALLED || i == STOPPED_CALLED, after = wait && i > (int)at;

		if (i == GAVE_BACK || i == RESUMED)
			continue;
		if (r[i] != -ESRCH && (after || (r[i] != 0 && !(call && r[i] == pid)))) {
			printf("# %s: %ld\n", step_name[i], r[i]);
			ok = false;
		}
	}
	tap_ok(ok, "%s child, %d threads, killed after %s%s: -ESRCH from then on", own ? "own" : "foreign", nthreads,
	       step_name[at], wait ? "" : " (at once)");
	tap_ok(test_now_ms() - begin < 4000, "no hang");
	tap_ok(reaped(pid, keeper), "its parent hears of its death");
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int own = 0; own < 2; own++)
		for (int nthreads = 1; nthreads <= 6; nthreads += 5)
			for (int at = 0; at < NSTEPS; at++)
				for (int wait = 0; wait < 2; wait++)
					killed_after((enum step)at, own, nthreads, wait);
	return tap_done();
}
