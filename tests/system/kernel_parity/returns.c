/* SPDX-License-Identifier: MIT */
/* Sessions, nested calls, calls that are left by other ways than their return. */
#include "parity.h"

#include <bpf/btf.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>

static int depth_left;

static void recurse(void *arg)
{
	if (depth_left-- > 0)
		p_6(recurse, NULL);
}

static void recurse_to(int depth)
{
	depth_left = depth - 1;
	p_6(recurse, NULL);
}

static void counts(struct parity *p, const char *name, u64 cookie, int in, int out)
{
	printf("%s: %llu in, %llu out\n", name, (unsigned long long)count_events(p, cookie, in),
	       (unsigned long long)count_events(p, cookie, out));
	drop_events(p);
}

void session_cases(struct parity *p)
{
	const struct target seven[] = { { p_1, 1, 0 }, { p_1, 2, 0 }, { p_1, 3, 0 }, { p_1, 4, 0 },
					{ p_1, 5, 0 }, { p_1, 6, 0 }, { p_1, 7, 0 } };
	int a = session_one(p, p_0, 1, 0), b = session_one(p, p_0, 2, 1), c;

	show("session", a);
	p_0(NULL, NULL);
	show_events(p, "one answers 0, the other 1");
	p->skel->bss->session_answer[1] = 1;
	p_0(NULL, NULL);
	show_events(p, "both answer 1");
	p->skel->bss->session_answer[2] = 0;
	p_0(NULL, NULL);
	show_events(p, "the first answers 1, the other 0");
	c = link_one(p->leave, FLAG_RETURN, p_0, 3);
	p->skel->bss->session_answer[2] = 1;
	p_0(NULL, NULL);
	show_events(p, "both answer 1, somebody else wants the return");
	close(a);
	close(b);
	close(c);
	a = link_targets(p->session, LINK_SESSION, FLAG_RETURN, getpid(), &(struct target){ p_0, 4, 0 }, 1);
	show("session with the return flag", a);
	p_0(NULL, NULL);
	show_events(p, "runs at return only");
	close(a);
	for (unsigned mask = 0; mask < 128; mask += 21) {
		for (int i = 0; i < 8; i++)
			p->skel->bss->session_answer[i] = mask >> (i - 1) & 1;
		a = link_targets(p->session, LINK_SESSION, 0, getpid(), seven, 7);
		p_1(NULL, NULL);
		show_events(p, "seven sessions");
		close(a);
	}
	a = link_targets(p->session, LINK_MULTI, 0, getpid(), seven, 1);
	show("a session program as a multi link", a);
	a = link_targets(p->entry, LINK_SESSION, 0, getpid(), seven, 1);
	show("a multi program as a session", a);
	a = link_targets(p->session, LINK_SESSION, 2, getpid(), seven, 1);
	show("flag 2", a);
}

void depth_cases(struct parity *p)
{
	static const int depths[] = { 1, 63, 64, 65, 70, 200 };
	int in = link_one(p->entry, 0, p_6, 1), out = link_one(p->leave, FLAG_RETURN, p_6, 1), s;
	char name[64];

	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		recurse_to(depths[i]);
		snprintf(name, sizeof(name), "%d calls deep", depths[i]);
		counts(p, name, 1, EV_ENTRY, EV_RETURN);
	}
	s = session_one(p, p_6, 2, 0);
	recurse_to(70);
	printf("session 70 deep: %llu\n", (unsigned long long)count_events(p, 2, EV_SESSION));
	counts(p, "with others", 1, EV_ENTRY, EV_RETURN);
	close(s);
	close(out);
	s = session_one(p, p_6, 2, 0);
	recurse_to(70);
	printf("session alone, 70 deep: %llu\n", (unsigned long long)count_events(p, 2, EV_SESSION));
	drop_events(p);
	close(s);
	close(in);
}

static jmp_buf back;

static void jump_out(void *arg)
{
	longjmp(back, 1);
}

static void jump_out_deep(void *arg)
{
	if (depth_left-- > 0)
		p_6(jump_out_deep, NULL);
	else
		longjmp(back, 1);
}

static void on_signal(int sig)
{
	p_6(NULL, NULL);
}

static void raise_inside(void *arg)
{
	raise(SIGUSR1);
}

static void jump_from_handler(int sig)
{
	siglongjmp(back, 1);
}

static void jumps(struct parity *p)
{
	for (volatile int i = 0; i < 100; i++)
		if (!setjmp(back))
			p_6(jump_out, NULL);
	counts(p, "100 calls left by longjmp", 1, EV_ENTRY, EV_RETURN);
	p_6(NULL, NULL);
	counts(p, "the next call", 1, EV_ENTRY, EV_RETURN);
	depth_left = 50;
	if (!setjmp(back))
		p_6(jump_out_deep, NULL);
	counts(p, "51 at once", 1, EV_ENTRY, EV_RETURN);
	recurse_to(70);
	counts(p, "70 deep after that", 1, EV_ENTRY, EV_RETURN);
}

static void *in_thread(void *arg)
{
	recurse_to(1);
	p_6(raise_inside, NULL);
	return NULL;
}

static void fork_inside(void *arg)
{
	int *pid = arg;

	*pid = fork();
}

static void clone_thread(void *arg)
{
	pthread_t t;

	pthread_create(&t, NULL, in_thread, NULL);
	pthread_join(t, NULL);
}

static void forks(struct parity *p, const char *name)
{
	int pid = -1, status;

	fflush(stdout);
	p_6(fork_inside, &pid);
	if (!pid) {
		p_6(NULL, NULL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	counts(p, name, 1, EV_ENTRY, EV_RETURN);
}

static void vforks(struct parity *p)
{
	int status, pid = vfork();

	if (!pid) {
		p_6(NULL, NULL);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	counts(p, "in a vfork child, link for the parent", 1, EV_ENTRY, EV_RETURN);
}

static void in_threads(struct parity *p)
{
	pthread_t t[8];

	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, in_thread, NULL);
	for (int i = 0; i < 8; i++)
		pthread_join(t[i], NULL);
	counts(p, "8 threads, signals in them", 1, EV_ENTRY, EV_RETURN);
}

void thread_cases(struct parity *p)
{
	static char stack[65536];
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_handler = on_signal };
	int in = link_one(p->entry, 0, p_6, 1), out = link_one(p->leave, FLAG_RETURN, p_6, 1);
	const struct target t = { p_6, 1, 0 };
	int all;

	sigaction(SIGUSR1, &sa, NULL);
	jumps(p);
	in_threads(p);
	p_6(raise_inside, NULL);
	counts(p, "a signal inside", 1, EV_ENTRY, EV_RETURN);
	p_6(clone_thread, NULL);
	counts(p, "a thread inside", 1, EV_ENTRY, EV_RETURN);
	sa.sa_handler = jump_from_handler;
	sigaction(SIGUSR1, &sa, NULL);
	for (volatile int i = 0; i < 10; i++)
		if (!sigsetjmp(back, 1))
			p_6(raise_inside, NULL);
	counts(p, "10 calls left by a handler", 1, EV_ENTRY, EV_RETURN);
	(void)alt;
	forks(p, "fork inside, link for the parent");
	all = link_targets(p->leave, LINK_MULTI, FLAG_RETURN, 0, &t, 1);
	forks(p, "fork inside, one link for all");
	close(all);
	close(in);
	close(out);
}

/* What docs/differences.md tells of. The kernel never forgets calls that were left from that deep. */
void differs_cases(struct parity *p)
{
	const struct target bad[] = { { p_6, 1, 0 }, { p_broken, 2, 0 }, { p_7, 3, 0 } };
	int in = link_targets(p->entry, LINK_MULTI, 0, getpid(), bad, 3), out;

	show("one of three cannot be probed", in);
	p_6(NULL, NULL);
	p_7(NULL, NULL);
	show_events(p, "the others");
	close(in);
	in = link_one(p->entry, 0, p_6, 1);
	out = link_one(p->leave, FLAG_RETURN, p_6, 1);
	depth_left = 80;
	if (!setjmp(back))
		p_6(jump_out_deep, NULL);
	drop_events(p);
	recurse_to(30);
	counts(p, "30 deep after 81 were left", 1, EV_ENTRY, EV_RETURN);
	vforks(p);
	close(in);
	close(out);
}

static void fork_and_leave(void *arg)
{
	*(int *)arg = fork();
}

static void jump_over_two(void *arg)
{
	if (depth_left-- > 0)
		p_6(jump_over_two, NULL);
	else
		longjmp(back, 1);
}

/* Newer kernels give both functions the context as an argument. Whatever is in the register, it is the same call. */
static void show_signatures(const char *name, const char *function, int argument)
{
	static const char license[] = "GPL";
	struct btf *kernel = btf__load_vmlinux_btf();
	int id = kernel ? btf__find_by_name_kind(kernel, function, BTF_KIND_FUNC) : 0, fd;
	/* argument: 0 nothing that can be read, 1 the context, 2 a number */
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns },
		{ .code = BPF_ALU64 | BPF_MOV | (argument == 2 ? BPF_K : BPF_X), .dst_reg = argument ? 1 : 7,
		  .src_reg = argument == 2 ? 0 : 6, .imm = argument == 2 ? 5 : 0 },
		{ .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL, .imm = id },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, o, .expected_attach_type = LINK_SESSION);

	fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "signature", license, insns, sizeof(insns) / sizeof(insns[0]), &o);
	printf("%s, %s: %s\n", function, name, error_name(fd < 0 ? -errno : 0));
	if (fd >= 0) {
		int link = link_targets(fd, LINK_SESSION, 0, getpid(), &(struct target){ p_0, 1, 0 }, 1);

		show("attached", link);
		printf("value %llu\n", (unsigned long long)p_0(NULL, NULL));
		close(link);
		close(fd);
	}
	btf__free(kernel);
}

static void signatures(void)
{
	static const char *const function[] = { "bpf_session_is_return", "bpf_session_cookie" };
	static const char *const name[] = { "no argument", "the context", "a number" };

	for (int f = 0; f < 2; f++)
		for (int a = 0; a < 3; a++)
			show_signatures(name[a], function[f], a);
}

/* The word that each call of each session has for itself. */
void cookie_cases(struct parity *p)
{
	const struct target five[] = { { p_6, 1, 0 }, { p_6, 2, 0 }, { p_6, 3, 0 }, { p_6, 4, 0 }, { p_6, 5, 0 } };
	int a = session_link(p->session_cookie, p, p_6, 1, 0), b, status, pid = -1;

	p_6(NULL, NULL);
	p_6(NULL, NULL);
	show_events(p, "two calls");
	recurse_to(4);
	show_events(p, "four deep");
	b = session_link(p->session_cookie, p, p_6, 2, 0);
	recurse_to(3);
	show_events(p, "two sessions, three deep");
	p->skel->bss->session_answer[1] = 1;
	recurse_to(2);
	show_events(p, "one does not want the return");
	p->skel->bss->session_answer[1] = 0;
	depth_left = 2;
	if (!setjmp(back))
		p_6(jump_over_two, NULL);
	show_events(p, "left by longjmp");
	p_6(NULL, NULL);
	show_events(p, "and the next");
	close(b);
	close(a);
	a = link_targets(p->session_cookie, LINK_SESSION, 0, 0, five, 5);
	recurse_to(2);
	show_events(p, "five in a link");
	fflush(stdout);
	p_6(fork_and_leave, &pid);
	if (!pid)
		_exit(0);
	waitpid(pid, &status, 0);
	printf("forked inside, returns that found their word: ");
	for (int i = 1; i <= 5; i++)
		printf("%llu ", (unsigned long long)count_events(p, (u64)i, EV_SESSION_OUT));
	printf("\n");
	close(a);
	signatures();
}
