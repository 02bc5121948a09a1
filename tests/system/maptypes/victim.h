/* SPDX-License-Identifier: MIT */
/* The victim: a forked child that calls one function as it is told through a pipe. */
#pragma once

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/types.h>

#include "maps.h"

struct victim {
	pid_t pid;
	int in, out;
};

__attribute__((noinline, used)) uint64_t mt_hit(uint64_t op, uint64_t a, uint64_t b);

uint64_t mt_hit(uint64_t op, uint64_t a, uint64_t b)
{
	__asm__ volatile("" ::: "memory");
	return op + a + b;
}

/* Orders are struct order followed by how often. */
struct victim_order {
	struct order o;
	uint64_t times;
};

static void victim_main(int in, int out)
{
	struct victim_order q;

	while (read(in, &q, sizeof(q)) == sizeof(q)) {
		for (uint64_t i = 0; i < q.times; i++)
			mt_hit(q.o.op, q.o.a + (q.times > 1 ? i : 0), q.o.b);
		if (write(out, "", 1) != 1)
			break;
	}
	_exit(0);
}

static struct victim victim_fork(void)
{
	int to[2], from[2];
	struct victim v;

	if (pipe(to) || pipe(from))
		exit(2);
	v.pid = fork();
	if (!v.pid) {
		close(to[1]);
		victim_main(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	v.in = to[1];
	v.out = from[0];
	return v;
}

/* Returns when the victim has made the calls. */
static void victim_do(struct victim *v, uint64_t op, uint64_t a, uint64_t b, uint64_t times)
{
	struct victim_order q = {{op, a, b}, times};
	char c;

	if (write(v->in, &q, sizeof(q)) != sizeof(q) || read(v->out, &c, 1) != 1)
		exit(3);
}

static void victim_stop(struct victim *v)
{
	close(v->in);
	waitpid(v->pid, NULL, 0);
	close(v->out);
}
