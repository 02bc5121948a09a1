/* SPDX-License-Identifier: MIT */
/* What the JIT may rely on: a fact stands while all paths agree, and never comes back once two have
 * differed. */
#include "verifier/env.h"

#define KNOWN_MAP 1u /* a path has said something */
#define KNOWN_KEY 2u
#define KNOWN_CTX 4u	/* it has touched the context */
#define KNOWN_ARENA 8u	/* ... the arena */
#define KNOWN_OTHER 16u /* ... something else */

void vfact_mem(struct venv *env, u32 i, u8 mem)
{
	u8 *kind = &env->fact[i].mem;

	if (*kind == VMEM_NONE)
		*kind = mem;
	else if (*kind != mem)
		*kind = VMEM_MIXED;
}

bool vfact_ctx_alone(struct venv *env, u32 i, u8 kind)
{
	u8 kinds;

	env->known[i] |= kind == VMEM_CTX ? KNOWN_CTX : kind == VMEM_ARENA ? KNOWN_ARENA : KNOWN_OTHER;
	kinds = env->known[i] & (KNOWN_CTX | KNOWN_ARENA | KNOWN_OTHER);
	return !(kinds & (kinds - 1));
}

void vfact_map(struct venv *env, u32 i, u32 map)
{
	struct verifier_insn *f = &env->fact[i];

	if (!(env->known[i] & KNOWN_MAP)) {
		env->known[i] |= KNOWN_MAP;
		f->map_known = true;
		f->map_index = map;
	} else if (f->map_index != map) {
		f->map_known = false;
	}
}

void vfact_no_map(struct venv *env, u32 i)
{
	env->known[i] |= KNOWN_MAP;
	env->fact[i].map_known = false;
}

bool vfact_key(struct venv *env, u32 i, const u32 *key)
{
	struct verifier_insn *f = &env->fact[i];

	if (!(env->known[i] & KNOWN_KEY)) {
		env->known[i] |= KNOWN_KEY;
		f->key_known = key != NULL;
		f->key = key ? *key : 0;
	} else if (!key || f->key != *key) {
		f->key_known = false;
	}
	return f->key_known;
}

void vfact_ctx_escapes(struct venv *env, const struct vreg *r)
{
	/* the context of a raw tracepoint is its arguments, all of which are there */
	if (r->type == VREG_CTX && env->prog->prog_type != BPF_PROG_TYPE_RAW_TRACEPOINT)
		env->res->ctx_read = ~0ull;
}

void vfact_ctx_touched(struct venv *env, s32 off, u32 size)
{
	u32 end = (u32)off + size;

	if (env->res->ctx_end < end)
		env->res->ctx_end = end;
	if (end > 64 * sizeof(u64))
		return;
	env->res->ctx_read |= 1ull << (u32)off / 8;
	env->res->ctx_read |= 1ull << ((u32)off + size - 1) / 8;
}
