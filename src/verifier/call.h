/* SPDX-License-Identifier: MIT */
/* What the files that handle one helper call tell each other. */
#pragma once

#include "ebpf/helpers.h"
#include "verifier/state.h"

enum vdynptr_kind { VDYNPTR_LOCAL = 1, VDYNPTR_RECORD = 2 };

struct vcall {
	u32 id;
	const struct ebpf_helper *h;
	u32 map; /* index, valid if has_map */
	bool has_map;
	bool null_free; /* the look-up cannot fail */
	u32 alloc;	/* EBPF_ARG_ALLOC */
	u32 release;	/* reference given away, 0 = none */
	s64 size_max;	/* upper bound of the size argument */
	u32 func;	/* EBPF_ARG_FUNC: its first instruction */
	struct vreg dynptr; /* EBPF_ARG_DYNPTR */
	u32 new_dynptr;	    /* EBPF_ARG_DYNPTR_NEW: the register, 0 = none */
};

struct venv;

/* arg.c: R<regno> against the prototype */
int vhelper_check_arg(struct venv *env, struct vcall *c, u32 regno);

/* callback.c */
bool vcallback_is(u32 helper);
/* At the call: puts the walk into the function aside. */
int vcallback_enter(struct venv *env, const struct vcall *c);
void vcallback_done(struct venv *env); /* the walk goes on behind the call */
int vcallback_return(struct venv *env); /* the function's exit: back to the call */

/* dynptr.c */
/* The register points to an initialised dynptr; *ret describes it. */
int vdynptr_check(struct venv *env, u32 regno, struct vreg *ret);
int vdynptr_check_new(struct venv *env, u32 regno); /* ... to room for a new one */
int vdynptr_apply(struct venv *env, const struct vcall *c); /* what a helper does to dynptrs */
