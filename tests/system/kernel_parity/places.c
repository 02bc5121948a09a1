/* SPDX-License-Identifier: MIT */
/*
 * The same function in other mappings of its file, made before or after the link, and with other rights; the file itself stays
 * as it is.
 */
#include "parity.h"

#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>

#define PAGE 4096u

struct place {
	const char *name;
	int prot, flags;
	int later; /* mprotect to that; 0: stays */
};

static const struct place places[] = {
	{ "executable", PROT_READ | PROT_EXEC, MAP_PRIVATE, 0 },
	{ "read-only, then executable", PROT_READ, MAP_PRIVATE, PROT_READ | PROT_EXEC },
	{ "writable, then executable", PROT_READ | PROT_WRITE, MAP_PRIVATE, PROT_READ | PROT_EXEC },
	{ "shared", PROT_READ | PROT_EXEC, MAP_SHARED, 0 },
};
#define N (sizeof(places) / sizeof(places[0]))
#define WRITABLE 2

static unsigned char *map_place(const struct place *pl, u64 offset)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	unsigned char *m = mmap(NULL, PAGE, pl->prot, pl->flags, fd, (off_t)(offset & ~(u64)(PAGE - 1)));

	close(fd);
	if (m == MAP_FAILED)
		exit(99);
	if (pl->later && mprotect(m, PAGE, pl->later))
		exit(99);
	return m;
}

static u64 call_at(unsigned char *m, u64 offset)
{
	parity_fn *fn;

	*(void **)&fn = m + (offset & (PAGE - 1));
	return fn(NULL, NULL);
}

static bool file_is(const unsigned char want[16], u64 offset)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	unsigned char have[16];
	bool is = pread(fd, have, 16, (off_t)offset) == 16 && !memcmp(have, want, 16);

	close(fd);
	return is;
}

static void nap(void)
{
	usleep(400000); /* mmap is nothing that notrap is told of: docs/differences.md */
}

void place_cases(struct parity *p)
{
	unsigned char *before[N], *after[N], file[16];
	u64 off = offset_of(p_7);
	int in, out;

	memcpy(file, (void *)p_7, 16);
	for (size_t i = 0; i < N; i++)
		before[i] = map_place(&places[i], off);
	in = link_one(p->entry, 0, p_7, 1);
	out = link_one(p->leave, FLAG_RETURN, p_7, 2);
	for (size_t i = 0; i < N; i++)
		after[i] = map_place(&places[i], off);
	fflush(stdout);
	nap();
	for (size_t i = 0; i < N; i++) {
		printf("mapped before, %s: value %llu\n", places[i].name, (unsigned long long)call_at(before[i], off));
		show_events(p, places[i].name);
		if (i == WRITABLE)
			continue; /* we see it, the kernel does not: docs/differences.md */
		printf("mapped after, %s: value %llu\n", places[i].name, (unsigned long long)call_at(after[i], off));
		show_events(p, places[i].name);
	}
	p_7(NULL, NULL);
	show_events(p, "where it was first");
	printf("the file is as it was: %d\n", file_is(file, off));
	munmap(before[0], PAGE);
	p_7(NULL, NULL);
	call_at(after[0], off);
	show_events(p, "one is unmapped");
	close(in);
	close(out);
	for (size_t i = 1; i < N; i++)
		call_at(before[i], off);
	call_at(after[0], off);
	p_7(NULL, NULL);
	show_events(p, "no link any more");
	printf("bytes are as they were: %d %d\n", !memcmp((void *)p_7, file, 16),
	       !memcmp(after[0] + (off & (PAGE - 1)), file, 16));
}
