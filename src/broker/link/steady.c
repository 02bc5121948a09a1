/* SPDX-License-Identifier: MIT */
/*
 * When a tracer dies, the kernel lets its tracees run with the registers they happen to have. A broker that is killed
 * while a target's thread is borrowed for a system call leaves that thread behind our `syscall` instruction instead of
 * where it was; one that is killed between two pages of a write leaves half a jump. Either is the target's death, and not
 * a rare one: with threads at full speed it was every third kill during an attach.
 *
 * So whatever touches targets runs in a second process which shares everything with the broker but its thread group:
 *
 *     broker   ---- clone(CLONE_VM | CLONE_FILES | CLONE_VFORK) ---- sleeps ------------- goes on
 *                                   \                                                   /
 *                                    hands: stop, borrow, write, give back, resume ---- exit
 *
 * SIGKILL to the broker ends only the broker; the hands finish what they have begun (a stop is never left, a batch is
 * written whole), and as they hold the lock file's descriptor, too, no new broker starts before they are done. The
 * broker's main thread sleeps meanwhile, so memory is used by one of the two at a time; they even share the main
 * thread's thread-local storage (errno, malloc's cache), as after vfork(2). That holds the thread id, too, by which libc
 * knows the owner of its recursive locks. The kernel would wipe it when the main thread dies, in the midst of work that
 * holds such a lock, and the next one to ask for that lock would wait for ever; so the kernel is told not to.
 *
 * For as long as the hands work, the word in front of the gates names them instead of the broker: another broker that
 * finds the block of a dead one must leave it alone until they are done.
 *
 * Who kills both in the same instant (the out-of-memory killer takes all that share the memory) leaves targets as they
 * are at that instant. So each step is made in an order in which it may be the last one: a borrowed thread comes home by
 * itself (inject/haven.c); registers that a stop changes are written at once, and in front of the code they depend on; a
 * slot, its ledger and its entry in the table are there before the first jump leads to it, and each jump is one write.
 * What is left to chance: the very first call in a target, which makes the room for the haven; a site that lies across a
 * page boundary, between the writes of its two parts; a call that had been cut short and would have been finished.
 *
 * Who kills the hands only leaves a broker that does not know what they have done, with their locks in its memory. It leaves
 * as if it had been killed, too.
 */
#include "broker/link/steady.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "broker/link/engine.h"
#include "util/log.h"
#include "util/proc.h"

#define STACK_SIZE (1u << 20)

struct steady_call {
	struct engine *engine;
	void (*fn)(void *arg);
	void *arg;
};

/* The guardian shuts the gates, and the next broker finds out what there is. */
static void leave_if_killed(int status)
{
	if (WIFEXITED(status))
		return;
	log_error("the process that works on targets was killed (signal %d): leaving", WTERMSIG(status));
	_exit(1);
}

static int hands_main(void *arg)
{
	struct steady_call *c = arg;

	prctl(PR_SET_NAME, STEADY_NAME);
	inject_urgency_begin(&c->engine->urgency); /* ends with this process */
	c->fn(c->arg);
	at_store_rel(&c->engine->shared.gates[GATE_OWNER], (u32)c->engine->pid);
	return 0;
}

void steady_init(struct engine *e)
{
	const struct sigaction quiet = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP };
	void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	syscall(SYS_set_tid_address, NULL); /* nobody joins the main thread */
	/* Each stop of a thread that we trace would be a signal to us, and wake up a thread that waits for something else. */
	sigaction(SIGCHLD, &quiet, NULL);
	e->pid = getpid();
	if (proc_exe(e->pid, &e->exe_dev, &e->exe_ino))
		e->exe_ino = 0;
	if (stack == MAP_FAILED)
		return;
	mprotect(stack, NT_PAGE, PROT_NONE); /* a guard; it works without, too */
	e->steady_stack = stack;
}

void steady_deinit(struct engine *e)
{
	if (e->steady_stack)
		munmap(e->steady_stack, STACK_SIZE);
	e->steady_stack = NULL;
}

void steady_run(struct engine *e, void (*fn)(void *arg), void *arg)
{
	struct steady_call c = { .engine = e, .fn = fn, .arg = arg };
	pid_t pid = -1, w = 0;
	int status = 0;

	if (e->steady_stack && !e->steady) {
		e->steady = true;
		pid = clone(hands_main, e->steady_stack + STACK_SIZE,
			    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_VFORK | CLONE_PARENT_SETTID, &c,
			    &e->shared.gates[GATE_OWNER]);
		if (pid < 0)
			log_error("no second process for work on targets: %s", strerror(errno));
		while (pid > 0 && (w = waitpid(pid, &status, __WALL)) < 0 && errno == EINTR)
			;
		if (w > 0)
			leave_if_killed(status);
		e->urgency = (struct inject_urgency){ .fifo = false };
		e->steady = false;
	}
	if (pid < 0)
		fn(arg); /* nested, or too many processes: done less steadily, but done */
}

void steady_take_time(struct engine *e)
{
	inject_urgency_end(&e->urgency);
}

bool steady_is_orphan(const struct engine *e)
{
	return e->steady && getpid() != e->pid && getppid() != e->pid;
}

bool steady_is_broker(const struct engine *e, pid_t pid)
{
	static const char *const names[] = { "notrapd", STEADY_NAME, "notrap-guard", "notrap-keeper" };
	char comm[16];
	dev_t dev;
	u64 ino;

	if (pid == e->pid || pid == getpid())
		return true;
	if (!proc_exe(pid, &dev, &ino) && ino == e->exe_ino && dev == e->exe_dev)
		return true;
	if (proc_comm(pid, comm))
		return false;
	for (u32 i = 0; i < bits_count(names); i++) /* another version's */
		if (!strcmp(comm, names[i]))
			return true;
	return false;
}
