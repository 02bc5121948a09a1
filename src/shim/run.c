/* SPDX-License-Identifier: MIT */
/*
 * A program that the broker has mapped into this process (broker/link/run.c) is called like a function, with its context
 * and what payload/ helpers expect in front of it; here by the clock, in test_run.c once.
 *
 * One thread per event, because an event has a CPU to run on. It sleeps on the gate's futex until the next
 * tick is due; ticks that it could not serve are left out, as a timer of the kernel does. When the broker dies its
 * guardian shuts the gate, and a new broker may take the gate's page away, so the gate is read by the futex call, which
 * has an errno for that and not a fault.
 */
#include "shim/run.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "abi/bpf.h"
#include "abi/payload.h"
#include "base/atomic.h"
#include "base/syscall.h"
#include "shim/session.h"

#define CLOCKS_MAX 1024
#define STACK_SIZE (128u << 10) /* the program's, and the C library's own needs */
#define NS_PER_S 1000000000ull
#define SLICE_NS (NS_PER_S / 2) /* a guardian that shuts gates wakes nobody */

struct run_frame { /* what the dispatcher of a uprobe makes on the stack */
	struct nt_run run;
	u64 ctx[NT_PT_NREGS + 2]; /* struct bpf_perf_event_data */
};

struct clock {
	struct nt_run_order order;
	void (*left)(u64 token);
	u32 used;
	u32 inside; /* the program is executed, or about to be */
};

/* A guest does not allocate; a forked child has the entries, but not the threads. */
static struct clock clocks[CLOCKS_MAX];

static u64 call_program(const struct nt_run_order *o, struct run_frame *f)
{
	u64 (*prog)(void *) = (u64(*)(void *))o->entry;

	return prog(f->ctx);
}

/* Where we are, so that a stack walk from the context has a beginning. */
static void fill_regs(struct run_frame *f)
{
	__asm__ volatile("mov %%rsp, %0" : "=m"(f->ctx[NT_RSP]));
	__asm__ volatile("mov %%rbp, %0" : "=m"(f->ctx[NT_RBP]));
	__asm__ volatile("mov %%rbx, %0" : "=m"(f->ctx[NT_RBX]));
	__asm__ volatile("mov %%r12, %0" : "=m"(f->ctx[NT_R12]));
	__asm__ volatile("mov %%r13, %0" : "=m"(f->ctx[NT_R13]));
	__asm__ volatile("mov %%r14, %0" : "=m"(f->ctx[NT_R14]));
	__asm__ volatile("mov %%r15, %0" : "=m"(f->ctx[NT_R15]));
	__asm__ volatile("lea 0(%%rip), %%rax; mov %%rax, %0" : "=m"(f->ctx[NT_RIP])::"rax");
	f->ctx[NT_CS] = 0x33;
	f->ctx[NT_SS] = 0x2b;
}

void run_bind_cpu(s32 cpu, cpu_set_t *old)
{
	cpu_set_t set;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (old)
		sys_call3(__NR_sched_getaffinity, 0, sizeof(*old), (u64)old);
	sys_call3(__NR_sched_setaffinity, 0, sizeof(set), (u64)&set);
}

/* --- by the clock --- */

static u64 now_ns(void)
{
	struct timespec ts = {};

	sys_call3(__NR_clock_gettime, CLOCK_MONOTONIC, (u64)&ts, 0);
	return (u64)ts.tv_sec * NS_PER_S + (u64)ts.tv_nsec;
}

/* Sleeps while the gate has this value, until the given time. -EAGAIN: it has another one; -ETIMEDOUT: it still has it;
 * -EFAULT: it is no more. */
static s64 gate_wait(const struct clock *c, u32 value, u64 until)
{
	struct timespec ts = {(time_t)(until / NS_PER_S), (long)(until % NS_PER_S)};

	return sys_call6(__NR_futex, c->order.gate, FUTEX_WAIT_BITSET, value, (u64)&ts, 0, FUTEX_BITSET_MATCH_ANY);
}

/* The broker interrupts us when it attaches to us. */
static bool gate_is(const struct clock *c, u32 value)
{
	s64 r;

	do {
		r = gate_wait(c, value, 0);
	} while (r == -EINTR);
	return r == -ETIMEDOUT;
}

static bool gate_is_shut(const struct clock *c)
{
	s64 r = gate_wait(c, NT_RUN_END, 0);

	return r == -ETIMEDOUT || r == -EFAULT;
}

static void tick(struct clock *c)
{
	struct run_frame f = {};

	at_xchg(&c->inside, 1u);
	if (gate_is(c, NT_RUN_ON)) { /* looked at after we said so: run_settle() looks the other way round */
		fill_regs(&f);
		f.ctx[NT_PT_NREGS] = c->order.period_ns;
		call_program(&c->order, &f);
	}
	at_store_rel(&c->inside, 0u);
}

static void *clock_main(void *arg)
{
	struct clock *c = arg;
	u64 next = 0, now;

	run_bind_cpu(c->order.cpu, NULL);
	for (;;) {
		now = now_ns();
		if (gate_is(c, NT_RUN_OFF)) {
			next = 0;
			gate_wait(c, NT_RUN_OFF, now + SLICE_NS);
		} else if (!gate_is(c, NT_RUN_ON)) {
			if (gate_is_shut(c))
				break;
		} else if (!next) {
			next = now + c->order.period_ns;
		} else if (now < next) {
			gate_wait(c, NT_RUN_ON, next - now > SLICE_NS ? now + SLICE_NS : next);
		} else {
			tick(c);
			next += ((now - next) / c->order.period_ns + 1) * c->order.period_ns;
		}
	}
	c->left(c->order.token);
	at_store_rel(&c->used, 0u);
	return NULL;
}

static struct clock *clock_take(void)
{
	for (int i = 0; i < CLOCKS_MAX; i++) {
		u32 no = 0;

		if (at_cas(&clocks[i].used, &no, 1u))
			return &clocks[i];
	}
	return NULL;
}

int run_by_clock(const struct nt_run_order *o, void (*left)(u64 token))
{
	struct clock *c = clock_take();
	pthread_attr_t attr;
	pthread_t thread;
	u64 signals;
	int r;

	if (!c)
		return -ENOSPC;
	c->order = *o;
	c->left = left;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	signals = signals_block(); /* the application's handlers run on its own threads */
	r = pthread_create(&thread, &attr, clock_main, c);
	signals_restore(signals);
	pthread_attr_destroy(&attr);
	if (r)
		at_store_rel(&c->used, 0u);
	return -r;
}

void run_settle(void)
{
	for (int i = 0; i < CLOCKS_MAX; i++) {
		const struct clock *c = &clocks[i];

		while (at_load_acq(&c->used) && at_load_acq(&c->inside) && gate_is_shut(c))
			sys_call3(__NR_sched_yield, 0, 0, 0);
	}
}
