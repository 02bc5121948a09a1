/* SPDX-License-Identifier: MIT */
/*
 * Four threads that use much of the C library, under a timer whose handler uses it too; every result is compared with
 * the first one. "run MS" works so long, and is answered by "done".
 */
#include "victim.h"

#include <math.h>
#include <regex.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <wchar.h>

enum { THREADS = 4, WORDS = 200 };

static volatile unsigned long ticks;
static bool stop;
static uint64_t first[THREADS];

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
	for (const unsigned char *c = p; n--; c++)
		h = (h ^ *c) * 0x100000001b3ull;
	return h;
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

static uint64_t texts(unsigned seed, uint64_t h)
{
	char *word[WORDS], line[256], *save = NULL;
	wchar_t wide[64];
	size_t n;

	for (unsigned i = 0; i < WORDS; i++) {
		if (asprintf(&word[i], "%08x %s %+.7g %c %-6d|", (i * 2654435761u) ^ seed, i % 3 ? "odd" : "even", i / 7.0 - 9, 'a' + i % 26,
			     (int)i - 100) < 0)
			victim_wrong("asprintf");
		word[i] = realloc(word[i], strlen(word[i]) + 40);
	}
	qsort(word, WORDS, sizeof(word[0]), by_text);
	for (unsigned i = 0; i < WORDS; i++) {
		h = mix(h, word[i], strlen(word[i]));
		n = mbstowcs(wide, word[i], 60);
		h += wcslen(wide) + n + (uint64_t)strtol(word[i], NULL, 16) + (strstr(word[i], "even") ? 7 : 0);
		h = mix(h, &(double){strtod(word[i] + 14, NULL) * sqrt(i)}, sizeof(double));
		snprintf(line, sizeof(line), "%s", word[i]);
		for (char *t = strtok_r(line, " |", &save); t; t = strtok_r(NULL, " |", &save))
			h += strlen(t) * (unsigned char)*t;
		free(word[i]);
	}
	return h;
}

static uint64_t others(unsigned seed, uint64_t h)
{
	struct tm tm;
	time_t t = 1600000000 + seed * 86400;
	char text[128];
	regex_t re;

	gmtime_r(&t, &tm);
	h += (uint64_t)timegm(&tm);
	h = mix(h, text, strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %j %u", &tm));
	if (regcomp(&re, "([0-9]+)-([0-9]+)-([0-9]+) [^3]*(3.)*", REG_EXTENDED))
		victim_wrong("regcomp");
	h += (uint64_t)regexec(&re, text, 0, NULL, 0) + re.re_nsub;
	regfree(&re);
	return h;
}

static uint64_t work(unsigned seed)
{
	return others(seed, texts(seed, 14695981039346656037ull));
}

static void *worker(void *arg)
{
	unsigned id = (unsigned)(uintptr_t)arg;

	do {
		uint64_t h = work(id);

		if (!first[id])
			first[id] = h;
		if (h != first[id])
			victim_wrong("thread %u: %#llx", id, (unsigned long long)h);
	} while (!__atomic_load_n(&stop, __ATOMIC_RELAXED));
	return NULL;
}

static void on_timer(int sig)
{
	char a[64], b[64];

	(void)sig;
	memset(a, (int)ticks, sizeof(a));
	memcpy(b, a, sizeof(b));
	if (memcmp(a, b, sizeof(a)) || memchr(b, (int)ticks + 1, sizeof(b)))
		victim_wrong("handler");
	ticks++;
}

static void run(unsigned ms)
{
	struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
	pthread_t t[THREADS];

	stop = false;
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, worker, (void *)(uintptr_t)i);
	setitimer(ITIMER_REAL, &often, NULL);
	for (struct timespec left = {ms / 1000, ms % 1000 * 1000000l}; nanosleep(&left, &left);)
		;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	setitimer(ITIMER_REAL, &never, NULL);
}

int main(void)
{
	char line[64];
	unsigned ms;

	setvbuf(stdout, NULL, _IOLBF, 0);
	sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_timer, .sa_flags = SA_RESTART}, NULL);
	victim_ready();
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "run %u", &ms) != 1)
			return 2;
		run(ms);
		printf("done\n");
	}
	return 0;
}
