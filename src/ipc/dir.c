/* SPDX-License-Identifier: MIT */
#include "ipc/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/syscall.h"

/* A path under construction: too long is remembered, so that only the end needs a check. */
struct path {
	char *buf;
	size_t len, cap;
	bool overflow;
};

static void path_append(struct path *p, const char *s)
{
	for (; *s; s++) {
		if (p->len + 1 >= p->cap) {
			p->overflow = true;
			return;
		}
		p->buf[p->len++] = *s;
	}
	p->buf[p->len] = 0;
}

static void path_append_u32(struct path *p, u32 v)
{
	char digits[11];
	int i = sizeof(digits) - 1;

	digits[i] = 0;
	do {
		digits[--i] = '0' + v % 10;
		v /= 10;
	} while (v);
	path_append(p, digits + i);
}

/* Somebody else's directory, or one that others may enter, would let them pose as the broker. */
static int dir_check(const char *dir, u32 uid)
{
	struct stat st;
	s64 r = sys_call6(__NR_newfstatat, (u64)AT_FDCWD, (u64)dir, (u64)&st, AT_SYMLINK_NOFOLLOW,
			  0, 0);

	if (r < 0)
		return (int)r;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return st.st_uid == uid && !(st.st_mode & 077) ? 0 : -EPERM;
}

int ipc_runtime_dir(char *buf, size_t n)
{
	u32 uid = (u32)sys_call3(__NR_geteuid, 0, 0, 0);
	const char *dir = getenv("NOTRAP_DIR"), *xdg = getenv("XDG_RUNTIME_DIR");
	struct path p = {.buf = buf, .cap = n};
	s64 r;

	if (!n)
		return -ENAMETOOLONG;
	buf[0] = 0;
	if (dir && dir[0]) {
		path_append(&p, dir);
	} else if (xdg && xdg[0] == '/') {
		path_append(&p, xdg);
		path_append(&p, "/notrap");
	} else if (!uid) {
		path_append(&p, "/run/notrap");
	} else {
		path_append(&p, "/tmp/notrap-");
		path_append_u32(&p, uid);
	}
	if (p.overflow)
		return -ENAMETOOLONG;
	r = sys_call3(__NR_mkdir, (u64)buf, 0700, 0);
	if (r < 0 && r != -EEXIST)
		return (int)r;
	return dir_check(buf, uid);
}
