/* SPDX-License-Identifier: MIT */
/* Bounds of map values and ring buffer records. */
#include <errno.h>

#include "verifier/env.h"

struct region {
	const char *name; /* NULL: a map value */
	u32 size;
};

static bool region_has(struct venv *env, const struct region *m, s64 off, u32 size, bool zero_ok)
{
	if (off >= 0 && (size || zero_ok) && (u64)off + size <= m->size)
		return true;
	if (m->name)
		vlog(env, "invalid access to %s, %s_size=%u off=%lld size=%u\n", m->name,
		     m->name[1] == 'a' ? "key" : "mem", m->size, (long long)off, size);
	else
		vlog(env, "invalid access to map value, value_size=%u off=%lld size=%u\n", m->size,
		     (long long)off, size);
	return false;
}

/* check_mem_region_access(): the ends decide. A variable part that may be negative is a huge unsigned number. */
static int region_check(struct venv *env, u32 regno, s64 off, u32 size, bool zero_ok,
			const struct region *m)
{
	const struct vreg *r = vreg_of(env, regno);
	const struct range *v = &r->v;

	off += r->off;
	if (v->smin < 0 && (v->smin == INT64_MIN || v->smin + off < 0)) {
		vlog(env,
		     "R%u min value is negative, either use unsigned index or do a if (index >=0) "
		     "check.\n",
		     regno);
		return -EACCES;
	}
	if (!region_has(env, m, v->smin + off, size, zero_ok)) {
		vlog(env, "R%u min value is outside of the allowed memory range\n", regno);
		return -EACCES;
	}
	if (v->umax >= VMAX_VAR_OFF) {
		vlog(env,
		     "R%u unbounded memory access, make sure to bounds check any such access\n",
		     regno);
		return -EACCES;
	}
	if (!region_has(env, m, (s64)v->umax + off, size, zero_ok)) {
		vlog(env, "R%u max value is outside of the allowed memory range\n", regno);
		return -EACCES;
	}
	return 0;
}

int vaccess_value(struct venv *env, u32 regno, s64 off, u32 size, enum vaccess how, bool zero_ok)
{
	const struct vreg *r = vreg_of(env, regno);
	const struct verifier_map *map = &env->prog->maps[r->map];
	bool write = how == VACCESS_WRITE;

	if (map->map_flags & (write ? BPF_F_RDONLY_PROG : BPF_F_WRONLY_PROG)) {
		vlog(env, "%s map forbidden, value_size=%u off=%lld size=%u\n",
		     write ? "write into" : "read from", map->value_size,
		     (long long)(range_is_const(&r->v) ? vreg_fixed_off(r) + off : off), size);
		return -EACCES;
	}
	return region_check(env, regno, off, size, zero_ok,
			    &(struct region){NULL, map->value_size});
}

int vaccess_memory(struct venv *env, u32 regno, s64 off, u32 size, enum vaccess how, bool zero_ok)
{
	const struct vreg *r = vreg_of(env, regno);
	struct region m = {"memory", r->size};

	if (how == VACCESS_WRITE && r->type == VREG_KEY) {
		vlog(env, "write to change key R%u not allowed\n", regno);
		return -EACCES;
	}
	if (how == VACCESS_WRITE && (r->rdonly || r->type == VREG_REGS)) {
		vlog(env, "R%u cannot write into %s\n", regno, vreg_type_name(r));
		return -EACCES;
	}
	if (r->type == VREG_KEY)
		m = (struct region){"map key", env->prog->maps[r->map].key_size};
	if (r->type == VREG_REGS)
		m.size = VPT_REGS_SIZE;
	return region_check(env, regno, off, size, zero_ok, &m);
}
