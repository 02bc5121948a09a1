/* SPDX-License-Identifier: MIT */
#include "broker/watch/join.h"

#include <errno.h>

#include "broker/link/attach.h"
#include "broker/link/batch.h"
#include "broker/link/exits.h"
#include "broker/link/linker.h"

bool join_wants(const struct link *l, const struct process *p)
{
	return !l->closing && (!l->pid || l->pid == p->pid);
}

struct joining {
	struct process *p;
	struct link *l;
};

static int attach_steps(void *arg)
{
	struct joining *j = arg;
	struct process *p = j->p;
	struct link *l = j->l;
	int r = attach_process(p, l->binary, l->site, l->nsites);

	if (r == -EBUSY)
		return r;
	if (!r && l->pid) { /* nothing of the file is mapped yet: be ready for when it is */
		r = process_prepare(p);
		if (!r)
			r = process_open_gate(p, l->gate, 1);
	}
	linker_watch_process(p);
	if (r >= 0 && (l->at_return || l->session) && l->pid && p->no_returns && l->nsites == l->n)
		return -EOPNOTSUPP;
	return r;
}

int join_attach(struct process *p, struct link *l)
{
	struct joining j = { p, l };
	u32 tries = 0;
	int r = l->pid ? 1 : process_scan_modules(p, l->binary);

	if (!r)
		linker_watch_process(p);
	if (r <= 0)
		return r;
	p->pause_ns = 0;
	do
		r = l->nsites > ATTACH_MANY ? attach_steps(&j) : process_hold(p, attach_steps, &j);
	while (attach_again(p, r, &tries));
	for (struct module *m = p->modules; m && r > 0; m = m->next)
		if (m->binary == l->binary)
			attach_compact(p, m);
	return r;
}

bool join_is_missing(struct process *p, struct link *l)
{
	int found = l->session && p->no_returns ? 0 : process_scan_modules(p, l->binary);

	if (found <= 0)
		return false;
	for (struct module *m = p->modules; m; m = m->next) {
		if (m->binary != l->binary)
			continue;
		for (u32 i = 0; i < l->nsites; i++) {
			const struct site *s = l->site[i];

			if (batch_consumer_wanted(p, s, i < l->n ? &l->consumer[i] : exits_consumer(l, i)))
				return s->id >= m->npatch || !m->patch[s->id].region;
		}
	}
	return false;
}
