/* SPDX-License-Identifier: MIT */
/* func_info of BPF_PROG_LOAD: what a program's BTF says of its functions. */
#pragma once

#include "broker/cmd/cmd.h"
#include "broker/object/prog.h"

/*
 * Reads the records of a->func_info against p->btf. *ret: array for free(), names inside p->btf;
 * NULL if there are none. Errors and phrases as check_btf_func() in kernel/bpf/verifier.c.
 */
int prog_funcs_read(struct call *k, const struct attr_prog_load *a, const struct object_prog *p,
		    struct verifier_log *log, struct verifier_func **ret);
