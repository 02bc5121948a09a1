/* SPDX-License-Identifier: MIT */
/* Remote system calls in programs of all kinds: they must not notice. */
#include <sys/mman.h>
#include <sys/syscall.h>

#include "inject/inject.h"
#include "victim_run.h"

#define CYCLES 1000

/* Borrow, mmap, write, read back, munmap, give back. Returns 0 or what went wrong first. */
static s64 one_cycle(struct inject_target *t)
{
	u64 word = 0x1122334455667788, back = 0;
	s64 r = inject_borrow(t), m;

	if (r)
		return r;
	m = inject_syscall(t, SYS_mmap, 0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);
	r = m < 0 && m > -4096 ? m : 0;
	if (!r)
		r = inject_write(t, (u64)m + 40000, &word, 8);
	if (!r)
		r = inject_read(t, (u64)m + 40000, &back, 8);
	if (!r && back != word)
		r = -EBADMSG;
	if (!r)
		r = inject_syscall(t, SYS_munmap, (u64)m, 65536, 0, 0, 0, 0);
	inject_give_back(t);
	return r;
}

static void check_program(const char *what, char *const *argv, int cycles)
{
	struct inject_target t;
	struct victim v;
	u64 begin;
	s64 r = 0;
	int i, status;

	if (!victim_start(&v, argv, NULL)) {
		tap_skip("cannot be started here", "%s", what);
		return;
	}
	r = inject_open(v.pid, &t);
	if (!tap_eq(r, 0, "%s: open", what)) {
		victim_end(&v, 0);
		return;
	}
	begin = test_now_ms();
	for (i = 0; i < cycles && !r; i++)
		r = one_cycle(&t);
	tap_eq(r, 0, "%s: %d of %d cycles", what, i, cycles);
	printf("# %.0f us each\n", (double)(test_now_ms() - begin) * 1000 / (i ? i : 1));
	inject_close(&t);
	tap_ok(!victim_dead(&v), "%s: alive", what);
	status = victim_end(&v, 60000);
	if (!tap_eq(status, 0, "%s: all its results were right", what))
		printf("# it said: %s\n", v.text);
}

/* With all threads stopped: calls are made by one of them, the others stand still. */
static void check_while_stopped(void)
{
	char path[512];
	char *argv[] = {path, "4", NULL};
	struct inject_target t;
	struct victim v;
	s64 r = 0;

	snprintf(path, sizeof(path), "%s", victim_path("spin"));
	if (!tap_ok(victim_start(&v, argv, NULL), "spin starts"))
		return;
	tap_eq(inject_open(v.pid, &t), 0, "open");
	for (int i = 0; i < 100 && !r; i++) {
		r = inject_stop(&t, 5000);
		if (!r)
			r = one_cycle(&t);
		if (!r && inject_stop(&t, 1) != -EBUSY)
			r = -EBADE;
		if (!r && i % 2) { /* resume without giving back */
			r = inject_borrow(&t);
			if (!r && inject_borrow(&t) != -EBUSY)
				r = -EBADE;
			if (!r && inject_syscall(&t, SYS_getpid, 0, 0, 0, 0, 0, 0) != v.pid)
				r = -EBADMSG;
		}
		inject_resume(&t);
	}
	tap_eq(r, 0, "100 cycles while all are stopped");
	tap_eq(inject_syscall(&t, SYS_getpid, 0, 0, 0, 0, 0, 0), -ESRCH, "no call without a borrowed thread");
	inject_close(&t);
	tap_eq(victim_end(&v, 10000), 0, "its results were right");
}

int main(void)
{
	static const char python[] = "import sys,threading,hashlib,os\n"
				     "stop=False\n"
				     "def f():\n"
				     "  while not stop:\n"
				     "    assert len(hashlib.sha256(b'x'*100000).digest())==32\n"
				     "    assert sum(range(1000))==499500\n"
				     "ts=[threading.Thread(target=f) for _ in range(3)]\n"
				     "[t.start() for t in ts]\n"
				     "print('ready',os.getpid(),flush=True)\n"
				     "sys.stdin.read(); stop=True\n"
				     "[t.join() for t in ts]\n"
				     "print('good 1',flush=True)\n";
	static const char perl[] = "$|=1; print \"ready $$\\n\"; my $v=''; my $n=0;"
				   "for(;;){ vec($v,0,1)=1; my $r=$v; my $s=0; $s+=$_ for 1..1000; die if $s!=500500;"
				   "my $k=select($r,undef,undef,0.001); die if $k<0; if($k){ last if !sysread(STDIN,my $b,1);} }";
	static const char bash[] = "echo ready $$; while :; do s=0; for i in 1 2 3 4 5; do s=$((s+i)); done;"
				   "[ $s = 15 ] || exit 3; x=$(echo a; :); [ \"$x\" = a ] || exit 3;"
				   "read -t 0.01 l; [ $? -gt 128 ] || exit 0; done";
	static const struct {
		const char *name, *arg;
	} own[] = {{"spin", "3"}, {"manyfuncs", "2"}, {"forker", "20"}, {"dlopener", NULL}, {"thrower", NULL}};

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		char path[512], arg[16] = "";
		char *argv[] = {path, own[i].arg ? arg : NULL, NULL};

		snprintf(path, sizeof(path), "%s", victim_path(own[i].name));
		snprintf(arg, sizeof(arg), "%s", own[i].arg ? own[i].arg : "");
		check_program(own[i].name, argv, CYCLES);
	}
	check_program("python3", (char *[]){"python3", "-c", (char *)python, NULL}, CYCLES);
	check_program("perl", (char *[]){"perl", "-e", (char *)perl, NULL}, CYCLES);
	check_program("bash", (char *[]){"bash", "-c", (char *)bash, NULL}, CYCLES);
	check_while_stopped();
	return tap_done();
}
