/* SPDX-License-Identifier: MIT */
/* What the files of broker/link share with those above them, broker/watch and broker/engine.c. Nobody else includes it. */
#pragma once

#include <pthread.h>
#include <sys/types.h>
#include <uthash.h>

#include "abi/payload.h"
#include "base/atomic.h"
#include "broker/broker.h"
#include "broker/link/link.h"
#include "broker/object/map.h"
#include "broker/object/prog.h"
#include "inject/inject.h"
#include "patch/plan.h"
#include "patch/region.h"

#define GATES_MAX NT_GATES_MAX
#define GATES_SIZE (GATES_MAX * 4u)
/* The first words are no gates; they tell other brokers about this one. */
#define GATE_OWNER NT_GATE_OWNER
#define GATE_DIR 1u /* which runtime directory it serves; stays when it is dead */
#define GATE_FIRST 2u
#define STATS_SIZE ((u64)sizeof(struct nt_prog_stats) * NT_STATS_MAX)
#define TRACE_RING_SIZE (256u * 1024u)

struct binary;
struct exits;
struct table;
struct process;
struct watch;

/* Memory that every target maps: made once per broker. */
struct shared { /* one file: gates, which targets only read, bell, trace, stats */
	int fd;
	u64 size, ino;
	u32 *gates;
	struct nt_bell *bell;
	struct nt_map_view trace;
	struct nt_prog_stats *stats; /* [NT_STATS_MAX] */
};

/* Who looks for processes (broker/watch) stands above links, which need no more of it than this. */
struct engine_watch {
	int (*link_opened)(struct watch *w, struct link *l);
	void (*links_changed)(struct watch *w);
	void (*find_children)(struct watch *w);
	void (*linker_rang)(struct watch *w);
};

struct engine {
	struct broker *broker;
	struct shared shared;
	struct link *links;   /* utlist DL, oldest first */
	struct link *kernel_links; /* whose programs run in the kernel: mixed.h */
	struct run *runs;     /* programs in their loaders, link/run.c */
	u64 last_run;
	struct link *linkers; /* internal probes in dynamic linkers: links without a program (link/linker.h) */
	struct binary *binaries;
	struct table *tables; /* link/tables.c */
	struct process *processes; /* by pid */
	struct watch *watch;
	const struct engine_watch *watching; /* set by watch_new() */
	struct doorbell *doorbell;
	u64 seq; /* counts changes of consumer lists */
	u64 token;
	u8 gate_used[GATES_MAX];
	u32 stats_owner[NT_STATS_MAX]; /* program ids, 0 = free */
	u32 stats_on;		       /* open descriptors of BPF_ENABLE_STATS */
	u32 gate_next; /* where the search for a free one begins: they are used again as late as possible */
	struct guardian *guardian;
	pid_t pid; /* the broker's: steady.h works in another process */
	dev_t exe_dev;
	u64 exe_ino;
	char *steady_stack; /* NULL: none to be had */
	bool steady;	    /* inside steady_run() */
	struct inject_urgency urgency; /* of the process that works there */
	void (*trace_fn)(void *arg);
	void *trace_arg;
};

struct consumer { /* one target of a link on its site's list */
	struct link *link;
	struct consumer *next;
	u32 index; /* in the link's arrays */
	bool exit;  /* the site is a `ret` of the target's function, and stands for its return (exits.h) ... */
	bool spare; /* ... only where the function cannot be called through: struct process, no_returns */
};

struct link {
	struct engine *engine;
	struct link *prev, *next;
	u64 id;
	struct object_prog *prog;
	bool multi, at_return, closing;
	bool moving, in_kernel, given_up; /* mixed.h */
	char why[80];		/* in_kernel: for the user */
	int kernel_fd;		/* in_kernel: the kernel's own link, -1 = none */
	int file_fd;		/* O_PATH, of a loader that may have links in the kernel; -1: none */
	u64 file_dev, file_ino; /* as stat(2) has them */
	bool session; /* entry and return of each call, as one program run in two parts */
	u32 flags;
	pid_t pid; /* 0 = every process */
	u32 gate;  /* index of the shared gate */
	char *path;  /* as it was given */
	char *name;  /* as it is now: link_describe() */
	int path_fd; /* O_PATH, of the file; -1: none */
	struct binary *binary;
	u32 n;
	u64 *offsets, *cookies, *ref_ctrs; /* the latter two may be NULL */
	struct consumer *consumer; /* [n] */
	struct site **site;	   /* [nsites] of the n targets, then of their exits */
	u32 nsites;
	struct exits *exits;
	u32 refused;		   /* targets whose site cannot be patched */
	u32 reason[PATCH_NREASONS];
	u64 attach_ns;
};

static inline u64 link_cookie(const struct link *l, u32 i)
{
	return l->cookies ? l->cookies[i] : 0;
}

/* link.c: not one of e->links any more; afterwards the program runs nowhere. */
void link_leave(struct link *l);

/* stats.c: where a program's runs are counted, as an index; -ENOSPC. */
int stats_index(struct engine *e, const struct object_prog *p, u32 *ret);

/* engine.c: without what stands above it, broker/engine.c puts all together. -errno: as engine_new(). */
int engine_init(struct broker *b, struct engine **ret);
void engine_deinit(struct engine *e);

/* shared.c */
int shared_init(struct shared *s);
void shared_deinit(struct shared *s);
/* guardian.c: a child that closes all gates when this process is gone, or when the guardian is freed. There is always one. */
struct guardian;
int guardian_new(struct loop *loop, u32 *gates, size_t size, struct guardian **ret);
void guardian_free(struct guardian *g); /* NULL is fine */
/* doorbell.c: a thread that sleeps on the bell's futex and turns rings into calls from the event loop. */
struct doorbell;
int doorbell_new(struct engine *e, struct doorbell **ret);
void doorbell_free(struct doorbell *d);

/* For those who wait for us (payload/rbrk.c): whenever some work on a process is begun. */
static inline void engine_show_life(struct engine *e)
{
	at_add(&e->shared.bell->alive, 1);
}

u64 engine_now_ns(void);
int gate_alloc(struct engine *e, u32 *ret); /* gate.c; -ENOSPC */
