/* SPDX-License-Identifier: MIT */
/*
 * Links, as bpf(2) and perf events see them: one program on many targets. Semantics and errnos follow
 * kernel/trace/bpf_trace.c (uprobe_multi) and kernel/events/core.c (perf uprobes).
 *
 *     struct link --N--> struct consumer --> struct site (device, inode, offset)       link/site.h
 *     struct process --> struct module (a mapping of the file) --> patches             link/process.h
 *
 * A site knows who wants to be called, a process knows what is written into it; attach.h makes the second agree
 * with the first, in batches.
 */
#pragma once

#include <sys/types.h>

#include "abi/bpf.h"
#include "abi/types.h"

struct broker;
struct client;
struct json_t;
struct object_perf;
struct object_prog;
struct link;
struct engine;

/* The engine: all links, sites and processes of this broker. Starts the guardian and cleans up what a killed broker
 * left in processes. -errno: a memfd or the guardian could not be made. */
int engine_new(struct broker *b, struct engine **ret);
void engine_free(struct engine *e); /* every link must be closed */

/*
 * BPF_LINK_CREATE for BPF_TRACE_UPROBE_MULTI. The caller has checked prog and attach types (steps 1-5 of the
 * kernel's order); everything from the flags on is checked here. When it returns 0 every process that maps the file
 * and passes the filter is patched. notice gets a line for the user when sites were refused, else "".
 * *ret: close with link_close(). The link takes a reference on prog.
 */
int link_create_uprobe_multi(struct broker *b, struct client *c, struct object_prog *prog,
			     const struct nt_link_create_uprobe_multi *attr, char *notice, size_t notice_len,
			     struct link **ret);
/* A perf event uprobe: the same with one target. The link copies what it needs of perf. */
int link_create_perf(struct broker *b, struct client *c, struct object_perf *perf, struct object_prog *prog, u64 cookie,
		     char *notice, size_t notice_len, struct link **ret);

/*
 * NT_OP_BORN: client c has just started another program and waits, none of whose code has run. Attaches what wants it,
 * by system calls that it makes for us (abi/wire.h). 0, or -errno when the conversation broke down. *ret_seq: the
 * request that the last answer is for.
 */
struct nt_request;
s64 engine_born(struct broker *b, struct client *c, const struct nt_request *q, u32 *ret_seq);

/* Synchronous: when it returns the program runs nowhere and will not run again. */
void link_close(struct broker *b, struct link *l);

/* BPF_ENABLE_STATS, nested: from now on (or no longer) the runs of all programs are counted. */
void link_stats_enable(struct broker *b, bool on);
struct link_stats {
	u64 run_cnt, run_time_ns;
};
/* What has been counted of this program so far. */
void link_prog_stats(struct broker *b, const struct object_prog *p, struct link_stats *ret);

/* inner is about to become an element of outer: makes it known in every process that has the outer map mapped. */
struct object_map;
void link_inner_map_add(struct broker *b, struct object_map *outer, struct object_map *inner);

/* The program is about to be stored in a program array: makes it known in every process that has the array mapped. */
struct object_map;
void link_prog_array_add(struct broker *b, struct object_map *m, struct object_prog *prog);

/* What OBJ_GET_INFO and fdinfo tell of a link; pointers live as long as the link. */
struct link_desc {
	bool multi;	  /* else a perf event */
	struct object_prog *prog;
	const char *path; /* multi: the file's path as it is now; perf: see object_perf.raw_path */
	u32 count;
	const u64 *offsets, *cookies, *ref_ctr_offsets; /* [count]; cookies and ref_ctr_offsets may be NULL: all zero */
	u32 flags;
	pid_t pid; /* in the broker's pid namespace, 0 = all (or the process is gone) */
};
void link_describe(struct link *l, struct link_desc *ret);

/* `notrap ps`: {"processes": [...], "links": [...]}; the caller owns the reference. */
struct json_t *link_ps_json(struct broker *b);

/* Is anything attached or any process instrumented? (the broker leaves when idle) */
bool engine_busy(const struct engine *e);

/* Memory that all targets and the broker share: for bpf_trace_printk's ring (struct nt_map_view, base = ours). */
struct nt_map_view;
const struct nt_map_view *engine_trace_view(const struct engine *e);
/* fn is called from the event loop when a program may have written trace records. */
void engine_on_trace(struct engine *e, void (*fn)(void *arg), void *arg);
