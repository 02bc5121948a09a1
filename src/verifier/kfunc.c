/* SPDX-License-Identifier: MIT */
/* Calls of kernel functions (ebpf/kfuncs.h): who may call which, arguments, result. Follows
 * check_kfunc_call() of the kernel. */
#include "ebpf/kfuncs.h"

#include <errno.h>

#include "verifier/env.h"

#define ATTACH_UPROBE_SESSION 57u

struct kcall {
	u32 id;
	const struct ebpf_kfunc_proto *p;
};

static const char *kfunc_name(const struct venv *env, u32 id)
{
	const struct ebpf_kfunc_proto *p = ebpf_kfunc_get(id);

	if (p)
		return p->name;
	if (id >= EBPF_KFUNC_N && id - EBPF_KFUNC_N < env->prog->nunknown_kfuncs)
		return env->prog->unknown_kfuncs[id - EBPF_KFUNC_N];
	return "unknown";
}

static bool is_offered(const struct venv *env, const struct kcall *c)
{
	if (!c->p || !ebpf_kfunc_implemented(c->id) || env->prog->prog_type != BPF_PROG_TYPE_KPROBE)
		return false;
	return !(c->p->flags & EBPF_KFUNC_SESSION) || env->prog->expected_attach == ATTACH_UPROBE_SESSION;
}

static int check_callable(struct venv *env, const struct kcall *c)
{
	if (!c->id) {
		vlog(env, "invalid kernel function call not eliminated in verifier pass\n");
		return -EINVAL;
	}
	if (!is_offered(env, c)) {
		vlog(env, "calling kernel function %s is not allowed\n", kfunc_name(env, c->id));
		return -EACCES;
	}
	if (c->p->flags & EBPF_KFUNC_SLEEPS && !env->prog->sleepable) {
		vlog(env, "program must be sleepable to call sleepable kfunc %s\n", c->p->name);
		return -EACCES;
	}
	return 0;
}

static int check_arg(struct venv *env, struct kcall *c, u32 regno)
{
	const struct vreg *r = vreg_of(env, regno);
	u8 arg = c->p->arg[regno - 1];
	int err = vreg_check_read(env, regno);

	if (err)
		return err;
	switch (arg) {
	case EBPF_KARG_ANY: return 0;
	case EBPF_KARG_SCALAR:
		if (vreg_is_scalar(r))
			return 0;
		vlog(env, "R%u is not a scalar\n", regno);
		return -EINVAL;
	default:
		vlog(env, "arg#%u of %s is not supported\n", regno - 1, c->p->name);
		return -EINVAL;
	}
}

static void set_result(struct kcall *c, struct vreg *ret)
{
	switch (c->p->ret) {
	case EBPF_KRET_VOID: vreg_set_none(ret); break;
	case EBPF_KRET_WORD:
		vreg_set_pointer(ret, VREG_MEM);
		ret->size = sizeof(u64);
		break;
	case EBPF_KRET_INT:
	case EBPF_KRET_BOOL:
	default: vreg_set_unknown(ret);
	}
}

int vkfunc_call(struct venv *env, const struct bpf_insn *in)
{
	struct kcall c = {.id = (u32)in->imm, .p = ebpf_kfunc_get((u32)in->imm)};
	struct vreg r0;
	u32 i;
	int r = check_callable(env, &c);

	for (i = 1; !r && i <= 5 && c.p->arg[i - 1] != EBPF_KARG_NONE; i++)
		r = check_arg(env, &c, i);
	if (r)
		return r;
	set_result(&c, &r0);
	for (i = 0; i <= 5; i++)
		vreg_set_none(vreg_of(env, i));
	*vreg_of(env, 0) = r0;
	return 0;
}
