/* SPDX-License-Identifier: MIT */
#include "broker/watch/door.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>

#include "broker/link/engine.h"
#include "broker/link/linker.h"
#include "broker/watch/keeper.h"
#include "util/log.h"
#include "util/proc.h"

#define WAITS_NS 150000000ull /* from an event to the sleep of the thread that caused it: on a busy machine, long */
#define LOOK_NS 50000l

static bool waits(pid_t tid, void *arg)
{
	struct door_waiter *w = arg;
	long nr;
	u64 pc;
	int r = proc_thread_where(w->pid, tid, &nr, &pc);

	w->running |= r == -EAGAIN;
	if (r)
		return false;
	if (w->executes ? nr != SYS_execve && nr != SYS_execveat : nr != SYS_open && nr != SYS_openat && nr != SYS_openat2)
		return false;
	w->tid = tid;
	w->pc = pc;
	return true;
}

bool door_find_waiter(struct engine *e, const struct keeper_guest *g, struct door_waiter *ret)
{
	u64 end = engine_now_ns() + WAITS_NS;
	struct timespec pause = { .tv_nsec = LOOK_NS };

	do {
		*ret = (struct door_waiter){ .pid = g->pid, .executes = g->executes };
		if (proc_tids_each(g->pid, waits, ret))
			return false;
		if (ret->tid || !ret->running)
			return ret->tid;
		engine_show_life(e);
		nanosleep(&pause, NULL);
		pause.tv_nsec += pause.tv_nsec / 8;
	} while (engine_now_ns() < end);
	log_info("pid %d: not caught: it did not come to the door", g->pid);
	return false;
}

struct linker_at {
	u64 pc;
	bool is;
};

static bool linker_at_visit(const struct proc_map *map, void *arg)
{
	struct linker_at *l = arg;

	if (l->pc < map->start || l->pc >= map->end)
		return false;
	l->is = linker_is_path(map->path);
	return true;
}

bool door_is_linker_at(pid_t pid, u64 pc)
{
	struct linker_at l = { .pc = pc };

	return !proc_maps_each(pid, linker_at_visit, &l) && l.is;
}
