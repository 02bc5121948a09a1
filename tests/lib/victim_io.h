/* SPDX-License-Identifier: MIT */
/* Starting a victim, telling it what to do, hearing its answer. Header only. */
#pragma once

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct victim_io {
	pid_t pid;
	int in;	   /* its standard input */
	FILE *out; /* its standard output */
};

__attribute__((unused)) static void victim_env_clear(void)
{
	unsetenv("LD_PRELOAD"); /* the loader's, not the victim's */
}

/* One line of its output without the newline; false: it has ended or said nothing for 60 s. */
__attribute__((unused)) static int victim_line(struct victim_io *v, char *line, int n)
{
	struct pollfd p = { .fd = fileno(v->out), .events = POLLIN };

	if (poll(&p, 1, 60000) <= 0 || !fgets(line, n, v->out))
		return 0;
	line[strcspn(line, "\n")] = '\0';
	return 1;
}

/* Without waiting for its first line; -1: no pipe. */
__attribute__((unused)) static int victim_spawn(struct victim_io *v, char *const argv[])
{
	int in[2], out[2];

	if (pipe(in) || pipe(out))
		return -1;
	v->pid = fork();
	if (!v->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		for (int i = 3; i < 1024; i++)
			close(i);
		victim_env_clear();
		execv(argv[0], argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	v->in = in[1];
	v->out = fdopen(out[0], "r");
	setvbuf(v->out, NULL, _IONBF, 0); /* nothing may wait in a buffer while we poll */
	return 0;
}

__attribute__((unused)) static int victim_start(struct victim_io *v, char *const argv[])
{
	char line[128];

	if (victim_spawn(v, argv))
		return -1;
	return victim_line(v, line, sizeof(line)) && !strncmp(line, "ready ", 6) ? 0 : -1;
}

/* Sends a command without waiting. */
__attribute__((unused)) static void victim_tell(struct victim_io *v, const char *command)
{
	if (dprintf(v->in, "%s\n", command) < 0)
		perror("victim");
}

/* Waits for its "done"; 0 = it said something else (printed) or nothing. */
__attribute__((unused)) static int victim_done(struct victim_io *v)
{
	char line[256];

	if (!victim_line(v, line, sizeof(line)))
		return 0;
	if (!strcmp(line, "done"))
		return 1;
	printf("# victim %d: %s\n", (int)v->pid, line);
	return 0;
}

__attribute__((unused)) static int victim_do(struct victim_io *v, const char *command)
{
	victim_tell(v, command);
	return victim_done(v);
}

/* Ends it by closing its input; its exit status (0 = all its results were right), 256 + signal, -1: it did not end. */
__attribute__((unused)) static int victim_end(struct victim_io *v)
{
	int status;

	close(v->in);
	for (int i = 0; i < 1000; i++) {
		if (waitpid(v->pid, &status, WNOHANG) == v->pid) {
			fclose(v->out);
			return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
		}
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	kill(v->pid, SIGKILL);
	waitpid(v->pid, &status, 0);
	fclose(v->out);
	return -1;
}
