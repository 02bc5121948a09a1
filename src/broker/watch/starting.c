/* SPDX-License-Identifier: MIT */
#include "broker/watch/starting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "broker/link/linker.h"
#include "broker/link/process.h"
#include "broker/link/steady.h"
#include "util/fd.h"
#include "util/proc.h"

#define NEWEST 48    /* process ids; threads have some of them */
#define PAUSE_NS 100000l
#define YOUNG_S 1

/* The id that was given out last: the fifth word of /proc/loadavg. */
static pid_t newest_pid(void)
{
	char text[128], *p = text;

	if (fd_read_text("/proc/loadavg", text, sizeof(text)) <= 0)
		return 0;
	p = strrchr(text, ' ');
	return p ? (pid_t)strtol(p + 1, NULL, 10) : 0;
}

static bool is_candidate(struct engine *e, pid_t pid)
{
	struct process *p = process_find(e, pid);
	struct timespec now;
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st) || st.st_uid != geteuid() || steady_is_broker(e, pid))
		return false;
	/* The directory's time is that of its first use, which is ours or later than the birth. */
	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec - st.st_ctim.tv_sec > YOUNG_S)
		return false;
	return !p || !p->injected || !process_alive(p);
}

struct scan {
	struct engine *e;
	pid_t pid;
	bool wanted;
	u64 linker;
	char path[512];
};

static bool scan_visit(const struct proc_map *map, void *arg)
{
	struct scan *s = arg;
	struct link *l;

	if (!s->linker && linker_is_path(map->path) && map->path_len < sizeof(s->path)) {
		s->linker = map->start - map->off;
		memcpy(s->path, map->path, map->path_len + 1);
	}
	if (!map->ino || s->wanted)
		return false;
	DL_FOREACH(s->e->links, l)
		if (!l->closing && (!l->pid || l->pid == s->pid) && l->binary->key.ino == map->ino &&
		    l->binary->map_dev == map->dev)
			s->wanted = true;
	return false;
}

static bool is_wanted(struct engine *e, pid_t pid, bool *ret_loading)
{
	struct scan s = { .e = e, .pid = pid };

	if (proc_maps_each(pid, scan_visit, &s) || !s.wanted)
		return false;
	*ret_loading = s.linker && linker_is_busy_at(e, pid, s.path, s.linker);
	return true;
}

void starting_find(struct engine *e, u32 ms, void (*found)(pid_t pid, bool loading, void *arg), void *arg)
{
	u64 end = engine_now_ns() + ms * 1000000ull;
	bool loading, any = false;

	do {
		pid_t last = newest_pid();

		for (pid_t pid = last; pid > 1 && pid > last - NEWEST; pid--)
			if (is_candidate(e, pid) && is_wanted(e, pid, &loading)) {
				found(pid, loading, arg);
				any = true;
			}
		if (!any)
			nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
	} while (!any && engine_now_ns() < end);
}
