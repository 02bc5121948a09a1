/* SPDX-License-Identifier: MIT */
/*
 * The hands of a broker that is killed in the midst of their work: they finish it, and libc's recursive locks, which know
 * their owner by a thread id in memory that both share, are still theirs.
 */
#include "broker/link/steady.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/link/engine.h"
#include "tap.h"

struct work {
	struct engine *engine;
	int out;
};

/* What the hands say: were they orphans in the end, and what did the unlock return. */
struct said {
	int orphan, unlock;
};

static void wait_to_be_orphan(struct engine *e)
{
	for (int i = 0; i < 2000 && !steady_is_orphan(e); i++)
		usleep(1000);
}

static void work(void *arg)
{
	struct work *w = arg;
	struct said said;
	pthread_mutexattr_t attr;
	pthread_mutex_t lock;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&lock, &attr);
	pthread_mutex_lock(&lock);
	kill(w->engine->pid, SIGKILL);
	wait_to_be_orphan(w->engine);
	said.orphan = steady_is_orphan(w->engine);
	said.unlock = pthread_mutex_unlock(&lock);
	if (write(w->out, &said, sizeof(said)) != sizeof(said))
		_exit(1);
}

static void broker(int out)
{
	static struct engine e;
	static u32 gates[GATES_MAX];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	e.shared.gates = gates;
	steady_init(&e);
	steady_run(&e, work, &(struct work){ &e, out });
	_exit(2); /* it is dead by now */
}

int main(void)
{
	struct said said = { -1, -1 };
	int p[2], status = 0;
	pid_t pid;

	if (pipe(p))
		return 1;
	pid = fork();
	if (!pid)
		broker(p[1]);
	close(p[1]);
	tap_ok(read(p[0], &said, sizeof(said)) == sizeof(said), "the hands finish their work");
	tap_eq(said.orphan, 1, "after their broker has been killed");
	tap_eq(said.unlock, 0, "and own the locks that they have taken");
	waitpid(pid, &status, 0);
	tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the broker died of the signal");
	return tap_done();
}
