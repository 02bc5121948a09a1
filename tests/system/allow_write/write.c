/* SPDX-License-Identifier: MIT */
/*
 * bpf_override_return() and bpf_probe_write_user().
 *
 *   write refused   they are not there: as on a kernel that has been built without
 *   write allowed   under `notrap run --allow-write`
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mapped.h"
#include "tap.h"
#include "write.skel.h"

/* Older headers do not have them. */
#define UPROBE_MULTI_RETURN 1u /* BPF_F_UPROBE_MULTI_RETURN */
#define TRACE_UPROBE_SESSION 57 /* BPF_TRACE_UPROBE_SESSION */

static unsigned int bodies;

__attribute__((noinline, noclone, noipa, aligned(64))) static long overridden(long x)
{
	bodies++;
	__asm__ volatile("" : "+r"(x) : : "memory", "rbx", "r12");
	return x + 1;
}

__attribute__((noinline, noclone, noipa, aligned(64))) static long poked(unsigned int *a, unsigned int *b, unsigned int value)
{
	__asm__ volatile("" : : "r"(a), "r"(b), "r"(value) : "memory", "rbx");
	return *a;
}

/* A descriptor or -errno. By hand: an old libbpf knows no sessions. */
static int attach(struct bpf_program *prog, void *fn, long more, unsigned int flags)
{
	unsigned long offset = mapped_offset(getpid(), (unsigned long)fn) + (unsigned long)more;
	struct {
		unsigned int prog, target, type, link_flags;
		unsigned long path, offsets, ref_ctrs, cookies;
		unsigned int cnt, flags, pid, pad;
	} attr = {
		.prog = (unsigned int)bpf_program__fd(prog),
		.type = bpf_program__expected_attach_type(prog),
		.path = (unsigned long)"/proc/self/exe",
		.offsets = (unsigned long)&offset,
		.cnt = 1,
		.flags = flags,
	};
	int fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : fd;
}

/* -- refused -- */

static void refused(unsigned int helper, const char *name)
{
	const struct bpf_insn insn[] = {
		{BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, 0},
		{BPF_JMP | BPF_CALL, 0, 0, 0, (int)helper},
		{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0},
		{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
	};
	char log[4096] = "", want[128];
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log, .log_size = sizeof(log), .log_level = 1);
	int fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "refused", "GPL", insn, 4, &opts);

	snprintf(want, sizeof(want), "program of this type cannot use helper %s#%u\n", name, helper);
	if (!getenv("NOTRAP_DIR") && !strstr(log, want)) {
		tap_skip(fd == -EPERM ? "the kernel's verifier is not ours to ask" : "this kernel has it", "%s", name);
		if (fd >= 0)
			close(fd);
		return;
	}
	tap_ok(fd == -EINVAL && strstr(log, want), "%s: refused in these words", name);
	if (fd >= 0)
		close(fd);
}

/* -- allowed -- */

static void overrides(struct write_bpf *s)
{
	int fd = attach(s->progs.override, overridden, 0, 0);
	unsigned int wrong = 0;

	tap_ok(fd >= 0, "a program that overrides is attached");
	bodies = 0;
	for (long i = 0; i < 1000; i++)
		wrong += overridden(i) != (i & 1 ? i * 1000 : i + 1);
	tap_eq(wrong, 0, "odd arguments get their answer from it, even ones from the function");
	tap_eq(bodies, 500, "the function ran for even ones only");
	tap_eq(s->bss->entries, 1000, "every call was seen");
	close(fd);
	tap_eq(overridden(7), 8, "detached: the function again");
}

static void with_returns(struct write_bpf *s)
{
	int fd = attach(s->progs.override, overridden, 0, 0);
	int ret = attach(s->progs.at_return, overridden, 0, UPROBE_MULTI_RETURN);
	unsigned int wrong = 0;

	tap_ok(fd >= 0 && ret >= 0, "together with a return probe");
	s->bss->returns = 0;
	for (long i = 0; i < 1000; i++)
		wrong += overridden(i) != (i & 1 ? i * 1000 : i + 1);
	tap_eq(wrong, 0, "the same answers");
	tap_eq(s->bss->returns, 500, "returns of the calls that ran");
	tap_eq(s->bss->result, 999, "and the last one's result");
	close(ret);
	ret = attach(s->progs.session, overridden, 0, 0);
	tap_ok(ret >= 0, "together with a session");
	s->bss->entries = 0;
	wrong = 0;
	for (long i = 0; i < 1000; i++)
		wrong += overridden(i) != (i & 1 ? i * 1000 : i + 1);
	tap_eq(wrong, 0, "the same answers");
	tap_eq(s->bss->entries, 2500, "every entry by both, returns of the calls that ran");
	close(ret);
	close(fd);
}

static void *storm(void *arg)
{
	unsigned long wrong = 0;

	for (long i = 0; i < 100000; i++) {
		long r = overridden(i);

		wrong += r != i + 1 && !(i & 1 && r == i * 1000);
	}
	return (void *)wrong;
}

/* Attached and detached while threads are in it, and sessions come and go. */
static void torture(struct write_bpf *s)
{
	pthread_t thread[4];
	void *wrong;
	unsigned long sum = 0;

	for (int i = 0; i < 4; i++)
		if (pthread_create(&thread[i], NULL, storm, NULL))
			exit(1);
	for (int i = 0; i < 10; i++) {
		int a = attach(s->progs.override, overridden, 0, 0), b = attach(s->progs.session, overridden, 0, 0);
		int c = attach(s->progs.at_return, overridden, 0, UPROBE_MULTI_RETURN);

		close(i % 2 ? a : b);
		close(c);
		close(i % 2 ? b : a);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(thread[i], &wrong);
		sum += (unsigned long)wrong;
	}
	tap_eq(sum, 0, "four threads, programs come and go: every answer is one of the two");
}

static void writes(struct write_bpf *s)
{
	unsigned int here = 1, *readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = attach(s->progs.poke, poked, 0, 0);

	tap_ok(fd >= 0, "a program that writes is attached");
	tap_eq(poked(&here, readonly, 77), 77, "what it wrote is there");
	tap_eq(s->bss->first_error, 0, "bpf_probe_write_user: 0");
	tap_eq(s->bss->second_error, -EFAULT, "into a read-only page: -EFAULT");
	tap_eq(*readonly, 0, "nothing was written there");
	mprotect(readonly, 4096, PROT_NONE);
	poked(&here, NULL, 78);
	tap_eq(s->bss->second_error, -EFAULT, "to nowhere: -EFAULT");
	close(fd);
}

static void where(struct write_bpf *s)
{
	unsigned int key = 0, fd = (unsigned int)bpf_program__fd(s->progs.override);

	tap_eq(attach(s->progs.override, overridden, 0, UPROBE_MULTI_RETURN), -EINVAL, "at a return: -EINVAL");
	tap_eq(attach(s->progs.override, overridden, 1, 0), -EINVAL, "in the middle of a function: -EINVAL");
	tap_eq(bpf_map_update_elem(bpf_map__fd(s->maps.progs), &key, &fd, 0), -EINVAL, "in a program array: -EINVAL");
}

int main(int argc, char **argv)
{
	struct write_bpf *s;

	if (argc != 2)
		return 2;
	if (!strcmp(argv[1], "refused")) {
		refused(BPF_FUNC_probe_write_user, "bpf_probe_write_user");
		refused(BPF_FUNC_override_return, "bpf_override_return");
		return tap_done();
	}
	s = write_bpf__open();
	if (s)
		bpf_program__set_expected_attach_type(s->progs.session, TRACE_UPROBE_SESSION);
	tap_ok(s && !write_bpf__load(s), "programs are loaded");
	if (tap_failed)
		return tap_done();
	overrides(s);
	with_returns(s);
	torture(s);
	writes(s);
	where(s);
	write_bpf__destroy(s);
	return tap_done();
}
