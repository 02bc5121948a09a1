/* SPDX-License-Identifier: MIT */
/*
 * Kernel functions that programs may call (BPF_PSEUDO_KFUNC_CALL), as data. A loader names them by
 * their number in the kernel's BTF; the broker looks the name up there and puts our number into the
 * call's imm, which is what verifier and compiler see. Signatures and argument rules are those of
 * Linux 6.18 (kernel/bpf/helpers.c, kernel/trace/bpf_trace.c; suffixes as in bpf/kfuncs.rst).
 */
#pragma once

#include "abi/types.h"

enum ebpf_kfunc {
	EBPF_KFUNC_NONE,
	EBPF_KFUNC_SESSION_IS_RETURN, /* bool (void) */
	EBPF_KFUNC_SESSION_COOKIE,    /* u64 *(void): this call's own word, zero at entry */
	EBPF_KFUNC_ITER_NUM_NEW,
	EBPF_KFUNC_ITER_NUM_NEXT,
	EBPF_KFUNC_ITER_NUM_DESTROY,
	EBPF_KFUNC_ITER_BITS_NEW,
	EBPF_KFUNC_ITER_BITS_NEXT,
	EBPF_KFUNC_ITER_BITS_DESTROY,
	EBPF_KFUNC_RCU_READ_LOCK, /* these four do nothing here: there is no RCU to wait for us */
	EBPF_KFUNC_RCU_READ_UNLOCK,
	EBPF_KFUNC_PREEMPT_DISABLE,
	EBPF_KFUNC_PREEMPT_ENABLE,
	EBPF_KFUNC_CAST_TO_KERN_CTX, /* returns its argument */
	EBPF_KFUNC_RDONLY_CAST,	     /* returns its first argument */
	EBPF_KFUNC_STRCMP,	     /* strings: any address, read fault-safe; -EFAULT, -E2BIG at 1 MiB */
	EBPF_KFUNC_STRCASECMP,
	EBPF_KFUNC_STRCHR,
	EBPF_KFUNC_STRCHRNUL,
	EBPF_KFUNC_STRNCHR,
	EBPF_KFUNC_STRRCHR,
	EBPF_KFUNC_STRLEN,
	EBPF_KFUNC_STRNLEN,
	EBPF_KFUNC_STRSPN,
	EBPF_KFUNC_STRCSPN,
	EBPF_KFUNC_STRSTR,
	EBPF_KFUNC_STRNSTR,
	EBPF_KFUNC_DYNPTR_ADJUST,
	EBPF_KFUNC_DYNPTR_CLONE,
	EBPF_KFUNC_DYNPTR_COPY,
	EBPF_KFUNC_DYNPTR_IS_NULL,
	EBPF_KFUNC_DYNPTR_IS_RDONLY,
	EBPF_KFUNC_DYNPTR_MEMSET,
	EBPF_KFUNC_DYNPTR_SIZE,
	EBPF_KFUNC_DYNPTR_SLICE,
	EBPF_KFUNC_DYNPTR_SLICE_RDWR,
	EBPF_KFUNC_PROBE_READ_USER_DYNPTR,
	EBPF_KFUNC_PROBE_READ_KERNEL_DYNPTR,
	EBPF_KFUNC_PROBE_READ_USER_STR_DYNPTR,
	EBPF_KFUNC_PROBE_READ_KERNEL_STR_DYNPTR,
	EBPF_KFUNC_COPY_FROM_USER_STR,
	EBPF_KFUNC_MAP_SUM_ELEM_COUNT,
	EBPF_KFUNC_ARENA_ALLOC_PAGES, /* void *(map, address or NULL, n, node, flags): address in the loader */
	EBPF_KFUNC_ARENA_RESERVE_PAGES,
	EBPF_KFUNC_ARENA_FREE_PAGES,
	EBPF_KFUNC_N
};

enum ebpf_karg {
	EBPF_KARG_NONE,
	EBPF_KARG_ANY,	       /* name__ign: anything, even an undefined register */
	EBPF_KARG_SCALAR,      /* a number */
	EBPF_KARG_CONST,       /* name__k: a known number */
	EBPF_KARG_CTX,	       /* the program's context, unmodified */
	EBPF_KARG_MAP,	       /* a map */
	EBPF_KARG_ITER_NEW,    /* stack that becomes an iterator */
	EBPF_KARG_ITER,	       /* an iterator on the stack */
	EBPF_KARG_DYNPTR,      /* an initialised dynptr on the stack */
	EBPF_KARG_DYNPTR_NEW,  /* clone__uninit: stack that becomes a dynptr */
	EBPF_KARG_OUT,	       /* writable memory; the next argument, name__sz, is its size */
	EBPF_KARG_SIZE,
	EBPF_KARG_BUFFER_NULL, /* buffer__opt: memory or NULL; the next argument, name__szk, is its size */
	EBPF_KARG_SIZE_CONST,
};

enum ebpf_kret {
	EBPF_KRET_VOID,
	EBPF_KRET_BOOL,	 /* one byte, the rest of R0 is zero */
	EBPF_KRET_INT,	 /* 32 bits */
	EBPF_KRET_LONG,	 /* 64 bits */
	EBPF_KRET_WORD,	 /* pointer to a u64 that may be written */
	EBPF_KRET_NEXT,	 /* pointer to an iterator's element, NULL at the end */
	EBPF_KRET_SLICE, /* pointer to as many bytes as the last argument says, or NULL */
	EBPF_KRET_REGS,	 /* struct pt_regs */
	EBPF_KRET_OBJECT, /* memory that may be read and need not exist: faults read as zero */
};

#define EBPF_KFUNC_SLEEPS 1u
#define EBPF_KFUNC_SESSION 2u /* only in programs of a uprobe session */

struct ebpf_kfunc_proto {
	const char *name;
	u8 ret;	   /* enum ebpf_kret */
	u8 arg[5]; /* enum ebpf_karg of R1..R5 */
	u8 flags;  /* EBPF_KFUNC_* */
	u8 iter;   /* bytes of the iterator that it handles, 0 = none; elements are ints */
};

/* NULL: no such number. */
const struct ebpf_kfunc_proto *ebpf_kfunc_get(u32 id);
u32 ebpf_kfunc_by_name(const char *name); /* EBPF_KFUNC_NONE: notrap has none of this name */
/* kfunc_bodies.c: it can be executed. */
bool ebpf_kfunc_implemented(u32 id);
