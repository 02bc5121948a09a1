/* SPDX-License-Identifier: MIT */
/* A broker in this process, with the test itself as its client: commands can be called without a
 * socket. */
#pragma once

#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/client.h"
#include "broker/cmd/cmd.h"
#include "broker/link/link.h"
#include "tap.h"

struct rig {
	struct broker b;
	struct client self;
	char dir[64];
};

static inline void rig_init(struct rig *r)
{
	strcpy(r->dir, "/tmp/notrap-rig-XXXXXX");
	if (!mkdtemp(r->dir) || broker_init(&r->b, r->dir) < 0 ||
	    engine_new(&r->b, &r->b.engine) < 0)
		exit(99);
	r->self = (struct client){.broker = &r->b, .pid = getpid(), .uid = geteuid(), .sock = -1};
	r->self.pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
}

static inline void rig_deinit(struct rig *r)
{
	char path[128];

	broker_deinit(&r->b);
	close(r->self.pidfd);
	snprintf(path, sizeof(path), "%s/broker", r->dir);
	unlink(path);
	rmdir(r->dir);
}

/* bpf(2): the result, or the new descriptor. */
static inline s64 rig_bpf(struct rig *r, u32 cmd, void *attr, u32 size)
{
	struct call k = {.b = &r->b, .c = &r->self, .ret_fd = -1};
	s64 ret = cmd_bpf(&k, cmd, (u64)attr, size);

	return k.ret_fd >= 0 ? k.ret_fd : ret;
}

static inline u32 rig_count(struct rig *r, u32 kind)
{
	return HASH_COUNT(r->b.objects.by_id[kind]);
}
