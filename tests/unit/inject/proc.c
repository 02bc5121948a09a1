/* SPDX-License-Identifier: MIT */
/* What /proc says about processes that we know all about. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>

#include "util/proc.h"
#include "victim_run.h"

struct find {
	u64 addr;
	u32 n;
	bool ordered, found;
	u64 last;
	struct proc_map map;
	char path[512];
};

static bool find_map(const struct proc_map *m, void *arg)
{
	struct find *f = arg;

	f->n++;
	f->ordered &= m->start >= f->last && m->end > m->start && strlen(m->path) == m->path_len;
	f->last = m->end;
	if (m->start == f->addr) {
		f->found = true;
		f->map = *m;
		snprintf(f->path, sizeof(f->path), "%s", m->path);
	}
	return false;
}

static bool count_all(const struct proc_map *m, void *arg)
{
	(*(u32 *)arg)++;
	return false;
}

static bool stop_at_first(const struct proc_map *m, void *arg)
{
	(*(u32 *)arg)++;
	return true;
}

static void test_maps(void)
{
	char name[] = "proc-test with\nline break XXXXXX";
	struct find f = {.ordered = true};
	struct proc_map at;
	u32 n = 0, lines = 0;
	struct stat st;
	char *a, *b;
	int fd = mkstemp(name);

	unlink(name);
	if (fd < 0 || ftruncate(fd, 1 << 20) || fstat(fd, &st))
		exit(1);
	a = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0x3000);
	b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0x10000);
	mprotect(a + 4096, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
	f.addr = (u64)a + 4096;
	tap_eq(proc_maps_each(getpid(), find_map, &f), 0, "maps");
	tap_ok(f.n > 5 && f.ordered, "%u mappings in order", f.n);
	tap_ok(f.found && f.map.prot == (PROT_READ | PROT_WRITE | PROT_EXEC) && !f.map.shared, "protection");
	tap_ok(f.map.off == 0x4000 && f.map.end - f.map.start == 4096, "offset and size");
	tap_ok(f.map.dev == st.st_dev && f.map.ino == st.st_ino, "device and inode");
	tap_ok(strstr(f.path, "proc-test with") && strstr(f.path, "(deleted)"), "path: %s", f.path);
	f.addr = (u64)b;
	f.found = false;
	f.last = 0;
	proc_maps_each(getpid(), find_map, &f);
	tap_ok(f.found && f.map.shared && f.map.prot == (PROT_READ | PROT_WRITE), "a shared mapping");
	tap_eq(proc_maps_of_file(getpid(), st.st_dev, st.st_ino, count_all, &n), 0, "maps of a file");
	tap_eq(n, 3, "three of them");
	n = 0;
	proc_maps_of_file(getpid(), st.st_dev, st.st_ino + 1000003, count_all, &n);
	tap_eq(n, 0, "none of another file");
	f.addr = (u64)a + 4096;
	f.found = false;
	f.last = 0;
	tap_eq(proc_code_of_file(getpid(), st.st_dev, st.st_ino, find_map, &f), 0, "code of a file");
	tap_ok(f.found && f.map.prot & PROT_EXEC && !f.map.shared && f.map.off == 0x4000 && f.map.end - f.map.start == 4096,
	       "is the mapping that may be executed");
	proc_code_of_file(getpid(), st.st_dev, st.st_ino + 1000003, count_all, &n);
	tap_eq(n, 0, "of another file there is none");
	tap_eq(proc_code_of_file(999999999, st.st_dev, st.st_ino, count_all, &n), -ESRCH, "of no process: -ESRCH");
	n = 0;
	proc_maps_each(getpid(), stop_at_first, &n);
	tap_eq(n, 1, "a visitor can end the walk");
	tap_eq(proc_map_at(getpid(), (u64)a + 100, &at), 0, "by address");
	tap_ok(at.start == (u64)a && at.end == (u64)a + 4096, "the right one");
	tap_eq(proc_map_at(getpid(), 8, &at), -ENOENT, "nothing at address 8");
	/* Enough lines for many reads: none may be lost at a seam. */
	for (int i = 0; i < 600; i++)
		mmap(NULL, 4096, i & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE, fd, 0x1000 * (i % 200));
	n = 0;
	proc_maps_each(getpid(), count_all, &n);
	fd = open("/proc/self/maps", O_RDONLY);
	for (char buf[4096]; ;) {
		ssize_t r = read(fd, buf, sizeof(buf));

		if (r <= 0)
			break;
		for (ssize_t i = 0; i < r; i++)
			lines += buf[i] == '\n';
	}
	tap_ok(n > 600 && n == lines, "%u of %u lines", n, lines);
	tap_eq(proc_maps_each(999999999, count_all, &n), -ESRCH, "no such process");
}

struct ids {
	pid_t want;
	u32 n;
	bool seen;
};

static bool see(pid_t id, void *arg)
{
	struct ids *s = arg;

	s->n++;
	s->seen |= id == s->want;
	return false;
}

static void *thread(void *arg)
{
	*(volatile pid_t *)arg = gettid();
	prctl(PR_SET_NAME, "a) R (b c", 0, 0, 0);
	for (;;)
		pause();
	return NULL;
}

static void test_ids(void)
{
	volatile pid_t tid = 0;
	struct proc_status st;
	struct ids s;
	pthread_t th;
	char state, comm[16];
	uid_t uid;
	pid_t z;
	long nr;
	u64 t1, t2, ino;
	dev_t dev;
	struct stat exe;

	pthread_create(&th, NULL, thread, (void *)&tid);
	while (!tid)
		test_sleep_us(1000);
	test_sleep_us(20000);
	s = (struct ids){.want = getpid()};
	tap_ok(!proc_pids_each(getuid(), see, &s) && s.seen, "our own pid is among our uid's");
	s = (struct ids){.want = getpid()};
	tap_ok(!proc_pids_each(54321, see, &s) && !s.seen, "and not among another's");
	s = (struct ids){.want = 1};
	tap_ok(!proc_pids_each((uid_t)-1, see, &s) && s.seen && s.n > 1, "everybody's hold pid 1");
	s = (struct ids){.want = tid};
	tap_ok(!proc_tids_each(getpid(), see, &s) && s.seen && s.n == 2, "both threads");
	tap_eq(proc_tids_each(999999999, see, &s), -ESRCH, "threads of nobody");
	tap_ok(proc_is_leader(getpid()) && !proc_is_leader(tid), "leader and thread");
	tap_ok(!proc_thread_call(getpid(), tid, &nr) && nr == SYS_pause, "the thread is in pause()");
	tap_ok(!proc_thread_state(getpid(), tid, &state) && state == 'S', "and sleeps, whatever its name says");
	tap_ok(!proc_thread_call(getpid(), getpid(), &nr) && nr != SYS_pause, "we are not");
	tap_ok(!proc_uid(getpid(), &uid) && uid == getuid(), "uid");
	tap_ok(!proc_comm(tid, comm) && !strcmp(comm, "a) R (b c"), "comm");
	tap_ok(!proc_status_read(getpid(), &st) && st.tgid == getpid() && st.ppid == getppid() && !st.tracer &&
		       st.threads == 2 && st.ns_pid == getpid() && st.state == 'R',
	       "status");
	tap_ok(!proc_exe(getpid(), &dev, &ino) && !stat("/proc/self/exe", &exe) && exe.st_ino == ino, "exe");
	tap_eq(proc_exe(999999999, &dev, &ino), -ESRCH, "exe of nobody");
	z = fork();
	if (!z)
		_exit(0);
	test_sleep_us(50000);
	tap_ok(!proc_start_time(getpid(), &t1) && !proc_start_time(z, &t2) && t2 >= t1 && t1 > 0, "start times");
	tap_ok(!proc_status_read(z, &st) && st.state == 'Z', "a zombie");
	waitpid(z, NULL, 0);
	tap_eq(proc_start_time(z, &t1), -ESRCH, "start time of the dead");
	tap_eq(proc_status_read(z, &st), -ESRCH, "status of the dead");
}

int main(void)
{
	test_maps();
	test_ids();
	return tap_done();
}
