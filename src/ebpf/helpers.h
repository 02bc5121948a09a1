/* SPDX-License-Identifier: MIT */
/*
 * Prototypes of the BPF helpers that programs may call, as data: the verifier checks arguments
 * against them. Follows include/uapi/linux/bpf.h (numbers, names) and the kernel's struct
 * bpf_func_proto (argument rules) of Linux 6.18. Which of them have a body in the payload is in
 * helper_bodies.c; a program that calls another is refused at load.
 */
#pragma once

#include "abi/types.h"

enum ebpf_arg {
	EBPF_ARG_NONE,	     /* not looked at */
	EBPF_ARG_ANY,	     /* any initialised register */
	EBPF_ARG_CTX,	     /* the program's context, unmodified */
	EBPF_ARG_MAP,	     /* a map */
	EBPF_ARG_KEY,	     /* map->key_size readable bytes */
	EBPF_ARG_VALUE,	     /* map->value_size readable bytes */
	EBPF_ARG_VALUE_NULL, /* the same or NULL */
	EBPF_ARG_VALUE_OUT,  /* map->value_size writable bytes */
	EBPF_ARG_MEM,	     /* readable memory; the next argument is its size */
	EBPF_ARG_MEM_NULL,   /* the same or NULL */
	EBPF_ARG_OUT,	     /* writable memory; the next argument is its size */
	EBPF_ARG_OUT_NULL,   /* the same or NULL */
	EBPF_ARG_SIZE,	     /* size of the argument before, > 0 */
	EBPF_ARG_SIZE0,	     /* the same, 0 is fine */
	EBPF_ARG_LONG,	     /* eight writable bytes, aligned */
	EBPF_ARG_ALLOC,	     /* a known constant: size of the memory that is returned */
	EBPF_ARG_RECORD,     /* a ring buffer record that this call gives away */
	EBPF_ARG_STRING,     /* NUL-terminated text in a frozen read-only map */
	EBPF_ARG_FUNC,	     /* a function of the program that is called back */
	EBPF_ARG_FUNC_DATA,  /* what that function gets: a pointer to the stack, or NULL */
	EBPF_ARG_DYNPTR,     /* an initialised dynptr on the stack */
	EBPF_ARG_DYNPTR_NEW, /* sixteen bytes of stack that become a dynptr */
	EBPF_ARG_DYNPTR_RECORD, /* a dynptr of a ring buffer record that this call gives away */
	EBPF_ARG_TASK,		/* a task from bpf_get_current_task_btf() */
	EBPF_ARG_TASK_NULL,	/* the same or NULL */
	EBPF_ARG_PERCPU,	/* a per-CPU variable of the kernel: nobody has one */
	EBPF_ARG_CGROUP,	/* a cgroup of the kernel: nobody has one */
	EBPF_ARG_LOCK,		/* a spin lock in a map value: not for tracing programs */
	EBPF_ARG_TIMER,		/* a timer in a map value: not for tracing programs */
	EBPF_ARG_KPTR,		/* a kernel pointer in a map value */
};

enum ebpf_ret {
	EBPF_RET_NO_HELPER, /* a hole in the table */
	EBPF_RET_INT,
	EBPF_RET_VOID,
	EBPF_RET_VALUE_NULL,  /* pointer to a map value or NULL */
	EBPF_RET_RECORD_NULL, /* pointer to a ring buffer record or NULL, to be given back */
	EBPF_RET_SLICE_NULL,  /* pointer into a dynptr's memory or NULL */
	EBPF_RET_TASK,
	EBPF_RET_REGS,	      /* struct pt_regs of a task */
	EBPF_RET_PERCPU_NULL, /* pointer to a per-CPU variable of the kernel */
};

#define EBPF_HELPER_GPL 1u    /* only for programs whose licence says so */
#define EBPF_HELPER_SLEEPS 2u /* only for sleepable programs */
#define EBPF_HELPER_PACKET 4u /* memory that it gets may lie in a packet */
#define EBPF_HELPER_MOVES 8u  /* a packet may be elsewhere, or shorter, afterwards */

struct ebpf_helper {
	u8 ret;	   /* enum ebpf_ret */
	u8 arg[5]; /* enum ebpf_arg of R1..R5 */
	u8 flags;  /* EBPF_HELPER_* */
};

/* NULL: the kernel has no such helper for the programs that notrap runs. */
const struct ebpf_helper *ebpf_helper_get(u32 id);
/* "bpf_map_lookup_elem"; NULL: the kernel has no such helper either. */
const char *ebpf_helper_name(u32 id);
/* What the kernel (6.18) offers to programs of this type. Types that notrap does not run get what tracing programs get. */
bool ebpf_helper_allowed(u32 id, u32 prog_type);

/* helper_bodies.c: the payload has a body for it, or the compiler expands it. */
bool ebpf_helper_implemented(u32 id);
/* Changes what the process does: only where the user said so. */
bool ebpf_helper_writes(u32 id);
