/* SPDX-License-Identifier: MIT */
#include "broker/link/unfinished.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/bits.h"
#include "broker/link/attach.h"
#include "broker/link/steady.h"
#include "util/fd.h"
#include "util/log.h"

#define RETRY_NS 200000000ull
#define RETRY_MAX 5u /* so often is the time doubled: what is left on a stack may stay there for ever */
#define QUIESCE_MS 500u

bool unfinished_any(const struct engine *e)
{
	for (const struct process *p = e->processes; p; p = p->hh.next)
		if (p->unfinished)
			return true;
	return false;
}

/* Every site that has a jump, as its consumer list is now. */
static int finish_module(struct process *p, struct module *m)
{
	struct site **site free_auto = calloc(m->binary->nsites + 1, sizeof(*site));
	u32 n = 0;

	if (!site)
		return -ENOMEM;
	for (u32 i = 0; i < m->binary->nsites; i++) {
		struct site *s = m->binary->site[i];

		if (s->id < m->npatch && m->patch[s->id].region)
			site[n++] = s;
	}
	return n ? attach_module(p, m, site, n) : 0;
}

static bool prog_is_linked(const struct process *p, const struct process_prog *pp)
{
	struct link *l;

	DL_FOREACH(p->engine->links, l)
		if (l->prog == pp->prog && !l->closing)
			return true;
	return false;
}

static int finish(struct process *p)
{
	struct process_prog *pp, *tmp;
	int r = 0;

	for (struct module *m = p->modules; m && !r; m = m->next) {
		r = finish_module(p, m);
		if (r) { /* is it there at all? For the next time: m may be gone now */
			process_scan_modules(p, m->binary);
			break;
		}
	}
	if (!r)
		r = attach_quiesce(p, QUIESCE_MS);
	if (r)
		return r;
	HASH_ITER(hh, p->progs, pp, tmp) {
		if (pp->held || prog_is_linked(p, pp))
			continue;
		if (pp->needed)
			r = -EAGAIN;
		else
			process_unmap_prog(p, pp);
	}
	if (r || p->unfinished)
		return r ? r : -EAGAIN;
	log_info("pid %d (%s): detached at last", p->pid, p->comm);
	return 0;
}

void unfinished_retry(struct engine *e)
{
	struct process *p, *tmp;

	HASH_ITER(hh, e->processes, p, tmp) {
		if (!p->unfinished || steady_is_orphan(e))
			continue;
		if (!process_alive(p)) {
			process_forget(p);
			continue;
		}
		if (p->retry_ns > engine_now_ns())
			continue;
		p->unfinished = false;
		if (finish(p))
			p->unfinished = true;
		p->tries = p->unfinished ? bits_min(p->tries + 1, RETRY_MAX) : 0;
		p->retry_ns = engine_now_ns() + (RETRY_NS << p->tries);
	}
}
