/* SPDX-License-Identifier: MIT */
/*
 * BPF_PROG_TEST_RUN of raw tracepoint programs (bpftrace's BEGIN and END are such), socket filters, XDP and system call
 * programs. The program is mapped into the loader, whose front end calls it and puts the result into the attr: the same
 * process, so "current" is right. Here is checked what depends on the program, the rest is in shim/test_run.c. Checks in the
 * order of net/bpf/test_run.c.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#include "broker/cmd/cmd.h"
#include "broker/link/run.h"
#include "broker/object/prog.h"

#define RAW_TP_ARGS 12u

/* Bytes of ctx that the program reads. */
static u32 ctx_needed(const struct object_prog *p)
{
	return p->facts.ctx_read ? 8 * (64 - (u32)__builtin_clzll(p->facts.ctx_read)) : 0;
}

static int raw_tp_check(const struct call *k, const struct object_prog *p)
{
	const struct attr_test_run *a = &k->attr.test_run;

	if (a->data_in || a->data_out || a->ctx_out || a->duration || a->repeat || a->batch_size)
		return -EINVAL;
	if (a->ctx_size_in < ctx_needed(p) || a->ctx_size_in > RAW_TP_ARGS * 8)
		return -EINVAL;
	if (!(a->flags & BPF_F_TEST_RUN_ON_CPU) && a->cpu)
		return -EINVAL;
	return a->flags & BPF_F_TEST_RUN_ON_CPU && a->cpu >= k->b->ncpus ? -ENXIO : 0;
}

static int syscall_check(const struct attr_test_run *a, const struct object_prog *p)
{
	if (a->data_in || a->data_out || a->ctx_out || a->duration || a->repeat || a->flags || a->batch_size)
		return -EINVAL;
	return a->ctx_size_in < p->facts.ctx_end || a->ctx_size_in > UINT16_MAX ? -EINVAL : 0;
}

static int test_run_check(const struct call *k, const struct object_prog *p)
{
	const struct attr_test_run *a = &k->attr.test_run;

	if (!a->ctx_size_in != !a->ctx_in || !a->ctx_size_out != !a->ctx_out)
		return -EINVAL; /* bpf_prog_test_run() */
	switch (p->type) {
	case BPF_PROG_TYPE_RAW_TRACEPOINT: return raw_tp_check(k, p);
	case BPF_PROG_TYPE_SYSCALL: return syscall_check(a, p);
	case BPF_PROG_TYPE_SOCKET_FILTER:
	case BPF_PROG_TYPE_XDP: return 0;
	default: return -NT_ENOTSUPP;
	}
}

s64 cmd_prog_test_run(struct call *k)
{
	const struct attr_test_run *a = &k->attr.test_run;
	struct object_prog *prog;
	struct object *o;
	struct run *run;
	int r = object_by_fd(k->c, (int)a->prog_fd, OBJECT_PROG, &o);

	if (r < 0)
		return r;
	prog = object_to_prog(o);
	r = test_run_check(k, prog);
	if (!r)
		r = run_open(k->b, k->c->pid, prog, k->loader_call, &run);
	if (r < 0) {
		if (r == -EBUSY || r == -EPERM || r == -EACCES)
			snprintf(k->notice, sizeof(k->notice), "cannot run a program in the loader itself (pid %d): %s",
				 k->c->pid, strerror(-r));
		return r;
	}
	k->has_run = true;
	k->run = (struct nt_run_order){
	    .token = run_token(run),
	    .entry = run_entry(run),
	    .gate = run_gate(run),
	    .prog_type = prog->type,
	    .cpu = a->flags & BPF_F_TEST_RUN_ON_CPU ? (s32)a->cpu : -1,
	};
	run_close(run, false); /* what is mapped stays until the loader says that it is done */
	return 0;
}
