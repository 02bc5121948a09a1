/* SPDX-License-Identifier: MIT */
/*
 * Running ahead of the target's threads for the time of a stop: real-time priority where that is permitted, else the
 * best nice value. SCHED_RESET_ON_FORK keeps it from children and from threads we make.
 */
#include "inject/internal.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>

static bool is_real_time(int policy)
{
	policy &= ~SCHED_RESET_ON_FORK;
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

void inject_urgency_begin(struct inject_urgency *ret)
{
	struct inject_urgency u = {.policy = sched_getscheduler(0)};
	struct sched_param old, fifo = {.sched_priority = 1};

	*ret = u;
	if (u.policy < 0 || sched_getparam(0, &old) || is_real_time(u.policy))
		return; /* real time already: the caller has seen to it */
	u.priority = old.sched_priority;
	errno = 0;
	u.nice = getpriority(PRIO_PROCESS, 0);
	if (!sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &fifo))
		u.fifo = true;
	else if (!errno && !setpriority(PRIO_PROCESS, 0, -20))
		u.niced = true;
	*ret = u;
}

void inject_urgency_end(struct inject_urgency *u)
{
	struct sched_param old = {.sched_priority = u->priority};

	/* Dropping SCHED_RESET_ON_FORK takes the same privilege as the raise did. */
	if (u->fifo)
		sched_setscheduler(0, u->policy, &old);
	if (u->niced)
		setpriority(PRIO_PROCESS, 0, u->nice);
	u->fifo = u->niced = false;
}
