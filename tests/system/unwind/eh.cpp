/* SPDX-License-Identifier: MIT */
/* Everything that walks the stack from the outside in: exceptions, backtraces, cancellation, thread exit. */
#include <cerrno>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <sys/wait.h>
#include <unwind.h>

#include <dlfcn.h>
#include <execinfo.h>

#include "scenario.h"

enum { E_THROW, E_MIDDLE, E_OUTER, E_RETHROW, E_NEST, E_WAIT, E_TRACE, E_NOEXCEPT, E_EXIT };

struct thrown {
	uint64_t value;
	char text[40];
};

static thread_local int64_t alive;

struct witness {
	uint64_t id;

	explicit witness(uint64_t i) : id(i) { alive++; }
	witness(const witness &) = delete;
	~witness() { alive--; }
};

extern "C" {

/* Returns x + 1 when x is even, else throws. */
SCENARIO_FN uint64_t e_throw(uint64_t x)
{
	SCENARIO_IN(E_THROW);
	if (x & 1) {
		thrown t{x, ""};

		snprintf(t.text, sizeof(t.text), "thrown %lu", (unsigned long)x);
		throw t;
	}
	return SCENARIO_OUT(E_THROW, x + 1);
}

SCENARIO_FN uint64_t e_middle(uint64_t x)
{
	SCENARIO_IN(E_MIDDLE);
	witness w(x);
	uint64_t r = e_throw(x);

	if (w.id != x)
		victim_wrong("e_middle lost its frame");
	return SCENARIO_OUT(E_MIDDLE, r + 1);
}

SCENARIO_FN uint64_t e_outer(uint64_t x)
{
	SCENARIO_IN(E_OUTER);
	witness a(x), b(x + 1);
	uint64_t r = e_middle(x);

	if (a.id != x || b.id != x + 1)
		victim_wrong("e_outer lost its frame");
	return SCENARIO_OUT(E_OUTER, r + 1);
}

SCENARIO_FN uint64_t e_rethrow(uint64_t x)
{
	SCENARIO_IN(E_RETHROW);
	witness w(x);

	try {
		return SCENARIO_OUT(E_RETHROW, e_outer(x));
	} catch (thrown &t) {
		t.value += 100;
		throw;
	}
}

/* depth frames with a destructor each, then e_throw(). */
SCENARIO_FN uint64_t e_nest(uint64_t x, uint64_t depth)
{
	SCENARIO_IN(E_NEST);
	witness w(depth);
	uint64_t r = depth ? e_nest(x, depth - 1) : e_throw(x);

	if (w.id != depth)
		victim_wrong("e_nest lost its frame");
	return SCENARIO_OUT(E_NEST, r + 1);
}

SCENARIO_FN uint64_t e_noexcept(uint64_t x) noexcept
{
	SCENARIO_IN(E_NOEXCEPT);
	return SCENARIO_OUT(E_NOEXCEPT, e_throw(x) + 1);
}
}

/* Calls fn(x), which must throw x + plus when x is odd and else return x + result. */
template <typename F> static void must(const char *what, uint64_t x, uint64_t plus, uint64_t result, F fn)
{
	volatile uint64_t keep[4] = {x, x + 1, x + 2, x + 3};
	char want[40];

	try {
		uint64_t r = fn(x);

		if ((x & 1) || r != x + result)
			victim_wrong("%s(%lu) = %lu", what, (unsigned long)x, (unsigned long)r);
	} catch (const thrown &t) {
		snprintf(want, sizeof(want), "thrown %lu", (unsigned long)x);
		if (!(x & 1) || t.value != x + plus || strcmp(t.text, want))
			victim_wrong("%s(%lu) threw %lu '%s'", what, (unsigned long)x, (unsigned long)t.value, t.text);
	}
	for (uint64_t i = 0; i < 4; i++)
		if (keep[i] != x + i)
			victim_wrong("%s: the caller lost its frame", what);
	if (alive)
		victim_wrong("%s: %ld destructors did not run", what, (long)alive);
}

static void run_direct(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		must("e_throw", i, 0, 1, e_throw);
}

static void run_up3(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		must("e_outer", i, 0, 3, e_outer);
}

static void run_rethrow(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		must("e_rethrow", i, 100, 3, e_rethrow);
}

static void run_nest(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		must("e_nest", i, 0, 22, [](uint64_t x) { return e_nest(x, 20); });
}

static void *thread_throws(void *arg)
{
	for (uint64_t i = 0; i < *(uint64_t *)arg; i++) {
		must("e_rethrow", i, 100, 3, e_rethrow);
		must("e_nest", i, 0, 7, [](uint64_t x) { return e_nest(x, 5); });
	}
	return nullptr;
}

static void run_threads(uint64_t n)
{
	pthread_t t[4];

	for (auto &i : t)
		if (pthread_create(&i, nullptr, thread_throws, &n))
			victim_wrong("no thread");
	for (auto &i : t)
		pthread_join(i, nullptr);
}

/* --- terminate --- */

static void on_terminate()
{
	_exit(42);
}

/* In a child: it must come to std::terminate(), by noexcept or because nobody catches. */
static void child_terminates(bool caught_by_noexcept)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		std::set_terminate(on_terminate);
		if (caught_by_noexcept) {
			try {
				e_noexcept(1);
			} catch (...) {
				_exit(1);
			}
		}
		e_outer(1);
		_exit(2);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 42)
		victim_wrong("terminate: status %#x", status);
}

static void run_terminate(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		child_terminates(true);
		child_terminates(false);
		if (e_noexcept(2) != 4)
			victim_wrong("e_noexcept");
	}
}

/* --- backtraces --- */

struct trace {
	int n;
	const char *name[64];
};

static trace plain[2]; /* before any probe: backtrace(), _Unwind_Backtrace() */

/* What lies in no module is not of the program: frames of return probes. */
static void trace_add(trace *t, void *pc)
{
	Dl_info info;

	if (dladdr(pc, &info) && t->n < 64)
		t->name[t->n++] = info.dli_sname ? info.dli_sname : "?";
}

static _Unwind_Reason_Code on_frame(struct _Unwind_Context *ctx, void *arg)
{
	trace_add(static_cast<trace *>(arg), reinterpret_cast<void *>(_Unwind_GetIP(ctx)));
	return _URC_NO_REASON;
}

extern "C" SCENARIO_FN uint64_t e_trace(trace *t, uint64_t depth)
{
	SCENARIO_IN(E_TRACE);
	uint64_t r = 0;

	if (depth) {
		r = e_trace(t, depth - 1) + 1;
	} else {
		void *pc[128];
		int n = backtrace(pc, 128);

		t[0].n = t[1].n = 0;
		for (int i = 0; i < n; i++)
			trace_add(&t[0], pc[i]);
		_Unwind_Backtrace(on_frame, &t[1]);
	}
	return SCENARIO_OUT(E_TRACE, r);
}

static void trace_compare(const char *what, const trace *t, const trace *want)
{
	if (t->n != want->n)
		victim_wrong("%s: %d frames, without probes %d", what, t->n, want->n);
	for (int i = 0; i < t->n; i++)
		if (strcmp(t->name[i], want->name[i]))
			victim_wrong("%s: frame %d is %s, without probes %s", what, i, t->name[i], want->name[i]);
}

static void __attribute__((noinline)) run_trace(uint64_t n)
{
	trace t[2];

	for (uint64_t i = 0; i < n; i++) {
		if (e_trace(t, 10) != 10)
			victim_wrong("e_trace");
		if (!plain[0].n) {
			memcpy(plain, t, sizeof(t));
			continue;
		}
		trace_compare("backtrace()", &t[0], &plain[0]);
		trace_compare("_Unwind_Backtrace()", &t[1], &plain[1]);
	}
}

/* --- cancellation --- */

static uint64_t waiting;

extern "C" {

struct deferred {
	int fd[2];
	bool destructor_ran;
};

struct marks {
	deferred *d;

	~marks() { d->destructor_ran = true; }
};

SCENARIO_FN uint64_t e_wait(deferred *d)
{
	SCENARIO_IN(E_WAIT);
	marks m{d};
	char c;

	__atomic_store_n(&waiting, 1, __ATOMIC_RELEASE);
	if (read(d->fd[0], &c, 1) != 1)
		return SCENARIO_OUT(E_WAIT, 0);
	return SCENARIO_OUT(E_WAIT, 1);
}

SCENARIO_FN void e_exit(deferred *d)
{
	SCENARIO_IN(E_EXIT);
	marks m{d};

	pthread_exit(d);
}
}

static void *thread_waits(void *arg)
{
	e_wait(static_cast<deferred *>(arg));
	return nullptr;
}

static void *thread_exits(void *arg)
{
	e_exit(static_cast<deferred *>(arg));
	return nullptr;
}

/* Canceled inside read(), three probed calls down: the destructor runs, the thread is gone, nobody returns. */
static void run_cancel(uint64_t n)
{
	deferred d{};
	void *result;
	pthread_t t;

	if (pipe(d.fd))
		victim_wrong("pipe");
	for (uint64_t i = 0; i < n; i++) {
		d.destructor_ran = false;
		waiting = 0;
		if (pthread_create(&t, nullptr, thread_waits, &d))
			victim_wrong("no thread");
		while (!__atomic_load_n(&waiting, __ATOMIC_ACQUIRE))
			sched_yield();
		if (i & 1)
			usleep(200);
		pthread_cancel(t);
		pthread_join(t, &result);
		if (result != PTHREAD_CANCELED || !d.destructor_ran)
			victim_wrong("cancel: result %p, destructor %d", result, d.destructor_ran);
	}
	for (uint64_t i = 0; i < n; i++) {
		d.destructor_ran = false;
		if (pthread_create(&t, nullptr, thread_exits, &d) || pthread_join(t, &result))
			victim_wrong("no thread");
		if (result != &d || !d.destructor_ran)
			victim_wrong("pthread_exit: result %p, destructor %d", result, d.destructor_ran);
	}
	close(d.fd[0]);
	close(d.fd[1]);
}

static const struct scenario scenarios[] = {
	{"direct", run_direct},	      {"up3", run_up3},	    {"rethrow", run_rethrow}, {"nest", run_nest},
	{"threads", run_threads},     {"trace", run_trace}, {"cancel", run_cancel},
	{"terminate", run_terminate}, {nullptr, nullptr},
};

int main()
{
	static const char *const names[] = {"e_throw", "e_middle", "e_outer", "e_rethrow", "e_nest",
					    "e_wait", "e_trace", "e_noexcept", "e_exit"};

	/* What the first unwind sets up for good should not differ between before and after. */
	scenarios[0].run(4);
	run_trace(1);
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		scenario_counts[i] = {names[i], 0, 0, 0};
	return scenario_main(scenarios);
}
