/* SPDX-License-Identifier: MIT */
#include "broker/link/process.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "broker/link/sandbox.h"
#include "broker/link/site.h"
#include "maps/maps.h"
#include "util/proc.h"

struct process *process_find(struct engine *e, pid_t pid)
{
	struct process *p;

	HASH_FIND_INT(e->processes, &pid, p);
	return p;
}

int process_get(struct engine *e, pid_t pid, struct process **ret)
{
	struct process *p = process_find(e, pid);
	u64 start;
	int r = proc_start_time(pid, &start);

	if (r)
		return r;
	if (p && p->start_time != start) { /* the number is used again */
		process_forget(p);
		p = NULL;
	}
	if (!p) {
		if (proc_shares_memory(pid))
			return -EAGAIN; /* it would be opened twice, and stay open when this one runs exec */
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->engine = e;
		p->pid = pid;
		p->start_time = start;
		proc_comm(pid, p->comm);
		HASH_ADD_INT(e->processes, pid, p);
	}
	*ret = p;
	return 0;
}

void code_region_free(struct code_region *r)
{
	if (!r)
		return;
	free(r->ret);
	free(r->gate);
	free(r);
}

static void process_clear(struct process *p)
{
	struct process_map *m, *mt;
	struct process_prog *pp, *pt;

	while (p->modules) {
		struct module *next = p->modules->next;

		free(p->modules->patch);
		free(p->modules);
		p->modules = next;
	}
	while (p->regions) {
		struct code_region *next = p->regions->next;

		code_region_free(p->regions);
		p->regions = next;
	}
	HASH_ITER(hh, p->maps, m, mt) {
		HASH_DEL(p->maps, m);
		free(m->held);
		free(m);
	}
	HASH_ITER(hh, p->progs, pp, pt) {
		HASH_DEL(p->progs, pp);
		object_unref(&pp->prog->obj);
		process_inline_free(&pp->inlined);
		free(pp);
	}
	if (p->opened)
		inject_close(&p->target);
	p->opened = p->injected = false;
}

void process_forget(struct process *p)
{
	HASH_DEL(p->engine->processes, p);
	process_clear(p);
	free(p);
}

static bool thread_dead(u32 tid, void *arg)
{
	u64 start;

	return !(tid & NT_TID_LOCAL) && proc_start_time((pid_t)tid, &start) == -ESRCH;
}

void process_gone(struct process *p)
{
	for (struct process_prog *pp = p->progs; pp; pp = pp->hh.next)
		for (u32 i = 0; i < pp->prog->nmaps; i++)
			map_reap(&pp->prog->maps[i]->view, thread_dead, NULL);
	for (struct process_map *pm = p->maps; pm; pm = pm->hh.next) {
		struct object *o = pm->is_ring ? object_by_id(p->engine->broker, OBJECT_MAP, pm->id) : NULL;

		if (o)
			ring_reap(&object_to_map(o)->view, thread_dead, NULL);
	}
	process_forget(p);
}

bool process_alive(struct process *p)
{
	u64 magic = 0;

	if (p->gone)
		return false;
	if (!p->injected)
		return true;
	return inject_read(&p->target, p->state, &magic, sizeof(magic)) == 0 && magic == NT_STATE_MAGIC;
}

static int process_open(struct process *p)
{
	int r = 0;

	if (p->engine->broker->held_caller == p->pid)
		return -EDEADLK; /* it waits for us, killable only */
	engine_show_life(p->engine);
	if (!p->opened) {
		r = inject_open(p->pid, &p->target);
		if (r)
			return r;
		p->opened = true;
		p->target.seccomp_ok = sandbox_allows(p->engine->broker, p->pid);
	}
	return 0;
}

int process_hold(struct process *p, int (*fn)(void *arg), void *arg)
{
	int r = process_open(p);

	return r ? r : inject_hold(&p->target, fn, arg);
}

void process_resume(struct process *p)
{
	u64 ns;

	inject_resume(&p->target);
	ns = inject_pause_ns(&p->target);
	p->pause_ns = bits_max(p->pause_ns, ns);
	p->pause_max_ns = bits_max(p->pause_max_ns, ns);
}

int process_borrow(struct process *p)
{
	int r = process_open(p);

	if (!r && !p->borrows)
		r = inject_borrow(&p->target);
	if (!r)
		p->borrows++;
	return r;
}

void process_give_back(struct process *p)
{
	if (!--p->borrows)
		inject_give_back(&p->target);
}

/* --- modules --- */

struct module_scan {
	struct process *p;
	struct binary *b;
	int found, error;
};

static bool module_visit(const struct proc_map *map, void *arg)
{
	struct module_scan *s = arg;
	struct module *m;
	u64 vaddr, bias;

	if (map->shared || !(map->prot & PROT_EXEC) ||
	    binary_map_vaddr(s->b, map->off, map->end - map->start, &vaddr))
		return false;
	bias = map->start - vaddr;
	for (m = s->p->modules; m; m = m->next)
		if (m->binary == s->b && m->bias == bias)
			break;
	if (!m) {
		m = calloc(1, sizeof(*m));
		if (!m) {
			s->error = -ENOMEM;
			return true;
		}
		m->binary = s->b;
		m->bias = bias;
		m->lo = map->start;
		m->hi = map->end;
		m->next = s->p->modules;
		s->p->modules = m;
	}
	m->lo = bits_min(m->lo, map->start);
	m->hi = bits_max(m->hi, map->end);
	m->seen = true;
	s->found++;
	return false;
}

static void module_free(struct process *p, struct module *m)
{
	for (u32 i = 0; i < m->npatch; i++)
		if (m->patch[i].region)
			m->patch[i].region->live--;
	for (struct code_region *r = p->regions; r; r = r->next)
		if (r->module == m)
			r->module = NULL;
	free(m->patch);
	free(m);
}

static void modules_remove(struct process *p, struct binary *b, bool unseen_only)
{
	for (struct module **at = &p->modules; *at;) {
		struct module *m = *at;

		if (m->binary != b || (unseen_only && m->seen)) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		module_free(p, m);
	}
}

void process_drop_binary(struct process *p, struct binary *b)
{
	modules_remove(p, b, false);
}

int process_scan_modules(struct process *p, struct binary *b)
{
	struct module_scan s = { .p = p, .b = b };
	int r;

	for (struct module *m = p->modules; m; m = m->next)
		if (m->binary == b)
			m->seen = false;
	r = proc_code_of_file(p->pid, (dev_t)b->map_dev, b->key.ino, module_visit, &s);
	if (!r)
		r = s.error;
	if (r == -EACCES)
		r = -EPERM; /* another user's; EACCES means a seccomp filter */
	if (r)
		return r;
	modules_remove(p, b, true); /* unmapped since (dlclose): forgotten without writing */
	return s.found;
}
