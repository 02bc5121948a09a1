/* SPDX-License-Identifier: MIT */
/*
 * gdb looks at threads that sleep inside of functions with return probes: with tools/notrap-gdb.py it shows the same calls
 * as without probes.
 *
 *     gdb_test VICTIM SCRIPT
 */
#include "all.h"
#include "tap.h"

enum { THREADS = 12, LINES = 4096 };

struct trace { /* of one process: "thread: innermost < its caller < ...", sorted */
	char *thread[THREADS + 8];
	int n;
};

/* "#3  0x... in middle (x=1) at v.c:4" or "#0  middle (x=1) at ..." */
static bool frame_name(const char *line, char name[128])
{
	const char *at = strstr(line, " in ");

	if (*line != '#')
		return false;
	at = at ? at + 4 : line + strcspn(line, " ");
	return sscanf(at, " %127[^ (]", name) == 1;
}

static void trace_frame(struct trace *t, const char *name)
{
	char **at = &t->thread[t->n - 1], *longer;

	if (asprintf(&longer, "%s%s%s", *at ? *at : "", *at ? " < " : "", name) < 0)
		return;
	free(*at);
	*at = longer;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct trace trace_of(pid_t pid, const char *script)
{
	struct trace t = { .n = 0 };
	char command[1024], line[LINES], name[128];
	FILE *f;

	snprintf(command, sizeof(command), "timeout 60 gdb -nx -q -batch -iex 'set debuginfod enabled off' -p %d -x %s -ex 'thread apply all bt' 2>&1",
		 (int)pid, script);
	f = popen(command, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Thread ", 7) && t.n < THREADS + 8)
			t.n++;
		else if (t.n && frame_name(line, name))
			trace_frame(&t, name);
	}
	if (f)
		pclose(f);
	while (t.n && !t.thread[t.n - 1])
		t.n--;
	qsort(t.thread, (size_t)t.n, sizeof(t.thread[0]), by_text);
	return t;
}

static void trace_free(struct trace *t)
{
	for (int i = 0; i < t->n; i++)
		free(t->thread[i]);
}

static bool same(const struct trace *a, const struct trace *b)
{
	bool ok = a->n == b->n && a->n > THREADS;

	for (int i = 0; i < a->n && i < b->n; i++) {
		if (!strcmp(a->thread[i], b->thread[i]))
			continue;
		printf("# without probes: %s\n# with: %s\n", a->thread[i], b->thread[i]);
		ok = false;
	}
	if (!ok)
		printf("# %d threads, with probes %d\n", a->n, b->n);
	return ok;
}

static bool tell(struct victim_io *v, const char *command)
{
	char line[512];

	victim_tell(v, command);
	while (victim_line(v, line, sizeof(line)))
		if (!strcmp(line, "done"))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct victim_io v = { 0 };
	struct trace plain, probed;
	struct all a;

	if (argc < 3)
		return 99;
	if (system("gdb -nx -batch -ex 'python import gdb.unwinder' >/dev/null 2>&1"))
		tap_skip_all("gdb (with python) is not installed");
	if (!tap_ok(!victim_start(&v, (char *[]){ argv[1], NULL }) && all_open(&a, false) && all_add(&a, argv[1]),
		    "the victim starts"))
		return tap_done();
	setvbuf(v.out, NULL, _IONBF, 0);
	tap_ok(tell(&v, "enter 12"), "threads sleep inside of functions");
	plain = trace_of(v.pid, argv[2]);
	tap_ok(tell(&v, "leave") && all_attach(&a, v.pid) && tell(&v, "enter 12"), "the same with probes on everything");
	probed = trace_of(v.pid, argv[2]);
	tap_ok(same(&plain, &probed), "gdb shows the same calls of %d threads", probed.n);
	if (probed.n)
		printf("# %s\n", probed.thread[probed.n / 2]);
	tap_ok(tell(&v, "leave") && tell(&v, "work 1000"), "they go on");
	all_close(&a);
	tap_eq(victim_end(&v), 0, "the victim ends well");
	trace_free(&plain);
	trace_free(&probed);
	return tap_done();
}
