/* SPDX-License-Identifier: MIT */
/*
 * One thread goes through a probed call an instruction at a time: site, slot, program, thunk, body, exit. At each of them
 * a signal arrives whose handler returns, calls probed functions, walks the stack, leaves by siglongjmp, or throws.
 *
 *     signals_step VICTIM
 *
 * The first three are done in one walk, since the thread goes on where it was; the others need a call for every place.
 */
#include <elf.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "all.h"
#include "signals.h"
#include "tap.h"
#include "common/functions.h"

enum { PLACES_MAX = 20000 };

struct stepper {
	pid_t pid;
	uint64_t target; /* s_target */
	uint64_t file_lo, file_hi; /* where the victim's own code is */
	uint64_t report; /* address of struct signals_report */
	uint64_t back, rsp; /* where this call of s_target returns to, and the stack pointer then */
	uint64_t place[PLACES_MAX];
	unsigned int nplaces;
	bool dead;
};

static bool regs_get(struct stepper *s, struct user_regs_struct *r)
{
	return !ptrace(PTRACE_GETREGS, s->pid, NULL, r);
}

/* Lets it go on and waits for the next stop; the signal that stopped it, 0 = it is gone. */
static int go(struct stepper *s, int how, int sig)
{
	int status;

	if (s->dead || ptrace(how, s->pid, NULL, sig) || waitpid(s->pid, &status, __WALL) != s->pid || !WIFSTOPPED(status)) {
		if (!s->dead)
			printf("# the victim is gone, status %#x\n", status);
		s->dead = true;
		return 0;
	}
	return WSTOPSIG(status);
}

static bool at_int3(struct stepper *s)
{
	siginfo_t info;

	return !ptrace(PTRACE_GETSIGINFO, s->pid, NULL, &info) && info.si_code == SI_KERNEL;
}

/* To the next int3. Anything else that stops it on the way is an error. */
static bool go_int3(struct stepper *s, int sig)
{
	int got = go(s, PTRACE_CONT, sig);

	if (got == SIGTRAP && at_int3(s))
		return true;
	if (got) {
		struct user_regs_struct r;

		regs_get(s, &r);
		printf("# signal %d at %#llx\n", got, r.rip);
		s->dead = true;
		kill(s->pid, SIGKILL);
	}
	return false;
}

/* At the first int3: what shall be done in this turn. */
static bool command(struct stepper *s, uint64_t mode)
{
	struct user_regs_struct r;

	if (!regs_get(s, &r))
		return false;
	s->report = r.rbx;
	r.rax = mode;
	return !ptrace(PTRACE_SETREGS, s->pid, NULL, &r);
}

static struct signals_report report(struct stepper *s)
{
	struct signals_report rep = { 0 };
	struct iovec local = { &rep, sizeof(rep) }, remote = { (void *)s->report, sizeof(rep) };

	if (process_vm_readv(s->pid, &local, 1, &remote, 1, 0) != sizeof(rep))
		s->dead = true;
	return rep;
}

/* One instruction; false: that was the second int3, or the end. */
static bool step(struct stepper *s)
{
	return go(s, PTRACE_SINGLESTEP, 0) == SIGTRAP && !at_int3(s);
}

/* Steps from the first int3 to s_target's first instruction. */
static bool step_to_target(struct stepper *s)
{
	struct user_regs_struct r;

	while (step(s) && regs_get(s, &r))
		if (r.rip == s->target) {
			s->back = (uint64_t)ptrace(PTRACE_PEEKDATA, s->pid, r.rsp, NULL);
			s->rsp = r.rsp + 8;
			return true;
		}
	return false;
}

/* At the instruction behind the call. */
static bool is_back(const struct stepper *s, const struct user_regs_struct *r)
{
	return r->rip == s->back && r->rsp == s->rsp;
}

/* All places from s_target's first instruction to its return. */
static bool find_places(struct stepper *s)
{
	struct user_regs_struct r;

	s->nplaces = 0;
	if (!command(s, SIGNALS_RETURN) || !step_to_target(s))
		return false;
	while (regs_get(s, &r) && !is_back(s, &r)) {
		if (s->nplaces == PLACES_MAX)
			return false;
		s->place[s->nplaces++] = r.rip;
		if (!step(s))
			return false;
	}
	return go_int3(s, 0) && go_int3(s, 0);
}

static bool is_ours(const struct stepper *s, uint64_t pc)
{
	return pc < s->file_lo || pc >= s->file_hi;
}

/* Runs a handler here, up to the end of its sigreturn. */
static bool run_handler(struct stepper *s)
{
	struct user_regs_struct r;
	int sig = SIGUSR1;

	do {
		if (go(s, PTRACE_SYSCALL, sig) != (SIGTRAP | 0x80) || !regs_get(s, &r))
			return false;
		sig = 0;
	} while (r.orig_rax != 15);
	return go(s, PTRACE_SYSCALL, 0) == (SIGTRAP | 0x80);
}

/* One walk with a handler at every place; returns the places, *ret_whole the backtraces that came through, by owner. */
static unsigned int walk(struct stepper *s, uint64_t mode, unsigned int total[2], unsigned int whole[2])
{
	struct user_regs_struct r, after;
	unsigned int n = 0;

	if (!command(s, mode) || !step_to_target(s))
		return 0;
	while (regs_get(s, &r) && !is_back(s, &r)) {
		struct signals_report before = report(s);

		if (!run_handler(s) || !regs_get(s, &after))
			return 0;
		if (memcmp(&r, &after, offsetof(struct user_regs_struct, orig_rax)) || r.rip != after.rip || r.rsp != after.rsp ||
		    r.eflags != after.eflags || report(s).handled != before.handled + 1) {
			printf("# not as before the handler at %#llx (%u)\n", r.rip, n);
			return 0;
		}
		total[is_ours(s, r.rip)]++;
		whole[is_ours(s, r.rip)] += report(s).whole != before.whole;
		n++;
		if (!step(s))
			return 0;
	}
	return go_int3(s, 0) && go_int3(s, 0) ? n : 0;
}

/* Calls whose handler leaves, one for each place. Returns how many were done. */
static unsigned int leave(struct stepper *s, uint64_t mode, unsigned int stride, bool also_ours)
{
	unsigned int done = 0;

	for (unsigned int i = 0; i < s->nplaces && !s->dead; i += stride) {
		struct signals_report before;
		struct user_regs_struct r;
		unsigned int k = 0;

		if (!also_ours && is_ours(s, s->place[i]))
			continue;
		if (!command(s, mode) || !step_to_target(s))
			break;
		before = report(s);
		while (k < i && step(s))
			k++;
		if (k < i || !regs_get(s, &r))
			break;
		if (!also_ours && is_ours(s, r.rip)) { /* this time the way was another one: the pool had to be asked */
			if (!go_int3(s, 0) || !go_int3(s, 0))
				break;
			continue;
		}
		if (!go_int3(s, SIGUSR1)) {
			printf("# that was at place %u, %#llx%s\n", i, r.rip, is_ours(s, r.rip) ? ", in our code" : "");
			break;
		}
		if (report(s).handled != before.handled + 1 ||
		    (mode == SIGNALS_THROW && report(s).caught != before.caught + 1)) {
			printf("# place %u, %#llx: not handled\n", i, r.rip);
			break;
		}
		done++;
		if (!go_int3(s, 0))
			break;
	}
	return done;
}

static bool find_code(struct stepper *s, const struct all *a)
{
	const struct functions *fs = a->file[0].functions;
	unsigned long lo, hi, off;
	char line[4352], name[64];
	FILE *maps;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)s->pid);
	maps = fopen(name, "r");
	while (maps && fgets(line, sizeof(line), maps)) {
		char perm[8];

		if (sscanf(line, "%lx-%lx %7s %lx", &lo, &hi, perm, &off) != 4 || perm[2] != 'x' || !strstr(line, a->file[0].path))
			continue;
		s->file_lo = lo;
		s->file_hi = hi;
		for (size_t i = 0; i < fs->n; i++)
			if (!strcmp(fs->fn[i].name, "s_target"))
				s->target = fs->fn[i].offset - off + lo;
	}
	if (maps)
		fclose(maps);
	return s->target;
}

static void test_walks(struct stepper *s)
{
	static const struct {
		uint64_t mode;
		const char *name;
	} walks[] = { { SIGNALS_RETURN, "returns" }, { SIGNALS_CALL, "calls probed functions" }, { SIGNALS_TRACE, "walks the stack" } };
	unsigned int total[2] = { 0 }, whole[2] = { 0 }, n;

	for (unsigned int i = 0; i < 3; i++) {
		memset(total, 0, sizeof(total));
		memset(whole, 0, sizeof(whole));
		n = walk(s, walks[i].mode, total, whole);
		tap_ok(n, "a handler at each of %u instructions, which %s", n, walks[i].name);
	}
	tap_eq(whole[0], total[0], "every walk from the program's own instructions came through");
	printf("# and %u of %u from slots, programs and thunks\n", whole[1], total[1]);
}

/* twice: lists so long that slots call dispatchers. */
static void step_victim(char *victim, bool use_hash, unsigned int stride, bool twice)
{
	static struct stepper s;
	struct victim_io v = { 0 };
	struct all a, b = { 0 };
	unsigned int n;
	bool ok;

	if (!tap_ok(!victim_start(&v, (char *[]){ victim, NULL }) && all_open(&a, use_hash) && all_add(&a, victim) &&
			    all_attach(&a, v.pid) &&
			    (!twice || (all_open(&b, false) && all_add(&b, victim) && all_attach(&b, v.pid))),
		    "a process with %s on everything%s", twice ? "two probes" : "a probe",
		    use_hash ? ", programs that call helpers" : ""))
		return;
	s = (struct stepper){ .pid = v.pid };
	tap_ok(find_code(&s, &a) && !ptrace(PTRACE_SEIZE, v.pid, NULL, PTRACE_O_TRACESYSGOOD), "traced");
	setvbuf(v.out, NULL, _IONBF, 0);
	victim_tell(&v, "step");
	ok = waitpid(v.pid, &(int){ 0 }, __WALL) == v.pid && at_int3(&s) && find_places(&s);
	if (tap_ok(ok, "a call is %u instructions", s.nplaces)) {
		test_walks(&s);
		n = leave(&s, SIGNALS_JUMP, stride, true);
		tap_ok(n && !s.dead, "a handler that leaves by siglongjmp, at %u of them", n);
		n = leave(&s, SIGNALS_THROW, 1, false);
		tap_ok(n && !s.dead, "a handler that throws, at %u of the program's own", n);
	}
	if (!s.dead && tap_ok(command(&s, 0) && !ptrace(PTRACE_DETACH, v.pid, NULL, 0), "it goes on alone"))
		tap_ok(all_answer(&a, &v, "step"), "all counts are right");
	all_close(&a);
	all_close(&b);
	tap_eq(victim_end(&v), 0, "it ends well");
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 99;
	step_victim(argv[1], false, 1, false);
	step_victim(argv[1], true, getenv("NT_SOAK") ? 1 : 7, false);
	step_victim(argv[1], false, getenv("NT_SOAK") ? 1 : 5, true);
	return tap_done();
}
