/* SPDX-License-Identifier: MIT */
/*
 * Stops, borrows and remote calls at random moments against a process whose threads are born and die all the time,
 * compute, sleep in calls that a stop could break, and get timer signals. It checks itself and must end well.
 *
 *     stress_inject_storm [SECONDS [SEED]]
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "inject/inject.h"
#include "victim_run.h"

struct shared {
	volatile int stop, wrong;
	volatile u64 births, sums, waits, ticks, written;
};

static struct shared *sh;

static u64 next_random(u64 *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

static void wrong(int code)
{
	sh->wrong = code;
	_exit(3);
}

static void *nothing(void *arg)
{
	return arg;
}

static void *bear(void *arg)
{
	pthread_t t[4];
	void *got;

	while (!sh->stop) {
		for (uintptr_t i = 0; i < 4; i++)
			if (pthread_create(&t[i], NULL, nothing, (void *)i))
				wrong(1);
		for (uintptr_t i = 0; i < 4; i++)
			if (pthread_join(t[i], &got) || got != (void *)i)
				wrong(2);
		sh->births += 4;
	}
	return NULL;
}

static u64 hash_of_work(double *ret_product)
{
	volatile double x = 1;
	u64 h = 1469598103934665603ull;

	for (int i = 0; i < 1000; i++) {
		h = (h ^ (u64)i) * 1099511628211ull;
		x *= 1.0001;
	}
	*ret_product = x;
	return h;
}

static void *compute(void *arg)
{
	double first, again;
	u64 h = hash_of_work(&first);

	for (; !sh->stop; sh->sums++)
		if (hash_of_work(&again) != h || again != first)
			wrong(3);
	return NULL;
}

static void *wait_epoll(void *arg)
{
	int e = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ev;

	while (!sh->stop) {
		if (epoll_wait(e, &ev, 1, 5))
			wrong(5);
		sh->waits++;
	}
	return NULL;
}

static int pipe_end[2];

static void *write_much(void *arg)
{
	static u32 data[65536];
	u32 base = 0;

	while (!sh->stop) {
		for (u32 i = 0; i < 65536; i++)
			data[i] = base + i;
		if (write(pipe_end[1], data, sizeof(data)) != sizeof(data))
			wrong(6);
		base += 65536;
	}
	close(pipe_end[1]);
	return NULL;
}

static void *read_much(void *arg)
{
	u32 want = 0, buf[1024];
	size_t have = 0;
	ssize_t n;

	while ((n = read(pipe_end[0], (char *)buf + have, sizeof(buf) - have)) > 0) {
		have += (size_t)n;
		if (have < sizeof(buf))
			continue;
		for (u32 i = 0; i < 1024; i++)
			if (buf[i] != want++)
				wrong(7);
		have = 0;
		sh->written += sizeof(buf);
	}
	if (n < 0 || have)
		wrong(8);
	return NULL;
}

static void tick(int sig)
{
	sh->ticks++;
}

/* The main thread takes the timer's signals; each must interrupt its pause() or its work, and nothing else. */
static void target(void)
{
	static void *(*const job[])(void *) = {bear, bear, compute, compute, wait_epoll, write_much, read_much};
	struct itimerval it = {.it_interval.tv_usec = 1500, .it_value.tv_usec = 1500};
	pthread_t t[7];
	sigset_t alrm;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGALRM, tick);
	sigemptyset(&alrm);
	sigaddset(&alrm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alrm, NULL);
	if (pipe(pipe_end))
		wrong(9);
	for (int i = 0; i < 7; i++)
		if (pthread_create(&t[i], NULL, job[i], NULL))
			wrong(10);
	pthread_sigmask(SIG_UNBLOCK, &alrm, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	while (!sh->stop)
		pause();
	it = (struct itimerval){0};
	setitimer(ITIMER_REAL, &it, NULL);
	for (int i = 0; i < 7; i++)
		pthread_join(t[i], NULL);
	_exit(0);
}

static s64 disturb(struct inject_target *t, u64 *rnd, u64 *ret_pause)
{
	u64 word = next_random(rnd), back = 0;
	bool stop = word & 1;
	s64 r = stop ? inject_stop(t, 5000) : 0, m;

	if (r)
		return r;
	if (!stop || (word & 2)) {
		r = inject_borrow(t);
		if (!r) {
			m = inject_syscall(t, SYS_mmap, 0, 8192, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);
			r = m < 0 ? m : 0;
			if (!r)
				r = inject_write(t, (u64)m + 4000, &word, 8);
			if (!r)
				r = inject_read(t, (u64)m + 4000, &back, 8);
			if (!r && back != word)
				r = -EBADMSG;
			if (!r)
				r = inject_syscall(t, SYS_munmap, (u64)m, 8192, 0, 0, 0, 0);
		}
		inject_give_back(t);
	}
	if (stop) {
		inject_resume(t);
		if (inject_pause_ns(t) > *ret_pause)
			*ret_pause = inject_pause_ns(t);
	}
	return r;
}

int main(int argc, char **argv)
{
	u64 seconds = argc > 1 ? strtoull(argv[1], NULL, 0) : 3;
	u64 seed = argc > 2 ? strtoull(argv[2], NULL, 0) : ((u64)getpid() << 20) ^ test_now_ms();
	u64 rnd = seed | 1, until, n = 0, longest = 0, repaired = 0;
	struct inject_target t;
	int status = -1;
	pid_t pid;
	s64 r;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("# seed %lu\n", seed);
	sh = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = fork();
	if (!pid)
		target();
	test_sleep_us(100000);
	r = inject_open(pid, &t);
	for (until = test_now_ms() + seconds * 1000; !r && test_now_ms() < until; n++) {
		r = disturb(&t, &rnd, &longest);
		repaired += t.repaired;
		test_sleep_us(next_random(&rnd) % 3000);
	}
	inject_close(&t);
	sh->stop = 1;
	for (int i = 0; i < 1000 && waitpid(pid, &status, WNOHANG) == 0; i++)
		test_sleep_us(10000);
	printf("# %lu sessions, %lu calls repaired, longest pause %.1f ms\n", n, repaired, (double)longest / 1e6);
	printf("# target: %lu births, %lu sums, %lu waits, %lu ticks, %lu bytes\n", sh->births, sh->sums, sh->waits,
	       sh->ticks, sh->written);
	tap_eq(r, 0, "every session went well");
	tap_eq(status, 0, "the target found nothing wrong (%d)", sh->wrong);
	tap_ok(n > 20 && sh->births && sh->sums && sh->ticks && sh->written, "both sides did work");
	kill(pid, SIGKILL);
	return tap_done();
}
