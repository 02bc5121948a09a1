/* SPDX-License-Identifier: MIT */
/*
 * Every blocking call of the sleeper victim, in a process of its own, held some times in the midst of its waits, every
 * other time as a thread that is borrowed: each wait must end as if nothing had been, and when its time is up. Then all
 * of them as threads of one process, first left alone (does the table hold?), then stopped.
 */
#include <stdlib.h>
#include <sys/syscall.h>

#include "inject/inject.h"
#include "victim_run.h"

#define GROUP 20 /* processes at a time */
#define GAP_US 4000
#define WAIT_US 120000
#define LATE_US 100000 /* in the mean; a wait that begins afresh at each stop never ends */

static u32 stops = 40; /* of each; 200 with NT_SOAK=1 */

static int hold(struct inject_target *t, bool borrow)
{
	int r;

	if (!borrow) {
		r = inject_stop(t, 5000);
		if (!r)
			r = inject_settle_pcs(t); /* as for a patch */
		if (!r)
			inject_resume(t);
		return r;
	}
	r = inject_borrow(t);
	if (!r && inject_syscall(t, SYS_getpid, 0, 0, 0, 0, 0, 0) != t->pid)
		r = -EBADMSG;
	if (!r)
		inject_give_back(t);
	return r;
}

struct subject {
	char name[64];
	struct victim v;
	struct inject_target t;
	u32 repaired;
	int error;
};

static void subject_begin(struct subject *s)
{
	char path[512];
	char *argv[] = {path, s->name, NULL};

	snprintf(path, sizeof(path), "%s", victim_path("sleeper"));
	s->error = victim_start(&s->v, argv, NULL) ? inject_open(s->v.pid, &s->t) : -ECHILD;
}

static void check_limit(const struct subject *s)
{
	char key[80];
	long long us;

	snprintf(key, sizeof(key), "mean %s", s->name);
	us = victim_number(&s->v, key);
	if (us >= 0)
		tap_ok(us < WAIT_US + LATE_US, "%s: over in time: after %lld us", s->name, us);
}

static void subject_end(struct subject *s)
{
	int status;

	if (s->error == -ECHILD) {
		tap_ok(false, "%s: starts", s->name);
		return;
	}
	inject_close(&s->t);
	status = victim_end(&s->v, 20000);
	if (!tap_ok(!s->error && !status, "%s: undisturbed by %u stops, %u calls repaired", s->name, stops, s->repaired))
		printf("# inject %d, status %#x, said: %s\n", s->error, status, s->v.text);
	else
		check_limit(s);
}

static void check_group(struct subject *s, u32 n)
{
	for (u32 i = 0; i < n; i++)
		subject_begin(&s[i]);
	for (u32 k = 0; k < stops; k++) {
		test_sleep_us(GAP_US);
		for (u32 i = 0; i < n; i++) {
			if (s[i].error)
				continue;
			s[i].error = hold(&s[i].t, k % 2);
			s[i].repaired += s[i].t.repaired;
		}
	}
	for (u32 i = 0; i < n; i++)
		subject_end(&s[i]);
}

#define CASES_MAX 128
static char names[CASES_MAX][64];
static u32 nnames;

static void read_names(void)
{
	char cmd[600];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "'%s' -l", victim_path("sleeper"));
	f = popen(cmd, "r");
	while (f && nnames < CASES_MAX && fgets(names[nnames], sizeof(names[0]), f)) {
		names[nnames][strcspn(names[nnames], "\n")] = 0;
		nnames++;
	}
	if (f)
		pclose(f);
}

/* But for those with a child. Its end is told to the process by a signal that is ignored; one that comes in the moment in
 * which all are let go can wake up any thread (land.c). */
static bool start_all(struct victim *v)
{
	char path[512];
	char *argv[] = {path, (char *)"-n", NULL};

	snprintf(path, sizeof(path), "%s", victim_path("sleeper"));
	return tap_ok(victim_start(v, argv, NULL), "sleeper starts");
}

static void check_alone(void)
{
	struct victim v;
	int status;

	if (!start_all(&v))
		return;
	test_sleep_us(300000);
	status = victim_end(&v, 20000);
	if (!tap_eq(status, 0, "all at once, left alone"))
		printf("# said: %s\n", v.text);
}

static void check_all(void)
{
	struct inject_target t;
	struct victim v;
	u32 repaired = 0;
	int r = 0, status;

	if (!start_all(&v))
		return;
	tap_eq(inject_open(v.pid, &t), 0, "open");
	for (u32 k = 0; k < stops && !r; k++) {
		test_sleep_us(GAP_US);
		r = hold(&t, false);
		repaired += t.repaired;
	}
	inject_close(&t);
	status = victim_end(&v, 20000);
	if (!tap_ok(!r && !status, "all at once: undisturbed by %u stops, %u calls repaired", stops, repaired))
		printf("# inject %d, status %#x, said: %s\n", r, status, v.text);
	tap_ok(repaired > stops, "stops did hit calls that need repair");
}

/* The cases named, or all that there are. */
static void check_cases(int argc, char **argv)
{
	struct subject *s = calloc(GROUP, sizeof(*s));
	u32 n = 0;

	for (u32 k = 0; s && k < nnames; k++) {
		bool wanted = argc < 2;

		for (int i = 1; i < argc; i++)
			wanted |= !strcmp(names[k], argv[i]);
		if (!wanted)
			continue;
		s[n] = (struct subject){.repaired = 0};
		memcpy(s[n].name, names[k], sizeof(s[n].name));
		if (++n < GROUP)
			continue;
		check_group(s, n);
		n = 0;
	}
	if (s)
		check_group(s, n);
	free(s);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (getenv("NT_SOAK"))
		stops = 200;
	read_names();
	if (argc > 2 && !strcmp(argv[1], "-a")) { /* all at once, so many times */
		for (int i = 0; i < atoi(argv[2]); i++)
			check_all();
		return tap_done();
	}
	check_cases(argc, argv);
	if (argc < 2) {
		check_alone();
		check_all();
	}
	return tap_done();
}
