/* SPDX-License-Identifier: MIT */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

__attribute__((noreturn)) static void child_exec(char *const argv[], const char *log, int in,
						 int out)
{
	int err = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);

	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	if (err >= 0)
		dup2(err, STDERR_FILENO);
	execv(argv[0], argv);
	_exit(127);
}

static int child_line(struct child *c, char *line, size_t size)
{
	struct pollfd p = {.fd = fileno(c->from), .events = POLLIN};

	if (poll(&p, 1, 60000) <= 0)
		return -ETIMEDOUT;
	return fgets(line, size, c->from) ? 0 : -EIO;
}

int child_start(struct child *c, char *const argv[], const char *log)
{
	int to[2], from[2], err;
	char line[64];

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		return -errno;
	c->pid = fork();
	if (c->pid < 0)
		return -errno;
	if (!c->pid)
		child_exec(argv, log, to[0], from[1]);
	close(to[0]);
	close(from[1]);
	c->to = fdopen(to[1], "w");
	c->from = fdopen(from[0], "r");
	err = child_line(c, line, sizeof(line));
	if (!err && strcmp(line, "ready\n"))
		err = -EPROTO;
	if (err)
		child_stop(c);
	return err;
}

int child_ask(struct child *c, uint64_t *ret, const char *format, ...)
{
	char line[64];
	va_list ap;
	int err;

	va_start(ap, format);
	vfprintf(c->to, format, ap);
	va_end(ap);
	fputc('\n', c->to);
	if (fflush(c->to))
		return -EIO;
	err = child_line(c, line, sizeof(line));
	if (!err)
		*ret = strtoull(line, NULL, 10);
	return err;
}

void child_stop(struct child *c)
{
	int i;

	if (!c->pid)
		return;
	fclose(c->to);
	for (i = 0; i < 1000 && !waitpid(c->pid, NULL, WNOHANG); i++)
		usleep(10000);
	if (i == 1000) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	}
	fclose(c->from);
	*c = (struct child){};
}
