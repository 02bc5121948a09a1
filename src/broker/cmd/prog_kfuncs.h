/* SPDX-License-Identifier: MIT */
/* Calls of kernel functions: numbers of the kernel's BTF become those of ebpf/kfuncs.h. */
#pragma once

#include "broker/object/prog.h"

struct prog_kfuncs {
	char **name; /* [n] functions that notrap does not have, in the order of their numbers */
	u32 n;
};

/*
 * Rewrites imm of every call in p->insns: enum ebpf_kfunc, or EBPF_KFUNC_N + i for ret->name[i].
 * A function's address becomes 1, or 0 if it cannot be called here.
 * ret is valid on failure, too. Errors and phrases as add_kfunc_call() in kernel/bpf/verifier.c;
 * without kernel BTF on this machine no number means anything, as there.
 */
int prog_kfuncs_resolve(struct object_prog *p, struct verifier_log *log, struct prog_kfuncs *ret);
void prog_kfuncs_deinit(struct prog_kfuncs *k);
