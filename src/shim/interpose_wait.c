/* SPDX-License-Identifier: MIT */
/*
 * Waiting for children. When the kernel says that one has ended, all that it had open is closed, links included; so the
 * broker must have seen that before a loader goes on.
 */
#include <dlfcn.h>
#include <errno.h>

#include "abi/types.h"
#include "shim/shim.h"

#define EXPORT __attribute__((visibility("default")))

typedef s32 wait_fn(int *status);
typedef s32 waitpid_fn(s32 pid, int *status, int options);
typedef s32 wait4_fn(s32 pid, int *status, int options, void *usage);
typedef s32 waitid_fn(u32 type, u32 id, void *info, int options);

EXPORT wait_fn wait;
EXPORT waitpid_fn waitpid;
EXPORT wait4_fn wait4;
EXPORT waitid_fn waitid;

static s32 waited(s32 r)
{
	int saved = errno;

	if (r > 0)
		shim_child_ended();
	errno = saved;
	return r;
}

s32 wait(int *status)
{
	return waited(((wait_fn *)dlsym(RTLD_NEXT, "wait"))(status));
}

s32 waitpid(s32 pid, int *status, int options)
{
	return waited(((waitpid_fn *)dlsym(RTLD_NEXT, "waitpid"))(pid, status, options));
}

s32 wait4(s32 pid, int *status, int options, void *usage)
{
	return waited(((wait4_fn *)dlsym(RTLD_NEXT, "wait4"))(pid, status, options, usage));
}

s32 waitid(u32 type, u32 id, void *info, int options)
{
	s32 r = ((waitid_fn *)dlsym(RTLD_NEXT, "waitid"))(type, id, info, options);

	if (!r)
		waited(1);
	return r;
}
