/* SPDX-License-Identifier: MIT */
/*
 * Threads that stay where they are while probes come and go:
 *
 *     park N      N threads work; a signal stops each where it is, in code that is not the program's; until
 *     parkalt N   the same in a second handler, on an alternate stack, that has interrupted the first
 *     release     lets them go on, and ends them
 *     enter N     N threads sleep inside of functions; until
 *     leave       wakes them: they return, throw, jump or exit
 *     leak N      leaves functions of a library, N times, and unloads it
 *     jump N      leaves functions by longjmp, N times
 *     work N      calls everything
 */
#include <cerrno>
#include <csetjmp>
#include <dlfcn.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>

#include "scenario.h"

enum { P_LEAF, P_NEST, P_SLEEP, P_DEEP, P_JUMP };
static const uint64_t THREADS = 16;

static pthread_t thread[THREADS];
static uint64_t nthreads, told, parked, inside;
static struct {
	uint64_t lo, hi;
} code[64]; /* the program, its libraries, the vdso */
static uint64_t ncode;

extern "C" {

SCENARIO_FN uint64_t p_leaf(uint64_t x)
{
	SCENARIO_IN(P_LEAF);
	return SCENARIO_OUT(P_LEAF, x * 5 + 3);
}

SCENARIO_FN uint64_t p_nest(uint64_t x, uint64_t depth)
{
	SCENARIO_IN(P_NEST);
	uint64_t r = depth ? p_nest(x, depth - 1) : p_leaf(x);

	return SCENARIO_OUT(P_NEST, r + 1);
}
}

static void wait_for(uint64_t *word, uint64_t want)
{
	for (int i = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) < want; i++) {
		if (i == 20000)
			victim_wrong("waited 20 s for %lu of %lu", (unsigned long)*word, (unsigned long)want);
		usleep(1000);
	}
}

static void start(uint64_t n, void *(*fn)(void *))
{
	__atomic_store_n(&told, 0, __ATOMIC_RELEASE);
	parked = inside = 0;
	nthreads = n < THREADS ? n : THREADS;
	for (uint64_t i = 0; i < nthreads; i++)
		if (pthread_create(&thread[i], nullptr, fn, reinterpret_cast<void *>(i)))
			victim_wrong("no thread");
}

static void finish()
{
	__atomic_store_n(&told, 1, __ATOMIC_RELEASE);
	for (uint64_t i = 0; i < nthreads; i++)
		pthread_join(thread[i], nullptr);
}

/* --- parked by a signal --- */

static thread_local bool is_parked;
static bool use_second;

static void stay(int)
{
	timespec nap{0, 1000000};

	while (!__atomic_load_n(&told, __ATOMIC_ACQUIRE))
		syscall(SYS_nanosleep, &nap, nullptr);
}

static void on_park(int, siginfo_t *, void *ctx)
{
	uint64_t pc = (uint64_t) static_cast<ucontext_t *>(ctx)->uc_mcontext.gregs[REG_RIP];

	for (uint64_t i = 0; i < ncode; i++)
		if (pc >= code[i].lo && pc < code[i].hi)
			return;
	if (is_parked)
		return;
	is_parked = true;
	scenario_add(&parked);
	if (use_second)
		raise(SIGUSR1);
	else
		stay(0);
}

static void *thread_works(void *arg)
{
	static char stacks[THREADS][65536];
	stack_t ss{stacks[(uint64_t)arg], 0, sizeof(stacks[0])};

	sigaltstack(&ss, nullptr);
	for (uint64_t i = (uint64_t)arg; !__atomic_load_n(&told, __ATOMIC_ACQUIRE); i++)
		if (p_nest(i, i % 3) != i * 5 + 4 + i % 3)
			victim_wrong("p_nest");
	return nullptr;
}

static void run_park(uint64_t n)
{
	struct sigaction sa {};

	sa.sa_sigaction = on_park;
	sa.sa_flags = SA_SIGINFO;
	sigaction(SIGUSR2, &sa, nullptr);
	start(n, thread_works);
	for (int tries = 0; __atomic_load_n(&parked, __ATOMIC_ACQUIRE) < nthreads; tries++) {
		if (tries == 100000)
			victim_wrong("parked only %lu", (unsigned long)parked);
		for (uint64_t i = 0; i < nthreads; i++)
			pthread_kill(thread[i], SIGUSR2);
		usleep(100);
	}
}

static void run_parkalt(uint64_t n)
{
	struct sigaction sa {};

	sa.sa_handler = stay;
	sa.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR1, &sa, nullptr);
	use_second = true;
	run_park(n);
	use_second = false;
}

static void run_release(uint64_t)
{
	finish();
}

/* --- asleep in functions --- */

static thread_local jmp_buf back;

extern "C" {

SCENARIO_FN uint64_t p_sleep(uint64_t how)
{
	SCENARIO_IN(P_SLEEP);
	scenario_add(&inside);
	while (!__atomic_load_n(&told, __ATOMIC_ACQUIRE))
		usleep(500);
	switch (how % 4) {
	case 1: throw how;
	case 2: longjmp(back, 1);
	case 3: pthread_exit(nullptr);
	}
	return SCENARIO_OUT(P_SLEEP, how + 100);
}

SCENARIO_FN uint64_t p_deep(uint64_t how, uint64_t depth)
{
	SCENARIO_IN(P_DEEP);
	uint64_t r = depth ? p_deep(how, depth - 1) : p_sleep(how);

	return SCENARIO_OUT(P_DEEP, r + 1);
}
}

static void *thread_sleeps(void *arg)
{
	volatile uint64_t how = (uint64_t)arg;

	if (setjmp(back)) {
		if (how % 4 != 2)
			victim_wrong("%lu jumped", (unsigned long)how);
		return nullptr;
	}
	try {
		if (p_deep(how, how % 5) != how + 101 + how % 5 || how % 4)
			victim_wrong("%lu returned", (unsigned long)how);
	} catch (uint64_t x) {
		if (x != how || how % 4 != 1)
			victim_wrong("%lu threw %lu", (unsigned long)how, (unsigned long)x);
	}
	return nullptr;
}

static void run_enter(uint64_t n)
{
	start(n, thread_sleeps);
	wait_for(&inside, nthreads);
}

static void run_leave(uint64_t)
{
	finish();
}

/* --- a library that goes --- */

static void jump_out(void *)
{
	longjmp(back, 1);
}

static void run_leak(uint64_t n)
{
	void (*volatile call)(void (*)(void *), void *);
	void *volatile lib = dlopen(getenv("UNWIND_LIB"), RTLD_NOW);
	volatile uint64_t i;

	if (!lib)
		victim_wrong("%s", dlerror());
	*reinterpret_cast<void *volatile *>(&call) = dlsym(lib, "p_lib_call");
	for (i = 0; i < n; i++)
		if (!setjmp(back))
			call(jump_out, nullptr);
	if (dlclose(lib) || dlopen(getenv("UNWIND_LIB"), RTLD_NOW | RTLD_NOLOAD))
		victim_wrong("dlclose");
}

extern "C" SCENARIO_FN uint64_t p_jump(uint64_t x)
{
	SCENARIO_IN(P_JUMP);
	if (p_leaf(x) == x * 5 + 3)
		longjmp(back, 1);
	return SCENARIO_OUT(P_JUMP, x);
}

static void run_jump(uint64_t n)
{
	for (volatile uint64_t i = 0; i < n; i++)
		if (!setjmp(back))
			p_jump(i);
}

static void run_work(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		if (p_nest(i, i % 7) != i * 5 + 4 + i % 7)
			victim_wrong("p_nest");
}

static const struct scenario scenarios[] = {{"park", run_park},	  {"parkalt", run_parkalt},	  {"release", run_release}, {"enter", run_enter},
					    {"leave", run_leave}, {"leak", run_leak},	    {"jump", run_jump},   {"work", run_work},
					    {nullptr, nullptr}};

int main()
{
	static const char *const names[] = {"p_leaf", "p_nest", "p_sleep", "p_deep", "p_jump"};
	unsigned long lo, hi;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, " r-xp ") && (strchr(line, '/') || strstr(line, "[v")) && ncode < 64 &&
		    sscanf(line, "%lx-%lx", &lo, &hi) == 2)
			code[ncode++] = {lo, hi};
	if (maps)
		fclose(maps);
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		scenario_counts[i] = {names[i], 0, 0, 0};
	return scenario_main(scenarios);
}
