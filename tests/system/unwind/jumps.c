/* SPDX-License-Identifier: MIT */
/* Stacks that are left or changed in other ways than by returning. */
#include <errno.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "scenario.h"

enum { J_LEAP, J_SIGLEAP, J_HOP, J_STEP, J_DEEP, J_YIELD, J_BODY, J_SMALL, J_THREAD, J_HANDLER };

/* --- longjmp --- */

static __thread jmp_buf back;
static __thread sigjmp_buf sigback;

SCENARIO_FN uint64_t j_step(uint64_t x)
{
	SCENARIO_IN(J_STEP);
	return SCENARIO_OUT(J_STEP, x * 3 + 1);
}

SCENARIO_FN uint64_t j_leap(uint64_t x)
{
	SCENARIO_IN(J_LEAP);
	if (j_step(x) != x * 3 + 1)
		victim_wrong("j_step");
	longjmp(back, 7);
	return SCENARIO_OUT(J_LEAP, x);
}

/* Through another probed function. */
SCENARIO_FN uint64_t j_hop(uint64_t x)
{
	uint64_t r;

	SCENARIO_IN(J_HOP);
	r = j_leap(x + 1);
	return SCENARIO_OUT(J_HOP, r + 1);
}

SCENARIO_FN uint64_t j_sigleap(uint64_t x)
{
	SCENARIO_IN(J_SIGLEAP);
	siglongjmp(sigback, 8);
	return SCENARIO_OUT(J_SIGLEAP, x);
}

static void *thread_leaps(void *arg)
{
	volatile uint64_t n = *(uint64_t *)arg, i;

	for (i = 0; i < n; i++) {
		int r = setjmp(back);

		if (!r) {
			j_hop(i);
			victim_wrong("longjmp did not happen");
		}
		if (r != 7)
			victim_wrong("setjmp returned %d", r);
	}
	return NULL;
}

/* Most of these calls never return: n a million empties the pool of return entries many times. */
static void run_longjmp(uint64_t n)
{
	pthread_t t[2];
	uint64_t half = n / 2;

	for (int i = 0; i < 2; i++)
		if (pthread_create(&t[i], NULL, thread_leaps, &half))
			victim_wrong("no thread");
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
}

static void run_siglongjmp(uint64_t n)
{
	volatile uint64_t i;

	for (i = 0; i < n; i++) {
		int r = sigsetjmp(sigback, i & 1);

		if (!r) {
			j_sigleap(i);
			victim_wrong("siglongjmp did not happen");
		}
		if (r != 8)
			victim_wrong("sigsetjmp returned %d", r);
	}
}

static void run_step(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (j_step(i) != i * 3 + 1)
			victim_wrong("j_step");
}

/* --- coroutines --- */

#define CORO_STACK 32768
#define COROS 16

struct coro {
	ucontext_t here, caller;
	uint64_t value;
	int done;
	char *stack;
};

SCENARIO_FN uint64_t j_yield(struct coro *c, uint64_t value)
{
	SCENARIO_IN(J_YIELD);
	c->value = value;
	if (swapcontext(&c->here, &c->caller))
		victim_wrong("swapcontext");
	return SCENARIO_OUT(J_YIELD, value + 1);
}

SCENARIO_FN uint64_t j_body(struct coro *c, uint64_t depth)
{
	uint64_t r;

	SCENARIO_IN(J_BODY);
	r = j_yield(c, depth);
	if (r != depth + 1)
		victim_wrong("j_yield");
	if (depth)
		r = j_body(c, depth - 1);
	return SCENARIO_OUT(J_BODY, r + depth);
}

static void coro_main(unsigned int low, unsigned int high)
{
	struct coro *c = (struct coro *)((uint64_t)high << 32 | low);

	if (j_body(c, 8) != 37)
		victim_wrong("j_body");
	c->done = 1;
}

static struct coro *coro_new(void)
{
	struct coro *c = calloc(1, sizeof(*c));

	if (!c || getcontext(&c->here))
		victim_wrong("getcontext");
	c->stack = malloc(CORO_STACK);
	c->here.uc_stack.ss_sp = c->stack;
	c->here.uc_stack.ss_size = CORO_STACK;
	c->here.uc_link = &c->caller;
	makecontext(&c->here, (void (*)(void))coro_main, 2, (unsigned int)(uint64_t)c, (unsigned int)((uint64_t)c >> 32));
	return c;
}

static void coro_free(struct coro *c)
{
	free(c->stack);
	free(c);
}

/* They take turns, so calls of one stack return between those of others. */
static void run_coroutines(uint64_t n)
{
	while (n--) {
		struct coro *c[COROS];
		int left = COROS;

		for (int i = 0; i < COROS; i++)
			c[i] = coro_new();
		while (left)
			for (int i = 0; i < COROS; i++) {
				if (!c[i] || swapcontext(&c[i]->caller, &c[i]->here))
					continue;
				if (c[i]->done) {
					coro_free(c[i]);
					c[i] = NULL;
					left--;
				}
			}
	}
}

static struct coro *queue[COROS];
static uint64_t to_finish;
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;

/* Resumes whichever coroutine it gets: calls begun on one thread return on another. */
static void *thread_resumes(void *arg)
{
	unsigned int at = *(unsigned int *)arg;

	while (__atomic_load_n(&to_finish, __ATOMIC_RELAXED)) {
		struct coro *c;

		at = at * 1103515245 + 12345;
		pthread_mutex_lock(&queue_lock);
		c = queue[at >> 16 & (COROS - 1)];
		queue[at >> 16 & (COROS - 1)] = NULL;
		pthread_mutex_unlock(&queue_lock);
		if (!c)
			continue;
		if (swapcontext(&c->caller, &c->here))
			victim_wrong("swapcontext");
		if (c->done) {
			coro_free(c);
			c = __atomic_fetch_sub(&to_finish, 1, __ATOMIC_RELAXED) > COROS ? coro_new() : NULL;
		}
		while (c) {
			at = at * 1103515245 + 12345;
			pthread_mutex_lock(&queue_lock);
			if (!queue[at >> 16 & (COROS - 1)]) {
				queue[at >> 16 & (COROS - 1)] = c;
				c = NULL;
			}
			pthread_mutex_unlock(&queue_lock);
		}
	}
	return NULL;
}

static void run_migrate(uint64_t n)
{
	unsigned int seed[4] = { 1, 2, 3, 4 };
	pthread_t t[4];

	to_finish = n + COROS;
	for (int i = 0; i < COROS; i++)
		queue[i] = coro_new();
	for (int i = 0; i < 4; i++)
		if (pthread_create(&t[i], NULL, thread_resumes, &seed[i]))
			victim_wrong("no thread");
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
}

/* --- deep and small stacks --- */

SCENARIO_FN uint64_t j_deep(uint64_t depth)
{
	volatile uint64_t keep = depth;
	uint64_t r = 0;

	SCENARIO_IN(J_DEEP);
	if (depth)
		r = j_deep(depth - 1) + 1;
	if (keep != depth)
		victim_wrong("j_deep lost its frame");
	return SCENARIO_OUT(J_DEEP, r);
}

/* As in the kernel, 64 returns at most are pending: that of this function is the first. */
static void run_deep(uint64_t n)
{
	if (j_deep(n) != n)
		victim_wrong("j_deep");
	if (n + 1 > 63)
		scenario_counts[J_DEEP].out -= n + 1 - 63;
}

SCENARIO_FN uint64_t j_small(uint64_t x)
{
	SCENARIO_IN(J_SMALL);
	return SCENARIO_OUT(J_SMALL, j_step(x) + 1);
}

static volatile uint64_t handled;

SCENARIO_FN void j_handler(int sig)
{
	SCENARIO_IN(J_HANDLER);
	if (j_small((uint64_t)sig) != (uint64_t)sig * 3 + 2)
		victim_wrong("j_small");
	handled++;
	SCENARIO_OUT(J_HANDLER, 0);
}

/* The smallest alternate stack that the kernel accepts here, plus what its signal frame leaves of it for us. */
static void run_altstack(uint64_t n)
{
	size_t size = (size_t)sysconf(_SC_MINSIGSTKSZ) + 2048;
	size_t whole = (size + 4095) / 4096 * 4096 + 4096;
	char *page = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t ss = { .ss_sp = page + 4096, .ss_size = size }, old;
	struct sigaction sa = { .sa_handler = j_handler, .sa_flags = SA_ONSTACK }, old_sa;

	/* Its lower end at the guard page. */
	if (page == MAP_FAILED || mprotect(page + 4096, whole - 4096, PROT_READ | PROT_WRITE) || sigaltstack(&ss, &old) ||
	    sigaction(SIGUSR1, &sa, &old_sa))
		victim_wrong("sigaltstack: %s", strerror(errno));
	handled = 0;
	for (uint64_t i = 0; i < n; i++)
		raise(SIGUSR1);
	if (handled != n)
		victim_wrong("%lu handlers ran", (unsigned long)handled);
	sigaltstack(&old, NULL);
	sigaction(SIGUSR1, &old_sa, NULL);
	munmap(page, whole);
}

SCENARIO_FN void *j_thread(void *arg)
{
	SCENARIO_IN(J_THREAD);
	for (uint64_t i = 0; i < 100; i++)
		if (j_small(i) != i * 3 + 2)
			victim_wrong("j_small");
	return SCENARIO_OUT(J_THREAD, arg);
}

static void run_threads16k(uint64_t n)
{
	pthread_attr_t attr;

	if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, 16384))
		victim_wrong("16 KiB");
	while (n--) {
		pthread_t t[4];
		void *r;

		for (int i = 0; i < 4; i++)
			if (pthread_create(&t[i], &attr, j_thread, (void *)&handled))
				victim_wrong("no thread");
		for (int i = 0; i < 4; i++)
			if (pthread_join(t[i], &r) || r != (void *)&handled)
				victim_wrong("join");
	}
	pthread_attr_destroy(&attr);
}

/* --- canceled anywhere --- */

static uint64_t cleaned, spinning;

static void on_cleanup(void *arg)
{
	if (arg != &cleaned)
		victim_wrong("a cleanup handler's argument");
	scenario_add(&cleaned);
}

static void *thread_spins(void *arg)
{
	pthread_cleanup_push(on_cleanup, &cleaned);
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	__atomic_store_n(&spinning, 1, __ATOMIC_RELEASE);
	for (uint64_t i = 0;; i++)
		if (j_small(i) != i * 3 + 2)
			victim_wrong("j_small");
	pthread_cleanup_pop(0);
	return arg;
}

/* At any instruction, most of them not the program's own. */
static void run_async(uint64_t n)
{
	unsigned int at = 1;

	cleaned = 0;
	for (uint64_t i = 0; i < n; i++) {
		pthread_t t;
		void *r;

		spinning = 0;
		if (pthread_create(&t, NULL, thread_spins, NULL))
			victim_wrong("no thread");
		while (!__atomic_load_n(&spinning, __ATOMIC_ACQUIRE))
			sched_yield();
		at = at * 1103515245 + 12345;
		for (volatile unsigned int k = 0; k < (at >> 16) % 10000; k++)
			;
		pthread_cancel(t);
		pthread_join(t, &r);
		if (r != PTHREAD_CANCELED)
			victim_wrong("not canceled: %p", r);
		scenario_counts[J_SMALL].slack++;
		scenario_counts[J_STEP].slack++;
	}
	if (cleaned != n)
		victim_wrong("%lu cleanup handlers ran", (unsigned long)cleaned);
}

static const struct scenario scenarios[] = {
	{ "longjmp", run_longjmp },	    { "siglongjmp", run_siglongjmp }, { "step", run_step },
	{ "coroutines", run_coroutines },   { "migrate", run_migrate },	      { "deep", run_deep },
	{ "altstack", run_altstack },	    { "threads16k", run_threads16k }, { "async", run_async }, { NULL, NULL },
};

int main(void)
{
	static const char *const names[] = { "j_leap", "j_sigleap", "j_hop", "j_step", "j_deep", "j_yield", "j_body",
					     "j_small", "j_thread", "j_handler" };

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		scenario_counts[i].name = names[i];
	return scenario_main(scenarios);
}
