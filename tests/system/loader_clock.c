/* SPDX-License-Identifier: MIT */
/*
 * Programs that run in their loader: a clock that ticks, and BPF_PROG_TEST_RUN. What is claimed here holds for the kernel,
 * too (run it as root without notrap), except where it says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>

#include "loader_calls.h"
#include "tap.h"

#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define PERIOD_NS 10000000 /* 10 ms */

static bool under_notrap(void)
{
	return getenv("NOTRAP_FD") != NULL;
}

static long load(uint32_t type, const struct bpf_insn *insns, uint32_t n)
{
	union call_attr t = {};
	static char log[16384];
	long fd;

	t.w[0] = type;
	t.w[1] = n;
	t.q[1] = (uintptr_t)insns;
	t.q[2] = (uintptr_t) "GPL";
	t.w[6] = 1;
	t.w[7] = sizeof(log);
	t.q[4] = (uintptr_t)log;
	fd = call_bpf(BPF_PROG_LOAD, &t, 128);
	if (fd < 0)
		printf("# load: %s\n# %s\n", strerror(errno), log);
	return fd;
}

/* values[0] += 1; values[1] = pid_tgid; values[2] = ctx word `word` (none if negative); return 7. */
static long load_counter(uint32_t type, long map, int word)
{
	struct bpf_insn p[] = {
	    INSN(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0, 0),
	    INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -4, 0),
	    INSN(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, (int)map),
	    INSN(0, 0, 0, 0, 0),
	    INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0),
	    INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -4),
	    INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem),
	    INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 7, 0),
	    INSN(BPF_ALU64 | BPF_MOV | BPF_X, 7, 0, 0, 0),
	    INSN(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, 1),
	    INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 7, 1, 0, BPF_ADD),
	    INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_current_pid_tgid),
	    INSN(BPF_STX | BPF_MEM | BPF_DW, 7, 0, 8, 0),
	    word < 0 ? INSN(BPF_ALU64 | BPF_MOV | BPF_K, 1, 0, 0, 0)
		     : INSN(BPF_LDX | BPF_MEM | BPF_DW, 1, 6, (short)(8 * word), 0),
	    INSN(BPF_STX | BPF_MEM | BPF_DW, 7, 1, 16, 0),
	    INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 7),
	    INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};

	return load(type, p, sizeof(p) / sizeof(p[0]));
}

struct values {
	uint64_t count, pid_tgid, word;
};

static struct values read_values(long map)
{
	struct values v = {};
	uint32_t key = 0;

	call_elem(BPF_MAP_LOOKUP_ELEM, map, &key, &v, 0);
	return v;
}

static long new_map(void)
{
	return call_map_create(BPF_MAP_TYPE_ARRAY, 4, sizeof(struct values), 1, 0, "clock");
}

static long clock_open(int cpu, uint64_t period, bool freq)
{
	struct perf_event_attr a = {
	    .type = PERF_TYPE_SOFTWARE,
	    .size = sizeof(a),
	    .config = PERF_COUNT_SW_CPU_CLOCK,
	    .sample_period = period,
	    .freq = freq,
	};

	return syscall(SYS_perf_event_open, &a, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t ticks_in(long map, unsigned int ms)
{
	uint64_t before = read_values(map).count;

	usleep(ms * 1000);
	return read_values(map).count - before;
}

static void test_clock(void)
{
	long map = new_map(), prog = load_counter(BPF_PROG_TYPE_PERF_EVENT, map, 21 /* sample_period */);
	long other = load_counter(BPF_PROG_TYPE_RAW_TRACEPOINT, map, -1);
	int fd = (int)clock_open(0, PERIOD_NS, false);
	uint64_t begin = now_ms(), n, ms;
	struct values v;

	tap_ok(prog >= 0 && fd >= 0, "a clock and its program");
	tap_ok(ioctl(fd, PERF_EVENT_IOC_SET_BPF, other) == -1 && errno == EINVAL, "only a perf event program fits");
	tap_eq(ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog), 0, "the program is set");
	tap_ok(ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog) == -1 && errno == EEXIST, "only one");
	usleep(500000);
	n = read_values(map).count;
	ms = now_ms() - begin;
	tap_ok(n >= ms / 10 * 8 / 10 && n <= ms / 10 + 1, "it ticks every 10 ms (%llu in %llu ms)", (unsigned long long)n,
	       (unsigned long long)ms);
	v = read_values(map);
	tap_eq(v.word, PERIOD_NS, "the context has the period");
	if (under_notrap())
		tap_eq(v.pid_tgid >> 32, getpid(), "current is the loader");
	ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
	tap_eq(ticks_in(map, 60), 0, "disabled it does not tick");
	ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
	tap_ok(ticks_in(map, 100) >= 5, "enabled again it does");
	close(fd);
	tap_eq(ticks_in(map, 60), 0, "closed it does not");
	close((int)prog);
	close((int)other);
	close((int)map);
}

/* bpftrace's profile probe: one event per CPU, one program for all. */
static void test_many(void)
{
	enum { EVENTS = 16 };
	long map = new_map(), prog = load_counter(BPF_PROG_TYPE_PERF_EVENT, map, -1);
	int fd[EVENTS], cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t n;

	for (int i = 0; i < EVENTS; i++) {
		fd[i] = (int)clock_open(i % cpus, 100, true);
		if (ioctl(fd[i], PERF_EVENT_IOC_SET_BPF, prog))
			tap_ok(false, "event %d takes the program", i);
	}
	close((int)prog);
	n = ticks_in(map, 300);
	/* The kernel's own come to half of it where the virtual machine's timers are late: what is missed is skipped. */
	tap_ok(n >= EVENTS * 30 * 3 / 10 && n <= EVENTS * 30 * 13 / 10, "%d events of 100 Hz tick %llu times in 300 ms", EVENTS,
	       (unsigned long long)n);
	for (int i = 1; i < EVENTS; i++)
		close(fd[i]);
	tap_ok(ticks_in(map, 100) >= 5, "the last one still ticks");
	close(fd[0]);
	tap_eq(ticks_in(map, 50), 0, "and not when it is closed");
	close((int)map);
}

static long test_run(long prog, uint64_t ctx, uint32_t ctx_size, uint32_t *ret)
{
	union call_attr t = {};
	long r;

	t.w[0] = (uint32_t)prog;
	t.w[1] = 0xdead;
	t.w[10] = ctx_size;
	t.q[6] = ctx;
	r = call_bpf(BPF_PROG_TEST_RUN, &t, 80);
	*ret = t.w[1];
	return r < 0 ? -errno : r;
}

static void test_test_run(void)
{
	long map = new_map(), prog = load_counter(BPF_PROG_TYPE_RAW_TRACEPOINT, map, -1);
	long reads = load_counter(BPF_PROG_TYPE_RAW_TRACEPOINT, map, 1);
	long uprobe = load_counter(BPF_PROG_TYPE_KPROBE, map, -1);
	uint64_t args[12] = {11, 22, 33};
	struct values v;
	uint32_t ret;

	tap_eq(test_run(prog, 0, 0, &ret), 0, "a raw tracepoint program is run once");
	v = read_values(map);
	tap_eq(v.count, 1, "exactly once");
	tap_eq(v.pid_tgid, (uint64_t)getpid() << 32 | (uint64_t)gettid(), "by the caller");
	tap_eq(ret, 7, "its return value is reported");
	tap_eq(test_run(reads, 0, 0, &ret), -EINVAL, "one that reads its arguments must be given some");
	tap_eq(test_run(reads, (uintptr_t)args, 24, &ret), 0, "then it runs");
	tap_eq(read_values(map).word, 22, "and sees them");
	tap_eq(test_run(reads, (uintptr_t)args, 104, &ret), -EINVAL, "at most 12");
	tap_eq(test_run(uprobe, 0, 0, &ret), -524, "uprobe programs cannot be test-run");
	for (int i = 0; i < 200; i++)
		test_run(prog, 0, 0, &ret);
	tap_eq(read_values(map).count, 202, "200 times more");
	close((int)prog);
	close((int)reads);
	close((int)uprobe);
	close((int)map);
}

static size_t mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	size_t n = 0;
	int c;

	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

static void test_leaves_nothing(void)
{
	size_t before = 0, after;

	for (int i = 0; i < 20; i++) {
		long map = new_map(), prog = load_counter(BPF_PROG_TYPE_PERF_EVENT, map, -1);
		int fd = (int)clock_open(0, 1000000, false);

		ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog);
		usleep(3000);
		close((int)prog);
		close(fd);
		close((int)map);
		usleep(20000);
		if (i == 4)
			before = mappings();
	}
	after = mappings();
	tap_ok(after <= before + 4, "clocks leave no memory behind (%zu mappings, then %zu)", before, after);
}

/* A child has neither the threads nor the events' duty; it must get through close and exit. */
static void test_fork(void)
{
	long map = new_map(), prog = load_counter(BPF_PROG_TYPE_PERF_EVENT, map, -1);
	int fd = (int)clock_open(0, 1000000, false), status = -1;
	pid_t pid;

	ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog);
	for (int i = 0; i < 20; i++) {
		pid = fork();
		if (!pid) {
			close(fd);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		if (status)
			break;
	}
	tap_eq(status, 0, "children of a loader with a clock end well");
	tap_ok(ticks_in(map, 50) >= 10, "and the parent's clock ticks on");
	close(fd);
	close((int)prog);
	close((int)map);
}

int main(void)
{
	if (!under_notrap() && geteuid())
		tap_skip_all("needs root, or notrap");
	test_clock();
	test_many();
	test_test_run();
	test_leaves_nothing();
	test_fork();
	return tap_done();
}
