/* SPDX-License-Identifier: MIT */
#include "broker/link/ids.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

#define NIDS (NT_IDS_SETS * NT_IDS_WAYS)

struct table {
	struct process *p;
	struct nt_ids *e;   /* [NIDS] as it is in the process */
	bool alive[NIDS];   /* its thread is still there */
	u32 left;	    /* found no room */
};

static u64 pid_namespace(const char *process)
{
	char path[40];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%s/ns/pid", process);
	return stat(path, &st) ? 0 : st.st_ino;
}

bool ids_is_foreign(pid_t pid)
{
	char text[16];
	u64 theirs;

	snprintf(text, sizeof(text), "%d", pid);
	theirs = pid_namespace(text);
	return theirs && theirs != pid_namespace("self");
}

static u64 at(const struct table *t, u32 i)
{
	return t->p->local + offsetof(struct nt_local, ids) + i * sizeof(*t->e);
}

/* Threads that are known need no further look: their numbers do not change. */
static bool mark_known(struct table *t, u32 there)
{
	for (u32 i = 0; i < NIDS; i++)
		if (t->e[i].here && t->e[i].there == there) {
			t->alive[i] = true;
			return true;
		}
	return false;
}

static bool visit_old(pid_t tid, void *arg)
{
	mark_known(arg, (u32)tid);
	return false;
}

static void add(struct table *t, u32 here, u32 there)
{
	const struct nt_ids new = { .here = here, .there = there, .sum = nt_ids_sum(here, there) };
	u32 first = here % NT_IDS_SETS * NT_IDS_WAYS;

	for (u32 i = first; i < first + NT_IDS_WAYS; i++)
		if (!t->alive[i] && !inject_write(&t->p->target, at(t, i), &new, sizeof(new))) {
			t->e[i] = new;
			t->alive[i] = true;
			return;
		}
	t->left++;
}

static bool visit_new(pid_t tid, void *arg)
{
	struct table *t = arg;
	struct proc_status st;

	if (!mark_known(t, (u32)tid) && !proc_status_read(tid, &st))
		add(t, (u32)st.ns_pid, (u32)tid);
	return false;
}

void ids_fill(struct process *p)
{
	struct table *t free_auto = calloc(1, sizeof(*t));
	struct nt_ids *e free_auto = calloc(NIDS, sizeof(*e));
	u32 tgid = (u32)p->pid;

	if (!t || !e || inject_read(&p->target, p->local + offsetof(struct nt_local, ids), e, NIDS * sizeof(*e)))
		return;
	t->p = p;
	t->e = e;
	proc_tids_each(p->pid, visit_old, t);
	proc_tids_each(p->pid, visit_new, t);
	inject_write(&p->target, p->local + offsetof(struct nt_local, tgid_there), &tgid, sizeof(tgid));
	if (t->left)
		log_info("pid %d (%s): no room for the ids of %u threads: programs see those of its own namespace", p->pid, p->comm,
			 t->left);
}

bool ids_answer(struct process *p)
{
	u32 seq;

	if (!p->foreign || inject_read(&p->target, p->state + offsetof(struct nt_state, ids_seq), &seq, sizeof(seq)) ||
	    seq == p->ids_seq)
		return false;
	p->ids_seq = seq;
	ids_fill(p);
	return true;
}
