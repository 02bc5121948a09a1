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

#define NEWEST 48 /* process ids; threads have some of them */
#define YOUNG_S 1

void starting_begin(struct starting *s, struct engine *e)
{
	*s = (struct starting){ .engine = e };
}

/* The id that was given out last: the fifth word of /proc/loadavg. */
static pid_t newest_pid(void)
{
	char text[128], *p = text;

	if (fd_read_text("/proc/loadavg", text, sizeof(text)) <= 0)
		return 0;
	p = strrchr(text, ' ');
	return p ? (pid_t)strtol(p + 1, NULL, 10) : 0;
}

static bool is_seen(const struct starting *s, pid_t pid)
{
	for (u32 i = 0; i < s->nseen && i < STARTING_SEEN; i++)
		if (s->seen[i] == pid)
			return true;
	return false;
}

static bool is_candidate(const struct starting *s, pid_t pid)
{
	struct timespec now;
	char path[32];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st) || st.st_uid != geteuid() || is_seen(s, pid) || steady_is_broker(s->engine, pid))
		return false;
	/* The directory's time is that of its first use, which is ours or later than the birth. */
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec - st.st_ctim.tv_sec <= YOUNG_S;
}

static bool is_ours(const struct starting *s, pid_t pid)
{
	struct process *p = process_find(s->engine, pid);

	return p && p->injected && process_alive(p);
}

/* Is some link for it on this file, as it is executed, or as it is mapped? */
static bool wants_file(const struct starting *s, pid_t pid, dev_t dev, u64 ino, bool mapped)
{
	struct link *l;

	DL_FOREACH(s->engine->links, l)
		if (!l->closing && (!l->pid || l->pid == pid) && l->binary->key.ino == ino &&
		    (mapped ? l->binary->map_dev : l->binary->key.dev) == dev)
			return true;
	return false;
}

struct scan {
	const struct starting *s;
	pid_t pid;
	bool wanted;
	u64 linker;
	char path[512];
};

static bool scan_visit(const struct proc_map *map, void *arg)
{
	struct scan *s = arg;

	if (!s->linker && linker_is_path(map->path) && map->path_len < sizeof(s->path)) {
		s->linker = map->start - map->off;
		memcpy(s->path, map->path, map->path_len + 1);
	}
	if (map->ino && !s->wanted)
		s->wanted = wants_file(s->s, s->pid, map->dev, map->ino, true);
	return false;
}

/* The program is known as soon as execve(2) cannot fail any more, long before its memory is. */
static bool is_wanted(const struct starting *s, pid_t pid)
{
	struct scan scan = { .s = s, .pid = pid };
	dev_t dev;
	u64 ino;

	if (!proc_exe(pid, &dev, &ino) && wants_file(s, pid, dev, ino, false))
		return true;
	return !proc_maps_each(pid, scan_visit, &scan) && scan.wanted;
}

pid_t starting_next(struct starting *s)
{
	pid_t last = newest_pid(), tracer;

	for (pid_t pid = last; pid > 1 && pid > last - NEWEST; pid--) {
		if (!is_candidate(s, pid) || !is_wanted(s, pid) || is_ours(s, pid))
			continue;
		s->seen[s->nseen++ % STARTING_SEEN] = pid;
		if (!proc_tracer(pid, &tracer) && !tracer)
			return pid;
	}
	return 0;
}

bool starting_is_early(struct starting *s, pid_t pid)
{
	struct scan scan = { .s = s, .pid = pid };

	if (proc_maps_each(pid, scan_visit, &scan) || !scan.wanted)
		return false;
	return !scan.linker || linker_is_busy_at(s->engine, pid, scan.path, scan.linker);
}
