/* SPDX-License-Identifier: MIT */
#include "broker/cmd/tasks.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "maps/maps.h"
#include "util/fd.h"
#include "util/proc.h"

/* The process of a pidfd: /proc/self/fdinfo has a line "Pid:", -1 when it is gone. */
static int pidfd_pid(int fd, pid_t *ret)
{
	char path[64], text[1024];
	const char *line;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	if (fd_read_text(path, text, sizeof(text)) <= 0)
		return -EBADF;
	line = strstr(text, "\nPid:");
	if (!line)
		return -EBADF;
	*ret = (pid_t)strtol(line + 5, NULL, 10);
	return *ret > 0 ? 0 : -ENOENT;
}

/* pid_task(): by the id that the thread itself knows. */
static int find_task(struct call *k, int pidfd, struct nt_task *ret)
{
	int fd fd_auto = client_get_fd(k->c, pidfd);
	char path[64];
	struct stat st;
	pid_t pid, ns_pid;
	int r = fd < 0 ? -EBADF : pidfd_pid(fd, &pid);

	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	if (stat(path, &st) < 0 || proc_ns_pid(pid, &ns_pid) < 0)
		return -ENOENT;
	*ret = (struct nt_task){.ns = st.st_ino, .tid = (u32)ns_pid};
	return 0;
}

int tasks_lookup(struct call *k, struct object_map *m, const int *pidfd, void *value)
{
	struct nt_task t;
	int r = find_task(k, *pidfd, &t);

	return r < 0 ? r : map_task_lookup(&m->view, &t, value);
}

int tasks_update(struct call *k, struct object_map *m, const int *pidfd, const void *value, u64 flags)
{
	struct nt_task t;
	int r;

	if (flags > BPF_EXIST)
		return -EINVAL;
	r = find_task(k, *pidfd, &t);
	return r < 0 ? r : map_task_update(&m->view, &k->b->caller, &t, value, flags);
}

int tasks_delete(struct call *k, struct object_map *m, const int *pidfd)
{
	struct nt_task t;
	int r = find_task(k, *pidfd, &t);

	return r < 0 ? r : map_task_delete(&m->view, &k->b->caller, &t);
}
