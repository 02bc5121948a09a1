/* SPDX-License-Identifier: MIT */
/*
 * The memory of a map, as every process that has it mapped sees it.
 *
 * A map is one memfd. File offset 0 is what bpf(2)'s mmap must show (values of an array, consumer page of a ring
 * buffer), so that a loader can mmap its map fd; what only notrap reads lies behind it. Shared memory holds no
 * pointer and no geometry that anybody trusts: each process has its own struct nt_map_view in private memory,
 * written by the broker, and every index read from shared memory is checked against it.
 */
#pragma once

#include "abi/types.h"

struct nt_map_view {
	u8 *base;	  /* where file offset 0 is mapped in this process */
	u64 size;	  /* bytes of the file, a multiple of the page size */
	u32 type;	  /* enum bpf_map_type */
	u32 key_size;	  /* bytes */
	u32 value_size;	  /* bytes */
	u32 max_entries;  /* elements; ring buffer: data bytes */
	u32 flags;	  /* BPF_F_* of BPF_MAP_CREATE */
	u32 ncpus;	  /* possible CPUs, 1 for maps that are not per-CPU */
	u32 value_stride; /* round_up(value_size, 8) */
	u32 id;		  /* the map's global id */
	u64 extra;	  /* map_extra of BPF_MAP_CREATE: bloom filter: number of hashes */
	/* Derived by map_geometry(): */
	u64 data_off;	/* array: values; per-CPU array: values of CPU 0; hash: first element; ring buffer: data */
	u64 ctl_off;	/* control block of the type (hash heads and free list, ring lock ...) */
	u64 cpu_stride; /* per-CPU array: bytes from one CPU's values to the next one's */
	u32 elem_size;	/* hash: bytes of one element */
	u32 nbuckets;	/* hash, stack trace: a power of two; bloom filter: bits - 1 */
	/* Filled by the broker in views that targets get: */
	u8 *outputs; /* perf event array: where the output arena (abi/output.h) is mapped in this process */
};
_Static_assert(sizeof(struct nt_map_view) == 96, "the broker writes this struct into targets");

/* Who is calling into a map: taken once per helper call. */
struct nt_caller {
	u32 tid;   /* thread id in the broker's pid namespace: owner mark in locks and ring records */
	u32 cpu;   /* current CPU, below ncpus */
	u32 flags; /* NT_CALLER_* */
};
#define NT_CALLER_NO_SYSCALL 1u /* seccomp: never enter the kernel, fail instead of waiting */
#define NT_CALLER_FOREIGN 2u	/* in another pid namespace than the broker: cannot ask whether an owner lives */
#define NT_TID_LOCAL (1u << 31) /* in a tid: the broker's number is not known, this is another one; nobody can ask for it */

/*
 * Ring buffer file: [consumer page][producer page][data, max_entries bytes][its second copy, max_entries bytes].
 * A record is written linearly past the end of the first copy and never starts in the second, so a plain
 * MAP_SHARED mapping reads right without the kernel's double mapping. Positions are the first u64 of their page.
 * Behind the second copy lies the page of struct nt_ring_ctl (at ctl_off).
 */
#define NT_RING_CONS_OFF 0u
#define NT_RING_PROD_OFF NT_PAGE
#define NT_RING_DATA_OFF (2u * NT_PAGE)
#define NT_RING_BUSY (1u << 31)
#define NT_RING_DISCARD (1u << 30)
#define NT_RING_HDR 8u /* {u32 len | flags, u32 owner tid}: the kernel's header size; consumers read only the first word */

/* A lock whose holder may be killed (maps/lock.h). */
struct nt_lock {
	u32 owner; /* tid of the holder, 0 = free */
	u32 stuck; /* holder that somebody gave up waiting for, 0 = none */
};

struct nt_ring_ctl {
	struct nt_lock lock; /* of who reserves */
	u64 dropped;	     /* reservations refused because the ring was full */
	u32 armed; /* 1: somebody waits for the doorbell; a producer takes it with an exchange and rings */
	u32 pad;
};
