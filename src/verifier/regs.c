/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "verifier/env.h"

struct vreg *vreg_of(struct venv *env, u32 regno)
{
	return &vstate_top(&env->cur)->r[regno];
}

int vreg_check_read(struct venv *env, u32 regno)
{
	if (regno > 10) {
		vlog(env, "R%u is invalid\n", regno);
		return -EINVAL;
	}
	if (vreg_of(env, regno)->type == VREG_NONE) {
		vlog(env, "R%u !read_ok\n", regno);
		return -EACCES;
	}
	return 0;
}

int vreg_check_write(struct venv *env, u32 regno)
{
	if (regno > 10) {
		vlog(env, "R%u is invalid\n", regno);
		return -EINVAL;
	}
	if (regno == 10) {
		vlog(env, "frame pointer is read only\n");
		return -EACCES;
	}
	return 0;
}

void vreg_make_group(struct venv *env, struct vreg *r)
{
	if (!vreg_is_scalar(r) || r->id || range_is_const(&r->v))
		return;
	r->id = ++env->last_id;
	r->delta = 0;
}
