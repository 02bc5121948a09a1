/* SPDX-License-Identifier: MIT */
/*
 * Prototypes of the BPF helpers that programs may call, as data: the verifier checks arguments
 * against them. Follows include/uapi/linux/bpf.h (numbers, names) and the kernel's struct
 * bpf_func_proto (argument rules).
 */
#pragma once

#include "abi/types.h"

enum ebpf_arg {
	EBPF_ARG_NONE,	   /* not looked at */
	EBPF_ARG_ANY,	   /* any initialised register */
	EBPF_ARG_CTX,	   /* the program's context, unmodified */
	EBPF_ARG_MAP,	   /* a map */
	EBPF_ARG_KEY,	   /* map->key_size readable bytes */
	EBPF_ARG_VALUE,	   /* map->value_size readable bytes */
	EBPF_ARG_MEM,	   /* readable memory; the next argument is its size */
	EBPF_ARG_MEM_NULL, /* the same or NULL */
	EBPF_ARG_OUT,	   /* writable memory; the next argument is its size */
	EBPF_ARG_SIZE,	   /* size of the argument before, > 0 */
	EBPF_ARG_SIZE0,	   /* the same, 0 is fine */
	EBPF_ARG_ALLOC,	   /* a known constant: size of the memory that is returned */
	EBPF_ARG_RECORD,   /* a ring buffer record that this call gives away */
	EBPF_ARG_STRING,   /* NUL-terminated text in a frozen read-only map */
};

enum ebpf_ret {
	EBPF_RET_INT,
	EBPF_RET_VOID,
	EBPF_RET_VALUE_NULL,  /* pointer to a map value or NULL */
	EBPF_RET_RECORD_NULL, /* pointer to a ring buffer record or NULL, to be given back */
};

struct ebpf_helper {
	u8 ret;	   /* enum ebpf_ret */
	u8 arg[5]; /* enum ebpf_arg of R1..R5 */
};

/* NULL: notrap has no such helper. */
const struct ebpf_helper *ebpf_helper_get(u32 id);
/* "bpf_map_lookup_elem"; NULL: the kernel has no such helper either. */
const char *ebpf_helper_name(u32 id);
/* What the kernel offers to programs of this type, of the helpers that ebpf_helper_get() knows. */
bool ebpf_helper_allowed(u32 id, u32 prog_type);
