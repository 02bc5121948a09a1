/* SPDX-License-Identifier: MIT */
/*
 * notrapd: the broker's process. `notrap run` starts it; -f keeps it in the foreground for
 * debugging. Whoever holds the lock file is the broker, so of two started at once one leaves
 * quietly.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/link/link.h"
#include "broker/signals.h"
#include "broker/trace.h"
#include "ipc/ipc.h"
#include "util/fd.h"
#include "util/log.h"

static int take_lock(const char *dir)
{
	char path[600];
	int fd;

	snprintf(path, sizeof(path), "%s/lock", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* Leaves the starter's session; standard error becomes the log file, which starts anew when it grew
 * large. */
static int become_daemon(const char *dir)
{
	const off_t log_max = 1 << 20;
	int null fd_auto = open("/dev/null", O_RDWR | O_CLOEXEC);
	int log fd_auto = -1;
	char path[600];
	struct stat st;

	snprintf(path, sizeof(path), "%s/log", dir);
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (null < 0 || log < 0)
		return -errno;
	if (!fstat(log, &st) && st.st_size > log_max && ftruncate(log, 0) < 0)
		return -errno;
	setsid();
	if (chdir("/") < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log, 2) < 0)
		return -errno;
	return 0;
}

/* Who is to have the CPU for moments only gets it sooner, on a busy machine, and anybody may ask for that (Linux 6.12; an
 * older one takes no notice). Targets stand still while we wait for it. */
static void ask_for_short_slices(void)
{
	struct { /* struct sched_attr of sched_setattr(2): libc and the kernel both define it, or neither */
		u32 size, policy;
		u64 flags;
		s32 nice;
		u32 priority;
		u64 runtime, deadline, period;
	} a = { .size = sizeof(a) };

	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0) < 0 || a.policy != SCHED_OTHER)
		return;
	a.runtime = 100000; /* ns: the shortest */
	syscall(SYS_sched_setattr, 0, &a, 0);
}

/* Every map costs three descriptors and a file as large as the map, every target a few descriptors more. What the
 * shell that happened to start us has set for itself does not have to bind those who come later. */
static void raise_limits(void)
{
	static const int limits[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit rl;

		if (getrlimit(limits[i], &rl) < 0)
			continue;
		rl.rlim_cur = rl.rlim_max;
		setrlimit(limits[i], &rl);
	}
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, not the end */
}

/* Tells who started us: closed without a word when we are ready, else a negative errno. */
static void report_start(int *fd, int err)
{
	if (*fd >= 0 && err && write(*fd, &err, sizeof(err)) < 0)
		log_error("nobody hears that the start failed");
	fd_closep(fd);
}

static void on_trace(void *arg)
{
	struct broker *b = arg;

	trace_drain(b->trace, engine_trace_view(b->engine));
}

/* A broker that cannot take in one client had better not start: nobody could even tell it to leave. */
static int check_room(void)
{
	enum { CLIENT = 8 }; /* its socket, its pidfd, a map's or a program's descriptors */
	int fd[CLIENT], n = 0, r = 0;

	while (n < CLIENT && (fd[n] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
		n++;
	if (n < CLIENT)
		r = -errno;
	while (n > 0)
		close(fd[--n]);
	return r;
}

static int broker_main(const char *dir, int *report)
{
	struct loop_source *signals = NULL;
	struct broker b;
	int r;

	r = broker_init(&b, dir);
	if (r < 0) {
		log_error("cannot start in %s: %s", dir, strerror(-r));
		report_start(report, r);
		return r;
	}
	r = signals_watch(&b, &signals);
	if (!r)
		r = engine_new(&b, &b.engine);
	if (!r)
		r = check_room();
	if (!r) {
		engine_on_trace(b.engine, on_trace, &b);
		on_trace(&b); /* arms the doorbell */
		log_info("listening in %s", dir);
		report_start(report, 0);
		r = loop_run(b.loop);
	}
	if (r < 0)
		log_error("leaving: %s", strerror(-r));
	else
		log_info("leaving");
	report_start(report, r);
	signals_unwatch(signals);
	broker_deinit(&b);
	return r;
}

int main(int argc, char **argv)
{
	bool foreground = argc == 2 && !strcmp(argv[1], "-f");
	int report fd_auto = argc == 2 && !strcmp(argv[1], "-s") ? 3 : -1;
	char dir[512];
	int lock fd_auto = -1;
	int r;

	if (argc > 1 && !foreground && report < 0) {
		fprintf(stderr, "usage: notrapd [-f | -s]\nstarted by `notrap run`\n"
				"  -f  stay in the foreground\n"
				"  -s  report on descriptor 3: closed when ready, else an errno\n");
		return 2;
	}
	if (report >= 0)
		fcntl(report, F_SETFD, FD_CLOEXEC);
	raise_limits();
	ask_for_short_slices();
	r = ipc_runtime_dir(dir, sizeof(dir));
	if (!r)
		lock = take_lock(dir);
	if (lock == -EWOULDBLOCK)
		return 0; /* there is one already */
	if (!r && lock < 0)
		r = lock;
	if (!r && !foreground)
		r = become_daemon(dir);
	if (r < 0) {
		fprintf(stderr, "notrapd: %s: %s\n", dir, strerror(-r));
		report_start(&report, r);
		return 1;
	}
	return broker_main(dir, &report) < 0;
}
