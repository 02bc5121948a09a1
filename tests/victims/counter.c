/* SPDX-License-Identifier: MIT */
/*
 * counter: does exactly what it is told on standard input, a command a line, and answers "done".
 *
 *     run THREADS N      every thread calls every function of funcs.S N times
 *     fork CHILDREN N    every child does
 *     load FILE N        dlopen FILE, call l_add N times, dlclose
 *     sem               says "sem VALUE OFFSET": a 16-bit counter of its own and where it is in the file
 *     spin / still       threads that call all functions at full speed, uncounted; "still" ends them
 */
#include "calls.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/wait.h>

#define SPINNERS 3

static volatile int spinning;
static volatile uint16_t semaphore __attribute__((section(".data.semaphore"))) = 0;

struct job {
	uint64_t n;
	pthread_t thread;
};

static void rounds(uint64_t n)
{
	uint64_t count[VICTIM_NFUNCS] = { 0 };

	for (uint64_t x = 0; x < n; x++)
		victim_round(x, count);
}

static void *run_job(void *arg)
{
	rounds(((struct job *)arg)->n);
	return NULL;
}

static void run(unsigned threads, uint64_t n)
{
	struct job job[64];

	for (unsigned i = 0; i < threads && i < 64; i++) {
		job[i].n = n;
		if (pthread_create(&job[i].thread, NULL, run_job, &job[i]))
			_exit(2);
	}
	for (unsigned i = 0; i < threads && i < 64; i++)
		pthread_join(job[i].thread, NULL);
}

static void run_forked(unsigned children, uint64_t n)
{
	for (unsigned i = 0; i < children; i++) {
		pid_t pid = fork();

		if (pid < 0)
			_exit(2);
		if (!pid) {
			rounds(n);
			_exit(0);
		}
	}
	for (unsigned i = 0; i < children; i++) {
		int status;

		if (wait(&status) < 0 || status)
			victim_wrong("a child ended with %#x", status);
	}
}

static void run_loaded(const char *file, uint64_t n)
{
	void *lib = dlopen(file, RTLD_NOW);
	uint64_t (*add)(uint64_t, uint64_t);

	if (!lib)
		victim_wrong("%s", dlerror());
	*(void **)&add = dlsym(lib, "l_add");
	for (uint64_t i = 0; i < n; i++)
		if (add(i, 5) != i + 5)
			victim_wrong("l_add");
	dlclose(lib);
}

static void *spin(void *arg)
{
	uint64_t count[VICTIM_NFUNCS] = { 0 };

	for (uint64_t x = 0; spinning; x++)
		victim_round(x, count);
	return NULL;
}

/* The first object is the program itself: which of its segments holds the counter? */
static int find_semaphore(struct dl_phdr_info *info, size_t size, void *arg)
{
	uintptr_t at = (uintptr_t)&semaphore - info->dlpi_addr;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && at >= p->p_vaddr && at < p->p_vaddr + p->p_filesz)
			*(unsigned long *)arg = at - p->p_vaddr + p->p_offset;
	}
	return 1;
}

int main(void)
{
	pthread_t spinner[SPINNERS];
	char line[512], word[512];
	unsigned long a, b;

	victim_begin();
	victim_ready();
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "run %lu %lu", &a, &b) == 2) {
			run((unsigned)a, b);
		} else if (sscanf(line, "fork %lu %lu", &a, &b) == 2) {
			run_forked((unsigned)a, b);
		} else if (sscanf(line, "load %511s %lu", word, &b) == 2) {
			run_loaded(word, b);
		} else if (!strncmp(line, "sem", 3)) {
			unsigned long off = 0;

			dl_iterate_phdr(find_semaphore, &off);
			printf("sem %u %lu\n", semaphore, off);
		} else if (!strncmp(line, "spin", 4) && !spinning) {
			spinning = 1;
			for (int i = 0; i < SPINNERS; i++)
				if (pthread_create(&spinner[i], NULL, spin, NULL))
					return 2;
		} else if (!strncmp(line, "still", 5) && spinning) {
			spinning = 0;
			for (int i = 0; i < SPINNERS; i++)
				pthread_join(spinner[i], NULL);
		} else {
			return 2;
		}
		printf("done\n");
	}
	return 0;
}
