/* SPDX-License-Identifier: MIT */
/* BPF_LINK_CREATE and its relatives: checks in the order of kernel/bpf/syscall.c, attaching by
 * broker/link. */
#include "broker/object/link.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "abi/bpf.h"
#include "broker/cmd/cmd.h"
#include "broker/cmd/kernel.h"
#include "broker/cmd/kernel_only.h"
#include "broker/link/link.h"

#ifndef BPF_PERF_EVENT
#define BPF_PERF_EVENT 41
#endif
#define TRACE_KPROBE_MULTI 42
#define TRACE_KPROBE_SESSION 56

static bool attach_type_is_multi(u32 t)
{
	return t == NT_BPF_TRACE_UPROBE_MULTI || t == NT_BPF_TRACE_UPROBE_SESSION ||
	       t == TRACE_KPROBE_MULTI || t == TRACE_KPROBE_SESSION;
}

static bool prog_attaches_here(const struct object_prog *p)
{
	return p->type == BPF_PROG_TYPE_KPROBE || p->type == BPF_PROG_TYPE_TRACEPOINT || p->type == BPF_PROG_TYPE_PERF_EVENT;
}

/* bpf_prog_attach_check_attach_type() for the program types that attach here. */
static int link_check_attach_type(const struct object_prog *p, u32 attach_type)
{
	switch (p->type) {
	case BPF_PROG_TYPE_KPROBE:
		if (attach_type_is_multi(attach_type) || attach_type_is_multi(p->expected_attach))
			return p->expected_attach == attach_type ? 0 : -EINVAL;
		return attach_type == BPF_PERF_EVENT ? 0 : -EINVAL;
	case BPF_PROG_TYPE_TRACEPOINT:
	case BPF_PROG_TYPE_PERF_EVENT: return attach_type == BPF_PERF_EVENT ? 0 : -EINVAL;
	}
	return -EINVAL;
}

/* Hands the finished link out; on failure it is detached again. */
static s64 link_give(struct call *k, u32 type, struct link *link, struct object_prog *prog,
		     struct object_perf *perf)
{
	struct object_link *l;
	int r = object_link_new(k->b, type, link, prog, perf, &l);

	if (r < 0) {
		if (link)
			link_close(k->b, link);
		return r;
	}
	return call_give(k, &l->obj);
}

static s64 link_create_multi(struct call *k, struct object_prog *prog)
{
	struct nt_link_create_uprobe_multi a;
	struct link *link;
	int r;

	_Static_assert(sizeof(a) <= ATTR_SIZE, "");
	if (k->attr.link_create.flags)
		return -EINVAL;
	memcpy(&a, k->attr.bytes, sizeof(a));
	r = link_create_uprobe_multi(k->b, k->c, prog, &a, k->notice, sizeof(k->notice), &link);
	return r < 0 ? r : link_give(k, NT_BPF_LINK_TYPE_UPROBE_MULTI, link, prog, NULL);
}

static s64 link_create_perf_event(struct call *k, struct object_prog *prog)
{
	const struct attr_link_create *a = &k->attr.link_create;
	struct object_perf *perf;
	struct link *link;
	struct object *o;
	int r;

	if (a->flags)
		return -EINVAL;
	r = object_by_fd(k->c, (int)a->target_fd, OBJECT_PERF, &o);
	if (r < 0)
		return kernel_only_is_event(k->c, (int)a->target_fd)
			   ? kernel_attach_event(k, prog, (int)a->target_fd, &a->cookie) : -EBADF; /* also what is no event */
	perf = object_to_perf(o);
	if (perf->clock.period_ns) {
		r = perf->linked ? -EEXIST : clock_attach(k, perf, prog);
		return r < 0 ? r : link_give(k, NT_BPF_LINK_TYPE_PERF_EVENT, NULL, prog, perf);
	}
	if (prog->type != BPF_PROG_TYPE_KPROBE)
		return -EINVAL;
	if (perf->link || perf->linked)
		return -EEXIST;
	r = link_create_perf(k->b, k->c, perf, prog, a->cookie, k->notice, sizeof(k->notice),
			     &link);
	return r < 0 ? r : link_give(k, NT_BPF_LINK_TYPE_PERF_EVENT, link, prog, perf);
}

s64 cmd_link_create(struct call *k)
{
	const struct attr_link_create *a = &k->attr.link_create;
	struct object_prog *prog;
	struct object *o;
	int r = object_by_fd(k->c, (int)a->prog_fd, OBJECT_PROG, &o);

	if (r < 0)
		return r;
	prog = object_to_prog(o);
	r = link_check_attach_type(prog, a->attach_type);
	if (r < 0)
		return prog_attaches_here(prog) ? r : kernel_only_prog(k, prog->type);
	switch (a->attach_type) {
	case BPF_PERF_EVENT: return link_create_perf_event(k, prog);
	case NT_BPF_TRACE_UPROBE_MULTI:
	case NT_BPF_TRACE_UPROBE_SESSION: return link_create_multi(k, prog);
	}
	return -EOPNOTSUPP;
}

s64 cmd_link_update(struct call *k)
{
	const struct attr_link_update *a = &k->attr.link_update;
	struct object *o;
	int r;

	if (a->flags & ~(u32)BPF_F_REPLACE)
		return -EINVAL;
	r = object_by_fd(k->c, (int)a->link_fd, OBJECT_LINK, &o);
	if (r < 0)
		return r;
	r = object_by_fd(k->c, (int)a->new_prog_fd, OBJECT_PROG, &o);
	return r < 0 ? r : -EINVAL;
}

s64 cmd_link_detach(struct call *k)
{
	struct object *o;
	int r = object_by_fd(k->c, (int)k->attr.link_detach.link_fd, OBJECT_LINK, &o);

	return r < 0 ? r : -EOPNOTSUPP;
}
