/* SPDX-License-Identifier: MIT */
#include "broker/link/run.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utlist.h>

#include "abi/wire.h"
#include "base/atomic.h"
#include "broker/link/process.h"
#include "broker/link/steady.h"
#include "util/log.h"

struct run {
	struct engine *engine;
	struct run *prev, *next; /* engine.runs */
	struct object_prog *prog; /* owned reference */
	struct process_prog *mapped;
	pid_t pid;
	u64 start_time; /* of pid: the number may be used again */
	u32 gate;
	u64 token, entry, gate_addr;
	bool closed; /* waits for run_left() */
};

/* The process as it is known now, or NULL: it has ended, or is another program by now. */
static struct process *run_process(const struct run *r)
{
	struct process *p = process_find(r->engine, r->pid);
	struct process_prog *pp = NULL;

	if (!p || p->start_time != r->start_time)
		return NULL;
	HASH_FIND_INT(p->progs, &r->prog->obj.id, pp);
	return pp == r->mapped ? p : NULL;
}

static void run_free(struct run *r)
{
	DL_DELETE(r->engine->runs, r);
	r->engine->gate_used[r->gate] = 0;
	object_unref(&r->prog->obj);
	free(r);
}

struct unmapping {
	struct process *p;
	struct process_prog *pp;
};

static void unmap_steadily(void *arg)
{
	const struct unmapping *u = arg;

	process_unmap_prog(u->p, u->pp);
}

static void run_unmap(struct run *r)
{
	struct process *p = run_process(r);

	if (p && !--r->mapped->held && process_alive(p))
		steady_run(r->engine, unmap_steadily, &(struct unmapping){p, r->mapped});
	run_free(r);
}

struct mapping {
	struct run *run;
	u64 loader_call;
	int error;
};

static void map_steadily(void *arg)
{
	struct mapping *m = arg;
	struct run *r = m->run;
	struct process *p;

	p = process_find(r->engine, r->pid);
	if (p && !process_alive(p))
		process_forget(p); /* exec: the memory we knew is no more */
	m->error = process_get(r->engine, r->pid, &p);
	if (!m->error)
		m->error = process_prepare(p);
	if (!m->error && m->loader_call)
		m->error = inject_write(&p->target, p->state + offsetof(struct nt_state, loader_call), &m->loader_call,
					sizeof(m->loader_call));
	if (!m->error)
		m->error = process_map_prog(p, r->prog, &r->mapped);
	if (m->error)
		return;
	r->mapped->held++;
	r->start_time = p->start_time;
	r->entry = r->mapped->entry;
	r->gate_addr = p->gates + 4ull * r->gate;
}

/* What processes that are gone have left: nobody will tell. */
static void reap(struct engine *e)
{
	struct run *r, *tmp;

	DL_FOREACH_SAFE(e->runs, r, tmp)
	{
		struct process *p = run_process(r);

		if (r->closed && (!p || !process_alive(p)))
			run_free(r);
	}
}

int run_open(struct broker *b, pid_t pid, struct object_prog *prog, u64 loader_call, struct run **ret)
{
	struct engine *e = b->engine;
	struct mapping m = {.run = calloc(1, sizeof(*m.run)), .loader_call = loader_call};
	struct run *r = m.run;
	int error;

	if (!r)
		return -ENOMEM;
	reap(e);
	r->engine = e;
	r->pid = pid;
	r->prog = prog;
	error = gate_alloc(e, &r->gate);
	if (error) {
		free(r);
		return error;
	}
	object_ref(&prog->obj);
	at_store_rel(&e->shared.gates[r->gate], NT_RUN_OFF);
	r->token = ++e->last_run;
	DL_APPEND(e->runs, r);
	steady_run(e, map_steadily, &m);
	if (m.error) {
		log_info("pid %d: program %s cannot run in it: %d", pid, prog->name, m.error);
		run_free(r);
		return m.error;
	}
	*ret = r;
	return 0;
}

void run_set(struct run *r, u32 value)
{
	u32 *gate = &r->engine->shared.gates[r->gate];

	at_store_rel(gate, value);
	syscall(SYS_futex, gate, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void run_close(struct run *r, bool left)
{
	if (!r)
		return;
	run_set(r, NT_RUN_END);
	r->closed = true;
	if (left)
		run_unmap(r);
}

void run_left(struct broker *b, pid_t pid, u64 token)
{
	struct run *r, *tmp;

	DL_FOREACH_SAFE(b->engine->runs, r, tmp)
	{
		if (r->pid != pid || r->token != token || !r->closed)
			continue;
		run_unmap(r);
		return;
	}
}

u64 run_token(const struct run *r)
{
	return r->token;
}

u64 run_entry(const struct run *r)
{
	return r->entry;
}

u64 run_gate(const struct run *r)
{
	return r->gate_addr;
}
