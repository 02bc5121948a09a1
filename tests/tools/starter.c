/* SPDX-License-Identifier: MIT */
/* starter CMD ...: a statically linked program that starts another one, passes Ctrl-C on, and ends with its exit status. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile pid_t child;

static void pass_on(int sig)
{
	kill(child, sig);
}

int main(int argc, char **argv)
{
	int status = 0;

	if (argc < 2)
		return 2;
	child = fork();
	if (!child) {
		execvp(argv[1], argv + 1);
		perror(argv[1]);
		_exit(127);
	}
	signal(SIGINT, pass_on);
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
