/* SPDX-License-Identifier: MIT */
/* Which cgroup (version 2) a process is in, and the ids that the kernel has for it and those above: inode numbers. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/proc.h"

#define ROOT_ID 1u /* the hierarchy's root has it on every kernel, mounted or not */

/* The rest of the first line that starts with prefix, NUL-terminated. */
static int line_after(const char *file, const char *prefix, char *ret, size_t size)
{
	FILE *f = fopen(file, "re");
	size_t n = strlen(prefix);
	int r = -ENOENT;

	if (!f)
		return -errno;
	while (r && fgets(ret, (int)size, f))
		if (!strncmp(ret, prefix, n)) {
			ret[strcspn(ret, "\n")] = 0;
			memmove(ret, ret + n, strlen(ret + n) + 1);
			r = 0;
		}
	fclose(f);
	return r;
}

/* Where the hierarchy is mounted for this process: mountinfo has ROOT and MOUNT POINT as fields 4 and 5 and the type
 * behind " - ". */
static int mount_point(char ret[PATH_MAX])
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[2 * PATH_MAX];
	int r = -ENOENT;

	if (!f)
		return -errno;
	while (r && fgets(line, sizeof(line), f)) {
		const char *type = strstr(line, " - ");
		char root[PATH_MAX];

		if (type && !strncmp(type, " - cgroup2 ", 11) &&
		    sscanf(line, "%*s %*s %*s %4095s %4095s", root, ret) == 2 && !strcmp(root, "/"))
			r = 0;
	}
	fclose(f);
	return r;
}

int proc_cgroup_ids(pid_t pid, u64 *ids, u32 max)
{
	char file[64], path[PATH_MAX], dir[2 * PATH_MAX];
	u32 n = 0;
	size_t at;
	int r;

	snprintf(file, sizeof(file), "/proc/%d/cgroup", pid);
	r = line_after(file, "0::", path, sizeof(path));
	if (r)
		return r;
	if (!max || path[0] != '/' || strstr(path, "/..")) /* outside of our own cgroup namespace */
		return -ENOENT;
	ids[n++] = ROOT_ID;
	if (!path[1])
		return (int)n;
	r = mount_point(dir);
	if (r)
		return r;
	at = strlen(dir);
	for (const char *p = path; *p && n < max; n++) {
		size_t len = 1 + strcspn(p + 1, "/");
		struct stat st;

		if (at + len >= sizeof(dir))
			return -ENAMETOOLONG;
		memcpy(dir + at, p, len);
		at += len;
		dir[at] = 0;
		if (stat(dir, &st))
			return -errno;
		ids[n] = st.st_ino;
		p += len;
	}
	return (int)n;
}
