/* SPDX-License-Identifier: MIT */
/*
 * The process that the benchmark probes. It pins itself to the last CPU and obeys one-line
 * commands:
 *
 *   call NAME N    calls b_push, b_nop5 or b_endbr64 N times; answers the nanoseconds it took
 *   sweep N        calls each of the first N small functions once; answers the nanoseconds
 *   spin N         a second thread begins to call the first N small functions in turn; answers "ok"
 *   gap            ends it; answers the longest time between two calls, in nanoseconds
 *   calm           answers what a piece of arithmetic took that fills the processor core: longer when another
 *                  thread runs on the same core
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef void probed_fn(void);

void b_push(void);
void b_nop5(void);
void b_endbr64(void);
extern char many_start[];

#define SMALL_SIZE 32

static const struct {
	const char *name;
	probed_fn *fn;
} hot[] = {{"b_push", b_push}, {"b_nop5", b_nop5}, {"b_endbr64", b_endbr64}};

struct spinner {
	pthread_t thread;
	unsigned int n;
	int stop;
	uint64_t gap;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static probed_fn *small(unsigned int i)
{
	return (probed_fn *)(void *)(many_start + i * SMALL_SIZE);
}

__attribute__((noinline)) static uint64_t time_calls(probed_fn *volatile *which, uint64_t n)
{
	probed_fn *fn = *which;
	uint64_t i, start = now_ns();

	for (i = 0; i < n; i++)
		fn();
	return now_ns() - start;
}

/* Eight sums that do not wait for each other, in nanoseconds; the fastest of some turns: an interrupt is no neighbour. */
static uint64_t time_calm(void)
{
	uint64_t best = UINT64_MAX, sum[8] = {0};

	for (int turn = 0; turn < 5; turn++) {
		uint64_t start = now_ns(), ns;

		for (int i = 0; i < 20000; i++)
			for (int k = 0; k < 8; k++) {
				sum[k] += (uint64_t)k + 1;
				__asm__ volatile("" : "+r"(sum[k]));
			}
		ns = now_ns() - start;
		if (ns < best)
			best = ns;
	}
	return best;
}

static uint64_t time_sweep(unsigned int n)
{
	uint64_t start = now_ns();
	unsigned int i;

	for (i = 0; i < n; i++)
		small(i)();
	return now_ns() - start;
}

static void *spin(void *arg)
{
	struct spinner *s = arg;
	uint64_t last = now_ns(), now;
	unsigned int i = 0;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		small(i)();
		i = i + 1 < s->n ? i + 1 : 0;
		now = now_ns();
		if (now - last > s->gap)
			s->gap = now - last;
		last = now;
	}
	return NULL;
}

/* With an ordinary priority: it must not keep the kernel's own work off this CPU, nor the first
 * thread. */
static void spinner_start(struct spinner *s, unsigned int n)
{
	struct sched_param ordinary = {};

	*s = (struct spinner){.n = n};
	if (pthread_create(&s->thread, NULL, spin, s))
		exit(1);
	pthread_setschedparam(s->thread, SCHED_OTHER, &ordinary);
	usleep(2000); /* it runs by now */
}

static uint64_t spinner_stop(struct spinner *s)
{
	__atomic_store_n(&s->stop, 1, __ATOMIC_RELAXED);
	pthread_join(s->thread, NULL);
	return s->gap;
}

/* Alone on the last CPU and, where that is allowed, not disturbed by ordinary processes there. */
static void settle(void)
{
	struct sched_param fifo = {.sched_priority = 1};
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	sched_setscheduler(0, SCHED_FIFO, &fifo);
}

static int obey(const char *line, struct spinner *spinner)
{
	unsigned long long n;
	char name[32];
	size_t i;

	if (sscanf(line, "call %31s %llu", name, &n) == 2) {
		for (i = 0; i < sizeof(hot) / sizeof(*hot); i++) {
			probed_fn *volatile which = hot[i].fn;

			if (!strcmp(hot[i].name, name))
				return printf("%llu\n", (unsigned long long)time_calls(&which, n));
		}
	} else if (sscanf(line, "sweep %llu", &n) == 1) {
		return printf("%llu\n", (unsigned long long)time_sweep(n));
	} else if (sscanf(line, "spin %llu", &n) == 1) {
		spinner_start(spinner, n);
		return printf("ok\n");
	} else if (!strcmp(line, "calm\n")) {
		return printf("%llu\n", (unsigned long long)time_calm());
	} else if (!strcmp(line, "gap\n")) {
		return printf("%llu\n", (unsigned long long)spinner_stop(spinner));
	}
	return -1;
}

int main(void)
{
	struct spinner spinner = {};
	char line[128];

	settle();
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready\n");
	while (fgets(line, sizeof(line), stdin)) {
		if (obey(line, &spinner) < 0) {
			fprintf(stderr, "victim: what is '%s'?\n", line);
			return 1;
		}
	}
	return 0;
}
