/* SPDX-License-Identifier: MIT */
/*
 * The libc functions by which a loader looks around before it begins (pretend.h). As in interpose.c: widest argument
 * lists, no libc header that declares them. The real one is always tried first.
 */
#include <asm/unistd.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/fcntl.h>

#include "abi/types.h"
#include "base/syscall.h"
#include "shim/bpffs.h"
#include "shim/pretend.h"
#include "shim/shim.h"

#define EXPORT __attribute__((visibility("default")))

typedef struct file FILE; /* the C library's own; only passed through */

EXPORT long readlink(const char *path, char *buf, size_t n);
EXPORT long __readlink_chk(const char *path, char *buf, size_t n, size_t size);
EXPORT long readlinkat(int dir, const char *path, char *buf, size_t n);
EXPORT int open(const char *path, int flags, u32 mode);
EXPORT int open64(const char *path, int flags, u32 mode);
EXPORT int openat(int dir, const char *path, int flags, u32 mode);
EXPORT int openat64(int dir, const char *path, int flags, u32 mode);
EXPORT FILE *fopen(const char *path, const char *mode);
EXPORT FILE *fopen64(const char *path, const char *mode);
EXPORT u32 geteuid(void);
EXPORT int capget(struct __user_cap_header_struct *hdr, struct __user_cap_data_struct *data);
EXPORT int setrlimit(int resource, const void *limit);
EXPORT int setrlimit64(int resource, const void *limit);
EXPORT int prlimit(int pid, int resource, const void *limit, void *old);
EXPORT int prlimit64(int pid, int resource, const void *limit, void *old);

/* Next in line, found at the first call: others' constructors open files before ours could look. */
static struct {
	__typeof__(&open) open;
	__typeof__(&openat) openat;
	__typeof__(&fopen) fopen, fopen64;
	FILE *(*fdopen)(int, const char *);
} real;

/* Twice at the same time does no harm. */
static void find_real(void)
{
	if (real.fdopen)
		return;
	real.open = dlsym(RTLD_NEXT, "open");
	real.openat = dlsym(RTLD_NEXT, "openat");
	real.fopen = dlsym(RTLD_NEXT, "fopen");
	real.fopen64 = dlsym(RTLD_NEXT, "fopen64");
	__atomic_store_n(&real.fdopen, dlsym(RTLD_NEXT, "fdopen"), __ATOMIC_RELEASE);
}

static long resultl(s64 r)
{
	if (r >= 0)
		return (long)r;
	errno = (int)-r;
	return -1;
}

static int result(s64 r)
{
	if (r >= 0)
		return (int)r;
	errno = (int)-r;
	return -1;
}

/* "/proc/self" MIDDLE "7": 7; -1: something else, or another process'. */
static int proc_fd(const char *path, const char *middle)
{
	static const char prefix[] = "/proc/";
	u64 pid = 0, fd = 0;
	u32 i;

	for (i = 0; prefix[i]; i++)
		if (path[i] != prefix[i])
			return -1;
	path += i;
	if (path[0] == 's' && path[1] == 'e' && path[2] == 'l' && path[3] == 'f') {
		pid = (u64)sys_call3(__NR_getpid, 0, 0, 0);
		path += 4;
	} else {
		for (; *path >= '0' && *path <= '9'; path++)
			pid = pid * 10 + (u64)(*path - '0');
	}
	for (i = 0; middle[i]; i++)
		if (path[i] != middle[i])
			return -1;
	path += i;
	for (i = 0; *path >= '0' && *path <= '9' && i < 7; path++, i++)
		fd = fd * 10 + (u64)(*path - '0');
	return *path || !i || pid != (u64)sys_call3(__NR_getpid, 0, 0, 0) ? -1 : (int)fd;
}

/* What a descriptor of ours is, in the kernel's words; -1: not such a file. */
static int open_fdinfo(const char *path, int flags)
{
	int fd = path && (flags & O_ACCMODE) == O_RDONLY ? proc_fd(path, "/fdinfo/") : -1;

	fd = fd < 0 ? -1 : shim_fdinfo(fd);
	if (fd >= 0 && !(flags & O_CLOEXEC))
		sys_call3(__NR_fcntl, (u64)fd, F_SETFD, 0);
	return fd;
}

static bool has_line(const char *text, const char *name)
{
	for (const char *line = text; *line; line++) {
		u32 i = 0;

		while (name[i] && line[i] == name[i])
			i++;
		if (!name[i])
			return true;
		while (*line && *line != '\n')
			line++;
		if (!*line)
			return false;
	}
	return false;
}

/* What the kernel calls an object's descriptor in /proc/self/fd, or NULL: it is none of ours, or has no such name. */
static const char *fd_name(const char *path)
{
	static const struct {
		const char *line, *name;
	} kinds[] = {{"map_type:", "anon_inode:bpf-map"}, {"prog_type:", "anon_inode:bpf-prog"},
		     {"link_type:", "anon_inode:bpf-link"}, {"btf_id:", "anon_inode:btf"}};
	int fd = path ? proc_fd(path, "/fd/") : -1, text_fd = fd < 0 ? -1 : shim_fdinfo(fd);
	char text[1024];
	s64 n;

	if (text_fd < 0)
		return NULL;
	n = sys_call6(__NR_pread64, (u64)text_fd, (u64)text, sizeof(text) - 1, 0, 0, 0);
	sys_call3(__NR_close, (u64)text_fd, 0, 0);
	text[n > 0 ? n : 0] = 0;
	/* A link's text has prog_id, a program's no link_type: the last one that fits is the most special. */
	if (has_line(text, kinds[2].line))
		return kinds[2].name;
	for (u32 i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (has_line(text, kinds[i].line))
			return kinds[i].name;
	return NULL;
}

long readlinkat(int dir, const char *path, char *buf, size_t n)
{
	int saved = errno;
	const char *name = fd_name(path);
	size_t len = 0;

	errno = saved;
	if (!name)
		return resultl(sys_call6(__NR_readlinkat, (u64)dir, (u64)path, (u64)buf, n, 0, 0));
	for (; len < n && name[len]; len++)
		buf[len] = name[len];
	return (long)len;
}

long readlink(const char *path, char *buf, size_t n)
{
	return readlinkat(AT_FDCWD, path, buf, n);
}

/* What a fortified readlink() is compiled to. */
long __readlink_chk(const char *path, char *buf, size_t n, size_t size)
{
	if (size < n)
		__builtin_trap();
	return readlink(path, buf, n);
}

/* r: of opening path. Only what is opened for reading is replaced. */
static int opened(const char *path, int flags, int r, int saved)
{
	int fd = r >= 0 || (flags & O_ACCMODE) != O_RDONLY ? -1 : pretend_file(path, errno, flags & O_CLOEXEC);

	if (fd < 0)
		return r;
	errno = saved;
	return fd;
}

int openat(int dir, const char *path, int flags, u32 mode)
{
	char buf[BPFFS_PATH_MAX];
	int saved = errno, fd = open_fdinfo(path, flags);

	if (fd >= 0)
		return fd;
	find_real();
	path = bpffs_path(path, buf);
	return opened(path, flags,
		      real.openat ? real.openat(dir, path, flags, mode)
			   : result(sys_call6(__NR_openat, (u64)dir, (u64)path, (u64)flags, mode, 0, 0)),
		      saved);
}

int openat64(int dir, const char *path, int flags, u32 mode)
{
	return openat(dir, path, flags, mode);
}

int open(const char *path, int flags, u32 mode)
{
	char buf[BPFFS_PATH_MAX];
	int saved = errno, fd = open_fdinfo(path, flags);

	if (fd >= 0)
		return fd;
	find_real();
	path = bpffs_path(path, buf);
	return opened(path, flags,
		      real.open ? real.open(path, flags, mode)
			   : result(sys_call6(__NR_openat, (u64)AT_FDCWD, (u64)path, (u64)flags, mode, 0, 0)),
		      saved);
}

int open64(const char *path, int flags, u32 mode)
{
	return open(path, flags, mode);
}

/* f: what opening has given; saved: errno before. */
static FILE *fopened(FILE *f, const char *path, const char *mode, int saved)
{
	int fd;

	if (f || mode[0] != 'r' || mode[1] == '+')
		return f;
	fd = pretend_file(path, errno, true);
	if (fd < 0)
		return NULL;
	errno = saved;
	return real.fdopen(fd, "r");
}

FILE *fopen(const char *path, const char *mode)
{
	int saved = errno, fd = mode[0] == 'r' ? open_fdinfo(path, O_RDONLY | O_CLOEXEC) : -1;

	find_real();
	if (fd >= 0)
		return real.fdopen(fd, "r");
	return fopened(real.fopen(path, mode), path, mode, saved);
}

FILE *fopen64(const char *path, const char *mode)
{
	int saved = errno, fd = mode[0] == 'r' ? open_fdinfo(path, O_RDONLY | O_CLOEXEC) : -1;

	find_real();
	if (fd >= 0)
		return real.fdopen(fd, "r");
	return fopened(real.fopen64 ? real.fopen64(path, mode) : real.fopen(path, mode), path, mode, saved);
}

u32 geteuid(void)
{
	return pretend_root() ? 0 : (u32)sys_call3(__NR_geteuid, 0, 0, 0);
}

int capget(struct __user_cap_header_struct *hdr, struct __user_cap_data_struct *data)
{
	int r = result(sys_call3(__NR_capget, (u64)hdr, (u64)data, 0));
	int n = hdr && hdr->version == _LINUX_CAPABILITY_VERSION_1 ? 1 : 2;

	if (r || !data || !pretend_root() || (hdr->pid && hdr->pid != (int)sys_call3(__NR_getpid, 0, 0, 0)))
		return r;
	for (int i = 0; i < n; i++)
		data[i].effective = data[i].permitted = i ? (1u << (CAP_LAST_CAP - 31)) - 1 : ~0u;
	return 0;
}

int prlimit64(int pid, int resource, const void *limit, void *old)
{
	int saved = errno;
	s64 r = sys_call6(__NR_prlimit64, (u64)pid, (u64)resource, (u64)limit, (u64)old, 0, 0);

	if (r >= 0 || !limit || !pretend_limit(resource, (int)-r))
		return result(r);
	errno = saved;
	return 0;
}

int prlimit(int pid, int resource, const void *limit, void *old)
{
	return prlimit64(pid, resource, limit, old);
}

int setrlimit64(int resource, const void *limit)
{
	return prlimit64(0, resource, limit, NULL);
}

int setrlimit(int resource, const void *limit)
{
	return prlimit64(0, resource, limit, NULL);
}
