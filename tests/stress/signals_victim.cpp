/* SPDX-License-Identifier: MIT */
/*
 * Signals in the middle of everything. Two scenarios:
 *
 *     storm MS     threads work while timers fire all the time; the handlers call probed functions, too
 *     step         calls one function over and over between two int3; a tracer does the rest (signals_step.c)
 */
#include <cerrno>
#include <csetjmp>
#include <execinfo.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <ctime>

#include "scenario.h"
#include "signals.h"

enum { S_LEAF, S_NEST, S_THROW, S_HANDLER, S_INNER, S_TARGET };

extern "C" {

SCENARIO_FN uint64_t s_leaf(uint64_t x)
{
	SCENARIO_IN(S_LEAF);
	return SCENARIO_OUT(S_LEAF, x * 3 + 1);
}

SCENARIO_FN uint64_t s_nest(uint64_t x, uint64_t depth)
{
	SCENARIO_IN(S_NEST);
	uint64_t r = depth ? s_nest(x + 1, depth - 1) : s_leaf(x);

	return SCENARIO_OUT(S_NEST, r + 1);
}

SCENARIO_FN uint64_t s_throw(uint64_t x)
{
	SCENARIO_IN(S_THROW);
	if (x % 16 == 5)
		throw x;
	return SCENARIO_OUT(S_THROW, s_leaf(x));
}

/* What a handler does in a storm: 4 calls of s_nest, one of s_leaf. */
SCENARIO_FN uint64_t s_inner(uint64_t x)
{
	SCENARIO_IN(S_INNER);
	return SCENARIO_OUT(S_INNER, s_nest(x, 3));
}
}

/* --- storm --- */

static uint64_t whole, cut_short, begun_at;

static thread_local volatile bool throwing; /* no backtrace then: libgcc's jump to a landing pad has no unwind data */

/* Functions in a section of their own: where every stack begins that we interrupt. */
#define BASE __attribute__((noinline, section("signals_base")))
extern "C" char __start_signals_base[], __stop_signals_base[];

/* Does the walk pass the signal frame and what it has interrupted? */
static bool trace_is_whole()
{
	void *pc[200];
	int n = backtrace(pc, 200);

	for (int i = 0; i < n; i++)
		if (pc[i] >= __start_signals_base && pc[i] < __stop_signals_base)
			return true;
	return false;
}

extern "C" SCENARIO_FN void s_handler(int sig)
{
	SCENARIO_IN(S_HANDLER);
	int saved = errno;
	uint64_t x = (uint64_t)sig;

	if (s_inner(x) != (x + 3) * 3 + 5)
		victim_wrong("s_inner in a handler");
	if (__atomic_load_n(&scenario_counts[S_HANDLER].in, __ATOMIC_RELAXED) % 8 == 0 && !throwing)
		scenario_add(trace_is_whole() ? &whole : &cut_short);
	errno = saved;
	scenario_add(&scenario_counts[S_HANDLER].out);
}

static uint64_t now_ms()
{
	timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static BASE void *thread_works(void *arg)
{
	uint64_t end = begun_at + *static_cast<uint64_t *>(arg);

	for (uint64_t i = 0; now_ms() < end; i++) {
		if (s_nest(i, i % 6) != (i + i % 6) * 3 + 2 + i % 6)
			victim_wrong("s_nest");
		throwing = i % 16 == 5;
		try {
			if (s_throw(i) != i * 3 + 1 || i % 16 == 5)
				victim_wrong("s_throw");
		} catch (uint64_t x) {
			if (x != i || i % 16 != 5)
				victim_wrong("s_throw threw");
		}
		throwing = false;
	}
	return nullptr;
}

static BASE void run_storm(uint64_t ms)
{
	struct sigaction sa {}, old[2];
	itimerval fast{{0, 100}, {0, 100}}, prof{{0, 1000}, {0, 1000}}, off{};
	pthread_t t[2];

	sa.sa_handler = s_handler;
	sa.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &sa, &old[0]);
	sigaction(SIGPROF, &sa, &old[1]);
	begun_at = now_ms();
	for (auto &i : t)
		if (pthread_create(&i, nullptr, thread_works, &ms))
			victim_wrong("no thread");
	setitimer(ITIMER_REAL, &fast, nullptr);
	setitimer(ITIMER_PROF, &prof, nullptr);
	for (auto &i : t)
		pthread_join(i, nullptr);
	setitimer(ITIMER_REAL, &off, nullptr);
	setitimer(ITIMER_PROF, &off, nullptr);
	usleep(2000); /* what is pending comes now */
	sigaction(SIGALRM, &old[0], nullptr);
	sigaction(SIGPROF, &old[1], nullptr);
	printf("# %lu signals, %lu backtraces, %lu of them cut short\n",
	       (unsigned long)scenario_counts[S_HANDLER].in, (unsigned long)(whole + cut_short), (unsigned long)cut_short);
}

/* --- step --- */

static sigjmp_buf out;
static signals_report report;
static volatile uint64_t mode;

extern "C" SCENARIO_FN uint64_t s_target(uint64_t x)
{
	SCENARIO_IN(S_TARGET);
	return SCENARIO_OUT(S_TARGET, s_leaf(x + 1) + 5);
}

/* The call is left between its program and its own counting, or the other way round. */
static void slack()
{
	scenario_counts[S_TARGET].slack++;
	scenario_counts[S_LEAF].slack++;
}

static void on_step(int, siginfo_t *, void *)
{
	report.handled++;
	switch (mode) {
	case SIGNALS_CALL:
		if (s_inner(1) != 17)
			victim_wrong("s_inner in a handler");
		break;
	case SIGNALS_JUMP: slack(); siglongjmp(out, 1);
	case SIGNALS_TRACE: report.whole += trace_is_whole(); break;
	case SIGNALS_THROW: slack(); throw uint64_t(77);
	default: break;
	}
}

static uint64_t (*volatile target)(uint64_t) = s_target; /* for all the compiler knows it may throw */

/* The tracer sees the first int3, decides, and sees the second one when it is over. rax: what to do, 0 = leave. */
static BASE void s_loop()
{
	for (volatile uint64_t i = 0;; i++) {
		volatile uint64_t want = (i + 1) * 3 + 6, got = want;
		uint64_t command = 0;

		__asm__ volatile("int3" : "+a"(command) : "b"(&report) : "memory");
		if (!command)
			return;
		mode = command;
		if (!sigsetjmp(out, 1)) {
			try {
				got = target(i);
			} catch (uint64_t x) {
				report.caught += x == 77;
			}
		}
		__asm__ volatile("int3" : : "a"(0) : "memory");
		if (got != want)
			victim_wrong("s_target(%lu) = %lu", (unsigned long)i, (unsigned long)got);
	}
}

static void run_step(uint64_t)
{
	struct sigaction sa {}, old;

	sa.sa_sigaction = on_step;
	sa.sa_flags = SA_SIGINFO | SA_NODEFER; /* throwing does not unblock the signal */
	sigaction(SIGUSR1, &sa, &old);
	s_loop();
	sigaction(SIGUSR1, &old, nullptr);
}

static const struct scenario scenarios[] = {{"storm", run_storm}, {"step", run_step}, {nullptr, nullptr}};

int main()
{
	static const char *const names[] = {"s_leaf", "s_nest", "s_throw", "s_handler", "s_inner", "s_target"};
	void *pc[10];

	backtrace(pc, 10); /* loads the unwinder outside of handlers */
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		scenario_counts[i] = {names[i], 0, 0, 0};
	return scenario_main(scenarios);
}
