/* SPDX-License-Identifier: MIT */
/*
 * What the kernel tells about processes in /proc (Documentation/filesystems/proc.rst). Reading only; a process may
 * vanish between two calls, so identity over time is the pair (pid, start time). Every function returns 0 (or what it
 * documents) or -errno: -ESRCH when the process or thread is gone, -EACCES/-EPERM when it is not ours to read.
 */
#pragma once

#include <sys/types.h>

#include "abi/types.h"

/* One line of /proc/PID/maps. */
struct proc_map {
	u64 start, end; /* bytes, [start, end) */
	u64 off;	/* bytes from the start of the file */
	dev_t dev;	/* 0 for anonymous memory; some file systems (btrfs, overlayfs) show another one in stat(2) */
	u64 ino;
	u32 prot; /* PROT_* */
	bool shared;
	u32 path_len;
	const char *path; /* NUL terminated, "" for none; valid during the visit only */
};

/* A visitor returns true to end the walk. */
typedef bool proc_map_visit(const struct proc_map *map, void *arg);
typedef bool proc_id_visit(pid_t id, void *arg);
typedef bool proc_entry_visit(pid_t id, u64 inode, void *arg);

/* Visits the mappings in address order. */
int proc_maps_each(pid_t pid, proc_map_visit *visit, void *arg);
/* Visits only mappings of the file (dev, ino); other lines are not parsed further than needed. */
int proc_maps_of_file(pid_t pid, dev_t dev, u64 ino, proc_map_visit *visit, void *arg);
/* The same for those that may be executed, and maybe others; paths are "". In a fraction of the time. */
int proc_code_of_file(pid_t pid, dev_t dev, u64 ino, proc_map_visit *visit, void *arg);
/* The mapping that contains addr: start, end, prot and so on, path set to "". -ENOENT none. */
int proc_map_at(pid_t pid, u64 addr, struct proc_map *ret);

/* Visits every process whose /proc entry belongs to uid ((uid_t)-1: every process). A process that may not be dumped
 * belongs to root there. */
int proc_pids_each(uid_t uid, proc_id_visit *visit, void *arg);
/* Visits every process, without a look at it: inode is that of its /proc entry, another one for each process as long as
 * the kernel remembers the entry. */
int proc_entries_each(proc_entry_visit *visit, void *arg);
/* The number that was given to a process or thread last; the next ones are higher, until they begin anew. */
int proc_newest(pid_t *ret);
/* Visits every thread of a process. */
int proc_tids_each(pid_t pid, proc_id_visit *visit, void *arg);

#define PROC_NS_MAX 33 /* 32 levels below the first */

/* One read of /proc/PID/status; works for thread ids as well. */
struct proc_status {
	pid_t tgid, pid, ppid, tracer; /* as this process sees them */
	pid_t ns_pid;		       /* in the innermost pid namespace of the process */
	pid_t ns[PROC_NS_MAX];	       /* in every namespace from /proc's to the innermost */
	u32 nns;
	uid_t ruid, euid, suid, fsuid;
	u32 threads;
	u32 seccomp; /* 0 none, 1 strict, 2 filter */
	u64 sig_pending; /* for the process, not for one thread */
	u64 sig_blocked, sig_ignored, sig_caught;
	char state; /* R S D T t Z X I */
	char comm[16];
};

int proc_status_read(pid_t pid, struct proc_status *ret);

/* Short forms for one field. */
int proc_uid(pid_t pid, uid_t *ret); /* real uid */
int proc_owner(pid_t pid, uid_t *ret); /* of its /proc entry: root where it may not be dumped */
int proc_inode(pid_t pid, u64 *ret);   /* of its /proc entry; of a thread, too */
int proc_tracer(pid_t pid, pid_t *ret);
int proc_seccomp(pid_t pid, u32 *ret);
int proc_ns_pid(pid_t pid, pid_t *ret);
int proc_comm(pid_t pid, char ret[16]);
/* Does it have the same memory as its parent (vfork(2) before exec, clone(2) with CLONE_VM), as far as can be known? */
bool proc_shares_memory(pid_t pid);
bool proc_is_leader(pid_t tid); /* is this a process, not one of its further threads? */

/* Start time in clock ticks since boot (field 22 of stat): differs when a pid is used again. */
int proc_start_time(pid_t pid, u64 *ret);
/* The executable; -ENOENT for a kernel thread. */
int proc_exe(pid_t pid, dev_t *ret_dev, u64 *ret_ino);

/* A value of the auxiliary vector (AT_* of getauxval(3)). -ENOENT: it has none of this type, or is a 32-bit process. */
int proc_auxv(pid_t pid, u64 type, u64 *ret);

/* Ids of the process' cgroup (version 2) and those above it, the root's first; their number, at most max, or -errno:
 * -ENOENT where the hierarchy is not visible. */
int proc_cgroup_ids(pid_t pid, u64 *ids, u32 max);

/* What a thread does, without stopping it (/proc/PID/task/TID/syscall; needs ptrace access). */
#define PROC_RUNNING (-2L) /* on a CPU or waiting for one */
#define PROC_NO_CALL (-1L) /* blocked, but not in a system call (a page fault) */
int proc_thread_call(pid_t pid, pid_t tid, long *ret_nr);
/* The same of a blocked thread, and where in the program the call was made. -EAGAIN: it runs. */
int proc_thread_where(pid_t pid, pid_t tid, long *ret_nr, u64 *ret_pc);
/* State letter of one thread. */
int proc_thread_state(pid_t pid, pid_t tid, char *ret);
/* How long it has run in all, in nanoseconds. -ESRCH also where the kernel does not tell. */
int proc_thread_ran(pid_t pid, pid_t tid, u64 *ret_ns);
