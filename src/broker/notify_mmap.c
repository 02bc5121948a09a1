/* SPDX-License-Identifier: MIT */
/*
 * A map's memfd the kernel maps itself. A perf buffer is a part of the arena, at an offset that the caller does not know;
 * an array may have its memory in a map of the kernel's (object/twin.h);
 * and a seccomp listener cannot change arguments: a borrowed thread makes the right call.
 */
#include "broker/notify_mmap.h"

#include <errno.h>
#include <string.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/cmd/cmd.h"
#include "broker/link/lend.h"
#include "broker/object/map.h"
#include "broker/object/output.h"

bool notify_mmap_borrows(struct call *k, const u64 a[6])
{
	struct object *o;

	if (object_by_fd(k->c, (int)a[4], OBJECT_NKINDS, &o) < 0)
		return false;
	return o->kind == OBJECT_OUTPUT || (o->kind == OBJECT_MAP && object_to_map(o)->mem_fd != object_to_map(o)->fd);
}

s64 notify_mmap(struct call *k, const u64 a[6])
{
	s64 r, at = cmd_mmap(k, (int)a[4], a[1], a[2], a[3], a[5], a[0]);
	int flags = MAP_SHARED_VALIDATE | (int)(a[3] & MAP_FIXED); /* what the filter lets through (cli/filter.c) */

	if (at >= 0 && k->arena) { /* its address was right, or nobody will know it */
		k->native = true;
		return 0;
	}
	if (at < 0 || k->native)
		return at;
	r = k->b->held_caller ? -EBUSY
			      : lend_mmap(k->b, k->c->pid, a[0], a[1], (int)a[2], flags, k->ret_fd, (u64)at);
	close(k->ret_fd);
	k->ret_fd = -1;
	if (r < 0 && r > -4096)
		snprintf(k->notice, sizeof(k->notice), "the buffer cannot be mapped into pid %d: %s; is it being traced?",
			 k->c->pid, strerror((int)-r));
	return r;
}
