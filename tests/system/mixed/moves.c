/* SPDX-License-Identifier: MIT */
/*
 * Programs that are the kernel's from the moment when they are attached, and what has to follow them there, or cannot.
 *
 *     moves VICTIM [kernel|notrap]
 */
#include "rig.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mapped.h"
#include "tap.h"

static struct rig rig;

static void test_tail(void)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"k_tail", "k_tail_end", NULL});
	unsigned key = 1;
	struct bpf_link *l;
	int fd;

	if (!s)
		return;
	fd = bpf_program__fd(s->progs.k_tail_end);
	tap_eq(bpf_map__update_elem(s->maps.tails, &key, 4, &fd, 4, 0), 0, "tail call: stored");
	l = bpf_program__attach(s->progs.k_tail);
	rig_go(&rig, 0, N);
	tap_eq(s->bss->bss_kernel, N, "tail call: made");
	tap_eq(bpf_map__delete_elem(s->maps.tails, &key, 4, 0), 0, "tail call: taken away");
	rig_go(&rig, 0, N);
	tap_eq(s->bss->bss_kernel, N, "tail call: not made");
	bpf_link__destroy(l);
	mixed_bpf__destroy(s);
}

static void test_raw(void)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"r_enter", NULL});
	struct bpf_link *l = s ? bpf_program__attach(s->progs.r_enter) : NULL;

	if (tap_ok(l != NULL, "raw tracepoint: attached"))
		rig_go(&rig, 0, N);
	if (s)
		tap_eq(s->bss->bss_kernel, N, "raw tracepoint: counts");
	bpf_link__destroy(l);
	mixed_bpf__destroy(s);
}

/* A perf event of the kernel's own that runs programs of the uprobes' type. */
static int trace_event(void)
{
	char text[512] = "";
	struct perf_event_attr a = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(a), .sample_period = 1};
	int fd = open(TRACING "uprobe_events", O_WRONLY | O_APPEND), r = -1;

	snprintf(text, sizeof(text), "p:notrap_test/mixed_%d %s:0x%lx", (int)getpid(), rig.victim_path,
		 mapped_offset(rig.victim.pid, rig.g_addr));
	if (fd >= 0)
		r = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
	close(fd);
	snprintf(text, sizeof(text), TRACING "events/notrap_test/mixed_%d/id", (int)getpid());
	fd = open(text, O_RDONLY);
	memset(text, 0, sizeof(text));
	if (r || fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -1;
	close(fd);
	a.config = strtoull(text, NULL, 10);
	return (int)syscall(SYS_perf_event_open, &a, rig.victim.pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void trace_event_remove(void)
{
	char text[128];
	int fd = open(TRACING "uprobe_events", O_WRONLY | O_APPEND);

	snprintf(text, sizeof(text), "-:notrap_test/mixed_%d", (int)getpid());
	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		printf("# the event stays\n");
	close(fd);
}

/*
 * The uprobe has its jump, and elements in its map, when a program of the same type goes to an event of the kernel's:
 * jump, elements and program move.
 */
static void test_moves(void)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_hash", "e_hash", NULL});
	struct bpf_link *u, *e;
	unsigned missing = 0;
	int event;

	if (!s)
		return;
	u = rig_attach(&rig, s->progs.u_hash, "mixed_f");
	rig_check_place(&rig, true, "before it moves");
	rig_go(&rig, 0, N);
	event = trace_event();
	if (event < 0) {
		tap_skip("no uprobe_events in tracefs", "a program that is the kernel's when it is attached");
		goto out;
	}
	e = bpf_program__attach_perf_event(s->progs.e_hash, event);
	tap_ok(e != NULL, "an event of the kernel's own runs a program of the uprobes' type");
	rig_check_place(&rig, false, "it has moved");
	for (unsigned i = 0; i < N; i++)
		missing += rig_value(s->maps.start, i) != i + 1000;
	tap_eq(missing, 0, "with all elements");
	rig_go(&rig, N, N);
	tap_eq(s->bss->bss_kernel, N, "what it writes is found by the kernel's");
	bpf_link__destroy(e);
out:
	bpf_link__destroy(u);
	tap_ok(rig_code(&rig) != 0xcc, "nothing is left in the code");
	mixed_bpf__destroy(s);
	trace_event_remove();
}

/* The kernel has no uprobes at an instruction with a lock prefix: nothing moves, and nothing is lost. */
static void test_cannot(void)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_hash", "e_hash", NULL});
	struct bpf_link *u, *e;
	int event = trace_event();

	if (!s || event < 0) {
		tap_skip("no uprobe_events in tracefs", "a uprobe that cannot move");
		return;
	}
	u = rig_attach(&rig, s->progs.u_hash, "mixed_lock");
	tap_ok(u != NULL, "a uprobe at an instruction with a lock prefix");
	rig_go(&rig, 0, N);
	libbpf_set_print(NULL);
	e = bpf_program__attach_perf_event(s->progs.e_hash, event);
	tap_ok(!e && errno == EOPNOTSUPP, "it cannot move to the kernel: what would make it move is refused");
	tap_eq(rig_value(s->maps.start, N - 1), N - 1 + 1000, "its elements are where they were");
	rig_go(&rig, N, N);
	tap_eq(rig_value(s->maps.start, 2 * N - 1), 2 * N - 1 + 1000, "and more come");
	bpf_link__destroy(e);
	bpf_link__destroy(u);
	close(event);
	mixed_bpf__destroy(s);
	trace_event_remove();
}

/* Where only a breakpoint has room; next to a uprobe that stays ours. */
static void test_tight(void)
{
	struct mixed_bpf *s = rig_open(&rig, (const char *[]){"u_bss", "u_array", NULL});
	struct bpf_link *tight, *f;

	if (!s)
		return;
	f = rig_attach(&rig, s->progs.u_array, "mixed_f");
	tight = rig_attach(&rig, s->progs.u_bss, "mixed_tight");
	tap_ok(f && tight, "no room for a jump: attached");
	rig_go(&rig, 0, N);
	tap_eq(s->bss->bss_user, N, "no room for a jump: counts");
	rig_check_place(&rig, true, "no room for a jump: another link");
	bpf_link__destroy(tight);
	rig_go(&rig, 0, N);
	tap_eq(s->bss->bss_user, N, "no room for a jump: detached");
	bpf_link__destroy(f);
	mixed_bpf__destroy(s);
}

int main(int argc, char **argv)
{
	rig_start(&rig, argv);
	test_tail();
	test_raw();
	test_tight();
	test_moves();
	if (rig.notrap)
		test_cannot();
	tap_eq(victim_end(&rig.victim), 0, "the victim is well");
	return tap_done();
}
