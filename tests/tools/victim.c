/* SPDX-License-Identifier: MIT */
/*
 * What the real tools look at: every number it produces is known.
 *
 *     victim           says "ready", makes N rounds for every line "N" it reads, answers "done"
 *                      and to "hN" looks the host name localhost up N times; to "mN" takes N blocks of 100 bytes and keeps
 *                      them, and N of 200 that it gives back; "fN": a child makes N rounds and stays, its name is "child";
 *                      "sN": it makes N system calls, getppid(); "xN": it executes itself, then makes N rounds;
 *                      "pN": it loads plugin.so, which calls itself N times and keeps N blocks of 300 bytes
 *     victim -F        the same, but the one who says "ready PID" and does it all is a forked child
 *     victim N         makes N rounds and ends (what a tool starts itself)
 *     victim -f N      makes N rounds, forks a child that makes N more, and ends
 *
 * One round i: work(i % 4, name[i % 2]) returns 10 * (i % 4); outer() calls middle() calls leaf(); two USDT probes.
 */
#include <dlfcn.h>
#include <limits.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
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

/* It stays as long as we do: tools read its symbols at their end. */
static void fork_child(int n)
{
	int up[2], stay[2];
	char c;

	if (pipe(up) || pipe(stay))
		exit(1);
	if (!fork()) {
		prctl(PR_SET_NAME, "child");
		close(stay[1]);
		rounds(n);
		if (write(up[1], "", 1) < 0)
			_exit(1);
		_exit(read(stay[0], &c, 1) != 0);
	}
	close(stay[0]);
	if (read(up[0], &c, 1) != 1)
		exit(1);
}

static void execute(int n)
{
	char exe[PATH_MAX] = "", text[16];

	if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0)
		exit(1);
	snprintf(text, sizeof(text), "%d", n);
	execl(exe, exe, "-x", text, (char *)NULL);
	exit(1);
}

/* The file beside ours. */
KEEP static void use_plugin(int n)
{
	char path[PATH_MAX + 16] = "";
	void (*function)(int);
	void *plugin;

	if (readlink("/proc/self/exe", path, PATH_MAX - 1) < 0)
		exit(1);
	strcpy(strrchr(path, '/') + 1, "plugin.so");
	plugin = dlopen(path, RTLD_NOW);
	function = plugin ? (void (*)(int))dlsym(plugin, "plugin_rounds") : NULL;
	if (!function)
		exit(1);
	function(n);
}

static void make_calls(int n)
{
	while (n--)
		getppid();
}

KEEP static void obey(const char *line)
{
	int n = atoi(line + (*line >= 'a'));

	switch (*line) {
	case 'h': look_up(n); break;
	case 'm': leak(n); break;
	case 'f': fork_child(n); break;
	case 'x': execute(n); break;
	case 'p': use_plugin(n); break;
	case 's': make_calls(n); break;
	default: rounds(n);
	}
}

static void say(const char *what)
{
	puts(what);
	fflush(stdout);
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
	if (argc > 2 && !strcmp(argv[1], "-x")) { /* the answer to a line that the one before us has read */
		rounds(atoi(argv[2]));
		say("done");
	} else if (argc > 1 && !strcmp(argv[1], "-F")) {
		if (fork())
			return wait(NULL) < 0;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		snprintf(line, sizeof(line), "ready %d", getpid());
		say(line);
	} else if (argc > 1) {
		rounds(atoi(argv[1]));
		return 0;
	} else {
		say("ready");
	}
	while (fgets(line, sizeof(line), stdin)) {
		obey(line);
		say("done");
	}
	return 0;
}
