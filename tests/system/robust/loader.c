/* SPDX-License-Identifier: MIT */
/*
 * An ordinary libbpf loader that does what it is told, a command a line, an answer a line. Links stand in numbered
 * places. Every program counts calls by cookie: FUNCS is "all" (those of funcs.S, cookie = number) or a pattern
 * (cookie 0).
 *
 *     attach PLACE in|out FILE FUNCS PID       "ok", or "error ERRNO TEXT"
 *     detach PLACE
 *     counts in|out                            "counts N N N ..." of the functions of funcs.S
 *     zero
 *     churn FILE FUNCS PID ROUNDS              attach and detach both programs
 *     fork                                     "pid N": a child that keeps all descriptors until it is killed
 *     self N                                   attach to this process, call N times: "counts N"
 *     leave / crash                            without destroying anything
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "funcs.h"
#include "robust.h"
#include "robust.skel.h"

#define PLACES 8

static const char *names[] = {"v_push", "v_nop5", "v_endbr64", "v_leaf", "v_mov", "v_riprel", "v_jcc", "v_call", "v_sub",
			      "v_loop", "v_jmp", "v_mov32", "v_tiny", "v_after_tiny", "v_red_zone", "v_flags", "v_sum8",
			      "v_double"};
_Static_assert(sizeof(names) / sizeof(names[0]) == VICTIM_NFUNCS, "all of funcs.S");

struct loader {
	struct robust_bpf *skel;
	struct bpf_link *link[PLACES];
};

static int attach(struct loader *l, unsigned place, const char *what, const char *file, const char *funcs, int pid)
{
	__u64 cookies[VICTIM_NFUNCS];
	bool ret = !strcmp(what, "out"), all = !strcmp(funcs, "all");
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .retprobe = ret);

	for (int i = 0; i < VICTIM_NFUNCS; i++)
		cookies[i] = (__u64)i;
	if (all) {
		opts.syms = names;
		opts.cookies = cookies;
		opts.cnt = VICTIM_NFUNCS;
	}
	if (place >= PLACES || l->link[place])
		return -EBADF;
	l->link[place] = bpf_program__attach_uprobe_multi(ret ? l->skel->progs.count_out : l->skel->progs.count_in,
							  pid, file, all ? NULL : funcs, &opts);
	return l->link[place] ? 0 : -errno;
}

static void detach(struct loader *l, unsigned place)
{
	if (place >= PLACES)
		return;
	bpf_link__destroy(l->link[place]);
	l->link[place] = NULL;
}

static void answer(int r)
{
	if (r)
		printf("error %d %s\n", -r, strerror(-r));
	else
		printf("ok\n");
}

static void show_counts(const __u64 *counter)
{
	printf("counts");
	for (int i = 0; i < VICTIM_NFUNCS; i++)
		printf(" %llu", ((const volatile __u64 *)counter)[i]);
	printf("\n");
}

static int churn(struct loader *l, const char *file, const char *funcs, int pid, unsigned long rounds)
{
	for (unsigned long i = 0; i < rounds; i++) {
		int r = attach(l, 0, "in", file, funcs, pid);

		if (!r)
			r = attach(l, 1, "out", file, funcs, pid);
		detach(l, i % 2);
		detach(l, (i + 1) % 2);
		if (r)
			return r;
	}
	return 0;
}

int loader_own_function(int x);

__attribute__((noinline, visibility("default"))) int loader_own_function(int x)
{
	__asm__ volatile("" ::: "rbx", "r12", "r13");
	return x + 1;
}

static void self(struct loader *l, unsigned long n)
{
	volatile __u64 *count = l->skel->bss->in;
	__u64 before = *count;
	int r = attach(l, PLACES - 1, "in", "/proc/self/exe", "loader_own_*", getpid());
	if (r) {
		answer(r);
		return;
	}
	for (unsigned long i = 0; i < n; i++)
		if (loader_own_function((int)i) != (int)i + 1)
			abort();
	detach(l, PLACES - 1);
	printf("counts %llu\n", *count - before);
}

static void split(void)
{
	pid_t pid = fork();

	if (pid)
		printf("pid %d\n", (int)pid);
	else
		for (;;)
			pause();
}

static void obey(struct loader *l, const char *line)
{
	char what[16], file[512], funcs[128];
	unsigned place;
	unsigned long n;
	int pid;

	if (sscanf(line, "attach %u %15s %511s %127s %d", &place, what, file, funcs, &pid) == 5) {
		answer(attach(l, place, what, file, funcs, pid));
	} else if (sscanf(line, "detach %u", &place) == 1) {
		detach(l, place);
		answer(0);
	} else if (sscanf(line, "counts %15s", what) == 1) {
		show_counts(strcmp(what, "out") ? l->skel->bss->in : l->skel->bss->out);
	} else if (!strncmp(line, "zero", 4)) {
		memset(l->skel->bss, 0, sizeof(*l->skel->bss));
		answer(0);
	} else if (sscanf(line, "churn %511s %127s %d %lu", file, funcs, &pid, &n) == 4) {
		answer(churn(l, file, funcs, pid, n));
	} else if (!strncmp(line, "fork", 4)) {
		split();
	} else if (sscanf(line, "self %lu", &n) == 1) {
		self(l, n);
	} else if (!strncmp(line, "leave", 5)) {
		_exit(0);
	} else if (!strncmp(line, "crash", 5)) {
		signal(SIGILL, SIG_DFL);
		__builtin_trap();
	} else {
		answer(-EINVAL);
	}
}

int main(void)
{
	struct loader l = {.skel = robust_bpf__open_and_load()};
	char line[1024];

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!l.skel) {
		printf("cannot load: %s\n", strerror(errno));
		return 1;
	}
	printf("ready %d\n", (int)getpid());
	while (fgets(line, sizeof(line), stdin))
		obey(&l, line);
	for (unsigned i = 0; i < PLACES; i++)
		detach(&l, i);
	robust_bpf__destroy(l.skel);
	return 0;
}
