/* SPDX-License-Identifier: MIT */
/* Handing over descriptors: all arrive, in order, close-on-exec; or none does and nothing is left behind. */
#include <dirent.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "inject/inject.h"
#include "victim_run.h"

#define MANY 450

static u32 open_files(pid_t pid)
{
	char path[64];
	u32 n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

static u32 mappings(pid_t pid)
{
	char path[64], line[512];
	u32 n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		n++;
	if (f)
		fclose(f);
	return n;
}

static bool same_file(pid_t pid, int remote, int fd)
{
	struct stat a, b;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, remote);
	return !stat(path, &a) && !fstat(fd, &b) && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static void hand_over(struct inject_target *t, const int *fd, u32 n)
{
	u32 before = open_files(t->pid), maps = mappings(t->pid), good = 0, cloexec = 0;
	int remote[MANY];

	tap_eq(inject_send_fds(t, fd, n, remote), 0, "%u descriptors: sent", n);
	for (u32 i = 0; i < n; i++) {
		good += same_file(t->pid, remote[i], fd[i]);
		cloexec += inject_syscall(t, SYS_fcntl, (u64)remote[i], F_GETFD, 0, 0, 0, 0) == FD_CLOEXEC;
	}
	tap_eq(good, n, "%u descriptors: each is the file it was", n);
	tap_eq(cloexec, n, "%u descriptors: close-on-exec", n);
	for (u32 i = 0; i < n; i++)
		inject_syscall(t, SYS_close, (u64)remote[i], 0, 0, 0, 0, 0);
	tap_eq(open_files(t->pid), before, "%u descriptors: nothing else was left open", n);
	tap_eq(mappings(t->pid), maps, "%u descriptors: nothing was left mapped", n);
}

/* What it is for: one region of memory, seen on both sides. */
static void share_memory(struct inject_target *t, int fd)
{
	char *here = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), back[6] = "";
	int remote = -1;
	s64 there;

	tap_eq(inject_send_fds(t, &fd, 1, &remote), 0, "one descriptor to map");
	there = inject_syscall(t, SYS_mmap, 0, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, (u64)remote, 0);
	tap_ok(there > 0, "mapped there");
	inject_syscall(t, SYS_close, (u64)remote, 0, 0, 0, 0, 0);
	strcpy(here + 5000, "hello");
	tap_eq(inject_read(t, (u64)there + 5000, back, 6), 0, "read there");
	tap_ok(!strcmp(back, "hello"), "what was written here");
	tap_eq(inject_write(t, (u64)there + 9000, "world", 6), 0, "write there");
	tap_ok(!strcmp(here + 9000, "world"), "seen here");
	inject_syscall(t, SYS_munmap, (u64)there, 65536, 0, 0, 0, 0);
	tap_eq(inject_read(t, (u64)there + 5000, back, 6), -EFAULT, "unmapped: -EFAULT");
	munmap(here, 65536);
}

/* With a haven the target opens them by itself. */
static void short_way(struct inject_target *t, const int *fd)
{
	s64 at = inject_syscall(t, SYS_mmap, 0, INJECT_HAVEN_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull,
				0);

	tap_ok(at > 0, "a haven");
	t->haven = (u64)at;
	hand_over(t, fd, 1);
	hand_over(t, fd, 20);
	share_memory(t, fd[0]);
	tap_ok(!t->no_open, "it can open our descriptors");
	t->no_open = true;
	hand_over(t, fd, 3);
	t->no_open = false;
}

int main(void)
{
	char path[512], *argv[] = {path, "nanosleep", NULL};
	struct rlimit few = {.rlim_cur = 40, .rlim_max = 40};
	int fd[MANY], remote[MANY] = {-7};
	struct inject_target t;
	struct victim v;
	u32 before;

	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(path, sizeof(path), "%s", victim_path("sleeper"));
	if (!tap_ok(victim_start(&v, argv, NULL), "sleeper starts"))
		return tap_done();
	for (int i = 0; i < MANY; i++) {
		fd[i] = memfd_create("t", MFD_CLOEXEC);
		if (fd[i] < 0 || ftruncate(fd[i], 65536))
			return 1;
	}
	tap_eq(inject_open(v.pid, &t), 0, "open");
	tap_eq(inject_borrow(&t), 0, "borrow");
	hand_over(&t, fd, 0);
	hand_over(&t, fd, 1);
	hand_over(&t, fd, 200);
	hand_over(&t, fd, 201);
	hand_over(&t, fd, MANY);
	share_memory(&t, fd[0]);
	short_way(&t, fd);
	before = open_files(v.pid);
	fd[300] = -1;
	tap_eq(inject_send_fds(&t, fd, MANY, remote), -EBADF, "a bad descriptor among them: -EBADF");
	tap_eq(open_files(v.pid), before, "and none arrived");
	prlimit(v.pid, RLIMIT_NOFILE, &few, NULL);
	tap_eq(inject_send_fds(&t, fd, 60, remote), -EMFILE, "more than its limit allows: -EMFILE");
	tap_eq(open_files(v.pid), before, "and none stayed");
	tap_eq(remote[0], -7, "the output is untouched on failure");
	inject_give_back(&t);
	inject_close(&t);
	tap_eq(victim_end(&v, 10000), 0, "the target's results were right");
	return tap_done();
}
