/* SPDX-License-Identifier: MIT */
#include "broker/link/engine.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <unistd.h>
#include <utlist.h>

#include "broker/link/batch.h"
#include "broker/link/exits.h"
#include "broker/link/process.h"
#include "broker/link/site.h"
#include "broker/link/tables.h"
#include "broker/link/steady.h"
#include "broker/link/unfinished.h"
#include "util/fd.h"

/* Tells the blocks of our predecessors from those of brokers in other directories. */
static u32 directory_id(const char *dir)
{
	struct stat st;

	return stat(dir, &st) ? 0 : (u32)(st.st_ino * 2654435761u ^ st.st_dev);
}

int engine_init(struct broker *b, struct engine **ret)
{
	struct engine *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	e->broker = b;
	b->engine = e;
	steady_init(e);
	r = shared_init(&e->shared);
	if (!r) {
		e->shared.gates[GATE_DIR] = directory_id(b->dir);
		r = guardian_new(b->loop, e->shared.gates, GATES_SIZE, &e->guardian);
	}
	/* Loaders wait for us, and targets while they are stopped: like the kernel, we go first where we may. */
	setpriority(PRIO_PROCESS, 0, -10);
	if (r) {
		engine_deinit(e);
		b->engine = NULL;
		return r;
	}
	*ret = e;
	return 0;
}

void engine_deinit(struct engine *e)
{
	struct process *p, *tmp;

	HASH_ITER(hh, e->processes, p, tmp)
		process_forget(p);
	binary_free_all(e);
	tables_free_all(e);
	shared_deinit(&e->shared);
	guardian_free(e->guardian);
	steady_deinit(e);
	free(e);
}

bool engine_busy(const struct engine *e)
{
	return e->links || e->kernel_links || unfinished_any(e);
}

const struct nt_map_view *engine_trace_view(const struct engine *e)
{
	return &e->shared.trace;
}

void engine_on_trace(struct engine *e, void (*fn)(void *arg), void *arg)
{
	e->trace_fn = fn;
	e->trace_arg = arg;
}

/* --- notrap ps --- */

static json_t *process_json(struct process *p)
{
	json_t *refused = NULL;
	u32 sites = 0, regions = 0, links = 0;

	for (struct module *m = p->modules; m; m = m->next)
		sites += m->patched;
	for (struct code_region *r = p->regions; r; r = r->next)
		regions++;
	for (struct process_prog *pp = p->progs; pp; pp = pp->hh.next) {
		struct link *l;

		DL_FOREACH(p->engine->links, l)
			links += l->prog == pp->prog && (!l->pid || l->pid == p->pid);
	}
	return json_pack("{s:i,s:s,s:i,s:i,s:i,s:I,s:I,s:I,s:o?}", "pid", (int)p->pid, "comm", p->comm, "links", (int)links,
			 "sites", (int)sites, "regions", (int)regions, "hits", (json_int_t)process_hits(p), "pause_ns",
			 (json_int_t)p->pause_ns, "pause_max_ns", (json_int_t)p->pause_max_ns, "refused", refused);
}

static bool is_patched(const struct module *m, const struct site *s)
{
	return s->id < m->npatch && m->patch[s->id].region;
}

/* Targets that the module has a jump for, at their entry or at their first exit. */
static u32 module_attached(const struct process *p, const struct module *m, const struct link *l)
{
	u32 n = 0, last = ~0u;

	for (u32 i = 0; i < l->n; i++)
		n += batch_consumer_wanted(p, l->site[i], &l->consumer[i]) && is_patched(m, l->site[i]);
	for (u32 i = l->n; i < l->nsites; i++) {
		u32 target = exits_consumer(l, i)->index;

		n += target != last && is_patched(m, l->site[i]);
		last = target;
	}
	return n;
}

static u32 link_attached(const struct link *l)
{
	u32 n = 0;

	for (struct process *p = l->engine->processes; p; p = p->hh.next) {
		if (l->pid && l->pid != p->pid)
			continue;
		for (struct module *m = p->modules; m; m = m->next)
			n += m->binary == l->binary ? module_attached(p, m, l) : 0;
	}
	return n;
}

static json_t *link_json(struct link *l)
{
	json_t *reasons = json_object(), *why = l->in_kernel ? json_string(l->why) : NULL;

	for (u32 i = 1; i < PATCH_NREASONS; i++)
		if (l->reason[i])
			json_object_set_new(reasons, patch_reason_name(i), json_integer(l->reason[i]));
	return json_pack("{s:I,s:s,s:s,s:i,s:i,s:i,s:i,s:s,s:I,s:o,s:o?}", "id", (json_int_t)l->id, "type",
			 l->session ? "uprobe.session" : l->multi ? (l->at_return ? "uretprobe.multi" : "uprobe.multi") : (l->at_return ? "uretprobe" : "uprobe"),
			 "prog", l->prog->name, "targets", (int)l->n, "attached", l->in_kernel ? (int)l->n * (l->kernel_fd >= 0) : (int)link_attached(l), "refused",
			 (int)l->refused, "pid", (int)l->pid, "path", l->path, "attach_ns", (json_int_t)l->attach_ns,
			 "reasons", reasons, "kernel", why);
}

struct json_t *link_ps_json(struct broker *b)
{
	json_t *processes = json_array(), *links = json_array();
	struct process *p, *tmp;
	struct link *l;

	HASH_ITER(hh, b->engine->processes, p, tmp)
		if (p->injected && process_alive(p))
			json_array_append_new(processes, process_json(p));
	DL_FOREACH(b->engine->links, l)
		json_array_append_new(links, link_json(l));
	DL_FOREACH(b->engine->kernel_links, l)
		json_array_append_new(links, link_json(l));
	return json_pack("{s:o,s:o}", "processes", processes, "links", links);
}
