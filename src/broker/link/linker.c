/* SPDX-License-Identifier: MIT */
#include "broker/link/linker.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <utlist.h>

#include "base/atomic.h"
#include "broker/link/attach.h"
#include "broker/link/gate.h"
#include "broker/link/steady.h"
#include "util/elf.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

struct linker_search {
	u64 base; /* of its first mapping */
	char path[512];
};

bool linker_is_path(const char *path)
{
	const char *name = strrchr(path, '/');

	return name && (!strncmp(name, "/ld-linux", 9) || !strncmp(name, "/ld-musl", 8) || !strncmp(name, "/ld-2.", 6));
}

static bool linker_visit(const struct proc_map *map, void *arg)
{
	struct linker_search *s = arg;

	if (!linker_is_path(map->path) || map->path_len >= sizeof(s->path))
		return false;
	s->base = map->start - map->off;
	memcpy(s->path, map->path, map->path_len + 1);
	return true;
}

static int hook_offset(const struct binary *b, u64 *ret)
{
	const struct patch_binary_desc *d = b->elf ? util_elf_desc(b->elf) : NULL;

	for (u32 i = 0; d && i < d->nfunc; i++)
		if (d->func[i].name && !strcmp(d->func[i].name, "_dl_debug_state"))
			return util_elf_offset(b->elf, d->func[i].vaddr, ret);
	return -ENOENT;
}

static void linker_free(struct link *l)
{
	free(l->path);
	free(l->offsets);
	free(l->consumer);
	free(l->site);
	free(l);
}

/* The internal link of this linker's file, made at first sight. */
static struct link *linker_link(struct engine *e, struct binary *b)
{
	struct link *l;
	u64 off;

	DL_FOREACH(e->linkers, l)
		if (l->binary == b)
			return l;
	if (hook_offset(b, &off))
		return NULL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	l->engine = e;
	l->binary = b;
	l->n = l->nsites = 1;
	l->path_fd = l->file_fd = l->kernel_fd = -1;
	l->path = strdup(b->path);
	l->offsets = malloc(sizeof(*l->offsets));
	l->consumer = calloc(1, sizeof(*l->consumer));
	l->site = calloc(1, sizeof(*l->site));
	if (!l->path || !l->offsets || !l->consumer || !l->site) {
		linker_free(l);
		return NULL;
	}
	*l->offsets = off;
	if (binary_sites(b, l->offsets, 1, l->site) || gate_alloc(e, &l->gate)) {
		linker_free(l);
		return NULL;
	}
	l->consumer[0].link = l;
	site_add_consumer(l->site[0], &l->consumer[0]);
	at_store_rel(&e->shared.gates[l->gate], 1);
	e->seq++;
	DL_APPEND(e->linkers, l);
	return l;
}

void linker_watch_process(struct process *p)
{
	struct linker_search s = { .path = "" };
	char path[600];
	int fd fd_auto = -1;
	struct binary *b;
	struct link *l;

	if (p->linker_watched || !p->injected)
		return;
	p->linker_watched = true; /* one try: a process without it is looked at by the timer */
	if (proc_maps_each(p->pid, linker_visit, &s) || !*s.path)
		return;
	snprintf(path, sizeof(path), "/proc/%d/root%s", p->pid, s.path);
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || binary_get(p->engine, fd, &b))
		return;
	if (b->elf && !util_elf_symbol(b->elf, "_r_debug", &p->r_debug))
		p->r_debug += s.base;
	l = linker_link(p->engine, b);
	if (l && attach_process(p, b, l->site, 1) <= 0)
		log_info("pid %d (%s): no probe in %s: libraries loaded later are noticed late", p->pid, p->comm, s.path);
}

static bool is_busy(const struct r_debug *r)
{
	return !r->r_version || r->r_state == RT_ADD; /* version 0: it has not even begun */
}

bool linker_is_busy(struct process *p)
{
	struct r_debug r;

	return p->r_debug && !inject_read(&p->target, p->r_debug, &r, sizeof(r)) && is_busy(&r);
}

bool linker_is_busy_at(struct engine *e, pid_t pid, const char *path, u64 base)
{
	char name[600];
	int fd fd_auto = -1;
	struct r_debug r;
	struct iovec here = { &r, sizeof(r) }, there = { NULL, sizeof(r) };
	struct binary *b;
	u64 at;

	snprintf(name, sizeof(name), "/proc/%d/root%s", pid, path);
	fd = open(name, O_PATH | O_CLOEXEC);
	if (fd < 0 || binary_get(e, fd, &b) || !b->elf || util_elf_symbol(b->elf, "_r_debug", &at))
		return false;
	there.iov_base = (void *)(base + at);
	return process_vm_readv(pid, &here, 1, &there, 1, 0) == sizeof(r) && is_busy(&r);
}

static void linkers_close(struct engine *e)
{
	struct link *l;
	bool news = false;

	DL_FOREACH(e->linkers, l) {
		news |= !l->closing;
		l->closing = true;
		at_store_rel(&e->shared.gates[l->gate], 0);
	}
	e->seq += news;
}

int linker_leave_process(struct process *p)
{
	struct link *l;
	int r = 0;

	linkers_close(p->engine);
	DL_FOREACH(p->engine->linkers, l)
		for (struct module *m = p->modules; m && !r; m = m->next)
			if (m->binary == l->binary)
				r = attach_module(p, m, l->site, 1);
	if (!r)
		p->linker_watched = false;
	return r;
}

static bool is_watched(const struct process *p)
{
	return p->injected && p->linker_watched;
}

bool linker_is_anywhere(const struct engine *e)
{
	for (const struct process *p = e->processes; p; p = p->hh.next)
		if (is_watched(p))
			return true;
	return false;
}

void linker_forget_all(struct engine *e)
{
	struct link *l, *tmp;

	linkers_close(e);
	for (struct process *p = e->processes; p; p = p->hh.next) {
		if (!is_watched(p) || !process_alive(p) || steady_is_orphan(e))
			continue;
		if (linker_leave_process(p) || attach_quiesce(p, 500))
			p->unfinished = true;
		p->linker_watched = false;
	}
	DL_FOREACH_SAFE(e->linkers, l, tmp) {
		site_remove_consumer(l->site[0], &l->consumer[0]);
		gate_release(e, l->gate);
		DL_DELETE(e->linkers, l);
		linker_free(l);
	}
}
