/* SPDX-License-Identifier: MIT */
/*
 * The libc functions that a loader calls and we get to see first. Each one has the calling
 * convention of the real one; variadic functions are written with their widest argument list, which
 * the ABIs of Linux pass the same way. No libc header that declares them is included.
 */
#include <asm/unistd.h>
#include <dlfcn.h>
#include <errno.h>
#include <asm/mman.h>
#include <linux/fcntl.h>

#include "abi/types.h"
#include "base/syscall.h"
#include "shim/shim.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT long syscall(long nr, long a0, long a1, long a2, long a3, long a4, long a5);
EXPORT int close(int fd);
EXPORT int close_range(unsigned int first, unsigned int last, int flags);
EXPORT int dup(int fd);
EXPORT int dup2(int from, int to);
EXPORT int dup3(int from, int to, int flags);
EXPORT int fcntl(int fd, int cmd, long arg);
EXPORT int fcntl64(int fd, int cmd, long arg);
EXPORT int ioctl(int fd, unsigned long request, long arg);
EXPORT int epoll_ctl(int epfd, int op, int fd, void *event);
struct pollfd {
	int fd;
	short events, revents;
};
EXPORT int poll(struct pollfd *fds, unsigned long n, int timeout);
EXPORT int __poll_chk(struct pollfd *fds, unsigned long n, int timeout, size_t size);
EXPORT int ppoll(struct pollfd *fds, unsigned long n, const void *timeout, const void *mask);
EXPORT void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset);
EXPORT void *mmap64(void *addr, size_t length, int prot, int flags, int fd, long offset);

EXPORT int capget(void *hdr, void *data); /* interpose_files.c */

#define CLOSE_RANGE_FLAG_CLOEXEC 4
#define MMAP_FAILED ((void *)-1)
#define PERF_IOCTL_TYPE '$'
#define PERF_IOCTL_SET_BPF 0x40042408ul

/* Next in line: libc's own, or another preloaded library's. */
static struct {
	__typeof__(&syscall) syscall;
	__typeof__(&close) close;
	__typeof__(&close_range) close_range;
	__typeof__(&dup) dup;
	__typeof__(&dup2) dup2;
	__typeof__(&dup3) dup3;
	__typeof__(&fcntl) fcntl;
	__typeof__(&ioctl) ioctl;
	__typeof__(&epoll_ctl) epoll_ctl;
	__typeof__(&poll) poll;
	__typeof__(&ppoll) ppoll;
	__typeof__(&mmap) mmap;
} real;

extern char **environ;

/* We are linked with -z initfirst: no code of the program or of any library has run, libc's own constructor included,
 * which sets environ. (musl has set it by now, and hands over no arguments.) */
__attribute__((constructor)) static void find_real(int argc, char **argv, char **envp)
{
	int saved = errno;

	if (!environ)
		environ = envp;

	real.close = dlsym(RTLD_NEXT, "close");
	real.close_range = dlsym(RTLD_NEXT, "close_range");
	real.dup = dlsym(RTLD_NEXT, "dup");
	real.dup2 = dlsym(RTLD_NEXT, "dup2");
	real.dup3 = dlsym(RTLD_NEXT, "dup3");
	real.fcntl = dlsym(RTLD_NEXT, "fcntl");
	real.ioctl = dlsym(RTLD_NEXT, "ioctl");
	real.epoll_ctl = dlsym(RTLD_NEXT, "epoll_ctl");
	real.poll = dlsym(RTLD_NEXT, "poll");
	real.ppoll = dlsym(RTLD_NEXT, "ppoll");
	real.mmap = dlsym(RTLD_NEXT, "mmap");
	real.syscall = dlsym(RTLD_NEXT, "syscall");
	shim_start();
	errno = saved;
}

/* What libc does with the kernel's result. */
static long result(s64 r)
{
	if (r >= 0)
		return (long)r;
	errno = (int)-r;
	return -1;
}

/* SHIM_NATIVE never gets here; a call that is answered keeps errno unless it fails. */
static long answered(s64 r, int saved)
{
	errno = saved;
	return result(r);
}

static long real_syscall(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
	if (!real.syscall)
		return result(sys_call6(nr, (u64)a0, (u64)a1, (u64)a2, (u64)a3, (u64)a4, (u64)a5));
	return real.syscall(nr, a0, a1, a2, a3, a4, a5);
}

int close(int fd)
{
	bool ours = shim_knows_fd(fd);
	int r, saved;

	if (shim_hides_fd(fd)) {
		errno = EBADF;
		return -1;
	}
	r = real.close ? real.close(fd) : (int)result(sys_call3(__NR_close, (u64)fd, 0, 0));
	saved = errno;
	shim_closed(fd, ours);
	errno = saved;
	return r;
}

int close_range(unsigned int first, unsigned int last, int flags)
{
	int r = real.close_range
		    ? real.close_range(first, last, flags)
		    : (int)result(sys_call3(__NR_close_range, first, last, (u64)flags));
	int saved = errno;

	if (!r && !(flags & CLOSE_RANGE_FLAG_CLOEXEC))
		shim_closed_range(first, last);
	errno = saved;
	return r;
}

static int duplicated(int from, int to, bool to_was_ours)
{
	int saved = errno;

	if (to >= 0)
		shim_duplicated(from, to, to_was_ours);
	errno = saved;
	return to;
}

int dup(int fd)
{
	return duplicated(
	    fd, real.dup ? real.dup(fd) : (int)result(sys_call3(__NR_dup, (u64)fd, 0, 0)), false);
}

int dup2(int from, int to)
{
	bool ours = shim_knows_fd(to);

	return duplicated(from,
			  real.dup2 ? real.dup2(from, to)
				    : (int)real_syscall(__NR_dup2, from, to, 0, 0, 0, 0),
			  ours);
}

int dup3(int from, int to, int flags)
{
	bool ours = shim_knows_fd(to);

	return duplicated(from,
			  real.dup3 ? real.dup3(from, to, flags)
				    : (int)real_syscall(__NR_dup3, from, to, flags, 0, 0, 0),
			  ours);
}

int fcntl(int fd, int cmd, long arg)
{
	int r = real.fcntl ? real.fcntl(fd, cmd, arg)
			   : (int)real_syscall(__NR_fcntl, fd, cmd, arg, 0, 0, 0);

	return cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC ? duplicated(fd, r, false) : r;
}

int fcntl64(int fd, int cmd, long arg)
{
	return fcntl(fd, cmd, arg);
}

/* Descriptors that came by SCM_RIGHTS or exec are not in our set: a failed perf request on them is
 * asked about. */
int ioctl(int fd, unsigned long request, long arg)
{
	/* A program of ours for an event of the kernel's is an error that has words, too. */
	bool perf = (request >> 8 & 0xff) == PERF_IOCTL_TYPE,
	     asked = perf && (shim_knows_fd(fd) || (request == PERF_IOCTL_SET_BPF && shim_knows_fd((int)arg)));
	int r, saved = errno;
	s64 a;

	if (asked) {
		a = shim_ioctl(fd, request, (u64)arg);
		if (a != SHIM_NATIVE)
			return (int)answered(a, saved);
	}
	r = real.ioctl ? real.ioctl(fd, request, arg)
		       : (int)real_syscall(__NR_ioctl, fd, (long)request, arg, 0, 0, 0);
	if (r == -1 && errno == ENOTTY && perf && !asked) {
		a = shim_ioctl(fd, request, (u64)arg);
		if (a != SHIM_NATIVE && a != -ECONNREFUSED && a != -ENOENT)
			return (int)answered(a, saved);
		errno = ENOTTY;
	}
	return r;
}

int epoll_ctl(int epfd, int op, int fd, void *event)
{
	int saved = errno, r;
	bool ours = shim_knows_fd(fd);
	s64 a = ours ? shim_epoll_ctl(epfd, op, fd, (u64)event) : SHIM_NATIVE;

	if (a != SHIM_NATIVE)
		return (int)answered(a, saved);
	r = real.epoll_ctl ? real.epoll_ctl(epfd, op, fd, event)
			   : (int)real_syscall(__NR_epoll_ctl, epfd, op, fd, (long)event, 0, 0);
	if (r == -1 && errno == EPERM && !ours) {
		a = shim_epoll_ctl(epfd, op, fd, (u64)event);
		if (a != SHIM_NATIVE)
			return (int)answered(a, saved);
		errno = EPERM;
	}
	return r;
}

#define POLL_SWAP_MAX 256u
#define POLL_IN 1

/* Puts what can be polled in the place of our descriptors. ret_event: per entry, -1 = as it was. */
static bool poll_swap(const struct pollfd *fds, unsigned long n, struct pollfd *ret, int *ret_event)
{
	bool any = false;

	for (unsigned long i = 0; i < n; i++)
		any |= shim_knows_fd(fds[i].fd);
	if (!any)
		return false;
	any = false;
	for (unsigned long i = 0; i < n; i++) {
		ret[i] = fds[i];
		ret_event[i] = shim_poll_fd(fds[i].fd);
		if (ret_event[i] < 0)
			continue;
		ret[i].fd = ret_event[i];
		any = true;
	}
	return any;
}

static void poll_unswap(struct pollfd *fds, unsigned long n, const struct pollfd *from, const int *event, int r)
{
	int saved = errno;

	for (unsigned long i = 0; r >= 0 && i < n; i++) {
		fds[i].revents = from[i].revents;
		if (event[i] >= 0 && from[i].revents & POLL_IN)
			shim_poll_took(event[i]);
	}
	errno = saved;
}

static int real_poll(struct pollfd *fds, unsigned long n, int timeout)
{
	return real.poll ? real.poll(fds, n, timeout) : (int)real_syscall(__NR_poll, (long)fds, (long)n, timeout, 0, 0, 0);
}

int poll(struct pollfd *fds, unsigned long n, int timeout)
{
	struct pollfd copy[POLL_SWAP_MAX];
	int event[POLL_SWAP_MAX], r, saved = errno;

	if (n > POLL_SWAP_MAX || !poll_swap(fds, n, copy, event))
		return real_poll(fds, n, timeout);
	errno = saved;
	r = real_poll(copy, n, timeout);
	poll_unswap(fds, n, copy, event, r);
	return r;
}

/* What a fortified poll() is compiled to. */
int __poll_chk(struct pollfd *fds, unsigned long n, int timeout, size_t size)
{
	if (size / sizeof(*fds) < n)
		__builtin_trap();
	return poll(fds, n, timeout);
}

/* The system call alone would write what is left of the time into the caller's timeout. */
static int real_ppoll(struct pollfd *fds, unsigned long n, const void *timeout, const void *mask)
{
	long left[2] = {};

	if (real.ppoll)
		return real.ppoll(fds, n, timeout, mask);
	if (timeout)
		__builtin_memcpy(left, timeout, sizeof(left));
	return (int)real_syscall(__NR_ppoll, (long)fds, (long)n, timeout ? (long)left : 0, (long)mask, 8, 0);
}

int ppoll(struct pollfd *fds, unsigned long n, const void *timeout, const void *mask)
{
	struct pollfd copy[POLL_SWAP_MAX];
	int event[POLL_SWAP_MAX], r, saved = errno;

	if (n > POLL_SWAP_MAX || !poll_swap(fds, n, copy, event))
		return real_ppoll(fds, n, timeout, mask);
	errno = saved;
	r = real_ppoll(copy, n, timeout, mask);
	poll_unswap(fds, n, copy, event, r);
	return r;
}

static void *real_mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
{
	return real.mmap ? real.mmap(addr, length, prot, flags, fd, offset)
			 : (void *)real_syscall(__NR_mmap, (long)addr, (long)length, prot, flags, fd, offset);
}

void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)
{
	bool anonymous = flags & MAP_ANONYMOUS || fd < 0, ours = !anonymous && shim_knows_fd(fd);
	int saved = errno;
	void *at;
	s64 a;

	if (ours) {
		a = shim_mmap((u64)addr, length, (u64)prot, (u64)flags, fd, (u64)offset);
		if (a != SHIM_NATIVE)
			return (void *)answered(a, saved);
	}
	at = real_mmap(addr, length, prot, flags, fd, offset);
	if (at == MMAP_FAILED && errno == ENODEV && !anonymous && !ours) {
		a = shim_mmap((u64)addr, length, (u64)prot, (u64)flags, fd, (u64)offset);
		if (a != SHIM_NATIVE)
			return (void *)answered(a, saved);
		errno = ENODEV;
	}
	return at;
}

void *mmap64(void *addr, size_t length, int prot, int flags, int fd, long offset)
{
	return mmap(addr, length, prot, flags, fd, offset);
}

long syscall(long nr, long a0, long a1, long a2, long a3, long a4, long a5)
{
	int saved = errno;
	s64 r = SHIM_NATIVE;

	switch (nr) {
	case __NR_bpf: r = shim_bpf((u64)a0, (u64)a1, (u64)a2); break;
	case __NR_perf_event_open:
		r = shim_perf_open((u64)a0, (u64)a1, (u64)a2, (u64)a3, (u64)a4);
		break;
	case __NR_capget: return capget((void *)a0, (void *)a1);
	case __NR_close: return close((int)a0);
	case __NR_dup: return dup((int)a0);
	case __NR_dup2: return dup2((int)a0, (int)a1);
	case __NR_dup3: return dup3((int)a0, (int)a1, (int)a2);
	case __NR_ioctl: return ioctl((int)a0, (unsigned long)a1, a2);
	case __NR_epoll_ctl: return epoll_ctl((int)a0, (int)a1, (int)a2, (void *)a3);
	case __NR_mmap: return (long)mmap((void *)a0, (size_t)a1, (int)a2, (int)a3, (int)a4, a5);
	case __NR_poll: return poll((struct pollfd *)a0, (unsigned long)a1, (int)a2);
	}
	if (r == SHIM_NATIVE)
		return real_syscall(nr, a0, a1, a2, a3, a4, a5);
	return answered(r, saved);
}
