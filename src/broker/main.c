/* SPDX-License-Identifier: MIT */
/*
 * notrapd: the broker's process. `notrap run` starts it; -f keeps it in the foreground for
 * debugging. Whoever holds the lock file is the broker, so of two started at once one leaves
 * quietly.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
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

/* Every map costs three descriptors, every target a few more. */
static void raise_fd_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return;
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
}

static void on_trace(void *arg)
{
	struct broker *b = arg;

	trace_drain(b->trace, engine_trace_view(b->engine));
}

static int broker_main(const char *dir)
{
	struct loop_source *signals = NULL;
	struct broker b;
	int r;

	r = broker_init(&b, dir);
	if (r < 0) {
		log_error("cannot start in %s: %s", dir, strerror(-r));
		return r;
	}
	r = signals_watch(&b, &signals);
	if (!r)
		r = engine_new(&b, &b.engine);
	if (!r) {
		engine_on_trace(b.engine, on_trace, &b);
		on_trace(&b); /* arms the doorbell */
		log_info("listening in %s", dir);
		r = loop_run(b.loop);
	}
	if (r < 0)
		log_error("leaving: %s", strerror(-r));
	else
		log_info("leaving");
	signals_unwatch(signals);
	broker_deinit(&b);
	return r;
}

int main(int argc, char **argv)
{
	bool foreground = argc == 2 && !strcmp(argv[1], "-f");
	char dir[512];
	int lock fd_auto = -1;
	int r;

	if (argc > 1 && !foreground) {
		fprintf(
		    stderr,
		    "usage: notrapd [-f]\nstarted by `notrap run`; -f: stay in the foreground\n");
		return 2;
	}
	r = ipc_runtime_dir(dir, sizeof(dir));
	if (r < 0) {
		fprintf(stderr, "notrapd: runtime directory %s: %s\n", dir, strerror(-r));
		return 1;
	}
	lock = take_lock(dir);
	if (lock == -EWOULDBLOCK)
		return 0; /* there is one already */
	if (lock >= 0 && !foreground)
		r = become_daemon(dir);
	if (lock < 0 || r < 0) {
		fprintf(stderr, "notrapd: %s: %s\n", dir, strerror(lock < 0 ? -lock : -r));
		return 1;
	}
	raise_fd_limit();
	return broker_main(dir) < 0;
}
