/* SPDX-License-Identifier: MIT */
/*
 * The target is killed at a random moment of a session, from outside. The session must end with -ESRCH (or be over),
 * without a hang, and the target's parent must hear of its death.
 *
 *     stress_inject_kill [SECONDS [SEED]]
 */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "inject/inject.h"
#include "victim_run.h"

static void *work(void *arg)
{
	for (;;) {
		if (arg)
			getppid();
		else
			test_sleep_us(500);
	}
	return NULL;
}

static void target(u64 rnd)
{
	pthread_t t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (u64 i = 0; i < rnd % 5; i++)
		pthread_create(&t, NULL, work, (void *)(i & 1));
	work(NULL);
}

struct killer {
	pid_t pid;
	u64 after_us;
};

static void *killer(void *arg)
{
	struct killer *k = arg;

	test_sleep_us(k->after_us);
	kill(k->pid, SIGKILL);
	return NULL;
}

/* Sessions until the target is found dead. Returns the error that told. */
static s64 sessions(struct inject_target *t)
{
	s64 r = 0;

	for (int i = 0; !r; i++) {
		bool stop = i & 1;

		r = stop ? inject_stop(t, 3000) : 0;
		if (!r) {
			r = inject_borrow(t);
			for (int k = 0; !r && k < 5; k++) {
				r = inject_syscall(t, SYS_getpid, 0, 0, 0, 0, 0, 0);
				r = r == t->pid ? 0 : r ? r : -EBADMSG;
			}
			inject_give_back(t);
		}
		inject_resume(t);
	}
	return r;
}

int main(int argc, char **argv)
{
	u64 seconds = argc > 1 ? strtoull(argv[1], NULL, 0) : 3;
	u64 seed = argc > 2 ? strtoull(argv[2], NULL, 0) : ((u64)getpid() << 20) ^ test_now_ms();
	u64 rnd = seed | 1, until, n = 0, other = 0, unreaped = 0, slow = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %lu\n", seed);
	for (until = test_now_ms() + seconds * 1000; test_now_ms() < until; n++) {
		struct inject_target t;
		struct killer k;
		u64 begin;
		pthread_t th;
		int status;
		pid_t w = 0;
		s64 r;

		rnd = rnd * 6364136223846793005ull + 1442695040888963407ull;
		k.pid = fork();
		if (!k.pid)
			target(rnd >> 33);
		test_sleep_us(2000);
		k.after_us = (rnd >> 40) % 4000;
		if (pthread_create(&th, NULL, killer, &k))
			return 1;
		begin = test_now_ms();
		r = inject_open(k.pid, &t);
		if (!r) {
			r = sessions(&t);
			inject_close(&t);
		}
		if (r != -ESRCH && other++ < 5)
			printf("# ended with %ld\n", r);
		slow += test_now_ms() - begin > 2500;
		pthread_join(th, NULL);
		for (int i = 0; i < 300 && (w = waitpid(k.pid, &status, WNOHANG)) == 0; i++)
			test_sleep_us(5000);
		unreaped += w != k.pid;
	}
	tap_eq(other, 0, "%lu targets killed: every session ended with -ESRCH", n);
	tap_eq(slow, 0, "none took long");
	tap_eq(unreaped, 0, "every dead target was reaped");
	tap_ok(n > 10, "there were some");
	return tap_done();
}
