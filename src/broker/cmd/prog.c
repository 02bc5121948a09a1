/* SPDX-License-Identifier: MIT */
/*
 * BPF_PROG_LOAD: checks in the order of bpf_prog_load() and bpf_check(), then the verifier and the
 * compiler. Programs that can run (uprobes, clocks, BPF_PROG_TEST_RUN) are compiled; other types are verified, because
 * loaders load them to learn what the kernel can do, and can be attached to nothing.
 */
#include "broker/object/prog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "broker/cmd/cmd.h"
#include "broker/cmd/kernel.h"
#include "broker/cmd/kernel_only.h"
#include "broker/cmd/prog_funcs.h"
#include "broker/cmd/prog_kfuncs.h"
#include "broker/cmd/prog_maps.h"
#include "broker/cmd/prog_records.h"
#include "broker/cmd/vlog.h"
#include "broker/object/btf.h"
#include "broker/object/twin.h"
#include "broker/object/slots.h"
#include "broker/object/map.h"
#include "util/fd.h"
#include "util/log.h"

#define PROG_FLAGS 0xffu /* BPF_F_STRICT_ALIGNMENT .. BPF_F_TEST_REG_INVARIANTS */
#define PROG_F_SLEEPABLE (1u << 4)
#define PROG_TYPE_LAST 32u /* BPF_PROG_TYPE_NETFILTER */
#define LICENSE_LEN 128

static bool prog_type_runs(u32 type)
{
	return type == BPF_PROG_TYPE_KPROBE || type == BPF_PROG_TYPE_PERF_EVENT || type == BPF_PROG_TYPE_RAW_TRACEPOINT ||
	       type == BPF_PROG_TYPE_SOCKET_FILTER || type == BPF_PROG_TYPE_XDP || type == BPF_PROG_TYPE_SYSCALL;
}

static int prog_check_type(const struct attr_prog_load *a)
{
	switch (a->type) {
	case BPF_PROG_TYPE_TRACING:
	case BPF_PROG_TYPE_STRUCT_OPS:
	case BPF_PROG_TYPE_EXT:
	case BPF_PROG_TYPE_LSM: return -EINVAL; /* they attach to kernel functions */
	case BPF_PROG_TYPE_CGROUP_SOCK:
		return a->expected_attach_type == BPF_CGROUP_INET_SOCK_CREATE ||
			       a->expected_attach_type == BPF_CGROUP_INET_SOCK_RELEASE ||
			       a->expected_attach_type == BPF_CGROUP_INET4_POST_BIND ||
			       a->expected_attach_type == BPF_CGROUP_INET6_POST_BIND
			   ? 0
			   : -EINVAL;
	}
	return 0;
}

/* The checks before anything is copied. */
static int prog_check_attr(const struct attr_prog_load *a)
{
	int r;

	if (a->flags & ~PROG_FLAGS)
		return -EINVAL;
	if (!a->insn_cnt || a->insn_cnt > EBPF_MAX_INSNS)
		return -E2BIG;
	if (a->attach_prog_fd)
		return -EINVAL;
	r = prog_check_type(a);
	if (r < 0)
		return r;
	return a->attach_btf_id ? -EINVAL : 0;
}

static bool license_is_gpl(const char *s)
{
	static const char *const gpl[] = {
	    "GPL",	    "GPL v2",	    "GPL and additional rights",
	    "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"};

	for (size_t i = 0; i < bits_count(gpl); i++)
		if (!strcmp(s, gpl[i]))
			return true;
	return false;
}

static int prog_copy_in(struct call *k, const struct attr_prog_load *a, struct object_prog *p)
{
	char license[LICENSE_LEN];
	long len;
	int r;

	p->n = a->insn_cnt;
	p->insns = malloc((size_t)p->n * sizeof(struct bpf_insn));
	if (!p->insns)
		return -ENOMEM;
	r = client_read(k->c, a->insns, p->insns, (size_t)p->n * sizeof(struct bpf_insn));
	if (r < 0)
		return r;
	len = client_read_str(k->c, a->license, license, sizeof(license));
	if (len < 0 && len != -ENAMETOOLONG)
		return (int)len;
	license[sizeof(license) - 1] = 0;
	p->gpl = license_is_gpl(license);
	if (!a->type || a->type > PROG_TYPE_LAST)
		return -EINVAL;
	return call_name(a->name, p->name);
}

/* func_info and line_info; of the latter only the descriptor is checked. */
static int prog_check_btf(struct call *k, const struct attr_prog_load *a, struct object_prog *p,
			  struct verifier_log *log, struct verifier_func **ret_funcs)
{
	struct object *btf;
	int r;

	if (!a->func_info_cnt && !a->line_info_cnt)
		return 0;
	r = object_by_fd(k->c, (int)a->prog_btf_fd, OBJECT_BTF, &btf);
	if (r < 0)
		return r;
	if (object_btf_is_kernel(object_to_btf(btf)))
		return -EACCES;
	p->btf = object_ref(btf);
	r = prog_funcs_read(k, a, p, log, ret_funcs);
	return r ? r : prog_records_keep(k, a, p);
}

/* What the loader says and the kernel knows of functions that the program calls. */
struct prog_callees {
	struct prog_kfuncs kfuncs;
	struct verifier_func *funcs; /* [nfuncs] */
	u32 nfuncs;
};

static int prog_verify(struct object_prog *p, bool allow_write, const struct prog_callees *callees, struct verifier_log *log)
{
	/* Behind the maps the shapes of what is in maps of maps, one for each. */
	struct verifier_map *maps free_auto = calloc(2 * p->nmaps + 1, sizeof(*maps));
	struct verifier_prog in = {
	    .insns = p->insns,
	    .n = p->n,
	    .prog_type = p->type,
	    .expected_attach = p->expected_attach,
	    .sleepable = p->sleepable,
	    .allow_write = allow_write,
	    .not_gpl = !p->gpl,
	    .maps = maps,
	    .nmaps = p->nmaps,
	    .funcs = callees->funcs,
	    .nfuncs = callees->nfuncs,
	    .unknown_kfuncs = callees->kfuncs.name,
	    .nunknown_kfuncs = callees->kfuncs.n,
	};

	int r;

	if (!maps)
		return -ENOMEM;
	for (u32 i = 0; i < p->nmaps; i++) {
		const struct object_map *m = p->maps[i];
		const struct nt_map_view *v = &m->view;

		maps[i] = (struct verifier_map){v->type,	v->key_size, v->value_size,
						v->max_entries, v->flags,    NULL};
		if (v->type == BPF_MAP_TYPE_ARRAY && v->max_entries == 1 && m->frozen &&
		    v->flags & BPF_F_RDONLY_PROG)
			maps[i].frozen = v->base + v->data_off;
		if (map_is_of_maps(v->type)) {
			const struct nt_map_view *s = &m->inner;

			maps[i].inner = p->nmaps + i;
			maps[p->nmaps + i] = (struct verifier_map){s->type,	   s->key_size, s->value_size,
								   s->max_entries, s->flags,	NULL};
		}
	}
	r = verifier_check(&in, log, &p->facts);
	if (!r)
		verifier_rewrite(&p->facts, p->insns, p->n);
	return r;
}

static int prog_compile(const struct broker *b, struct object_prog *p)
{
	struct nt_map_view *maps free_auto = calloc(p->nmaps + 1, sizeof(*maps));
	struct jit_input in = {
	    .arch = JIT_X86_64,
	    .insns = p->insns,
	    .n = p->n,
	    .facts = &p->facts,
	    .maps = maps,
	    .nmaps = p->nmaps,
	    .has_bmi2 = b->has_bmi2,
	    .has_rdpid = b->has_rdpid,
	};
	int r;

	if (!maps)
		return -ENOMEM;
	for (u32 i = 0; i < p->nmaps; i++)
		maps[i] = p->maps[i]->view;
	r = jit_compile(&in, &p->image);
	p->compiled = !r;
	if (!r || r == -ENOMEM)
		return r;
	log_error("program %s: verified, but not compiled: %s", p->name, strerror(-r));
	return -NT_ENOTSUPP;
}

static int prog_check_sleepable(const struct object_prog *p, struct verifier_log *log)
{
	bool must = p->type == BPF_PROG_TYPE_SYSCALL;

	if (p->sleepable ? must || p->type == BPF_PROG_TYPE_KPROBE : !must)
		return 0;
	vlog_printf(log, must ? "Syscall programs can only be sleepable\n"
			      : "Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be "
				"sleepable\n");
	return -EINVAL;
}

/* bpf_check(): everything that may write to the log. */
static int prog_check(struct call *k, const struct attr_prog_load *a, struct object_prog *p,
		      struct verifier_log *log)
{
	struct prog_callees callees = {.nfuncs = a->func_info_cnt};
	int r;

	if (a->fd_array_cnt)
		return -EINVAL;
	r = prog_check_btf(k, a, p, log, &callees.funcs);
	if (!r)
		r = prog_check_sleepable(p, log);
	if (!r)
		r = prog_kfuncs_resolve(p, log, &callees.kfuncs);
	if (!r)
		r = prog_maps_resolve(k, a->fd_array, p, log);
	if (!r)
		r = prog_verify(p, k->c->allow_write, &callees, log);
	prog_kfuncs_deinit(&callees.kfuncs);
	free(callees.funcs);
	return r;
}

static int prog_check_logged(struct call *k, const struct attr_prog_load *a, struct object_prog *p)
{
	const struct vlog_user user = {a->log_level, a->log_size, a->log_buf};
	struct verifier_log log = {.level = a->log_level};
	u32 true_size;
	int r, w;

	r = vlog_check(&user);
	if (r < 0)
		return r;
	r = prog_check(k, a, p, &log);
	w = vlog_copy_out(k->c, &user, &log, &true_size);
	free(log.buf);
	if (w < 0)
		r = w;
	if (k->size >= offsetof(struct attr_prog_load, log_true_size) + sizeof(true_size)) {
		w = client_write(k->c, k->uattr + offsetof(struct attr_prog_load, log_true_size),
				 &true_size, sizeof(true_size));
		if (w < 0)
			r = w;
	}
	return r;
}

static u64 boot_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (u64)ts.tv_sec * 1000000000u + (u64)ts.tv_nsec;
}

/* Loaders show the log of a program that fails. */
static void prog_tell_refused(struct call *k, const struct attr_prog_load *a)
{
	const struct vlog_user user = {a->log_level, a->log_size, a->log_buf};
	struct verifier_log log = {.level = a->log_level};
	u32 true_size;

	if (a->log_level && !vlog_check(&user) && prog_check_type(a) < 0) {
		kernel_only_log(&log, a->type);
		vlog_copy_out(k->c, &user, &log, &true_size);
	}
	free(log.buf);
}

s64 cmd_prog_load(struct call *k)
{
	const struct attr_prog_load *a = &k->attr.prog_load;
	struct object_prog p = {
	    .type = a->type,
	    .expected_attach = a->expected_attach_type,
	    .sleepable = a->flags & PROG_F_SLEEPABLE,
	    .created_by_uid = k->c->uid,
	    .load_time_ns = boot_ns(),
	};
	struct object_prog *prog;
	int r;

	r = prog_check_attr(a);
	if (r < 0)
		prog_tell_refused(k, a);
	else
		r = prog_copy_in(k, a, &p);
	if (!r)
		prog_tag(p.insns, p.n, p.tag);
	if (!r && k->c->kernel)
		r = kernel_twin_new(k, &p.twin);
	if (!r)
		r = prog_check_logged(k, a, &p);
	if (!r && prog_type_runs(p.type))
		r = prog_compile(k->b, &p);
	if (r < 0 && p.twin)
		r = kernel_prog_rescue(k, &p, r);
	if (!r)
		r = object_prog_new(k->b, &p, &prog);
	if (r < 0) {
		object_prog_deinit(&p);
		return r;
	}
	return call_give(k, &prog->obj);
}

s64 cmd_prog_bind_map(struct call *k)
{
	const struct attr_prog_bind *a = &k->attr.bind;
	struct object *prog, *map;
	int r;

	if (a->flags)
		return -EINVAL;
	r = object_by_fd(k->c, (int)a->prog_fd, OBJECT_PROG, &prog);
	if (!r)
		r = object_by_fd(k->c, (int)a->map_fd, OBJECT_MAP, &map);
	return r < 0 ? r : object_prog_bind(object_to_prog(prog), object_to_map(map));
}
