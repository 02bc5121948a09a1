/* SPDX-License-Identifier: MIT */
#include "broker/link/link_notice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/proc.h"

/* An attach makes that many mappings and takes that much at least. */
enum { SCARCE_MAPS = 64, SCARCE_BYTES = 4 << 20 };

struct space {
	u64 maps, bytes;
};

static bool add_map(const struct proc_map *m, void *arg)
{
	struct space *s = arg;

	if (m->start >> 63) /* [vsyscall] does not count */
		return false;
	s->maps++;
	s->bytes += m->end - m->start;
	return false;
}

static u64 max_map_count(void)
{
	int fd fd_auto = open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC);
	char text[32] = "";

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? strtoull(text, NULL, 10) : ~0ull;
}

/* Which of the things that ENOMEM can be for is it? */
static const char *scarce(pid_t pid, char *why, size_t n)
{
	struct space s = { 0 };
	struct rlimit as = { .rlim_cur = RLIM_INFINITY };
	u64 most = max_map_count();

	proc_maps_each(pid, add_map, &s);
	prlimit(pid, RLIMIT_AS, NULL, &as);
	if (s.maps + SCARCE_MAPS > most)
		snprintf(why, n, "it has %llu mappings of the %llu that a process may have (vm.max_map_count)",
			 (unsigned long long)s.maps, (unsigned long long)most);
	else if (as.rlim_cur != RLIM_INFINITY && s.bytes + SCARCE_BYTES > as.rlim_cur)
		snprintf(why, n, "it has %llu of the %llu MiB that it may map (ulimit -v)", (unsigned long long)s.bytes >> 20,
			 (unsigned long long)as.rlim_cur >> 20);
	else
		snprintf(why, n, "no free address space within 2 GiB of its code, or no memory");
	return why;
}

void link_notice_refused(const struct link *l, char *notice, size_t n)
{
	size_t at;

	*notice = '\0';
	if (!l->refused)
		return;
	at = (size_t)snprintf(notice, n, "%u of %u functions refused:", l->refused, l->n);
	for (u32 i = 1; i < PATCH_NREASONS && at < n; i++)
		if (l->reason[i])
			at += (size_t)snprintf(notice + at, n - at, " %s %u", patch_reason_name(i), l->reason[i]);
}

void link_notice_failed(const struct link *l, int err, char *notice, size_t n)
{
	char comm[16] = "?", tracer_comm[16], why[160];
	pid_t tracer = 0;

	*notice = '\0';
	if (err == -ETXTBSY)
		snprintf(notice, n, "cannot attach to %s: it was written to while another link has it; close that link first",
			 l->path);
	else if (err == -EINVAL && l->prog && object_prog_overrides(l->prog))
		snprintf(notice, n, "cannot attach to %s: a program that calls bpf_override_return() goes to entries of functions "
			 "only, and not to Go's", l->path);
	else if (err == -EINVAL)
		snprintf(notice, n, "cannot attach to %s: an offset lies behind its end, or a reference counter offset is odd or "
			 "not the one that another link has for the same place", l->path);
	if (!l->pid || *notice)
		return;
	proc_comm(l->pid, comm);
	proc_tracer(l->pid, &tracer);
	if (err == -EBUSY && tracer && !proc_comm(tracer, tracer_comm))
		snprintf(notice, n, "cannot attach to pid %d (%s): it is traced by pid %d (%s); detach that first", l->pid, comm,
			 tracer, tracer_comm);
	else if (err == -EPERM)
		snprintf(notice, n, "cannot attach to pid %d (%s): it may not be traced by this user", l->pid, comm);
	else if (err == -EACCES)
		snprintf(notice, n, "cannot attach to pid %d (%s): it has a seccomp filter, which could kill it for our system "
			 "calls", l->pid, comm);
	else if (err == -ENOMEM)
		snprintf(notice, n, "cannot attach to pid %d (%s): %s", l->pid, comm, scarce(l->pid, why, sizeof(why)));
	else if (err == -EMFILE)
		snprintf(notice, n, "cannot attach to pid %d (%s): it may not open more files, or the broker may not", l->pid,
			 comm);
	else if (err == -ENOEXEC)
		snprintf(notice, n, "cannot attach to pid %d (%s): it is not a 64-bit x86 process", l->pid, comm);
	else if (err == -EOPNOTSUPP)
		snprintf(notice, n, "cannot attach to pid %d (%s): exceptions would not pass return probes in it: "
			 "its C library is older than glibc 2.35, or linked statically with a C++ or Rust runtime", l->pid, comm);
	else if (err == -EDEADLK)
		snprintf(notice, n, "cannot attach to pid %d (%s): it is a statically linked loader that waits for this", l->pid, comm);
	else if (err == -ETIMEDOUT)
		snprintf(notice, n, "cannot attach to pid %d (%s): a thread of it does not stop", l->pid, comm);
	else
		snprintf(notice, n, "cannot attach to pid %d (%s): %s", l->pid, comm, strerror(-err));
}
