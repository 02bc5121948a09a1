/* SPDX-License-Identifier: MIT */
/*
 * Attaching takes system calls in the target. From outside that takes ptrace, and a loader that starts its target
 * itself may be tracing it already: bpftrace holds the child of `-c` back in that way, and there is one tracer only.
 * But we are inside, on the only thread, at a harmless place: so the broker asks and we make the calls ourselves, until
 * it says that all is done.
 *
 *     broken off    the connection is closed, the program goes on; the broker finds it later by looking, as ever
 *     no answer     half a second when the broker is stopped or gone. While it is not, it may take its time (ipc_call): the
 *                   machine may be far too busy, a link may have a million targets
 */
#include "shim/born.h"

#include <errno.h>

#include "base/mem.h"
#include "base/syscall.h"
#include "ipc/ipc.h"

#define ANSWER_MS 500

#define ARCH_GET_FS 0x1003

static u64 thread_pointer(void)
{
	u64 fs = 0;

	sys_call3(__NR_arch_prctl, ARCH_GET_FS, (u64)&fs, 0);
	return fs;
}

static s64 obey(const struct nt_reply *reply, int fd)
{
	struct nt_do d;

	if (reply->text_len < sizeof(d))
		return -EPROTO;
	mem_copy(&d, reply->text, sizeof(d));
	if (d.nr == NT_DO_NOTHING)
		return 0;
	if (d.nr == NT_DO_TAKE_FD)
		return fd;
	return sys_call6((long)d.nr, d.arg[0], d.arg[1], d.arg[2], d.arg[3], d.arg[4], d.arg[5]);
}

/* 0, or -errno when the two have lost each other. */
static int converse(struct session *s)
{
	const u64 arg[6] = {thread_pointer()};
	struct nt_request q = session_request(s, NT_OP_BORN, arg);
	struct nt_reply reply;

	for (;;) {
		int fd = -1, r = ipc_call(s->sock, &q, &reply, &fd);
		u64 done[6] = {0};

		if (r < 0)
			return r;
		if (!(reply.flags & NT_REPLY_DO))
			return 0;
		done[0] = (u64)obey(&reply, fd);
		q = session_request(s, NT_OP_DONE, done);
	}
}

void born_tell(struct session *s)
{
	bool adopted = s->ino; /* the loader itself: `notrap run` has connected for it */
	u64 old = signals_block();
	int r = session_ready(s, ANSWER_MS);

	if (!r) {
		ipc_answer_within(s->sock, ANSWER_MS);
		r = converse(s);
		ipc_answer_within(s->sock, 0);
	}
	if (r || !adopted)
		session_close(s); /* what is not a loader does not carry our descriptor along */
	signals_restore(old);
}
