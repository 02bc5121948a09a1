/* SPDX-License-Identifier: MIT */
#include "broker/query.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/link/link.h"
#include "broker/query_kernel.h"
#include "util/fd.h"

static int query_write(json_t *root)
{
	char *text free_auto = json_dumps(root, JSON_COMPACT);
	int fd fd_auto = -1;
	int r;

	if (!text)
		return -ENOMEM;
	fd = memfd_create("notrap-query", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, text, strlen(text));
	if (r < 0)
		return r;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return fd_steal(&fd);
}

int query_ps(struct broker *b)
{
	json_t *root = link_ps_json(b);
	json_t *own = json_pack("{s:i, s:s, s:i, s:i}", "pid", (int)getpid(), "dir", b->dir, "maps",
				(int)HASH_COUNT(b->objects.by_id[OBJECT_MAP]), "programs",
				(int)HASH_COUNT(b->objects.by_id[OBJECT_PROG]));
	int r = -ENOMEM;

	if (root)
		json_object_set_new(root, "kernel", query_kernel(b));
	if (root && own && !json_object_set_new(root, "broker", json_incref(own)))
		r = query_write(root);
	json_decref(root);
	json_decref(own);
	return r;
}
