/* SPDX-License-Identifier: MIT */
/*
 * The contract between the broker and the payload inside a target. The broker maps the payload's flat image
 * (code, read-only + execute), puts struct nt_state right behind it (read-write, private), and behind that
 * struct nt_local (read-write, private, wiped on fork). All addresses in here are addresses of the target.
 * Increase NT_PAYLOAD_VERSION with every change of this file: a broker touches only targets of its own version.
 */
#pragma once

#include "abi/map.h"
#include "abi/types.h"
#include "abi/unwind.h"

#define NT_PAYLOAD_MAGIC 0x6c70706172746f6eull /* "notrappl" */
#define NT_STATE_MAGIC 0x7473706172746f6eull   /* "notrapst" */
#define NT_PAYLOAD_VERSION 19u
#define NT_HELPER_KFUNC 256u /* helper[] from here on: bodies of enum ebpf_kfunc (ebpf/kfuncs.h) */
#define NT_HELPER_MAX 320u

/* First bytes of the payload image. Offsets are from the start of the image; 0 = there is none. */
struct nt_payload_hdr {
	u64 magic;
	u32 version;
	u32 image_size; /* bytes of the image, a multiple of the page size: struct nt_state follows */
	u32 fn_ret_slow;    /* void *(*)(u64 word_at): refill the free list of the caller's row; NULL = no memory, else take one */
	u32 fn_row_slow;    /* struct nt_row *(*)(void): find or make the row of this thread; NULL = table full */
	u32 fn_dl_find_object; /* replaces libc's _dl_find_object; answers for our code, else calls the original */
	u32 fn_r_brk;	    /* void (*)(void): called by an internal probe when the dynamic linker changed its map */
	/* A call whose return address word is at word_at is about to be taken note of (payload/depth.c, session.c). */
	u32 fn_ret_deep;     /* struct nt_row *(*)(u64 word_at): may it? NULL = no, 64 calls of this thread have yet to return */
	u32 fn_stats_run;    /* u64 (*)(ctx, program, struct nt_prog_stats *): runs it and counts */
	u32 fn_session_open; /* struct nt_ret_entry *(*)(u64 word_at, u64 n): an entry with room for n sessions, NULL = none */
	u32 fn_session_keep; /* struct nt_ret_entry *(*)(struct nt_ret_entry *): the entry, or NULL and it is free again: no
			      * session wants the return */
	u32 fn_session_at;   /* u64 *(*)(struct nt_ret_entry *, u64 key): the cookie that this session has in the call, or NULL */
	u32 fn_session_more; /* void (*)(struct nt_ret_entry *, struct nt_row *): gives the entries on `more` to this row */
	u32 fn_hold;	    /* not called but gone to: waits for the broker like fn_r_brk, then goes on at nt_state.hold_pc */
	u32 sent_pc;	    /* where a thread is that sends the signals of a program which has ended */
	u32 pad;
	u32 helper[NT_HELPER_MAX]; /* by BPF helper id */
};

/* One thread's row in the table, found by thread pointer (%fs base). Rows are never removed; a new thread with the
 * same thread pointer takes the row over. */
struct nt_row {
	u64 fs;	  /* thread pointer, 0 = free */
	u64 free; /* first free nt_ret_entry of this thread */
	u64 hits; /* entry hits counted by this thread: never goes back, return entries are numbered by it */
	u32 depth; /* calls that have yet to return, about: payload/depth.c counts again when it matters */
	u32 sure; /* pages below the thread block that are known to be stack (payload/stack.c) */
	u64 seed; /* get_prandom_u32 */
	u64 missed; /* return instances or program runs that were skipped */
	u64 top; /* the newest of those calls, 0 = none */
	u64 signals; /* that the running program has sent, a byte each: payload/helper_signal.c */
};
_Static_assert(sizeof(struct nt_row) == 64, "a row is a cache line");
#define NT_ROW_HASH_MUL 0x9e3779b97f4a7c15ull /* row index = (fs * MUL) >> (64 - row_bits), then linear probing */

/* One session consumer's share of a call. */
struct nt_session {
	u64 key;    /* of the consumer: never 0, never used again for another one; 0 = it does not want the return */
	u64 cookie; /* bpf_session_cookie() points here */
};
#define NT_ENTRY_SESSIONS 3u

/* What a call that will be reported at its return remembers; %rbx points here while the body runs. The unwinder's
 * rules name the first two fields (return address = *[rbx], rbx = *[rbx + 8]). */
struct nt_ret_entry {
	u64 ra;	    /* real return address */
	u64 rbx;    /* caller's rbx */
	u64 next;   /* free list; in use: the thread's call before this one (nt_row.top) */
	u64 slot;   /* address of the site's struct nt_slot_meta */
	u64 sp;	    /* address of the stack word that holds the return address */
	u64 thunk;  /* value put there: the address behind the thunk's call */
	u64 in_use; /* 0 = free; from entry to return the row's hits, so calls are numbered; or a reaper's mark */
	u64 row;    /* struct nt_row that it came from: still this thread's, unless a coroutine has moved */
	/* Sessions only. */
	struct nt_session session[NT_ENTRY_SESSIONS];
	u64 more;   /* another entry, for its session[] alone, or 0 */
	u64 pad;
};
_Static_assert(sizeof(struct nt_ret_entry) == 128, "an entry is two cache lines, the first alone without sessions");

/* Behind ctx (struct pt_regs) programs and helpers find what belongs to this run: ctx - sizeof(struct nt_run). */
struct nt_run {
	u64 entry; /* dispatchers: struct nt_ret_entry of a call with sessions, while their programs run at entry */
	struct nt_session none; /* what a session gets in a call that will not be reported at its return */
	u64 session; /* bpf_session_cookie(): address of the call's cookie, 0 = there is none. Programs of links of type
		      * uprobe_session only; for others undefined */
	u64 cookie;
	u64 func_ip;
	u64 is_return; /* 0 or 1: bpf_session_is_return() */
	u64 reserved; /* u16: dispatchers keep flags there; u16: NT_CTX_OVERRIDDEN; the upper half: NT_CTX_TAIL_CALLS */
};
_Static_assert(sizeof(struct nt_run) == 64, "");
#define NT_CTX_TAIL_CALLS (-4) /* u32: tail calls of this run, set by programs that make some */
#define NT_CTX_OVERRIDDEN (-6) /* u16: bpf_override_return() was called, regs->ax is what the function returns */
#define NT_CTX_SESSION (-40)
#define NT_CTX_COOKIE (-32) /* offsets from ctx, used by the JIT */
#define NT_CTX_FUNC_IP (-24)
#define NT_CTX_IS_RETURN (-16)
#define NT_PT_REGS_SIZE 168u

/* In front of every slot's code. */
struct nt_slot_meta {
	u64 func_ip; /* address of the probed instruction */
	u64 body;    /* address of the displaced instructions' relocated copy */
	u64 thunk;   /* return probes: the address behind the call of body, else 0 */
	u64 newer;   /* the meta of the slot that took this one's place, 0 = none yet; written by the broker, then ... */
	u64 exit;    /* ... where returns go: first the own exit, then the code that goes on to newer's (hit_exit.c) */
	u64 cookie[]; /* one per consumer, in the order of the consumer list; then one function's address per consumer that
		       * looks at this place as a return */
};

/* A mapped code region: ledger for a broker that did not write it (fork child, broker restarted). */
struct nt_region {
	u64 base;
	u32 size;
	u32 nsites;
	u32 ledger_off; /* struct nt_ledger_site[nsites] from base */
	u32 state;	/* NT_REGION_* */
	u64 frames_lo, frames_hi; /* addresses [lo, hi) that eh_frame_hdr below describes; lo == hi: none */
	u64 eh_frame_hdr;
	u64 seq; /* the broker's change counter when it was built */
};
#define NT_REGION_FREE 0u
#define NT_REGION_LIVE 1u
#define NT_REGION_OLD 2u /* no site jumps here any more (the ledger is void), but calls may still return through it */

struct nt_ledger_site { /* one place that is written; a site with a short jump has two: its own, and where that leads */
	u64 addr;     /* patched address, 0 = not patched (any more) */
	u32 slot_off; /* where its (first) long jump leads, from the region's base */
	u8 len;	      /* bytes written at addr: 5; 2 = a short jump into the entry that follows; there: 5, or two jumps of 5 */
	u8 back;      /* the site is this far behind addr; or NT_LEDGER_FAR */
	u8 orig[10];  /* what stood there */
};
#define NT_LEDGER_FAR 0xffu
_Static_assert(sizeof(struct nt_ledger_site) == 24, "written by the broker");

#define NT_MAX_REGIONS 1024u
#define NT_MAX_RINGS 64u
#define NT_COMM_LEN 16u
#define NT_GATES_MAX 65536u
#define NT_CGROUPS 16u
#define NT_MAX_UNWIND 512u
#define NT_MAX_PROGS 256u
#define NT_HELPER_HASH_LOOKUP 241u /* map_lookup of a hash, known to be one, with keys of 4 bytes; 242: of 8; 243: of any size */
#define NT_HELPER_PACKET_LOAD 244u /* s64 (ctx, s32 offset, u32 size): what BPF_LD_ABS loads; negative: it is not there */
#define NT_HELPER_DELIVER_SIGNALS 240u /* called by compiled code at the end of a program that may send signals */
#define NT_REAP_BUCKETS 4096u

#define NT_STATE_NO_SYSCALL 1u /* seccomp filter present: helpers must not enter the kernel */
#define NT_STATE_FS0 2u	       /* *(fs:0) is the thread pointer (true for every ABI-conforming libc) */
#define NT_STATE_PIDNS 8u      /* in another pid namespace than the broker: programs are to see the broker's ids */
#define NT_STATE_RDPID 4u      /* the processor has RDPID; without it the CPU number costs some 15 ns more */

/* Inner maps: open addressing by id. An entry's view is written before its id. */
#define NT_MAX_INNER 1024u
#define NT_INNER_GONE 0xffffffffu
struct nt_inner {
	u64 view; /* address of a struct nt_map_view */
	u32 id;	  /* of the map, 0 = free, NT_INNER_GONE = free, but look on */
	u32 pad;
};

struct nt_prog {
	u64 id;
	u64 entry; /* for tail calls */
};

struct nt_state {
	u64 magic; /* NT_STATE_MAGIC */
	u32 version;
	u32 flags;	 /* NT_STATE_* */
	u64 token;	 /* random, the same in forked children until a broker adopts them */
	s32 tid_off;	 /* fs-relative offset of the libc's tid field; 0 = unknown, use gettid() */
	u32 row_bits;	 /* log2 of the number of rows */
	u64 rows;	 /* struct nt_row[1 << row_bits] */
	u64 pool;	 /* struct nt_ret_entry[pool_n] */
	u32 pool_n;
	u32 pool_next;	 /* entries of the pool handed out so far (atomic) */
	u64 reap_at;	 /* entries that reapers have looked at: where the next look begins */
	u64 clock_gettime; /* vdso's __vdso_clock_gettime or 0 */
	u64 orig_dl_find_object;
	u64 bell;	 /* struct nt_bell, shared with the broker */
	u64 gates;	 /* u32[], shared, read-only here */
	struct nt_map_view trace; /* ring buffer for bpf_trace_printk; base 0 = none */
	u64 go_stacks;	 /* a stack for each row, for hits in Go code; 0 = none */
	u64 go_words;	 /* what hits in Go code use of a thread: distance from its thread pointer */
	u64 pidns_dev, pidns_ino; /* st_dev, st_ino of /proc/PID/ns/pid; 0 = unknown */
	u64 cgroup[NT_CGROUPS];	  /* ids of the process' cgroup (version 2) and those above it: [0] is the root's */
	u32 cgroup_n;		  /* their number, 0 = unknown */
	u32 ids_seq; /* threads have asked so often which ids of the broker's are theirs */
	u64 hold_pc;	 /* where the thread that was sent to fn_hold goes on */
	u64 rbrk_fs;	 /* without NT_STATE_FS0: thread pointer of who waits in fn_r_brk or fn_hold */
	u32 nregions;
	u32 rbrk_seq;	 /* calls of fn_r_brk, so the broker sees that there is news */
	struct nt_region region[NT_MAX_REGIONS];
	u32 nrings;
	u32 rings_pad;
	u32 reap_newest[NT_REAP_BUCKETS]; /* by hash of nt_ret_entry.sp: index of the newest entry seen there (payload/ret.c) */
	u64 stack_end; /* end of the main thread's stack, 0 = unknown */
	u64 loader_call; /* s64 (*)(u64 helper, u64 r1, u64 r2, u64 r3): a loader's, for programs that make system calls */
	u32 nunwind;
	u32 nprogs;
	struct nt_prog progs[NT_MAX_PROGS]; /* what elements of program arrays stand for */
	struct nt_unwind_module unwind[NT_MAX_UNWIND];
	struct nt_inner inner[NT_MAX_INNER]; /* maps that are elements of maps */
	u64 rings[NT_MAX_RINGS]; /* struct nt_map_view of every ring buffer mapped here, 0 = unused: submit and discard
				  * get only a record and look for its ring */
};

/* A thread's number in its own pid namespace, and in the broker's. The broker fills it in, while others read: an entry is
 * good when its sum is. */
struct nt_ids {
	u32 here, there, sum; /* here 0 = free */
};
static inline u32 nt_ids_sum(u32 here, u32 there)
{
	return here * 0x9e3779b1u ^ there;
}
#define NT_IDS_SETS 64u /* a thread's entry is in the set (here % NT_IDS_SETS) */
#define NT_IDS_WAYS 16u

/* Wiped in forked children (MADV_WIPEONFORK): what is zero must be found out again. */
struct nt_local {
	u32 tgid; /* 0 = unknown */
	u32 rbrk_gave_up; /* bell->rbrk_done + 1 when the broker last did not answer in time; 0 = never */
	u32 tgid_there; /* NT_STATE_PIDNS: the broker's number of this process, 0 = not known yet */
	u32 pad0;
	u64 ids_again_ns; /* CLOCK_MONOTONIC: nobody asks for ids before that */
	u32 pad[1018];
	struct nt_ids ids[NT_IDS_SETS * NT_IDS_WAYS];
	u32 gate[NT_GATES_MAX]; /* per-process gates of links with a pid filter, by the link's gate: 1 = open */
};
_Static_assert(sizeof(struct nt_local) % NT_PAGE == 0, "whole pages");

/* Counted while BPF_ENABLE_STATS is on; an array of them is shared by the broker and all its targets. */
struct nt_prog_stats {
	u64 run_cnt, run_time_ns;
};
#define NT_STATS_MAX 4096u /* programs that are counted at the same time */
/* The first word of the gates is none: process id of who works on targets, the broker or its hands (broker/link/steady.h);
 * 0: nobody any more. */
#define NT_GATE_OWNER 0u

/* One page shared by the broker and all its targets. */
struct nt_bell {
	u32 rung;    /* futex word: producers add 1 */
	u32 waiting; /* the broker sleeps on it: a FUTEX_WAKE is needed */
	u32 rbrk;    /* calls that wait for the broker to look at a process' new mappings: add 1 */
	u32 rbrk_done; /* futex word: the broker stores what it has seen of rbrk */
	u64 owner_start; /* the broker's start time (field 22 of /proc/PID/stat) and ... */
	u32 owner_pid;	 /* ... pid: is it still there? */
	u32 alive; /* the broker adds 1 whenever it gets on with something: who waits may wait on */
};

/* One record in the trace ring. */
struct nt_trace_rec {
	u64 ts; /* CLOCK_MONOTONIC ns */
	u32 tgid, tid, cpu, len;
	char comm[NT_COMM_LEN];
	char text[]; /* len bytes, no NUL */
};
