/* SPDX-License-Identifier: MIT */
/* The shim's mutex: it excludes, it wakes, and a child that inherits it locked is not stuck. */
#include "shim/lock.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define ROUNDS 50000

struct shared {
	u32 lock;
	unsigned long plain; /* no atomics: only the lock keeps it exact */
};

static void *work(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < ROUNDS; i++) {
		lock_take(&s->lock);
		s->plain++;
		if (i % 1000 == 0)
			usleep(100); /* let the others go to sleep on it */
		lock_drop(&s->lock);
	}
	return NULL;
}

static void *holder(void *arg)
{
	struct shared *s = arg;

	lock_take(&s->lock);
	pause();
	return NULL;
}

static void test_threads(void)
{
	struct shared s = {};
	pthread_t t[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, work, &s);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	tap_eq(s.plain, 4 * ROUNDS, "four threads do not lose a count");
	tap_eq(s.lock, 0, "and leave it free");
}

static void test_fork(u32 word_bits, const char *what)
{
	static struct shared s;
	pthread_t t;
	int status = -1;
	pid_t pid;

	s.lock = 0;
	pthread_create(&t, NULL, holder, &s);
	while (!__atomic_load_n(&s.lock, __ATOMIC_ACQUIRE))
		usleep(100);
	__atomic_fetch_or(&s.lock, word_bits, __ATOMIC_SEQ_CST);
	pid = fork();
	if (!pid) {
		alarm(5);
		lock_take(&s.lock);
		lock_drop(&s.lock);
		lock_take(&s.lock);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	tap_ok(WIFEXITED(status) && !WEXITSTATUS(status), "%s", what);
	pthread_cancel(t);
	pthread_join(t, NULL);
}

int main(void)
{
	test_threads();
	test_fork(0, "a child takes over a lock that its parent held");
	test_fork(0x80000000u, "also when somebody waited for it there");
	return tap_done();
}
