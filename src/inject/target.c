/* SPDX-License-Identifier: MIT */
/* Opening a target: what can be learned and prepared without stopping anything. */
#include "inject/internal.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject/willing.h"
#include "inject/x86_64/regs.h"
#include "util/proc.h"

#define SCAN_CHUNK 65536u
#define VDSO_PAGES 8u
#define SCAN_MAX (8u << 20) /* bytes looked at in one mapping */

static int open_proc(pid_t pid, const char *file, int flags)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return errno == ENOENT ? -ESRCH : errno == EACCES ? -EPERM : -errno;
}

static bool is_machine(const Elf64_Ehdr *eh)
{
	return !memcmp(eh->e_ident, ELFMAG, SELFMAG) && eh->e_ident[EI_CLASS] == ELFCLASS64 && eh->e_machine == EM_X86_64;
}

/* The program file tells whether this is a process of our kind; -ENOEXEC when not. */
static int check_machine(pid_t pid)
{
	Elf64_Ehdr eh;
	int fd = open_proc(pid, "exe", O_RDONLY);
	ssize_t n;

	if (fd == -ESRCH) /* kernel threads and zombies have none */
		return -ESRCH;
	if (fd < 0)
		return fd;
	n = pread(fd, &eh, sizeof(eh), 0);
	close(fd);
	return n == sizeof(eh) && is_machine(&eh) ? 0 : -ENOEXEC;
}

struct insn_search {
	struct inject_target *t;
	bool vdso_only;
	bool readable; /* some code could be read: the process is not on its way out */
	u64 found;
};

static bool search_bytes(struct insn_search *s, u64 at, const u8 *bytes, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++)
		if (regs_is_syscall_insn(bytes + i)) {
			s->found = at + i;
			return true;
		}
	return false;
}

static bool search_mapping(const struct proc_map *m, void *arg)
{
	struct insn_search *s = arg;
	bool vdso = !strcmp(m->path, "[vdso]");
	u64 end = m->end - m->start > SCAN_MAX ? m->start + SCAN_MAX : m->end;
	u8 *buf;

	/* The vsyscall page cannot be executed like code. */
	if (!(m->prot & PROT_EXEC) || vdso != s->vdso_only || !strcmp(m->path, "[vsyscall]"))
		return false;
	buf = malloc(SCAN_CHUNK);
	if (!buf)
		return true;
	for (u64 a = m->start; a < end && !s->found; a += SCAN_CHUNK) {
		size_t n = end - a < SCAN_CHUNK ? end - a : SCAN_CHUNK;

		if (inject_read(s->t, a, buf, n))
			break;
		s->readable = true;
		search_bytes(s, a, buf, n);
	}
	free(buf);
	return s->found != 0;
}

/*
 * Any `syscall` instruction serves, even one inside another instruction. The vdso has one in nearly every process, tells
 * whether this is a process of our kind, and is there without opening a file, for which we may have to wait ourselves
 * (a program file that others are made to wait for).
 */
static bool find_in_vdso(struct inject_target *t)
{
	_Alignas(Elf64_Ehdr) u8 page[NT_PAGE];
	struct insn_search s = {.t = t};
	u64 base;

	if (proc_auxv(t->pid, AT_SYSINFO_EHDR, &base) || inject_read(t, base, page, sizeof(page)) ||
	    !is_machine((const Elf64_Ehdr *)page))
		return false;
	for (u32 i = 0; i < VDSO_PAGES && !search_bytes(&s, base + i * sizeof(page), page, sizeof(page)); i++)
		if (inject_read(t, base + (i + 1) * sizeof(page), page, sizeof(page)))
			return false;
	t->syscall_insn = s.found;
	return s.found;
}

static int find_syscall_insn(struct inject_target *t)
{
	struct insn_search s = {.t = t, .vdso_only = true};
	int r = check_machine(t->pid);

	if (!r)
		r = proc_maps_each(t->pid, search_mapping, &s);

	if (!r && !s.found) {
		s.vdso_only = false;
		r = proc_maps_each(t->pid, search_mapping, &s);
	}
	if (r)
		return r;
	if (!s.found)
		return s.readable ? -ENOEXEC : -ESRCH;
	t->syscall_insn = s.found;
	return 0;
}

static int open_files(struct inject_target *t)
{
	t->mem = open_proc(t->pid, "mem", O_RDWR);
	if (t->mem < 0) {
		int r = check_machine(t->pid); /* kernel threads have no memory */

		return r ? r : t->mem;
	}
	t->taskfd = open_proc(t->pid, "task", O_RDONLY | O_DIRECTORY);
	if (t->taskfd < 0)
		return t->taskfd;
	t->pidfd = (int)syscall(SYS_pidfd_open, t->pid, 0);
	if (t->pidfd < 0)
		return -errno;
	return find_in_vdso(t) ? 0 : find_syscall_insn(t);
}

int inject_open_files(struct inject_target *t)
{
	struct proc_status st;
	int r = proc_status_read(t->pid, &st);

	if (r)
		return r;
	if (st.tgid != t->pid || st.state == 'Z' || st.state == 'X')
		return -ESRCH;
	t->seccomp = st.seccomp != 0;
	t->own_child = st.ppid == getpid();
	r = open_files(t);
	/* A debugger is the better reason when both hold, but it must not hide that the process is not ours. */
	return !r && st.tracer && !t->tracer && !t->willing ? -EBUSY : r;
}

static int target_open(pid_t pid, const struct inject_willing *w, struct inject_target *ret)
{
	struct inject_target t = {.pid = pid, .mem = -1, .pidfd = -1, .taskfd = -1, .borrowed = -1, .willing = w};
	int r;

	if (pid <= 0)
		return -ESRCH;
	if (pid == getpid())
		return -EPERM;
	r = inject_open_files(&t);
	if (r) {
		inject_close(&t);
		return r;
	}
	*ret = t;
	return 0;
}

int inject_open(pid_t pid, struct inject_target *ret)
{
	return target_open(pid, NULL, ret);
}

int inject_open_willing(pid_t pid, const struct inject_willing *w, struct inject_target *ret)
{
	return target_open(pid, w, ret);
}

void inject_close(struct inject_target *t)
{
	if (t->borrowed >= 0)
		inject_give_back(t);
	if (t->stopped)
		inject_resume(t);
	inject_tracer_end(t);
	if (t->mem >= 0)
		close(t->mem);
	if (t->taskfd >= 0)
		close(t->taskfd);
	if (t->pidfd >= 0)
		close(t->pidfd);
	free(t->thread);
	free(t->pieces.piece);
	free(t->areas.area);
	*t = (struct inject_target){.pid = t->pid, .mem = -1, .pidfd = -1, .taskfd = -1, .borrowed = -1};
}

int inject_read(struct inject_target *t, u64 addr, void *buf, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = pread(t->mem, (char *)buf + done, n - done, (off_t)(addr + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 && errno != EIO ? -errno : -EFAULT;
		done += (size_t)r;
	}
	return 0;
}

int inject_write(struct inject_target *t, u64 addr, const void *buf, size_t n)
{
	for (size_t done = 0; done < n;) {
		ssize_t r = pwrite(t->mem, (const char *)buf + done, n - done, (off_t)(addr + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r < 0 && errno != EIO ? -errno : -EFAULT;
		done += (size_t)r;
	}
	return 0;
}
