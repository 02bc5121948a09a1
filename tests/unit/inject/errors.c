/* SPDX-License-Identifier: MIT */
/* Who may not be opened, who refuses to be borrowed, and what a stopped or filtered target looks like afterwards. */
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "inject/inject.h"
#include "util/proc.h"
#include "victim_run.h"

/* A child that runs fn and then waits in pause(). */
static pid_t child(void (*fn)(void))
{
	int p[2];
	pid_t pid;
	char c;

	if (pipe(p))
		return -1;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fn)
			fn();
		if (write(p[1], "x", 1) != 1)
			_exit(9);
		for (;;)
			pause();
	}
	if (read(p[0], &c, 1) != 1)
		pid = -1;
	close(p[0]);
	close(p[1]);
	test_sleep_us(20000);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void test_no_such_process(void)
{
	struct inject_target t = {.pid = 77};
	pid_t z = fork();
	siginfo_t ended;

	if (!z)
		_exit(0);
	waitid(P_PID, (id_t)z, &ended, WEXITED | WNOWAIT);
	tap_eq(inject_open(z, &t), -ESRCH, "a zombie: -ESRCH");
	waitpid(z, NULL, 0);
	tap_eq(inject_open(z, &t), -ESRCH, "a pid that is gone: -ESRCH");
	tap_eq(inject_open(0, &t), -ESRCH, "pid 0: -ESRCH");
	tap_eq(inject_open(getpid(), &t), -EPERM, "ourselves: -EPERM");
	tap_eq(inject_open(2, &t), -ESRCH, "a kernel thread: -ESRCH");
	tap_eq(t.pid, 77, "the output is untouched on failure");
}

static void drop(void)
{
	if (setgroups(0, NULL) || setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000))
		_exit(9);
}

static void dumpable(void)
{
	drop();
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

/* Runs inject_open(pid) as uid 1000 and tells its result. */
static int open_as_user(pid_t pid)
{
	struct inject_target t;
	int status, r;
	pid_t p;

	fflush(stdout);
	p = fork();
	if (!p) {
		dumpable();
		r = inject_open(pid, &t);
		if (!r) {
			r = inject_borrow(&t);
			if (!r && inject_syscall(&t, SYS_getuid, 0, 0, 0, 0, 0, 0) != 1000)
				r = -EBADMSG;
			inject_close(&t);
		}
		_exit(-r);
	}
	waitpid(p, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -255;
}

static void test_other_user(void)
{
	pid_t root = child(NULL), same = child(dumpable), hidden = child(drop);

	if (geteuid()) {
		tap_skip("needs root", "other users");
	} else {
		tap_eq(open_as_user(root), -EPERM, "a process of another user: -EPERM");
		tap_eq(open_as_user(same), 0, "a process of the same user, without privilege: borrowed");
		tap_eq(open_as_user(hidden), -EPERM, "a process that may not be dumped: -EPERM");
	}
	end(root);
	end(same);
	end(hidden);
}

static void test_debugger(void)
{
	struct inject_target t, early;
	pid_t pid = child(NULL);
	int go[2], done[2];
	pid_t dbg;
	char c;

	tap_eq(inject_open(pid, &early), 0, "opened before the debugger comes");
	if (pipe(go) || pipe(done))
		return;
	dbg = fork();
	if (!dbg) {
		if (ptrace(PTRACE_SEIZE, pid, 0, 0) || write(done[1], "x", 1) != 1 || read(go[0], &c, 1) != 1)
			_exit(1);
		_exit(0);
	}
	if (read(done[0], &c, 1) != 1)
		return;
	tap_eq(inject_open(pid, &t), -EBUSY, "under a debugger: open -EBUSY");
	tap_eq(inject_borrow(&early), -EBUSY, "under a debugger: borrow -EBUSY");
	tap_eq(inject_stop(&early, 500), -EBUSY, "under a debugger: stop -EBUSY");
	if (write(go[1], "x", 1) != 1)
		return;
	waitpid(dbg, NULL, 0);
	tap_eq(inject_borrow(&early), 0, "the debugger has left: borrowed");
	inject_give_back(&early);
	inject_close(&early);
	close(go[0]), close(go[1]), close(done[0]), close(done[1]);
	end(pid);
}

static void no_mmap(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = {.len = 4, .filter = f};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p))
		_exit(9);
}

static void no_mmap_user(void)
{
	dumpable();
	no_mmap();
}

static void test_seccomp(void)
{
	struct inject_target t;
	pid_t pid = child(no_mmap);
	s64 m = -1;
	int r;

	tap_eq(inject_open(pid, &t), 0, "a filtered process opens");
	tap_ok(t.seccomp, "and is known as filtered");
	r = inject_borrow(&t);
	tap_ok(r == 0 || r == -EACCES, "borrow: the filter is suspended, or -EACCES: %d", r);
	if (!r)
		m = inject_syscall(&t, SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);
	tap_ok(r || m > 0, "a call that the filter would kill for works when suspended");
	inject_close(&t);
	tap_ok(waitpid(pid, NULL, WNOHANG) == 0, "the filtered process lives");
	end(pid);

	if (geteuid())
		return;
	pid = child(no_mmap_user);
	tap_eq(open_as_user(pid), -EACCES, "without privilege a filtered process is not borrowed: -EACCES");
	tap_ok(waitpid(pid, NULL, WNOHANG) == 0, "and lives");
	end(pid);
}

static char state_of(pid_t pid)
{
	struct proc_status st = {0};

	return proc_status_read(pid, &st) ? '?' : st.state;
}

static bool reaches_state(pid_t pid, char state)
{
	for (int i = 0; i < 200 && state_of(pid) != state; i++)
		test_sleep_us(10000);
	return state_of(pid) == state;
}

/* SIGSTOPped before, during and after: stays stopped until its SIGCONT. */
static void test_group_stop(void)
{
	pid_t pid = child(NULL);
	struct inject_target t;
	int status;

	kill(pid, SIGSTOP);
	tap_ok(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status), "the target is stopped by SIGSTOP");
	tap_eq(inject_open(pid, &t), 0, "open");
	for (int i = 0; i < 3; i++) {
		tap_eq(inject_borrow(&t), 0, "borrow");
		tap_eq(inject_syscall(&t, SYS_getpid, 0, 0, 0, 0, 0, 0), pid, "getpid");
		inject_give_back(&t);
		tap_ok(reaches_state(pid, 'T'), "still stopped");
		tap_eq(inject_stop(&t, 1000), 0, "stop");
		inject_resume(&t);
		tap_ok(reaches_state(pid, 'T'), "still stopped");
	}
	tap_eq(inject_borrow(&t), 0, "borrow");
	kill(pid, SIGCONT);
	tap_eq(inject_syscall(&t, SYS_getpid, 0, 0, 0, 0, 0, 0), pid, "SIGCONT between: getpid");
	inject_give_back(&t);
	tap_ok(reaches_state(pid, 'S'), "it runs on");
	tap_eq(inject_borrow(&t), 0, "borrow");
	kill(pid, SIGSTOP);
	for (int i = 0; i < 3; i++)
		tap_eq(inject_syscall(&t, SYS_getpid, 0, 0, 0, 0, 0, 0), pid, "SIGSTOP between: getpid");
	inject_give_back(&t);
	tap_ok(reaches_state(pid, 'T'), "it is stopped when we have left");
	tap_eq(inject_stop(&t, 1000), 0, "stop");
	kill(pid, SIGCONT);
	inject_resume(&t);
	tap_ok(reaches_state(pid, 'S'), "SIGCONT during a stop: it runs on");
	inject_close(&t);
	end(pid);
}

static volatile int *handled;

static void on_signal(int sig, siginfo_t *si, void *uc)
{
	handled[0]++;
	handled[1] = si->si_value.sival_int;
	handled[2] = sig;
}

static void block_and_handle(void)
{
	struct sigaction sa = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	sigset_t s;

	sigemptyset(&s);
	sigaddset(&s, SIGTRAP);
	sigaddset(&s, SIGUSR2);
	sigprocmask(SIG_BLOCK, &s, NULL);
	sigaction(SIGTRAP, &sa, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGUSR2, &sa, NULL);
	signal(SIGWINCH, SIG_IGN);
}

/* Dispositions, masks and queued signals are as before; a signal that comes meanwhile arrives whole. */
static void test_signals(void)
{
	union sigval value = {.sival_int = 4711};
	struct proc_status before, after;
	struct inject_target t;
	pid_t pid;

	handled = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = child(block_and_handle);
	proc_status_read(pid, &before);
	tap_eq(inject_open(pid, &t), 0, "open");
	tap_eq(inject_borrow(&t), 0, "borrow");
	tap_eq(inject_syscall(&t, SYS_getpid, 0, 0, 0, 0, 0, 0), pid, "getpid");
	sigqueue(pid, SIGUSR1, value);
	tap_eq(inject_syscall(&t, SYS_getpid, 0, 0, 0, 0, 0, 0), pid, "getpid with a signal waiting");
	test_sleep_us(20000);
	tap_eq(handled[0], 0, "not handled while borrowed");
	inject_give_back(&t);
	for (int i = 0; i < 100 && !handled[0]; i++)
		test_sleep_us(10000);
	tap_ok(handled[0] == 1 && handled[1] == 4711 && handled[2] == SIGUSR1, "handled once, with its value");
	tap_eq(inject_stop(&t, 1000), 0, "stop");
	value.sival_int = 4712;
	sigqueue(pid, SIGUSR1, value);
	tap_eq(inject_borrow(&t), 0, "borrow");
	tap_eq(inject_syscall(&t, SYS_getpid, 0, 0, 0, 0, 0, 0), pid, "getpid");
	inject_resume(&t);
	for (int i = 0; i < 100 && handled[0] < 2; i++)
		test_sleep_us(10000);
	tap_ok(handled[0] == 2 && handled[1] == 4712, "the same during a stop");
	proc_status_read(pid, &after);
	for (int i = 0; i < 100 && after.sig_blocked != before.sig_blocked; i++) { /* the handler may not be at its end */
		test_sleep_us(10000);
		proc_status_read(pid, &after);
	}
	tap_ok(before.sig_blocked == after.sig_blocked && before.sig_ignored == after.sig_ignored &&
		       before.sig_caught == after.sig_caught,
	       "masks and handlers are as before: %lx %lx", after.sig_blocked, after.sig_caught);
	inject_close(&t);
	end(pid);
	munmap((void *)handled, 4096);
}

/* Scheduling of the caller is what it was. */
static void test_urgency(void)
{
	pid_t pid = child(NULL);
	struct inject_target t;

	tap_eq(inject_open(pid, &t), 0, "open");
	tap_eq(inject_stop(&t, 1000), 0, "stop");
	inject_resume(&t);
	tap_eq(inject_borrow(&t), 0, "borrow");
	inject_give_back(&t);
	tap_eq(sched_getscheduler(0), SCHED_OTHER, "our scheduling is put back");
	inject_close(&t);
	tap_eq(sched_getscheduler(pid), SCHED_OTHER, "the target's was not touched");
	end(pid);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	test_no_such_process();
	test_other_user();
	test_debugger();
	test_seccomp();
	test_group_stop();
	test_signals();
	test_urgency();
	return tap_done();
}
