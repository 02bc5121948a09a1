/* SPDX-License-Identifier: MIT */
/* Processes that are caught as they are seen: in their first instructions, anywhere, or not at all. Seed: INJECT_SEED. */
#include <sys/stat.h>
#include <sys/syscall.h>

#include "inject/catch.h"
#include "victim_run.h"

#define STARTS 40

struct prey {
	pid_t pid; /* 0: nobody comes */
	struct stat program; /* it is named once it executes that; st_ino 0: at once */
	bool wanted;
	int asked, stopped;
};

static pid_t prey_next(void *arg)
{
	struct prey *p = arg;
	struct stat st;
	char path[32];

	p->asked++;
	snprintf(path, sizeof(path), "/proc/%d/exe", (int)p->pid);
	if (!p->pid || (p->program.st_ino && (stat(path, &st) || st.st_ino != p->program.st_ino || st.st_dev != p->program.st_dev)))
		return 0;
	return p->pid;
}

static char state_of(pid_t pid)
{
	char path[32], text[512], *end;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	end = strrchr(text, ')');
	return end ? end[2] : '?';
}

static bool prey_is_it(pid_t pid, void *arg)
{
	struct prey *p = arg;

	p->stopped += state_of(pid) == 't';
	return p->wanted;
}

static int hunt(struct prey *p, u64 ms, struct inject_target *ret)
{
	struct inject_hunt h = { .next = prey_next, .is_it = prey_is_it, .arg = p, .until_ns = (test_now_ms() + ms) * 1000000 };

	return inject_hunt(&h, ret);
}

/* Caught: it makes a call for us, and goes on. */
static s64 pid_by_call(struct inject_target *t)
{
	s64 r = inject_syscall(t, SYS_getpid, 0, 0, 0, 0, 0, 0);

	inject_give_back(t);
	inject_close(t);
	return r;
}

static void test_running(void)
{
	char path[512];
	char *argv[] = { path, "4", NULL };
	struct inject_target t;
	struct prey p = { .wanted = true };
	struct victim v;

	snprintf(path, sizeof(path), "%s", victim_path("spin"));
	if (!tap_ok(victim_start(&v, argv, NULL), "a program runs"))
		return;
	tap_eq(hunt(&p, 20, &t), -ETIMEDOUT, "nobody is named: nobody is caught");
	tap_ok(p.asked > 0, "asked %d times", p.asked);
	p.pid = v.pid;
	tap_ok(!hunt(&p, 1000, &t) && p.stopped == 1, "it is named: stopped");
	tap_eq(pid_by_call(&t), v.pid, "a call of its own");
	p.wanted = false;
	tap_eq(hunt(&p, 1000, &t), -EAGAIN, "not the one");
	tap_ok(p.stopped == 2 && state_of(v.pid) != 't', "it was stopped, and runs on");
	p.wanted = true;
	p.pid = getpid();
	tap_ok(hunt(&p, 1000, &t) < 0, "ourselves: an error");
	tap_eq(victim_end(&v, 60000), 0, "all its results were right");
	p.pid = v.pid;
	tap_ok(hunt(&p, 1000, &t) < 0, "it is gone: an error");
}

static u64 random_below(u64 *seed, u64 n)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (*seed >> 33) % n;
}

/* A process starts /bin/true after delay microseconds. Its parent is another than we, who would take its status as tracer.
 * *ret_fd: the status, once it has ended. */
static pid_t start_true(u64 delay, int *ret_fd)
{
	int fds[2], status = -1;
	pid_t pid = -1;

	*ret_fd = -1;
	if (pipe2(fds, O_CLOEXEC))
		return -1;
	fflush(stdout);
	if (!fork()) {
		pid = fork();
		if (!pid) {
			test_sleep_us(delay);
			execl("/bin/true", "true", NULL);
			_exit(127);
		}
		if (write(fds[1], &pid, sizeof(pid)) < 0 || waitpid(pid, &status, 0) != pid ||
		    write(fds[1], &status, sizeof(status)) < 0)
			_exit(1);
		_exit(0);
	}
	close(fds[1]);
	if (read(fds[0], &pid, sizeof(pid)) != sizeof(pid))
		pid = -1;
	*ret_fd = fds[0];
	return pid;
}

static int end_of(int fd)
{
	int status = -1;

	if (read(fd, &status, sizeof(status)) != sizeof(status))
		status = -1;
	close(fd);
	wait(NULL);
	return status;
}

/* In the midst of exec, in the dynamic linker, in main: it ends as it should. */
static void test_starting(void)
{
	const char *from_env = getenv("INJECT_SEED");
	u64 seed = from_env ? strtoull(from_env, NULL, 10) : test_now_ms();
	int caught = 0, well = 0, wrong = 0;

	printf("# seed %llu\n", (unsigned long long)seed);
	for (int i = 0; i < STARTS; i++) {
		struct prey p = { .wanted = i % 4 != 3 };
		struct inject_target t;
		int fd, r, status;

		stat("/bin/true", &p.program);
		p.pid = start_true(random_below(&seed, 500), &fd);
		if (i % 2)
			test_sleep_us(random_below(&seed, 1000));
		r = hunt(&p, 20, &t);
		if (!r) {
			wrong += pid_by_call(&t) != p.pid;
			caught++;
		}
		wrong += !p.wanted && !r;
		status = end_of(fd);
		well += !status;
		if (status)
			printf("# start %d, %s: status %#x\n", i, r ? strerror(-r) : "caught", status);
	}
	tap_ok(!wrong && caught, "%d of %d programs are caught as they start, make a call", caught, STARTS);
	tap_eq(well, STARTS, "all end as they would have");
}

int main(void)
{
	test_running();
	test_starting();
	return tap_done();
}
