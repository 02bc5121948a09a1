/* SPDX-License-Identifier: MIT */
/* Reading BTF (kernel documentation, bpf/btf.rst): types by number, names. Pure; believes nothing of what it reads. */
#pragma once

#include <linux/btf.h>
#include <stddef.h>

#include "abi/types.h"

struct ebpf_btf {
	const u8 *types;
	const char *strings;
	u32 types_len, strings_len;
	u32 *off; /* [n] of type i in types; type 0 is void and has none */
	u32 n;	  /* numbers 1..n-1 exist */
};

/* data must outlive ret; 0, -EINVAL, -ENOMEM. */
int ebpf_btf_open(const u8 *data, size_t size, struct ebpf_btf *ret);
void ebpf_btf_close(struct ebpf_btf *b);

/* NULL: there is no such type. What follows it by its kind lies inside the data, too. */
const struct btf_type *ebpf_btf_type(const struct ebpf_btf *b, u32 id);
const char *ebpf_btf_name(const struct ebpf_btf *b, u32 name_off); /* "" if it has none */
/* Bytes that follow struct btf_type; -1: unknown kind. */
s64 ebpf_btf_tail(u32 info);
