/* SPDX-License-Identifier: MIT */
#include "util/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/fd.h"
#include "util/proc_read.h"

struct dirent64_raw {
	u64 ino;
	s64 off;
	u16 len;
	u8 type;
	char name[];
};

/* A numbered directory: /proc itself or /proc/PID/task. */
static int entries_each(int dir, proc_entry_visit *visit, void *arg)
{
	_Alignas(8) char buf[8192];

	for (;;) {
		long n = syscall(SYS_getdents64, dir, buf, sizeof(buf));

		if (n <= 0)
			return n ? proc_gone(errno) : 0;
		for (long o = 0; o < n;) {
			const struct dirent64_raw *d = (const void *)(buf + o);
			const char *p = d->name;

			o += d->len;
			if (*p >= '1' && *p <= '9' && visit((pid_t)proc_dec(&p), d->ino, arg))
				return 0;
		}
	}
}

struct ids {
	int dir;
	uid_t uid;
	proc_id_visit *visit;
	void *arg;
};

static bool id_visit(pid_t id, u64 inode, void *arg)
{
	const struct ids *i = arg;
	struct stat st;
	char name[16];

	snprintf(name, sizeof(name), "%d", id);
	if (i->uid != (uid_t)-1 && (fstatat(i->dir, name, &st, 0) || st.st_uid != i->uid))
		return false;
	return i->visit(id, i->arg);
}

static int ids_each(int dir, uid_t uid, proc_id_visit *visit, void *arg)
{
	struct ids i = {.dir = dir, .uid = uid, .visit = visit, .arg = arg};

	return entries_each(dir, id_visit, &i);
}

int proc_entries_each(proc_entry_visit *visit, void *arg)
{
	int dir fd_auto = proc_open(O_RDONLY | O_DIRECTORY, "/proc");

	return dir < 0 ? dir : entries_each(dir, visit, arg);
}

int proc_pids_each(uid_t uid, proc_id_visit *visit, void *arg)
{
	int dir fd_auto = proc_open(O_RDONLY | O_DIRECTORY, "/proc");

	return dir < 0 ? dir : ids_each(dir, uid, visit, arg);
}

int proc_newest(pid_t *ret)
{
	int fd fd_auto = proc_open(O_RDONLY, "/proc/loadavg");
	char buf[128];
	const char *p;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = proc_read_text(fd, buf, sizeof(buf));
	p = n > 0 ? strrchr(buf, ' ') : NULL;
	if (!p)
		return n < 0 ? (int)n : -EIO;
	*ret = (pid_t)proc_dec(&p);
	return *ret > 0 ? 0 : -EIO;
}

static int entry_stat(pid_t pid, struct stat *ret)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	return stat(path, ret) ? proc_gone(errno) : 0;
}

int proc_owner(pid_t pid, uid_t *ret)
{
	struct stat st;
	int r = entry_stat(pid, &st);

	if (!r)
		*ret = st.st_uid;
	return r;
}

int proc_inode(pid_t pid, u64 *ret)
{
	struct stat st;
	int r = entry_stat(pid, &st);

	if (!r)
		*ret = st.st_ino;
	return r;
}

int proc_tids_each(pid_t pid, proc_id_visit *visit, void *arg)
{
	int dir fd_auto = proc_open(O_RDONLY | O_DIRECTORY, "/proc/%d/task", pid);

	return dir < 0 ? dir : ids_each(dir, (uid_t)-1, visit, arg);
}

/* The value of "Name:\t..." in a status text; NULL when this kernel has no such line. */
static const char *status_field(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL)
		if (!strncmp(p, name, n) && p[n] == ':') {
			p += n + 1;
			while (*p == '\t' || *p == ' ')
				p++;
			return p;
		}
	return NULL;
}

static u64 status_dec(const char *text, const char *name)
{
	const char *p = status_field(text, name);

	return p ? proc_dec(&p) : 0;
}

static u64 status_hex(const char *text, const char *name)
{
	const char *p = status_field(text, name);

	return p ? proc_hex(&p) : 0;
}

int proc_status_read(pid_t pid, struct proc_status *ret)
{
	int fd fd_auto = proc_open(O_RDONLY, "/proc/%d/status", pid);
	struct proc_status st = {0};
	const char *p;
	char text[8192];
	ssize_t n;

	if (fd < 0)
		return fd;
	n = proc_read_text(fd, text, sizeof(text));
	if (n < 0)
		return (int)n;
	if (!status_field(text, "Pid"))
		return -ESRCH; /* an empty file: it went while we read */
	/* The first line is the name the process gave itself; the kernel escapes newlines in it. */
	p = status_field(text, "Name");
	for (u32 i = 0; p && p[i] != '\n' && i < sizeof(st.comm) - 1; i++)
		st.comm[i] = p[i];
	p = status_field(text, "State");
	st.state = p ? *p : '?';
	st.tgid = (pid_t)status_dec(text, "Tgid");
	st.pid = (pid_t)status_dec(text, "Pid");
	st.ppid = (pid_t)status_dec(text, "PPid");
	st.tracer = (pid_t)status_dec(text, "TracerPid");
	st.threads = (u32)status_dec(text, "Threads");
	st.seccomp = (u32)status_dec(text, "Seccomp");
	st.sig_pending = status_hex(text, "ShdPnd");
	st.sig_blocked = status_hex(text, "SigBlk");
	st.sig_ignored = status_hex(text, "SigIgn");
	st.sig_caught = status_hex(text, "SigCgt");
	p = status_field(text, "Uid");
	if (p) {
		st.ruid = (uid_t)proc_dec(&p);
		st.euid = (uid_t)proc_dec(&p);
		st.suid = (uid_t)proc_dec(&p);
		st.fsuid = (uid_t)proc_dec(&p);
	}
	/* "NSpid: outer ... inner": the last number is the one the process itself sees. */
	st.ns_pid = st.pid;
	for (p = status_field(text, "NSpid"); p && *p >= '0' && *p <= '9' && st.nns < PROC_NS_MAX; p += *p == '\t')
		st.ns[st.nns++] = st.ns_pid = (pid_t)proc_dec(&p);
	*ret = st;
	return 0;
}

int proc_uid(pid_t pid, uid_t *ret)
{
	struct proc_status st;
	int r = proc_status_read(pid, &st);

	if (!r)
		*ret = st.ruid;
	return r;
}

int proc_tracer(pid_t pid, pid_t *ret)
{
	struct proc_status st;
	int r = proc_status_read(pid, &st);

	if (!r)
		*ret = st.tracer;
	return r;
}

int proc_seccomp(pid_t pid, u32 *ret)
{
	struct proc_status st;
	int r = proc_status_read(pid, &st);

	if (!r)
		*ret = st.seccomp;
	return r;
}

int proc_ns_pid(pid_t pid, pid_t *ret)
{
	struct proc_status st;
	int r = proc_status_read(pid, &st);

	if (!r)
		*ret = st.ns_pid;
	return r;
}

int proc_auxv(pid_t pid, u64 type, u64 *ret)
{
	int fd fd_auto = proc_open(O_RDONLY, "/proc/%d/auxv", pid);
	u64 pair[64][2];
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, pair, sizeof(pair));
	if (n < 0)
		return proc_gone(errno);
	for (size_t i = 0; i < (size_t)n / sizeof(pair[0]); i++)
		if (pair[i][0] == type) {
			*ret = pair[i][1];
			return 0;
		}
	return -ENOENT;
}

int proc_comm(pid_t pid, char ret[16])
{
	int fd fd_auto = proc_open(O_RDONLY, "/proc/%d/comm", pid);
	char text[64];
	ssize_t n;

	if (fd < 0)
		return fd;
	n = proc_read_text(fd, text, sizeof(text));
	if (n < 0)
		return (int)n;
	if (n && text[n - 1] == '\n')
		text[n - 1] = 0;
	memset(ret, 0, 16);
	memcpy(ret, text, strnlen(text, 15));
	return 0;
}

bool proc_shares_memory(pid_t pid)
{
	struct proc_status st;

	return !proc_status_read(pid, &st) && st.ppid > 0 && !syscall(SYS_kcmp, pid, st.ppid, KCMP_VM, 0, 0);
}

bool proc_is_leader(pid_t tid)
{
	struct proc_status st;

	return !proc_status_read(tid, &st) && st.tgid == st.pid;
}

int proc_start_time(pid_t pid, u64 *ret)
{
	int fd fd_auto = proc_open(O_RDONLY, "/proc/%d/stat", pid);
	char buf[1024];
	const char *p = NULL;
	int r = proc_stat_tail(fd, buf, sizeof(buf), &p);

	if (r)
		return r;
	for (int field = 3; field < 22; field++) {
		p = strchr(p, ' ');
		if (!p)
			return -EIO;
		p++;
	}
	*ret = proc_dec(&p);
	return 0;
}

int proc_exe(pid_t pid, dev_t *ret_dev, u64 *ret_ino)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (stat(path, &st)) {
		int err = errno;

		/* A kernel thread has no executable, a dead process no entry: tell them apart. */
		snprintf(path, sizeof(path), "/proc/%d", pid);
		return err == ENOENT && access(path, F_OK) ? -ESRCH : -err;
	}
	*ret_dev = st.st_dev;
	*ret_ino = st.st_ino;
	return 0;
}
