/* SPDX-License-Identifier: MIT */
#include "broker/link/lend.h"

#include <sys/syscall.h>

#include "broker/broker.h"
#include "broker/link/sandbox.h"
#include "broker/link/steady.h"
#include "inject/inject.h"

struct mapping {
	struct broker *broker;
	pid_t pid;
	u64 addr, size, off;
	int prot, flags, fd;
	s64 result;
};

static s64 map_borrowed(struct inject_target *t, const struct mapping *m)
{
	s64 at;
	int remote, r = inject_send_fds(t, &m->fd, 1, &remote);

	if (r < 0)
		return r;
	at = inject_syscall(t, SYS_mmap, m->addr, m->size, (u64)m->prot, (u64)m->flags, (u64)remote, m->off);
	inject_syscall(t, SYS_close, (u64)remote, 0, 0, 0, 0, 0);
	return at;
}

static void map_steadily(void *arg)
{
	struct mapping *m = arg;
	struct inject_target t;

	m->result = inject_open(m->pid, &t);
	if (m->result < 0)
		return;
	t.seccomp_ok = sandbox_allows(m->broker, m->pid);
	m->result = inject_borrow(&t);
	if (!m->result) {
		m->result = map_borrowed(&t, m);
		inject_give_back(&t);
	}
	inject_close(&t);
}

s64 lend_mmap(struct broker *b, pid_t pid, u64 addr, u64 size, int prot, int flags, int fd, u64 off)
{
	struct mapping m = {
	    .broker = b, .pid = pid, .addr = addr, .size = size, .off = off, .prot = prot, .flags = flags, .fd = fd};

	steady_run(b->engine, map_steadily, &m);
	return m.result;
}
