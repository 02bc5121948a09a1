/* SPDX-License-Identifier: MIT */
/*
 * Messages between a front end (shim, cli) and the broker, one SOCK_SEQPACKET packet each. A front end forwards
 * the system call as it is; the broker reads and writes the caller's memory like the kernel does, so there is no
 * marshalling per command. The sender is identified by SO_PEERCRED plus the pid/tid it states (checked).
 */
#pragma once

#include "abi/map.h"
#include "abi/types.h"

#define NT_WIRE_VERSION 5u

enum nt_op {
	NT_OP_HELLO = 1,   /* arg[0] = NT_WIRE_VERSION, arg[1] = role: NT_ROLE_*, arg[2] = NT_HELLO_*; answer ret = broker's version or -EPROTO */
	NT_OP_BPF,	   /* bpf(cmd = arg[0], attr = arg[1], size = arg[2]); arg[3] = nt_state.loader_call */
	NT_OP_PERF_OPEN,   /* perf_event_open(attr = arg[0], pid = arg[1], cpu = arg[2], group_fd = arg[3], flags = arg[4]) */
	NT_OP_IOCTL,	   /* ioctl(fd = arg[0], request = arg[1], argument = arg[2]) on a perf event of ours */
	NT_OP_MMAP,	   /* mmap(fd = arg[0], length = arg[1], prot = arg[2], flags = arg[3], offset = arg[4], addr = arg[5]): an error, or
			    * NT_REPLY_NATIVE, or NT_REPLY_ARENA, or a descriptor to map instead, from the offset that is the call's value */
	NT_OP_MAP_VIEW,	   /* fd = arg[0] is a map: fills the caller's struct nt_map_answer at arg[1]; a descriptor of one page
			    * comes along: its first u64 changes whenever such an answer may not hold any more */
	NT_OP_POLLABLE,	   /* fd = arg[0]: answer with a pollable eventfd that stands for it, or NT_REPLY_NATIVE: as it is */
	NT_OP_SYNC,	   /* answer after every close that happened before has taken effect */
	NT_OP_QUERY,	   /* cli: arg[0] = NT_QUERY_*; the answer is a memfd with JSON text */
	NT_OP_TRACE,	   /* cli: answer with one end of a stream socket that gets bpf_trace_printk lines */
	NT_OP_RUN_LEFT,	   /* shim: run arg[0] (nt_run_order.token) is over, its program is not executed any more */
	NT_OP_LISTEN,	   /* cli: arg[0] is a seccomp listener: answer the calls of the processes that it filters */
	NT_OP_STOP,	   /* cli: leave when nothing is attached any more (arg[0] = 1: detach all and leave) */
	NT_OP_BORN,	   /* a program has just been started, no code of it has run: attach what wants it. arg[0] = thread
			    * pointer. Answered by any number of NT_REPLY_DO, each with its NT_OP_DONE, then by a last one */
	NT_OP_DONE,	   /* arg[0] = what the system call returned */
	NT_OP_ARENA,	   /* shim: fd = arg[0] is an arena: it has been mapped at arg[1], arg[2] bytes */
	NT_OP_MAP_MEMORY,  /* fd = arg[0] is a map with NT_MAP_ELSEWHERE: answer with the descriptor of its memory, from 0 on */
	NT_OP_FDINFO,	   /* fd = arg[0]: answer with a memfd, what /proc/self/fdinfo/FD says */
};

#define NT_BPFFS_PATH "/sys/fs/bpf" /* where loaders pin objects, and ... */
#define NT_BPFFS_DIR "bpffs"	    /* ... which directory in the runtime directory they get for it */

#define NT_HELLO_ALLOW_WRITE 1u /* `notrap run --allow-write`: programs may change what the process does */
#define NT_HELLO_KERNEL 2u /* `notrap run --kernel`: what only the kernel can serve goes there; -EPERM: the broker may not */

enum nt_role { NT_ROLE_SHIM = 1, NT_ROLE_CLI = 2 };
enum nt_query { NT_QUERY_PS = 1 };

/* What a loader needs to work on a map's memory itself: base is 0. */
struct nt_map_answer {
	struct nt_map_view view;
	u64 ino; /* of the map's file */
	u32 may; /* NT_MAP_*: what the descriptor and the map allow to do without the broker */
	u32 pad;
};
#define NT_MAP_READ 1u
#define NT_MAP_WRITE 2u
#define NT_MAP_ELSEWHERE 4u /* the memory is not the descriptor's own: NT_OP_MAP_MEMORY gives the one to map */

struct nt_request {
	u32 op;
	u32 seq; /* echoed */
	u32 pid; /* caller's thread group and thread, in its own pid namespace */
	u32 tid;
	u64 arg[6];
};

#define NT_REPLY_FD 1u	   /* one descriptor comes along: the call's value is its number */
#define NT_REPLY_NATIVE 2u /* not ours: make the system call itself */
#define NT_REPLY_LAST 4u /* the connection ends after this reply */
#define NT_REPLY_DO 8u	 /* text is a struct nt_do: make this system call and send its result (NT_OP_DONE) */

/* A system call that the asking thread makes for the broker, which so needs no ptrace. */
struct nt_do {
	s64 nr; /* or NT_DO_*: */
	u64 arg[6];
};
#define NT_DO_NOTHING (-1) /* a sign of life: from now on it may take long */
#define NT_DO_TAKE_FD (-2) /* the descriptor that came along: its number is the result */

#define NT_REPLY_INSTEAD 32u /* a descriptor comes along: make the call natively with its number as the u32 at offset ret of the attr */
#define NT_REPLY_ARENA 32u /* map the caller's descriptor at `ret`; 0: where no 4 GiB line is crossed, and say NT_OP_ARENA */
#define NT_REPLY_RUN 16u /* `run` is valid: the shim has a program to run, once or by the clock */

/*
 * A program that runs in its loader. The gate is one word of shared memory, which the broker changes and wakes as a
 * futex. period_ns 0: run it once, now, and say NT_OP_RUN_LEFT; else every period_ns, counted from the moment when the
 * gate is NT_RUN_ON for the first time, until it is NT_RUN_END.
 */
enum nt_run_gate { NT_RUN_END = 0, NT_RUN_ON = 1, NT_RUN_OFF = 2 };
struct nt_run_order {
	u64 token;
	u64 entry; /* u64 (*)(void *ctx): addresses of the loader */
	u64 gate;  /* u32, enum nt_run_gate */
	u64 period_ns;
	s32 cpu; /* it runs there, -1 = anywhere */
	u32 prog_type; /* BPF_PROG_TYPE_* */
};

struct nt_reply {
	s64 ret; /* >= 0 or -errno */
	u32 seq;
	u32 flags;
	u32 text_len; /* a notice for the user follows, shown by `notrap run -v` (e.g. sites refused by name) */
	u32 pad;
	struct nt_run_order run;
	char text[1984];
};
_Static_assert(sizeof(struct nt_reply) == 2048, "one packet");
