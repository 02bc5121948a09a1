/* SPDX-License-Identifier: MIT */
/*
 * Others who write into the same code: a debugger's breakpoint, somebody who never stops, a kernel uprobe; and a process that may not change what is
 * executable. What is not ours stays as it is, the other functions are probed all the same.
 */
#include "stage.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>

#include "mapped.h"

enum { V_JMP = 10, INT3 = 0xcc }; /* its number among the functions of funcs.S */

static const char *acrobat(void)
{
	return stage_victim("acrobat");
}

static unsigned long address_of_v_jmp(struct victim_io *v)
{
	char line[128];
	unsigned long addr = 0;

	victim_tell(v, "where");
	if (!victim_line(v, line, sizeof(line)) || sscanf(line, "where %lx", &addr) != 1)
		printf("# victim: %s\n", line);
	return addr;
}

/* As a debugger does it: pages that may not be written are. */
static int poke(pid_t pid, unsigned long addr, int byte)
{
	unsigned char old = 0, new = (unsigned char)byte;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || pread(fd, &old, 1, (off_t)addr) != 1 || (byte >= 0 && pwrite(fd, &new, 1, (off_t)addr) != 1))
		printf("# %s: %s\n", path, strerror(errno));
	close(fd);
	return old;
}

/* Every function was counted n times, but v_jmp not at all. */
static bool counts_but_v_jmp(struct victim_io *l, unsigned long long n)
{
	char text[1024], *at, *save;
	int i = 0;

	snprintf(text, sizeof(text), "%s", loader_ask(l, "counts in"));
	for (at = strtok_r(text, " ", &save); (at = strtok_r(NULL, " ", &save)); i++)
		if (strtoull(at, NULL, 10) != (i == V_JMP ? 0 : n)) {
			printf("# function %d: %s\n", i, at);
			return false;
		}
	return i == STAGE_NFUNCS;
}

/* Nobody calls v_jmp while the breakpoint is there: `run` calls all of them, so it is taken out for that. */
static void test_breakpoint(unsigned int offset)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;
	unsigned long at = address_of_v_jmp(&v) + offset;
	int old = poke(v.pid, at, INT3);

	tap_ok(at > offset && loader_start(&l), "a breakpoint at byte %u of a function", offset);
	tap_ok(loader_does(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid), "the others are attached");
	tap_eq(poke(v.pid, at, -1), INT3, "it is still there");
	poke(v.pid, at, old);
	tap_ok(victim_do(&v, "run 100") && counts_but_v_jmp(&l, 100), "taken out: that function runs as it was, the others are counted");
	tap_ok(loader_does(&l, "detach 0") && loader_does(&l, "zero") &&
		       loader_does(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid), "attached anew");
	tap_ok(victim_do(&v, "run 100") && loader_counts(&l, "in", 100), "all are counted");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_ok(no_sites(v.pid, 2000) && code_differs(v.pid) == 0, "the code is as it was");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

static bool code_is_clean(void *arg)
{
	return code_differs(*(pid_t *)arg) == 0;
}

/* The debugger comes later: what it keeps as the original byte is our jump's, and it will put that back. */
static void test_breakpoint_on_jump(void)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;
	unsigned long at = address_of_v_jmp(&v);
	int jump;

	tap_ok(loader_start(&l) && loader_does(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid), "all functions have a jump");
	jump = poke(v.pid, at, INT3);
	tap_eq(loader_end(&l), 0, "a breakpoint on one of them; the loader ends");
	tap_eq(poke(v.pid, at, -1), INT3, "the breakpoint is still there");
	poke(v.pid, at, jump);
	tap_ok(victim_do(&v, "run 100"), "taken out: our jump is back, and leads where it led");
	tap_ok(within(10000, code_is_clean, &v.pid), "it goes when the broker looks again");
	tap_ok(victim_do(&v, "run 100"), "the victim goes on");
	tap_eq(victim_end(&v), 0, "it found every result right");
}

/* Writes ever new values to a byte of the victim that nobody executes, until it is killed. */
static pid_t scribbler(pid_t victim, unsigned long addr)
{
	char path[64];
	pid_t pid = fork();
	int fd;

	if (pid)
		return pid;
	snprintf(path, sizeof(path), "/proc/%d/mem", (int)victim);
	fd = open(path, O_RDWR | O_CLOEXEC);
	for (unsigned char c = 0; pwrite(fd, &c, 1, (off_t)addr) == 1; c++)
		;
	_exit(1);
}

/* What is to be written was read before the stop, and is different then: the attach fails, and nobody may have been moved
 * to code that is taken back. */
static void test_scribbler(void)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;
	unsigned long at = address_of_v_jmp(&v) - 1; /* between two functions that are probed */
	int padding = poke(v.pid, at, -1), refused = 0;
	pid_t other = scribbler(v.pid, at);

	tap_eq(padding, INT3, "somebody writes into the padding in front of a function");
	tap_ok(loader_start(&l), "a loader");
	victim_tell(&v, "run 20000000");
	for (int i = 0; i < 40; i++) {
		refused += !loader_does(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid);
		loader_ask(&l, "detach 0");
	}
	kill(other, SIGKILL);
	tap_ok(waitpid(other, NULL, 0) == other && refused, "%d of 40 attaches are refused while functions run", refused);
	poke(v.pid, at, padding);
	tap_ok(victim_done(&v), "the victim is well");
	tap_ok(loader_does(&l, "zero") && loader_does(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid) &&
		       victim_do(&v, "run 100") && loader_counts(&l, "in", 100), "left alone, all are counted");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_ok(no_sites(v.pid, 2000) && code_differs(v.pid) == 0, "the code is as it was");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

/* --- the kernel's --- */

static int uprobe_type(void)
{
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	int type = -1;

	if (f && fscanf(f, "%d", &type) != 1)
		type = -1;
	if (f)
		fclose(f);
	return type;
}

static void test_kernel_uprobe(void)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;
	unsigned long at = address_of_v_jmp(&v);
	struct perf_event_attr attr = { .type = (unsigned)uprobe_type(), .size = sizeof(attr),
					.config1 = (unsigned long)acrobat(), .config2 = mapped_offset(v.pid, at) };
	int fd = uprobe_type() < 0 ? -1 : (int)syscall(SYS_perf_event_open, &attr, v.pid, -1, -1, 0);
	unsigned long long n = 0;

	if (fd < 0) {
		tap_skip("no kernel uprobes here", "a kernel uprobe on the same function");
		victim_end(&v);
		return;
	}
	tap_ok(loader_start(&l) && loader_does(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid),
	       "a kernel uprobe on one function; the others are attached");
	tap_ok(victim_do(&v, "run 100") && counts_but_v_jmp(&l, 100), "they are counted by us");
	tap_ok(read(fd, &n, sizeof(n)) == sizeof(n) && n == 100, "and that one by the kernel: %llu", n);
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_ok(victim_do(&v, "run 100") && read(fd, &n, sizeof(n)) == sizeof(n) && n == 200, "the kernel counts on: %llu", n);
	close(fd);
	tap_ok(loader_start(&l) && loader_does(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid) &&
		       victim_do(&v, "run 100") && loader_counts(&l, "in", 100), "without it, all are counted by us");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_ok(no_sites(v.pid, 2000) && code_differs(v.pid) == 0, "the code is as it was");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

/* --- debuggers --- */

static bool has_sites(void *arg)
{
	return ps_of(*(pid_t *)arg).sites > 0;
}

/* What a debugger has is left out of a link for all, and joins it when the debugger goes. */
static void test_debugger(void)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), free_one = victim_make("acrobat", NULL, NULL), l;
	pid_t tracer = stage_trace(v.pid);

	tap_ok(loader_start(&l) && loader_does(&l, "attach 0 in %s all -1", acrobat()), "a link for all, one is under a debugger");
	tap_ok(victim_do(&v, "run 100") && code_differs(v.pid) == 0, "that one is left alone");
	tap_ok(victim_do(&free_one, "run 100") && loader_counts(&l, "in", 100), "the other one is counted");
	kill(tracer, SIGKILL);
	waitpid(tracer, NULL, 0);
	tap_ok(within(10000, has_sites, &v.pid), "the debugger goes: it is attached");
	tap_ok(victim_do(&v, "run 100") && loader_counts(&l, "in", 200), "and counted");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_ok(no_sites(v.pid, 2000) && code_differs(v.pid) == 0, "the code is as it was");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
	tap_eq(victim_end(&free_one), 0, "the other one, too");
}

/* --- policies --- */

static void test_policy(const char *policy)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;

	if (!victim_do(&v, policy)) {
		tap_skip("not on this kernel", "%s", policy);
		return;
	}
	tap_ok(loader_start(&l) && loader_does(&l, "attach 0 in %s all %d", acrobat(), (int)v.pid) &&
		       loader_does(&l, "attach 1 out %s all %d", acrobat(), (int)v.pid), "a victim under %s is attached", policy);
	tap_ok(victim_do(&v, "run 100") && loader_counts(&l, "in", 100) && loader_counts(&l, "out", 100), "and counted");
	tap_ok(victim_do(&v, "storm threads 200") && victim_do(&v, "storm forks 200"), "its threads and children go on");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_ok(no_sites(v.pid, 2000) && code_differs(v.pid) == 0, "the code is as it was");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

int main(void)
{
	stage_begin();
	test_breakpoint(0);
	test_breakpoint(1);
	test_breakpoint_on_jump();
	test_scribbler();
	test_kernel_uprobe();
	test_debugger();
	test_policy("mdwe");
	test_policy("nnp");
	tap_ok(stage_end(tap_failed), "no process of the broker is left");
	return tap_done();
}
