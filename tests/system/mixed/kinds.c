/* SPDX-License-Identifier: MIT */
/*
 * Programs of all kinds that only the kernel can run, in a loader with --kernel; and programs of ours that have to follow
 * them into the kernel: run by the loader itself, one uprobe, a session.
 *
 *     mixed_kinds
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <net/if.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "kinds.skel.h"
#include "tap.h"

#define N 100

__attribute__((noinline, used, visibility("default"))) long kinds_f(long i);

long kinds_f(long i)
{
	__asm__ volatile("nop\n nop\n nop\n nop" ::: "memory");
	return i;
}

static struct kinds_bpf *open_with(const char *first, const char *second, bool load)
{
	struct kinds_bpf *s = kinds_bpf__open();
	struct bpf_program *p;

	if (!s)
		exit(2);
	bpf_object__for_each_program(p, s->obj)
		bpf_program__set_autoload(p, !strcmp(bpf_program__name(p), first) ||
						     (second && !strcmp(bpf_program__name(p), second)));
	s->rodata->target = (unsigned)getpid();
	if (load && kinds_bpf__load(s)) {
		kinds_bpf__destroy(s);
		s = NULL;
	}
	if (load)
		tap_ok(s != NULL, "%s: loaded", first);
	return s;
}

static void go(void)
{
	for (int i = 0; i < N; i++) {
		kinds_f(i);
		syscall(SYS_getpriority, 0, 0);
	}
}

static int silent(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

/* may_lack: not every kernel lets functions be traced. */
static void test_attached(const char *name, int kind, bool may_lack)
{
	struct kinds_bpf *s = open_with(name, NULL, false);
	struct bpf_link *l;
	int r;

	libbpf_set_print(may_lack ? silent : NULL);
	r = kinds_bpf__load(s);
	libbpf_set_print(NULL);
	if (r && may_lack)
		tap_skip("this kernel does not", "%s", name);
	if ((r && may_lack) || !tap_eq(r, 0, "%s: loaded", name)) {
		kinds_bpf__destroy(s);
		return;
	}
	l = bpf_program__attach(bpf_object__find_program_by_name(s->obj, name));
	if (tap_ok(l != NULL, "%s: attached", name))
		go();
	tap_eq(s->bss->hits[kind], N, "%s: every call", name);
	bpf_link__destroy(l);
	go();
	tap_eq(s->bss->hits[kind], N, "%s: no call when it is detached", name);
	kinds_bpf__destroy(s);
}

static void test_iter(void)
{
	struct kinds_bpf *s = open_with("k_iter", NULL, true);
	struct bpf_link *l = s ? bpf_program__attach(s->progs.k_iter) : NULL;
	int fd = l ? bpf_iter_create(bpf_link__fd(l)) : -1;
	char buf[256];

	if (tap_ok(fd >= 0, "iterator: made"))
		while (read(fd, buf, sizeof(buf)) > 0)
			;
	if (s)
		tap_ok(s->bss->hits[2] > 1, "iterator: has seen %llu tasks", (unsigned long long)s->bss->hits[2]);
	close(fd);
	bpf_link__destroy(l);
	kinds_bpf__destroy(s);
}

static void test_xdp(void)
{
	struct kinds_bpf *s = open_with("k_xdp", NULL, true);
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	char packet[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = packet, .data_size_in = sizeof(packet));
	struct bpf_link *l;

	if (!s)
		return;
	tap_eq(bpf_prog_test_run_opts(bpf_program__fd(s->progs.k_xdp), &o), 0, "XDP: a test run");
	tap_eq(o.retval, 2, "XDP: passes");
	tap_eq(s->bss->hits[3], 1, "XDP: has run");
	tap_eq(bpf_obj_get_info_by_fd(bpf_program__fd(s->progs.k_xdp), &info, &len), 0, "XDP: is told of");
	tap_ok(!strcmp(info.name, "k_xdp"), "XDP: by its name");
	l = bpf_program__attach_xdp(s->progs.k_xdp, (int)if_nametoindex("lo"));
	tap_ok(l != NULL, "XDP: attached");
	bpf_link__destroy(l);
	kinds_bpf__destroy(s);
}

static void test_cgroup(void)
{
	struct kinds_bpf *s = open_with("k_cgroup", NULL, true);
	int fd = open("/sys/fs/cgroup", O_RDONLY);
	struct statfs fs = {};
	struct bpf_link *l;

	if (!s)
		return;
	if (fd < 0 || fstatfs(fd, &fs) || fs.f_type != 0x63677270) {
		tap_skip("no cgroup2", "control group");
	} else {
		libbpf_set_print(silent);
		l = bpf_program__attach_cgroup(s->progs.k_cgroup, fd);
		libbpf_set_print(NULL);
		if (!l && errno == EPERM)
			tap_skip("somebody else's program there wants to be alone", "control group");
		else
			tap_ok(l != NULL, "control group: attached");
		bpf_link__destroy(l);
	}
	close(fd);
	kinds_bpf__destroy(s);
}

/* An event of a clock: with --kernel it interrupts whoever runs. */
static void test_clock(void)
{
	struct kinds_bpf *s = open_with("k_clock", NULL, true);
	struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_CPU_CLOCK, .size = sizeof(a),
				    .sample_period = 1000000};
	int fd = (int)syscall(SYS_perf_event_open, &a, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	struct bpf_link *l = s && fd >= 0 ? bpf_program__attach_perf_event(s->progs.k_clock, fd) : NULL;

	tap_ok(l != NULL, "clock: attached");
	for (int i = 0; l && i < 1000 && s->bss->hits[5] < 10; i++)
		usleep(5000);
	if (s)
		tap_ok(s->bss->hits[5] >= 10, "clock: ticks");
	bpf_link__destroy(l);
	kinds_bpf__destroy(s);
}

static unsigned long long value(struct kinds_bpf *s, unsigned key)
{
	unsigned long long v = 0;

	return bpf_map__lookup_elem(s->maps.shared, &key, 4, &v, 8, 0) ? 0 : v;
}

static void test_run(void)
{
	struct kinds_bpf *s = open_with("u_run", "k_shares", true);
	LIBBPF_OPTS(bpf_test_run_opts, o);
	struct bpf_link *l;

	if (!s)
		return;
	l = bpf_program__attach(s->progs.k_shares);
	tap_eq(bpf_prog_test_run_opts(bpf_program__fd(s->progs.u_run), &o), 0, "test run with a map of the kernel's");
	tap_eq(o.retval, 7, "test run: its result");
	tap_eq(s->bss->hits[7], 1, "test run: it is the loader's");
	go();
	tap_eq(value(s, 6), 1, "test run: in the map");
	tap_eq(value(s, 0), N, "test run: with what the tracepoint writes");
	bpf_link__destroy(l);
	kinds_bpf__destroy(s);
}

/* Both attached, then the tracepoint: they move. */
static void test_uprobes(void)
{
	struct kinds_bpf *s = open_with("u_single", "k_shares", true);
	LIBBPF_OPTS(bpf_uprobe_opts, o, .func_name = "kinds_f");
	struct bpf_link *u, *k;

	if (!s)
		return;
	u = bpf_program__attach_uprobe_opts(s->progs.u_single, getpid(), "/proc/self/exe", 0, &o);
	tap_ok(u != NULL, "one uprobe: attached");
	k = bpf_program__attach(s->progs.k_shares);
	go();
	tap_eq(value(s, 8), N, "one uprobe: its count");
	tap_eq(value(s, 0), N, "one uprobe: the tracepoint's");
	bpf_link__destroy(u);
	go();
	tap_eq(value(s, 8), N, "one uprobe: detached");
	bpf_link__destroy(k);
	kinds_bpf__destroy(s);
}

static void test_session(void)
{
	struct kinds_bpf *s = open_with("u_session", "k_shares", false);
	LIBBPF_OPTS(bpf_uprobe_multi_opts, o);
	struct bpf_link *u;

	if (!bpf_program__expected_attach_type(s->progs.u_session)) {
		tap_skip("this libbpf has no sessions", "session");
		kinds_bpf__destroy(s);
		return;
	}
	if (!tap_ok(!kinds_bpf__load(s), "session: loaded")) {
		kinds_bpf__destroy(s);
		return;
	}
	u = bpf_program__attach_uprobe_multi(s->progs.u_session, getpid(), "/proc/self/exe", "kinds_f", &o);
	tap_ok(u != NULL, "session: attached");
	go();
	tap_eq(value(s, 9), 2 * N, "session: entries and returns");
	bpf_link__destroy(u);
	kinds_bpf__destroy(s);
}

/* What the kernel's verifier says is what the loader gets to read. */
static void test_log(void)
{
	struct kinds_bpf *s = open_with("k_broken", NULL, false);
	static char log[65536];

	libbpf_set_print(silent);
	bpf_program__set_log_buf(s->progs.k_broken, log, sizeof(log));
	bpf_program__set_log_level(s->progs.k_broken, 1);
	tap_eq(kinds_bpf__load(s), -EACCES, "a program that the kernel refuses");
	tap_ok(strstr(log, "invalid mem access 'map_value_or_null'") != NULL, "in its own words");
	libbpf_set_print(NULL);
	kinds_bpf__destroy(s);
}

int main(void)
{
	if (geteuid() || access("/sys/kernel/tracing/events/syscalls/sys_enter_getpriority/id", R_OK) ||
	    access("/sys/kernel/btf/vmlinux", R_OK))
		tap_skip_all("needs root, tracepoints of system calls, the kernel's BTF");
	test_attached("k_tp_btf", 0, false);
	test_attached("k_fentry", 1, true);
	test_iter();
	test_xdp();
	test_cgroup();
	test_clock();
	test_run();
	test_uprobes();
	test_session();
	test_log();
	return tap_done();
}
