/* SPDX-License-Identifier: MIT */
/*
 * The front end inside a loader. It forwards system calls as they are; the broker does the rest and
 * hands back real descriptors. Rules of a guest: no malloc, no stdio, no libc call that could be
 * ours, errno untouched, nothing happens before the first call that concerns BPF.
 */
#include "shim/shim.h"

#include <errno.h>
#include <linux/mman.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"
#include "base/syscall.h"
#include "ipc/ipc.h"
#include "shim/arena.h"
#include "shim/born.h"
#include "shim/fastmap.h"
#include "shim/fdset.h"
#include "shim/polled.h"
#include "shim/pretend.h"
#include "shim/run.h"
#include "shim/session.h"

/* The one piece of state a front end has; a guest has nowhere else to keep it. */
static struct {
	struct session session;
	struct fdset fds;
	struct polled polled;
} shim;

void shim_start(void)
{
	session_adopt(&shim.session, getenv("NOTRAP_FD"));
	pretend_start(shim.session.ino);
	born_tell(&shim.session);
}

static s64 shim_raw(long nr, u64 a0, u64 a1, u64 a2, u64 a3)
{
	return sys_call6(nr, a0, a1, a2, a3, 0, 0);
}

/* Why a call failed, in words where an errno is all that the loader gets; with `notrap run -v` also what the user should
 * know although it worked. */
static void shim_show_notice(const struct nt_reply *reply)
{
	const char *verbose = getenv("NOTRAP_VERBOSE");
	char line[2048] = "notrap: ";
	size_t n = 8, len = bits_min((size_t)reply->text_len, sizeof(line) - n - 1);

	if (!len || (reply->ret >= 0 && (!verbose || verbose[0] != '1')))
		return;
	for (size_t i = 0; i < len; i++)
		line[n++] = reply->text[i];
	line[n++] = '\n';
	shim_raw(__NR_write, 2, (u64)line, n, 0);
}

static void shim_run_left(u64 token)
{
	const u64 arg[6] = {token};
	struct nt_reply reply;
	int fd;

	session_call(&shim.session, NT_OP_RUN_LEFT, arg, &reply, &fd);
}

/* arg: of the call that was answered. */
static s64 shim_run(const struct nt_run_order *order, u32 op, const u64 arg[6])
{
	s64 r = 0;

	if (order->period_ns)
		return run_by_clock(order, shim_run_left);
	if (op == NT_OP_BPF)
		r = run_once(order, arg[1], arg[2]);
	shim_run_left(order->token);
	return r;
}

#define ATTR_MAX 256u

/* bpf(arg...) with another descriptor in its attr, at offset `at`. What the kernel writes there is the caller's. */
static s64 shim_instead(const u64 arg[6], u64 at, int fd)
{
	u8 copy[ATTR_MAX], *attr = (u8 *)arg[1];
	u64 size = (u32)arg[2];
	s64 r = -E2BIG;

	if (size <= sizeof(copy) && at + sizeof(fd) <= size) {
		mem_copy(copy, attr, size);
		mem_copy(copy + at, &fd, sizeof(fd));
		r = shim_raw(__NR_bpf, arg[0], (u64)copy, size, 0);
		mem_copy(copy + at, attr + at, sizeof(fd));
		mem_copy(attr, copy, size);
	}
	shim_raw(__NR_close, (u64)fd, 0, 0, 0);
	return r;
}

static s64 shim_call(u32 op, const u64 arg[6])
{
	struct nt_reply reply;
	int fd, r = session_call(&shim.session, op, arg, &reply, &fd);

	if (r < 0)
		return r;
	shim_show_notice(&reply);
	if (reply.flags & NT_REPLY_NATIVE)
		return SHIM_NATIVE;
	if (reply.flags & NT_REPLY_INSTEAD && reply.flags & NT_REPLY_FD)
		return reply.ret < 0 ? reply.ret : shim_instead(arg, (u64)reply.ret, fd);
	if (reply.flags & NT_REPLY_RUN) {
		s64 failed = shim_run(&reply.run, op, arg);

		if (failed && fd >= 0)
			shim_raw(__NR_close, (u64)fd, 0, 0, 0);
		if (failed)
			return failed;
	}
	if (!(reply.flags & NT_REPLY_FD))
		return reply.ret;
	fdset_put(&shim.fds, fd, true);
	return fd;
}

/* A program that makes a system call (payload/helper_loader.c). Compiled programs do not align the stack. */
__attribute__((force_align_arg_pointer)) static s64 shim_program_call(u64 helper, u64 r1, u64 r2, u64 r3)
{
	bool ours = helper == BPF_FUNC_sys_close && shim_knows_fd((int)r1);
	s64 r;

	if (helper == BPF_FUNC_sys_bpf) {
		r = shim_bpf(r1, r2, r3);
		return r == SHIM_NATIVE ? sys_call3(__NR_bpf, r1, r2, r3) : r;
	}
	if (shim_hides_fd((int)r1))
		return -EBADF;
	r = sys_call3(__NR_close, r1, 0, 0);
	if (!r)
		shim_closed((int)r1, ours);
	return r;
}

/* The memory of a map that is not its descriptor's own. NULL: not to be had. */
static u8 *map_elsewhere(int fd, u64 size)
{
	const u64 arg[6] = {(u64)fd};
	struct nt_reply reply;
	int other = -1, r = session_call(&shim.session, NT_OP_MAP_MEMORY, arg, &reply, &other);
	s64 at;

	if (r < 0 || !(reply.flags & NT_REPLY_FD))
		return NULL;
	at = sys_call6(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, (u64)other, 0);
	shim_raw(__NR_close, (u64)other, 0, 0, 0);
	return at < 0 && at > -(s64)NT_PAGE ? NULL : (u8 *)at;
}

static int shim_map_view(int fd, struct nt_map_answer *ret, int *ret_news_fd)
{
	const u64 arg[6] = {(u64)fd, (u64)ret};
	struct nt_reply reply;
	int r;

	if (!shim_knows_fd(fd))
		return -EBADF; /* a close of it would not be seen */
	r = session_call(&shim.session, NT_OP_MAP_VIEW, arg, &reply, ret_news_fd);
	if (r < 0 || reply.ret < 0)
		return r < 0 ? r : (int)reply.ret;
	if (ret->may & NT_MAP_ELSEWHERE) {
		ret->view.base = map_elsewhere(fd, ret->view.size);
		ret->may = ret->view.base ? ret->may : 0;
	}
	return (int)reply.ret;
}

s64 shim_bpf(u64 cmd, u64 attr, u64 size)
{
	const u64 arg[6] = {cmd, attr, size, cmd == BPF_PROG_TEST_RUN ? (u64)shim_program_call : 0};
	s64 r = fastmap_bpf(cmd, attr, size, shim_map_view);

	if (r != FASTMAP_ASK)
		return r;

	return shim_call(NT_OP_BPF, arg);
}

s64 shim_perf_open(u64 attr, u64 pid, u64 cpu, u64 group_fd, u64 flags)
{
	static const char refused[] = "notrap: the kernel refuses this event, and notrap has no answer for it: it knows uprobes, "
				      "clocks and perf buffers, not probes of the kernel or counters of the hardware\n";
	const u64 arg[6] = {attr, pid, cpu, group_fd, flags};
	s64 r = shim_call(NT_OP_PERF_OPEN, arg);

	if (r != SHIM_NATIVE)
		return r;
	r = sys_call6(__NR_perf_event_open, attr, pid, cpu, group_fd, flags, 0);
	if (r == -EACCES || r == -EPERM)
		shim_raw(__NR_write, 2, (u64)refused, sizeof(refused) - 1, 0);
	return r;
}

s64 shim_ioctl(int fd, u64 request, u64 argument)
{
	const u64 arg[6] = {(u64)fd, request, argument};

	return shim_call(NT_OP_IOCTL, arg);
}

bool shim_knows_fd(int fd)
{
	return fdset_has(&shim.fds, fd);
}

bool shim_hides_fd(int fd)
{
	return session_owns(&shim.session, fd);
}

static s64 polled_ctl(int epfd, int op, int event_fd, u64 event)
{
	struct epoll_event ev;

	if (!event)
		return shim_raw(__NR_epoll_ctl, (u64)epfd, (u64)op, (u64)event_fd, 0);
	ev = *(const struct epoll_event *)event;
	ev.events |= EPOLLET; /* nobody reads the eventfd: every write of the broker is one event */
	return shim_raw(__NR_epoll_ctl, (u64)epfd, (u64)op, (u64)event_fd, (u64)&ev);
}

static void polled_drop(const struct polled_entry *e)
{
	/* The broker has the same open file, so closing alone would not take it out of the set. */
	shim_raw(__NR_epoll_ctl, (u64)e->epfd, EPOLL_CTL_DEL, (u64)e->event_fd, 0);
	shim_raw(__NR_close, (u64)e->event_fd, 0, 0, 0);
}

static s64 polled_new(int epfd, int fd, u64 event)
{
	const u64 arg[6] = {(u64)fd};
	struct nt_reply reply;
	int event_fd, r = session_call(&shim.session, NT_OP_POLLABLE, arg, &reply, &event_fd);
	s64 ret;

	if (r == 0 && reply.flags & NT_REPLY_NATIVE)
		return SHIM_NATIVE;
	if (r < 0 || !(reply.flags & NT_REPLY_FD))
		return -EPERM;
	event_fd = session_move_fd(event_fd);
	if (epfd == POLLED_BY_POLL) {
		if (polled_add(&shim.polled, epfd, fd, event_fd))
			return event_fd;
		shim_raw(__NR_close, (u64)event_fd, 0, 0, 0);
		return -ENOSPC;
	}
	ret = polled_ctl(epfd, EPOLL_CTL_ADD, event_fd, event);
	if (!ret && !polled_add(&shim.polled, epfd, fd, event_fd))
		ret = -ENOSPC; /* as for a full epoll quota */
	if (ret < 0)
		polled_drop(&(struct polled_entry){epfd, fd, event_fd});
	return ret;
}

s64 shim_epoll_ctl(int epfd, int op, int fd, u64 event)
{
	int event_fd = polled_find(&shim.polled, epfd, fd);
	struct polled_entry e;

	if (event_fd < 0)
		return op == EPOLL_CTL_ADD && event ? polled_new(epfd, fd, event) : SHIM_NATIVE;
	if (op != EPOLL_CTL_DEL)
		return polled_ctl(epfd, op, event_fd, event);
	if (polled_take_pair(&shim.polled, epfd, fd, &e))
		polled_drop(&e);
	return 0;
}

int shim_poll_fd(int fd)
{
	int event_fd;
	s64 r;

	if (!shim_knows_fd(fd))
		return -1;
	event_fd = polled_find(&shim.polled, POLLED_BY_POLL, fd);
	if (event_fd >= 0)
		return event_fd;
	r = polled_new(POLLED_BY_POLL, fd, 0);
	return r < 0 ? -1 : (int)r;
}

void shim_poll_took(int event_fd)
{
	u64 count;

	shim_raw(__NR_read, (u64)event_fd, (u64)&count, sizeof(count), 0);
}

s64 shim_mmap(u64 addr, u64 length, u64 prot, u64 flags, int fd, u64 offset)
{
	const u64 arg[6] = {(u64)fd, length, prot, flags, offset, addr};
	struct nt_reply reply;
	int other, r = session_call(&shim.session, NT_OP_MMAP, arg, &reply, &other);
	s64 at;

	if (r < 0 || reply.flags & NT_REPLY_NATIVE)
		return SHIM_NATIVE;
	shim_show_notice(&reply);
	if (reply.flags & NT_REPLY_ARENA && reply.ret >= 0)
		return arena_map(&shim.session, fd, &(struct arena_place){addr, length, prot, flags, (u64)reply.ret});
	if (!(reply.flags & NT_REPLY_FD))
		return reply.ret;
	at = sys_call6(__NR_mmap, addr, length, prot, flags, (u64)other, (u64)reply.ret);
	shim_raw(__NR_close, (u64)other, 0, 0, 0);
	return at;
}

/*
 * In a forked child the parent's objects are not ours to wait for, its epoll sets not ours to
 * change; a vfork child even shares the tables below with it.
 */
static bool shim_is_owner(void)
{
	return at_load(&shim.session.pid) == (u32)shim_raw(__NR_getpid, 0, 0, 0, 0);
}

static void shim_sync(void)
{
	const u64 arg[6] = {};

	shim_call(NT_OP_SYNC, arg);
	run_settle();
}

void shim_closed(int fd, bool was_ours)
{
	struct polled_entry e;

	fastmap_closed(fd);
	if ((!was_ours && !at_load(&shim.polled.n)) || !shim_is_owner())
		return;
	while (polled_take(&shim.polled, fd, &e))
		polled_drop(&e);
	if (!was_ours)
		return;
	fdset_put(&shim.fds, fd, false);
	shim_sync();
}

void shim_closed_range(u32 first, u32 last)
{
	bool any = false;

	for (u32 fd = first; fd <= last && fd < FDSET_MAX; fd++)
		fastmap_closed((int)fd);
	if (!shim_is_owner())
		return;
	for (u32 fd = first; fd <= last && fd < FDSET_MAX; fd++) {
		if (!shim_knows_fd((int)fd))
			continue;
		any = true;
		fdset_put(&shim.fds, (int)fd, false);
	}
	if (any)
		shim_sync();
}

void shim_duplicated(int from, int to, bool to_was_ours)
{
	bool ours = shim_knows_fd(from);

	if (from == to)
		return;
	if (to_was_ours)
		shim_closed(to, true);
	if (ours)
		fdset_put(&shim.fds, to, true);
}

void shim_child_ended(void)
{
	if (shim_is_owner())
		shim_sync();
}

void shim_unpinned(void)
{
	if (shim_is_owner())
		shim_sync();
}

int shim_fdinfo(int fd)
{
	const u64 arg[6] = {(u64)fd};
	struct nt_reply reply;
	int text;

	if (!shim_knows_fd(fd) || !shim_is_owner() || session_call(&shim.session, NT_OP_FDINFO, arg, &reply, &text) < 0)
		return -1;
	return reply.flags & NT_REPLY_FD ? text : -1;
}
