/* SPDX-License-Identifier: MIT */
/*
 * A container as far as it matters here: own pid and mount namespace, and a seccomp filter on everybody in it that answers
 * EPERM to bpf(2) and perf_event_open(2).
 *
 *     sandbox hold [ROOT]      makes one, prints the pid of its first process, keeps it until standard input ends;
 *                              ROOT: a folder that somebody will chroot to, which gets the /proc of the sandbox, too
 *     sandbox join CMD ...     inside (nsenter): becomes user 1000, takes the filter, runs CMD
 */
#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what)
{
	fprintf(stderr, "sandbox: %s: %s\n", what, strerror(errno));
	return 1;
}

static int take_filter(void)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bpf, 1, 0),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		return fail("seccomp");
	return 0;
}

static int first_process(const char *root)
{
	char inner[4096];
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mount("proc", "/proc", "proc", 0, NULL) < 0)
		return fail("mount /proc");
	if (root && (snprintf(inner, sizeof(inner), "%s/proc", root) >= (int)sizeof(inner) || mount("proc", inner, "proc", 0, NULL) < 0))
		return fail(inner);
	if (take_filter())
		return 1;
	signal(SIGCHLD, SIG_IGN); /* orphans come here */
	if (write(1, "", 1) < 0)
		return 1;
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

static int hold(const char *root)
{
	int ready[2], out = dup(1);
	char c;
	pid_t pid;

	if (pipe(ready) < 0 || unshare(CLONE_NEWPID | CLONE_NEWNS) < 0)
		return fail("unshare");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail("mount /");
	pid = fork();
	if (!pid) {
		dup2(ready[1], 1);
		_exit(first_process(root));
	}
	close(ready[1]);
	if (pid < 0 || read(ready[0], &c, 1) != 1)
		return fail("the first process");
	dprintf(out, "%d\n", pid);
	waitpid(pid, NULL, 0);
	return 0;
}

static int join(char **command)
{
	if (setgroups(0, NULL) < 0 || setgid(1000) < 0 || setuid(1000) < 0)
		return fail("becoming user 1000");
	if (take_filter())
		return 1;
	execvp(command[0], command);
	return fail(command[0]);
}

int main(int argc, char **argv)
{
	if ((argc == 2 || argc == 3) && !strcmp(argv[1], "hold"))
		return hold(argc == 3 ? argv[2] : NULL);
	if (argc > 2 && !strcmp(argv[1], "join"))
		return join(argv + 2);
	fprintf(stderr, "usage: sandbox hold [ROOT] | join CMD ...\n");
	return 2;
}
