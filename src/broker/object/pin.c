/* SPDX-License-Identifier: MIT */
#include "broker/object/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utlist.h>

#include "abi/wire.h"
#include "broker/broker.h"
#include "broker/client.h"
#include "util/fd.h"

struct pin {
	struct pin *prev, *next;
	struct object *object; /* owned reference */
	int fd;		       /* O_PATH, of its file */
	ino_t ino;
};

struct pins {
	char dir[PATH_MAX];
	int dir_fd;
	struct pin *pins; /* utlist DL */
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (ftw->level)
		remove(path);
	return 0;
}

int pins_new(struct broker *b, struct pins **ret)
{
	struct pins *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return -ENOMEM;
	snprintf(p->dir, sizeof(p->dir), "%s/%s", b->dir, NT_BPFFS_DIR);
	if (mkdir(p->dir, 0700) < 0 && errno == EEXIST)
		nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	p->dir_fd = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->dir_fd < 0) {
		r = -errno;
		free(p);
		return r;
	}
	*ret = p;
	return 0;
}

static void pin_drop(struct pins *p, struct pin *pin)
{
	DL_DELETE(p->pins, pin);
	close(pin->fd);
	object_unref(pin->object);
	free(pin);
}

void pins_free(struct pins *p)
{
	struct pin *pin, *tmp;

	if (!p)
		return;
	DL_FOREACH_SAFE(p->pins, pin, tmp)
		pin_drop(p, pin);
	nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	close(p->dir_fd);
	free(p);
}

void pins_reap(struct pins *p)
{
	struct pin *pin, *tmp;
	struct stat st;

	if (!p)
		return;
	DL_FOREACH_SAFE(p->pins, pin, tmp)
		if (fstat(pin->fd, &st) < 0 || !st.st_nlink)
			pin_drop(p, pin);
}

bool pins_any(const struct pins *p)
{
	return p && p->pins;
}

/* --- names --- */

/* The client's path made absolute, "." and ".." and double slashes taken out by text. */
static int path_absolute(struct client *c, const char *path, char ret[PATH_MAX])
{
	char whole[2 * PATH_MAX], link[32];
	size_t n = 0;
	ssize_t len;

	if (path[0] == '/') {
		snprintf(whole, sizeof(whole), "%s", path);
	} else {
		snprintf(link, sizeof(link), "/proc/%d/cwd", c->pid);
		len = readlink(link, whole, PATH_MAX - 1);
		if (len < 0)
			return -errno;
		snprintf(whole + len, sizeof(whole) - (size_t)len, "/%s", path);
	}
	for (char *save = NULL, *part = strtok_r(whole, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
		if (!strcmp(part, "."))
			continue;
		if (!strcmp(part, "..")) {
			while (n && ret[--n] != '/')
				;
			continue;
		}
		if (n + strlen(part) + 2 > PATH_MAX)
			return -ENAMETOOLONG;
		n += (size_t)sprintf(ret + n, "/%s", part);
	}
	ret[n] = '\0';
	return 0;
}

static const char *path_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && (path[n] == '/' || !path[n]) ? path + n : NULL;
}

/* What is left of the path inside of our tree; 1: it is somewhere else. */
static int path_in_tree(const struct pins *p, struct client *c, const char *path, char ret[PATH_MAX])
{
	char whole[PATH_MAX];
	const char *tail;
	int r = path_absolute(c, path, whole);

	if (r < 0)
		return r;
	tail = path_below(whole, NT_BPFFS_PATH);
	if (!tail)
		tail = path_below(whole, p->dir);
	if (!tail)
		return 1;
	snprintf(ret, PATH_MAX, ".%s", tail);
	return 0;
}

/* bpf_lookup(): names with a dot are reserved. */
static bool name_is_refused(const char *tail)
{
	return strchr(tail + 1, '.');
}

static int open_in_tree(const struct pins *p, const char *tail, u64 flags)
{
	struct open_how how = {.flags = flags | O_CLOEXEC | O_NOFOLLOW, .resolve = RESOLVE_BENEATH,
			       .mode = flags & O_CREAT ? 0600 : 0};
	int fd = (int)syscall(SYS_openat2, p->dir_fd, tail, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* A pin cannot be made there, but which reason comes first? */
static int refuse_elsewhere(struct client *c, const char *path)
{
	char parent[PATH_MAX];
	char *slash;
	int fd = client_open_path(c, path);

	if (fd >= 0) {
		close(fd);
		return -EEXIST;
	}
	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (!slash)
		snprintf(parent, sizeof(parent), ".");
	else
		slash[slash == parent] = '\0';
	fd = client_open_path(c, parent);
	if (fd < 0)
		return fd;
	close(fd);
	return -EPERM;
}

int pin_create(struct broker *b, struct client *c, const char *path, struct object *o)
{
	struct pins *p = b->pins;
	struct pin *pin;
	char tail[PATH_MAX];
	struct stat st;
	int r, made fd_auto = -1;

	if (!p)
		return -EPERM;
	pins_reap(p);
	r = path_in_tree(p, c, path, tail);
	if (r)
		return r < 0 ? r : refuse_elsewhere(c, path);
	if (name_is_refused(tail))
		return -EPERM;
	pin = calloc(1, sizeof(*pin));
	if (!pin)
		return -ENOMEM;
	made = open_in_tree(p, tail, O_CREAT | O_EXCL | O_WRONLY);
	pin->fd = made < 0 ? made : open_in_tree(p, tail, O_PATH);
	if (pin->fd < 0 || fstat(pin->fd, &st) < 0) {
		r = pin->fd;
		free(pin);
		return r;
	}
	pin->ino = st.st_ino;
	pin->object = object_ref(o);
	DL_APPEND(p->pins, pin);
	return 0;
}

int pin_find(struct broker *b, struct client *c, const char *path, struct object **ret)
{
	struct pins *p = b->pins;
	char tail[PATH_MAX];
	int r, fd fd_auto = -1;
	struct pin *pin;
	struct stat st;

	if (!p)
		return -ENOENT;
	pins_reap(p);
	r = path_in_tree(p, c, path, tail);
	if (r < 0)
		return r;
	if (r) {
		fd = client_open_path(c, path);
		return fd < 0 ? fd : -EACCES;
	}
	if (name_is_refused(tail))
		return -EPERM;
	fd = open_in_tree(p, tail, O_PATH);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	DL_FOREACH(p->pins, pin)
		if (pin->ino == st.st_ino) {
			*ret = pin->object;
			return 0;
		}
	return -EACCES;
}
