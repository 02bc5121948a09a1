/* SPDX-License-Identifier: MIT */
/*
 * Every blocking call of the sleeper victim, once in a process of its own, stopped and borrowed several times in the
 * midst of the wait: it must end as if nothing had been, and when its time is up. Then all of them as threads of one
 * process, first left alone (does the table hold?), then stopped.
 */
#include <sys/syscall.h>

#include "inject/inject.h"
#include "victim_run.h"

static u32 disturb(struct inject_target *t, int times, bool borrow, u64 gap_us, int *ret_err)
{
	u32 repaired = 0;
	int r = 0;

	for (int i = 0; i < times && !r; i++) {
		test_sleep_us(gap_us);
		if (borrow && i % 2) {
			r = inject_borrow(t);
			if (!r && inject_syscall(t, SYS_getpid, 0, 0, 0, 0, 0, 0) != t->pid)
				r = -EBADMSG;
			if (!r)
				inject_give_back(t);
		} else {
			r = inject_stop(t, 5000);
			if (!r)
				r = inject_settle_pcs(t); /* as for a patch */
			if (!r)
				inject_resume(t);
		}
		repaired += t->repaired;
	}
	*ret_err = r;
	return repaired;
}

#define WAIT_US 120000
#define LATE_US 100000 /* what begins afresh at 12 stops is late by twice that */

static void check_limit(const struct victim *v, const char *name)
{
	char key[64];
	long long us;

	snprintf(key, sizeof(key), "shortest %s", name);
	us = victim_number(v, key);
	if (us >= 0)
		tap_ok(us < WAIT_US + LATE_US, "%s: over in time: %lld us", name, us);
}

static void check_case(const char *name)
{
	char path[512], arg[64];
	char *argv[] = {path, arg, NULL};
	struct inject_target t;
	u32 repaired;
	struct victim v;
	int r, status;

	snprintf(path, sizeof(path), "%s", victim_path("sleeper"));
	snprintf(arg, sizeof(arg), "%s", name);
	if (!victim_start(&v, argv, NULL)) {
		tap_ok(false, "%s: starts", name);
		return;
	}
	r = inject_open(v.pid, &t);
	if (r) {
		tap_eq(r, 0, "%s: open", name);
		return;
	}
	repaired = disturb(&t, 12, true, 17000, &r);
	inject_close(&t);
	status = victim_end(&v, 20000);
	if (!tap_ok(!r && !status, "%s: undisturbed by 12 stops, %u calls repaired", name, repaired))
		printf("# inject %d, status %#x, said: %s\n", r, status, v.text);
	else
		check_limit(&v, name);
}

static void check_alone(void)
{
	char path[512];
	char *argv[] = {path, NULL};
	struct victim v;
	int status;

	snprintf(path, sizeof(path), "%s", victim_path("sleeper"));
	if (!tap_ok(victim_start(&v, argv, NULL), "sleeper starts"))
		return;
	test_sleep_us(300000);
	status = victim_end(&v, 20000);
	if (!tap_eq(status, 0, "all at once, left alone"))
		printf("# said: %s\n", v.text);
}

static void check_all(void)
{
	char path[512];
	char *argv[] = {path, NULL};
	struct inject_target t;
	struct victim v;
	u32 repaired;
	int r, status;

	snprintf(path, sizeof(path), "%s", victim_path("sleeper"));
	if (!tap_ok(victim_start(&v, argv, NULL), "sleeper starts"))
		return;
	tap_eq(inject_open(v.pid, &t), 0, "open");
	repaired = disturb(&t, 60, false, 20000, &r);
	inject_close(&t);
	status = victim_end(&v, 20000);
	if (!tap_ok(!r && !status, "all at once: undisturbed by 60 stops, %u calls repaired", repaired))
		printf("# inject %d, status %#x, said: %s\n", r, status, v.text);
	tap_ok(repaired > 60, "stops did hit calls that need repair");
}

int main(int argc, char **argv)
{
	char cmd[600], line[64];
	FILE *f;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++)
		check_case(argv[i]);
	if (argc > 1)
		return tap_done();
	snprintf(cmd, sizeof(cmd), "'%s' -l", victim_path("sleeper"));
	f = popen(cmd, "r");
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		check_case(line);
	}
	if (f)
		pclose(f);
	check_alone();
	check_all();
	return tap_done();
}
