/* SPDX-License-Identifier: MIT */
/*
 * A process that talks to the broker: its memory, descriptors and file names, reached as the kernel
 * reaches those of the caller of a system call. What a client says about itself is not trusted: the
 * pid comes from the socket.
 */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "abi/wire.h"
#include "util/loop.h"

struct broker;

struct client {
	struct broker *broker;
	pid_t pid; /* thread group, in the broker's pid namespace */
	uid_t uid;
	int pidfd;
	int sock;
	u32 role; /* enum nt_role, 0 before HELLO */
	bool allow_write; /* its programs may override returns and write memory (`notrap run --allow-write`) */
	bool kernel; /* what only the kernel can serve goes there (`notrap run --kernel`) */
	bool filtered; /* it has our seccomp filter (notify.c) */
	bool heirs;    /* and so have all its children: there was none before */
	struct loop_source *source;
	struct loop_source
	    *exit; /* the process ended, though a child may have inherited its socket */
	struct client *prev, *next;
};

/* copy_from_user / copy_to_user: 0 or -EFAULT (the part before the bad page may have been copied);
 * -ESRCH gone. */
int client_read(struct client *c, u64 addr, void *buf, size_t n);
int client_write(struct client *c, u64 addr, const void *buf, size_t n);

/* Many small pieces (n <= IOV_MAX), in their order up to the first that cannot be written. */
struct iovec;
int client_write_all(struct client *c, const struct iovec *here, const struct iovec *there, u32 n);

/* A NUL-terminated string with its NUL, at most n bytes. Length without NUL, -EFAULT, or
 * -ENAMETOOLONG: no NUL in n bytes. */
long client_read_str(struct client *c, u64 addr, char *buf, size_t n);

/* The client's descriptor number n as a descriptor of ours (CLOEXEC, caller closes), -EBADF. */
int client_get_fd(struct client *c, int n);

/*
 * Opens a path with O_PATH (search permission suffices, as for the kernel) as the client would: its
 * working directory, its root, /proc/self meaning itself, /proc/N its namespace's. Descriptor or -errno.
 */
int client_open_path(struct client *c, const char *path);

/* A process id that the client names, as it is in our pid namespace (what is not above 0 stays); -ESRCH: nobody there. */
int client_pid_here(struct client *c, pid_t pid, pid_t *ret);
/* And back. 0: the client cannot see it. */
pid_t client_pid_there(struct client *c, pid_t pid);
/* Is it in our pid namespace? */
bool client_shares_pids(const struct client *c);
