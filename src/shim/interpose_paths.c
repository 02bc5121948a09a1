/* SPDX-License-Identifier: MIT */
/*
 * The libc functions that take a path which may lie in bpffs (bpffs.h). As in interpose.c: no libc header that declares
 * them. All but those of names that go away only change the path and leave the rest to the real one.
 */
#include <asm/unistd.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/magic.h>

#include "abi/types.h"
#include "base/syscall.h"
#include "shim/bpffs.h"
#include "shim/shim.h"

#define EXPORT __attribute__((visibility("default")))

/* Their first words on every 64-bit Linux; the rest is not looked at. */
struct statfs {
	long f_type;
};

typedef int path_fn(const char *path, void *arg);
typedef int at_fn(int dir, const char *path, void *arg, int flags);

EXPORT path_fn stat, stat64, lstat, lstat64;
EXPORT at_fn fstatat, fstatat64;
EXPORT int statx(int dir, const char *path, int flags, unsigned mask, void *arg);
EXPORT int statfs(const char *path, struct statfs *ret);
EXPORT int statfs64(const char *path, struct statfs *ret);
EXPORT int access(const char *path, int mode);
EXPORT int faccessat(int dir, const char *path, int mode, int flags);
EXPORT int mkdir(const char *path, u32 mode);
EXPORT int mkdirat(int dir, const char *path, u32 mode);
EXPORT int unlink(const char *path);
EXPORT int unlinkat(int dir, const char *path, int flags);
EXPORT int rmdir(const char *path);
EXPORT int remove(const char *path);
EXPORT int rename(const char *from, const char *to);
EXPORT int renameat(int from_dir, const char *from, int to_dir, const char *to);
EXPORT int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
EXPORT void *opendir(const char *path);

static int result(s64 r)
{
	if (r >= 0)
		return (int)r;
	errno = (int)-r;
	return -1;
}

static int stat_at(int dir, const char *path, void *arg, int flags)
{
	char buf[BPFFS_PATH_MAX];

	return result(sys_call6(__NR_newfstatat, (u64)dir, (u64)bpffs_path(path, buf), (u64)arg, (u64)flags, 0, 0));
}

int stat(const char *path, void *arg)
{
	return stat_at(AT_FDCWD, path, arg, 0);
}

int stat64(const char *path, void *arg)
{
	return stat_at(AT_FDCWD, path, arg, 0);
}

int lstat(const char *path, void *arg)
{
	return stat_at(AT_FDCWD, path, arg, AT_SYMLINK_NOFOLLOW);
}

int lstat64(const char *path, void *arg)
{
	return stat_at(AT_FDCWD, path, arg, AT_SYMLINK_NOFOLLOW);
}

int fstatat(int dir, const char *path, void *arg, int flags)
{
	return stat_at(dir, path, arg, flags);
}

int fstatat64(int dir, const char *path, void *arg, int flags)
{
	return stat_at(dir, path, arg, flags);
}

int statx(int dir, const char *path, int flags, unsigned mask, void *arg)
{
	char buf[BPFFS_PATH_MAX];

	return result(sys_call6(__NR_statx, (u64)dir, (u64)bpffs_path(path, buf), (u64)flags, mask, (u64)arg, 0));
}

int statfs(const char *path, struct statfs *ret)
{
	char buf[BPFFS_PATH_MAX];
	const char *real = bpffs_path(path, buf);
	int r = result(sys_call3(__NR_statfs, (u64)real, (u64)ret, 0));

	if (!r && real != path)
		ret->f_type = BPF_FS_MAGIC;
	return r;
}

int statfs64(const char *path, struct statfs *ret)
{
	return statfs(path, ret);
}

int access(const char *path, int mode)
{
	char buf[BPFFS_PATH_MAX];

	return result(sys_call6(__NR_faccessat, (u64)AT_FDCWD, (u64)bpffs_path(path, buf), (u64)mode, 0, 0, 0));
}

int faccessat(int dir, const char *path, int mode, int flags)
{
	char buf[BPFFS_PATH_MAX];
	u64 real = (u64)bpffs_path(path, buf);

	if (!flags)
		return result(sys_call6(__NR_faccessat, (u64)dir, real, (u64)mode, 0, 0, 0));
	return result(sys_call6(__NR_faccessat2, (u64)dir, real, (u64)mode, (u64)flags, 0, 0));
}

int mkdirat(int dir, const char *path, u32 mode)
{
	char buf[BPFFS_PATH_MAX];

	return result(sys_call3(__NR_mkdirat, (u64)dir, (u64)bpffs_path(path, buf), mode));
}

int mkdir(const char *path, u32 mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

int unlinkat(int dir, const char *path, int flags)
{
	char buf[BPFFS_PATH_MAX];
	const char *real = bpffs_path(path, buf);
	int r = result(sys_call3(__NR_unlinkat, (u64)dir, (u64)real, (u64)flags)), saved = errno;

	if (!r && real != path)
		shim_unpinned();
	errno = saved;
	return r;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
	int saved = errno, r = unlink(path);

	if (!r || errno != EISDIR)
		return r;
	errno = saved;
	return rmdir(path);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	char buf[BPFFS_PATH_MAX], buf_to[BPFFS_PATH_MAX];
	const char *real_to = bpffs_path(to, buf_to);
	int r = result(sys_call6(__NR_renameat2, (u64)from_dir, (u64)bpffs_path(from, buf), (u64)to_dir, (u64)real_to, flags, 0)),
	    saved = errno;

	if (!r && real_to != to)
		shim_unpinned();
	errno = saved;
	return r;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

void *opendir(const char *path)
{
	void *(*real)(const char *path) = (void *(*)(const char *))dlsym(RTLD_NEXT, "opendir");
	char buf[BPFFS_PATH_MAX];

	return real(bpffs_path(path, buf));
}
