/* SPDX-License-Identifier: MIT */
/*
 * Rows engine/ring/N: N threads of another process call a probed function as fast as they can, whose program reserves
 * and submits a record of 16 bytes each time; the loader waits for them with epoll, as every loader does. Wall time per
 * event, the events that found no room, and how often the loader was woken.
 */
#include "engine.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine.skel.h"

#define RUN_NS 150e6
#define MOST 8

void b_nop5(void); /* functions.S */

/* -- The producers' process -- */

struct producer {
	pthread_t thread;
	uint64_t calls;
};

static void *produce(void *arg)
{
	struct producer *p = arg;
	double end = engine_now() + RUN_NS;

	do {
		for (int i = 0; i < 64; i++, p->calls++)
			b_nop5();
	} while (engine_now() < end);
	return NULL;
}

/* Waits for a line, calls, says how many calls that were and the nanoseconds that they took. */
void engine_produce(int threads)
{
	struct producer p[MOST] = {};
	uint64_t calls = 0;
	double begin;

	printf("ready\n");
	fflush(stdout);
	if (getchar() != '\n')
		exit(1);
	begin = engine_now();
	for (int i = 0; i < threads && i < MOST; i++)
		if (pthread_create(&p[i].thread, NULL, produce, &p[i]))
			exit(1);
	for (int i = 0; i < threads && i < MOST; i++) {
		pthread_join(p[i].thread, NULL);
		calls += p[i].calls;
	}
	printf("%llu %.0f\n", (unsigned long long)calls, engine_now() - begin);
	exit(0);
}

/* -- The loader -- */

struct consumer {
	struct ring_buffer *rb;
	uint64_t records, wakeups;
	int stop;
};

static int on_record(void *ctx, void *data, size_t size)
{
	struct consumer *c = ctx;

	c->records++;
	return 0;
}

static void *consume(void *arg)
{
	struct consumer *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE))
		if (ring_buffer__poll(c->rb, 20) > 0)
			c->wakeups++;
	ring_buffer__consume(c->rb);
	return NULL;
}

struct run {
	pid_t pid;
	FILE *to, *from;
};

static int start(struct run *r, int threads)
{
	int in[2], out[2];
	char n[16];

	snprintf(n, sizeof(n), "%d", threads);
	if (pipe(in) || pipe(out))
		return -1;
	r->pid = fork();
	if (!r->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execl("/proc/self/exe", "producer", "produce", n, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	r->to = fdopen(in[1], "w");
	r->from = fdopen(out[0], "r");
	return r->pid < 0 || !r->to || !r->from ? -1 : 0;
}

static void stop(struct run *r)
{
	if (r->to)
		fclose(r->to);
	if (r->from)
		fclose(r->from);
	waitpid(r->pid, NULL, 0);
}

static int one(struct engine_bpf *s, struct run *r, struct consumer *c, uint64_t *ret_calls, double *ret_ns)
{
	static const char *const name[] = {"b_nop5"};
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .syms = (const char **)name, .cnt = 1);
	struct bpf_link *link = NULL;
	unsigned long long calls;
	char line[64];
	pthread_t thread;
	int err = -1;

	if (fgets(line, sizeof(line), r->from))
		link = bpf_program__attach_uprobe_multi(s->progs.event, r->pid, "/proc/self/exe", NULL, &opts);
	if (!link || pthread_create(&thread, NULL, consume, c))
		return -1;
	fputs("\n", r->to);
	fflush(r->to);
	if (fgets(line, sizeof(line), r->from) && sscanf(line, "%llu %lf", &calls, ret_ns) == 2)
		err = 0;
	*ret_calls = calls;
	bpf_link__destroy(link);
	usleep(30000); /* what was rung for last, too, is woken for */
	__atomic_store_n(&c->stop, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	return err;
}

static void report(const char *row, struct engine_bpf *s, const struct consumer *c, uint64_t calls, double ns)
{
	uint64_t lost = s->bss->lost;

	s->bss->lost = 0;
	if (c->records + lost != calls) {
		fprintf(stderr, "%s: %llu records and %llu lost of %llu calls\n", row, (unsigned long long)c->records,
			(unsigned long long)lost, (unsigned long long)calls);
		return;
	}
	printf("%s %.2f ns\n", row, ns / (double)calls);
	printf("%s/delivered %.2f ns\n", row, ns / (double)c->records);
	printf("%s/lost %.2f %%\n", row, 100.0 * (double)lost / (double)calls);
	printf("%s/wakeups %.3f per 1000\n", row, 1000.0 * (double)c->wakeups / (double)c->records);
}

void engine_rings(struct engine_bpf *s, const char *prefix)
{
	static const int producers[] = {1, 2, MOST};

	for (size_t i = 0; i < sizeof(producers) / sizeof(*producers); i++) {
		struct consumer c = {};
		struct run r = {};
		uint64_t calls;
		double ns;
		char row[64];

		snprintf(row, sizeof(row), "engine/ring/%d", producers[i]);
		if (!engine_wants(prefix, row))
			continue;
		c.rb = ring_buffer__new(bpf_map__fd(s->maps.events), on_record, &c, NULL);
		if (c.rb && !start(&r, producers[i]) && !one(s, &r, &c, &calls, &ns))
			report(row, s, &c, calls, ns);
		else
			fprintf(stderr, "%s failed\n", row);
		stop(&r);
		ring_buffer__free(c.rb);
	}
}
