/* SPDX-License-Identifier: MIT */
/*
 * calls GROUP: runs the programs of calls.bpf.c in itself and prints what they left. The lines of group `same` are the
 * kernel's and notrap's alike; group `tables` prints what the kernel cannot see.
 */
#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "calls.skel.h"

#define PROBED __attribute__((noinline, noclone, noipa, aligned(256)))
#define WITH_FP __attribute__((optimize("no-omit-frame-pointer")))

static struct calls_bpf *skel;
static long long runs_in_handler = -1;
static void *seen[64];
static int nseen;

PROBED WITH_FP static int calls_target(int x)
{
	__asm__ volatile("" : "+r"(x) : : "memory", "rbx");
	return x + 1;
}

/* Keeps no frame pointer (the file is compiled so) and much on its stack. */
PROBED static int without_frame_pointer(int x)
{
	volatile char room[200];

	room[0] = (char)x;
	nseen = backtrace(seen, 64);
	x = calls_target(x);
	__asm__ volatile("" : "+r"(x) : : "memory");
	return x + room[0];
}

static int compare(const void *a, const void *b)
{
	int r = without_frame_pointer(*(const int *)a);

	__asm__ volatile("" : "+r"(r) : : "memory");
	return r > *(const int *)b;
}

PROBED static WITH_FP int fp_inner(int x)
{
	x = calls_target(x);
	__asm__ volatile("" : "+r"(x) : : "memory");
	return x;
}

PROBED static WITH_FP int fp_outer(int x)
{
	x = fp_inner(x);
	__asm__ volatile("" : "+r"(x) : : "memory");
	return x;
}

static void on_signal(int sig)
{
	runs_in_handler = (long long)skel->bss->result.runs;
}

static struct bpf_link *attach(struct bpf_program *prog, const char *name, bool retprobe)
{
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .retprobe = retprobe);
	struct bpf_link *l;

	opts.syms = &name;
	opts.cnt = 1;
	memset(&skel->bss->result, 0, sizeof(skel->bss->result));
	l = bpf_program__attach_uprobe_multi(prog, 0, "/proc/self/exe", NULL, &opts);
	if (!l)
		printf("%s: attach: %s\n", bpf_program__name(prog), strerror(errno));
	return l;
}

static void print(const char *name)
{
	const struct call_result *r = &skel->bss->result;

	printf("%s: %llu runs:", name, r->runs);
	for (int i = 0; i < 8; i++)
		printf(" %lld", r->value[i]);
	printf(" \"%s\"\n", r->text);
}

static void run(struct bpf_program *prog)
{
	struct bpf_link *l = attach(prog, "calls_target", false);

	calls_target(1);
	print(bpf_program__name(prog));
	bpf_link__destroy(l);
}

static void group_places(void)
{
	struct bpf_link *l = attach(skel->progs.places, "calls_target", false);
	struct call_result *r = &skel->bss->result;
	struct timespec tai;

	calls_target(1);
	clock_gettime(CLOCK_TAI, &tai);
	r->value[1] = r->value[1] == gettid();
	r->value[2] = r->value[2] == getpid();
	r->value[7] = llabs(tai.tv_sec - r->value[7]) <= 1;
	print("places");
	bpf_link__destroy(l);
}

static int is_in(unsigned long long pc, const void *fn)
{
	return pc - (unsigned long long)(size_t)fn < 256;
}

static void group_stackid(void)
{
	struct bpf_link *l = attach(skel->progs.stackid, "calls_target", false);
	struct call_result *r = &skel->bss->result;
	unsigned long long pc[CALLS_STACK] = { 0 };
	int id;

	fp_outer(1);
	id = (int)r->value[0];
	printf("stack id: %d", bpf_map__lookup_elem(skel->maps.stacks, &id, sizeof(id), pc, sizeof(pc), 0));
	printf(" %d %d %d\n", pc[0] == (unsigned long long)(size_t)calls_target, is_in(pc[1], fp_inner), is_in(pc[2], fp_outer));
	r->value[0] = r->value[0] >= 0;
	print("stackid");
	bpf_link__destroy(l);
}

static void set_prog(int index, struct bpf_program *prog)
{
	int fd = bpf_program__fd(prog);

	if (bpf_map__update_elem(skel->maps.progs, &index, sizeof(index), &fd, sizeof(fd), 0))
		printf("program array: %s\n", strerror(errno));
}

static void group_tail(void)
{
	struct bpf_link *l = attach(skel->progs.tail, "calls_target", false);
	int one = 1;

	calls_target(5);
	print("tail: empty");
	set_prog(1, skel->progs.tail_last);
	calls_target(6);
	print("tail: another program");
	set_prog(0, skel->progs.tail_self);
	set_prog(1, skel->progs.tail_self);
	calls_target(7);
	print("tail: itself");
	bpf_map__delete_elem(skel->maps.progs, &one, sizeof(one), 0);
	calls_target(8);
	print("tail: empty again");
	bpf_link__destroy(l);
}

static void group_same(void)
{
	struct call_result *r = &skel->bss->result;
	struct bpf_link *l;

	run(skel->progs.text);
	run(skel->progs.loop);
	run(skel->progs.range);
	for (int i = 0; i < 40; i++) {
		long value = 100 + i;

		bpf_map__update_elem(skel->maps.hash, &i, sizeof(i), &value, sizeof(value), 0);
		bpf_map__update_elem(skel->maps.array, &i, sizeof(i), &value, sizeof(value), 0);
	}
	run(skel->progs.each);
	signal(SIGUSR1, on_signal);
	skel->bss->sig = SIGUSR1;
	run(skel->progs.signals);
	printf("the handler saw %lld runs\n", runs_in_handler);
	group_places();
	l = attach(skel->progs.stack, "calls_target", false);
	fp_outer(1);
	printf("stack: %d %d %d\n", r->stack[0] == (unsigned long long)(size_t)calls_target, is_in(r->stack[1], fp_inner),
	       is_in(r->stack[2], fp_outer));
	printf("skipped: %d %d\n", r->value[0] == (long long)r->stack[1], r->value[1] == (long long)r->stack[2]);
	bpf_link__destroy(l);
	group_stackid();
	group_tail();
	l = attach(skel->progs.stack, "calls_target", true);
	fp_outer(1);
	printf("stack at return: %d %d\n", is_in(r->stack[0], fp_inner), is_in(r->stack[1], fp_outer));
	bpf_link__destroy(l);
}

/* Every return address that backtrace(3) has, from the caller's on. thunk: it shows one of ours as a frame, seen[1]. */
static void print_tables(const char *what, int thunk)
{
	struct call_result *r = &skel->bss->result;
	int n = (int)(r->stack_len / 8), same = 0;

	if (thunk && nseen > 2)
		memmove(seen + 1, seen + 2, sizeof(*seen) * (size_t)(--nseen - 1));
	for (int i = 1; i < nseen && i < n; i++)
		same += r->stack[i + 1] == (unsigned long long)(size_t)seen[i];
	printf("%s: %s\n", what, nseen > 4 && n == nseen + 1 && same == nseen - 1 ? "all callers" : "not all callers");
	if (n != nseen + 1)
		for (int i = 0; i < n || i < nseen; i++)
			fprintf(stderr, "%d %#llx %p\n", i, i < n ? r->stack[i] : 0, i < nseen ? seen[i] : NULL);
}

static void group_tables(void)
{
	int two[2] = { 1, 2 };
	struct bpf_link *l = attach(skel->progs.stack, "calls_target", false), *ret;

	qsort(two, 2, sizeof(int), compare);
	print_tables("through libc without frame pointers", 0);
	ret = attach(skel->progs.loop, "without_frame_pointer", true);
	qsort(two, 2, sizeof(int), compare);
	print_tables("with a return probe on it", 1);
	bpf_link__destroy(ret);
	bpf_link__destroy(l);
}

int main(int argc, char **argv)
{
	struct stat st;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 2)
		return 2;
	skel = calls_bpf__open_and_load();
	if (!skel) {
		printf("load: %s\n", strerror(errno));
		return 1;
	}
	stat("/proc/self/ns/pid", &st);
	skel->bss->pidns_dev = st.st_dev;
	skel->bss->pidns_ino = st.st_ino;
	backtrace(seen, 1); /* loads libgcc */
	if (!strcmp(argv[1], "same"))
		group_same();
	else
		group_tables();
	calls_bpf__destroy(skel);
	return 0;
}
