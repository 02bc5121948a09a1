/* SPDX-License-Identifier: MIT */
#include "shim/pretend.h"

#include <errno.h>
#include <linux/fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/syscall.h"

static struct {
	bool root;
} pretend;

static bool str_eq(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* What follows prefix in s, or NULL. */
static const char *str_after(const char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return NULL;
	return s;
}

/* Programs that refuse to begin when they are not root. */
static bool asks_for_root(void)
{
	char path[4096];
	s64 n = sys_call3(__NR_readlink, (u64) "/proc/self/exe", (u64)path, sizeof(path) - 1);
	const char *name = path;

	if (n <= 0)
		return false;
	path[n] = 0;
	for (const char *p = path; *p; p++)
		if (*p == '/')
			name = p + 1;
	return str_eq(name, "bpftrace");
}

void pretend_start(bool is_loader)
{
	const char *wanted = getenv("NOTRAP_ROOT");

	if (wanted && wanted[0] == '0')
		return;
	pretend.root = (is_loader && wanted && wanted[0] == '1') || (getenv("NOTRAP_FD") && asks_for_root());
}

bool pretend_root(void)
{
	return pretend.root;
}

int pretend_file(const char *path, int err, bool cloexec)
{
	/* Kernel probes and tracepoints: none. Loaders read the first to remove what they have not made there. */
	static const char *const files[] = {"uprobe_events", "kprobe_events", "available_events",
					    "available_filter_functions"};
	const char *name;
	s64 fd;

	if (!path || (err != EACCES && err != EPERM && err != ENOENT))
		return -1;
	name = str_after(path, "/sys/kernel/tracing/");
	if (!name)
		name = str_after(path, "/sys/kernel/debug/tracing/");
	for (size_t i = 0; name && i < sizeof(files) / sizeof(files[0]); i++) {
		if (!str_eq(name, files[i]))
			continue;
		fd = sys_call3(__NR_memfd_create, (u64) "notrap-empty", cloexec ? MFD_CLOEXEC : 0, 0);
		return fd < 0 ? -1 : (int)fd;
	}
	return -1;
}

bool pretend_limit(int resource, int err)
{
	return resource == RLIMIT_MEMLOCK && err == EPERM && getenv("NOTRAP_FD");
}
