/* SPDX-License-Identifier: MIT */
#include "cli/filter.h"

#include <asm/unistd.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/connect.h"

#define PERF_IOCTL_TYPE ('$' << 8)
#define IOCTL_TYPE_MASK 0xff00u

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RET(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define TO(from, to) ((to) - (from) - 1)
#define IF_EQ(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (yes), (no))

/* Only what the broker has an answer for: everything else costs a few nanoseconds. */
static int install(void)
{
	enum { MMAP = 11, ALLOW = 16, NOTIFY = 17 };
	struct sock_filter code[] = {
	    [0] = LOAD(arch),
	    [1] = IF_EQ(AUDIT_ARCH_X86_64, 0, TO(1, ALLOW)),
	    [2] = LOAD(nr),
	    [3] = IF_EQ(__NR_bpf, TO(3, NOTIFY), 0),
	    [4] = IF_EQ(__NR_perf_event_open, TO(4, NOTIFY), 0),
	    [5] = IF_EQ(__NR_epoll_ctl, TO(5, NOTIFY), 0),
	    [6] = IF_EQ(__NR_mmap, TO(6, MMAP), 0),
	    [7] = IF_EQ(__NR_ioctl, 0, TO(7, ALLOW)),
	    [8] = LOAD(args[1]),
	    [9] = BPF_STMT(BPF_ALU | BPF_AND | BPF_K, IOCTL_TYPE_MASK),
	    [10] = IF_EQ(PERF_IOCTL_TYPE, TO(10, NOTIFY), TO(10, ALLOW)),
	    /* As loaders map maps and perf buffers; what the broker makes a borrowed thread do is
	     * MAP_SHARED_VALIDATE. */
	    [MMAP] = LOAD(args[3]),
	    [12] = BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~(unsigned)MAP_FIXED),
	    [13] = IF_EQ(MAP_SHARED, 0, TO(13, ALLOW)),
	    [14] = LOAD(args[5]),
	    [15] = IF_EQ(0, TO(15, NOTIFY), TO(15, ALLOW)),
	    [ALLOW] = RET(SECCOMP_RET_ALLOW),
	    [NOTIFY] = RET(SECCOMP_RET_USER_NOTIF),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};
	long fd;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		     SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, &prog);
	return fd < 0 ? -errno : (int)fd;
}

/* A command that asks for nothing: the broker knows no map with an id above all others. */
static bool is_answered(void)
{
	union bpf_attr attr = {.start_id = INT32_MAX - 1};

	return syscall(SYS_bpf, BPF_MAP_GET_NEXT_ID, &attr, sizeof(attr)) < 0 && errno == ENOENT;
}

int filter_install(int sock, const char **ret_why)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int fd, r, other;

	if (!getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		prctl(PR_SET_PTRACER, cred.pid, 0, 0, 0); /* Yama: the broker reads our memory */
	fd = install();
	if (fd == -EBUSY && !broker_ask(sock, NT_OP_LISTEN, (u64)-1, &other))
		return 0; /* it is a loader's child, and has its filter */
	if (fd < 0) {
		*ret_why = fd == -EBUSY ? "something else already answers its system calls (a seccomp listener)"
					: "the kernel does not take the seccomp filter (Linux 5.19 is needed)";
		return fd;
	}
	r = (int)broker_ask(sock, NT_OP_LISTEN, (u64)fd, &other);
	if (r < 0)
		*ret_why = "the broker does not take the seccomp listener";
	close(fd);
	if (!r && !is_answered()) {
		*ret_why = "a sandbox around it answers bpf(2) before notrap can";
		r = -EPERM;
	}
	return r;
}
