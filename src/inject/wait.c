/* SPDX-License-Identifier: MIT */
/*
 * When did a thread begin to wait? /proc/PID/task/TID/sched has the time at which it ran last (se.exec_start), on the clock
 * of the CPU where it ran, which leaves out interrupts and stolen time. Where that clock stands now, a look at ourselves
 * tells, on the same CPU. That has to be before the interrupt, because afterwards the thread has run.
 *
 * And is it still the same wait that we have interrupted? Then it has gone to sleep once since: in our stop. If not, or if
 * the kernel does not tell, it counts as one that has just begun. So does one whose time was up before the interrupt
 * (limit.c): it has ended, and the next one, with the same arguments, had been begun and had not slept yet. What is wrong about the time (some tens of
 * microseconds) makes it later, never earlier.
 */
#include "inject/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "inject/x86_64/regs.h"

#define TRIES 3
#define QUICK_NS 500000u /* else we were interrupted */
#define CLOCK_AGE_NS (2 * INJECT_MS)

static bool read_text(const char *path, char *buf, size_t cap)
{
	int f = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = f < 0 ? -1 : read(f, buf, cap - 1);

	if (f >= 0)
		close(f);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	return true;
}

static bool read_task(const struct inject_target *t, pid_t tid, const char *file, char *buf, size_t cap)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", t->pid, tid, file);
	return read_text(path, buf, cap);
}

/* The number behind "name ... :" in a sched file; milliseconds with a fraction become nanoseconds. */
static bool sched_field(const char *text, const char *name, u64 *ret)
{
	const char *p = strstr(text, name);
	unsigned long long whole, frac = 0;

	p = p ? strchr(p, ':') : NULL;
	if (!p || sscanf(p + 1, "%llu.%6llu", &whole, &frac) < 1)
		return false;
	*ret = strchr(p, '.') && strchr(p, '.') < strchr(p, '\n') ? whole * 1000000 + frac : whole;
	return true;
}

struct slept {
	u64 ran_ns, switches;
};

static bool read_sched(const char *text, struct slept *ret)
{
	return sched_field(text, "se.exec_start", &ret->ran_ns) && sched_field(text, "nr_voluntary_switches", &ret->switches);
}

static int last_cpu(const struct inject_target *t, pid_t tid)
{
	char text[1024], *p;

	if (!read_task(t, tid, "stat", text, sizeof(text)))
		return -1;
	p = strrchr(text, ')');
	for (int field = 2; p && field < 39; field++)
		p = strchr(p + 1, ' ');
	return p ? atoi(p) : -1;
}

/* What is to be added to the time of a CPU's clock. */
static bool measure(int cpu, s64 *ret)
{
	char text[4096];
	struct slept me;
	cpu_set_t set;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return false;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		return false;
	for (int i = 0; i < TRIES; i++) {
		u64 before = inject_now_ns(), now;

		inject_nap(1); /* the clock is read when we go on, and maybe again, but not behind what we see of it */
		if (!read_text("/proc/thread-self/sched", text, sizeof(text)) || !read_sched(text, &me) || !me.ran_ns)
			return false;
		now = inject_now_ns();
		*ret = (s64)(now - me.ran_ns);
		if (now - before < QUICK_NS)
			break;
	}
	return true;
}

static bool clock_of(struct inject_target *t, int cpu, s64 *ret)
{
	struct inject_clock *c = &t->clock[(u32)cpu % INJECT_CLOCKS];
	cpu_set_t before;
	bool ok;

	if (cpu < 0)
		return false;
	if (c->cpu != cpu || inject_now_ns() - c->at_ns > CLOCK_AGE_NS) {
		if (sched_getaffinity(0, sizeof(before), &before))
			return false;
		ok = measure(cpu, &c->offset);
		sched_setaffinity(0, sizeof(before), &before);
		if (!ok)
			return false;
		c->cpu = cpu;
		c->at_ns = inject_now_ns();
	}
	*ret = c->offset;
	return true;
}

static bool read_call(const struct inject_target *t, pid_t tid, struct inject_wait *ret)
{
	unsigned long long a[6];
	char text[256];

	if (!read_task(t, tid, "syscall", text, sizeof(text)) ||
	    sscanf(text, "%ld %llx %llx %llx %llx %llx %llx", &ret->nr, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5]) != 7)
		return false;
	for (u32 i = 0; i < 6; i++)
		ret->a[i] = a[i];
	return ret->nr >= 0;
}

void inject_wait_look(struct inject_target *t, struct inject_thread *th)
{
	struct inject_wait w = {.nr = -1};
	struct slept s;
	char text[4096];
	s64 offset;
	int cpu;

	th->wait = w;
	if (!read_call(t, th->tid, &w) || !inject_call_is_limited(t, w.nr, w.a))
		return;
	/* What takes long comes first: the less time between look and interrupt, the better. */
	cpu = last_cpu(t, th->tid);
	if (!clock_of(t, cpu, &offset) || cpu != last_cpu(t, th->tid) || !read_task(t, th->tid, "sched", text, sizeof(text)) ||
	    !read_sched(text, &s) || !s.ran_ns)
		return;
	w.began_ns = (u64)((s64)s.ran_ns + offset);
	w.switches = s.switches;
	th->wait = w;
}

static bool is_same(const struct inject_target *t, const struct inject_thread *th)
{
	const struct user_regs_struct *r = &th->regs;
	const u64 a[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};
	char text[4096];
	struct slept s;

	return regs_call(r) == th->wait.nr && !memcmp(a, th->wait.a, sizeof(a)) &&
	       read_task(t, th->tid, "sched", text, sizeof(text)) && read_sched(text, &s) &&
	       s.switches == th->wait.switches + 1 && th->wait.began_ns <= inject_now_ns();
}

void inject_wait_check(struct inject_target *t, struct inject_thread *th)
{
	if (th->wait.nr < 0 || th->wait.checked)
		return;
	th->wait.checked = true;
	if (!is_same(t, th))
		th->wait.began_ns = 0;
}
