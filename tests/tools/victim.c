/* SPDX-License-Identifier: MIT */
/*
 * What the real tools look at: every number it produces is known.
 *
 *     victim           says "ready", makes N rounds for every line "N" it reads, answers "done"
 *                      and to "hN" looks the host name localhost up N times; to "mN" takes N blocks of 100 bytes and keeps
 *                      them, and N of 200 that it gives back
 *     victim N         makes N rounds and ends (what a tool starts itself)
 *     victim -f N      makes N rounds, forks a child that makes N more, and ends
 *
 * One round i: work(i % 4, name[i % 2]) returns 10 * (i % 4); outer() calls middle() calls leaf(); two USDT probes.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEEP __attribute__((noinline, noclone, used))

/* A USDT probe without systemtap's header: a nop and a note that tells where it is and what it has. */
#define USDT(probe, semaphore, fmt, ...)                                                                               \
	__asm__ volatile("990: nop\n"                                                                                  \
			 ".pushsection .note.stapsdt,\"\",\"note\"\n"                                                  \
			 ".balign 4\n"                                                                                 \
			 ".4byte 992f-991f, 994f-993f, 3\n"                                                            \
			 "991: .asciz \"stapsdt\"\n"                                                                   \
			 "992: .balign 4\n"                                                                            \
			 "993: .8byte 990b\n"                                                                          \
			 ".8byte _.stapsdt.base\n"                                                                     \
			 ".8byte " semaphore "\n"                                                                      \
			 ".asciz \"toolvictim\"\n"                                                                     \
			 ".asciz \"" probe "\"\n"                                                                      \
			 ".asciz \"" fmt "\"\n"                                                                        \
			 "994: .balign 4\n"                                                                            \
			 ".popsection\n"                                                                               \
			 ".ifndef _.stapsdt.base\n"                                                                    \
			 ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"                       \
			 ".weak _.stapsdt.base\n"                                                                      \
			 ".hidden _.stapsdt.base\n"                                                                    \
			 "_.stapsdt.base: .space 1\n"                                                                  \
			 ".size _.stapsdt.base, 1\n"                                                                   \
			 ".popsection\n"                                                                               \
			 ".endif\n" ::__VA_ARGS__)

__attribute__((section(".probes"))) volatile unsigned short guarded_semaphore = 0;

struct point {
	int x, y;
	const char *label;
};

/* Not static: tools look for them by name. */
int work(int a, const char *name);
int leaf(struct point *p);
int middle(struct point *p);
int outer(struct point *p);
void *grab(size_t n);

static const char *const names[] = {"even", "odd"};

KEEP int work(int a, const char *name)
{
	__asm__ volatile("" : "+r"(a) : "r"(name));
	return 10 * a;
}

KEEP int leaf(struct point *p)
{
	__asm__ volatile("" ::"r"(p) : "memory");
	return p->x + p->y;
}

KEEP int middle(struct point *p)
{
	int r = leaf(p);

	__asm__ volatile("" : "+r"(r));
	return r + 1;
}

KEEP int outer(struct point *p)
{
	int r = middle(p);

	__asm__ volatile("" : "+r"(r));
	return r + 1;
}

KEEP void *grab(size_t n)
{
	void *p = malloc(n);

	__asm__ volatile("" : "+r"(p));
	return p;
}

static void rounds(int n)
{
	for (int i = 0; i < n; i++) {
		struct point p = {i % 3, 5, names[i % 2]};

		work(i % 4, names[i % 2]);
		outer(&p);
		USDT("plain", "0", "-4@%0 8@%1", "r"(i % 4), "r"(names[i % 2]));
		if (guarded_semaphore)
			USDT("guarded", "guarded_semaphore", "-4@%0", "r"(i % 4));
	}
}

KEEP static void leak(int n)
{
	while (n--) {
		grab(100);
		free(grab(200));
	}
}

static void look_up(int n)
{
	struct addrinfo *a;

	while (n--)
		if (!getaddrinfo("localhost", NULL, NULL, &a))
			freeaddrinfo(a);
}

int main(int argc, char **argv)
{
	char line[64];

	if (argc > 2 && !strcmp(argv[1], "-f")) {
		rounds(atoi(argv[2]));
		fflush(stdout);
		if (!fork()) {
			rounds(atoi(argv[2]));
			_exit(0);
		}
		wait(NULL);
		return 0;
	}
	if (argc > 1) {
		rounds(atoi(argv[1]));
		return 0;
	}
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (line[0] == 'h')
			look_up(atoi(line + 1));
		else if (line[0] == 'm')
			leak(atoi(line + 1));
		else
			rounds(atoi(line));
		printf("done\n");
		fflush(stdout);
	}
	return 0;
}
