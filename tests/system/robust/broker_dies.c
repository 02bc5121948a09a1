/* SPDX-License-Identifier: MIT */
/*
 * The broker is killed (-9): targets go on with right results, the guardian shuts the gates and leaves, the loader hears
 * an error, and the next broker takes out what is left and attaches to the very same processes, counting exactly.
 */
#include "stage.h"

#include <fcntl.h>
#include <limits.h>

static void kill_broker(void)
{
	pid_t pid = ps_broker();

	tap_ok(pid > 0, "there is a broker");
	if (pid > 0)
		kill(pid, SIGKILL);
}

static bool has_name(pid_t pid, const char *name)
{
	char path[64], text[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		*text = '\0';
	fclose(f);
	return !strncmp(text, name, strlen(name));
}

/* A child of the broker's, while there is one. */
static pid_t child_of(pid_t broker, const char *name)
{
	char path[64], text[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)broker, (int)broker);
	f = fopen(path, "r");
	if (f && fgets(text, sizeof(text), f)) {
		for (char *p = text, *end; strtol(p, &end, 10) && end != p; p = end) {
			pid_t child = (pid_t)strtol(p, NULL, 10);

			if (has_name(child, name)) {
				fclose(f);
				return child;
			}
		}
	}
	if (f)
		fclose(f);
	return 0;
}

static bool attach_both(struct victim_io *l, const char *victim, pid_t pid)
{
	return loader_does(l, "attach 0 in %s all %d", stage_victim(victim), (int)pid) &&
	       loader_does(l, "attach 1 out %s all %d", stage_victim(victim), (int)pid);
}

static bool both_count(struct victim_io *l, unsigned long long n)
{
	return loader_counts(l, "in", n) && loader_counts(l, "out", n);
}

/* A new loader makes a new broker, which takes out the jumps of the last one, and it all works again. */
static void check_again(struct victim_io *v, const char *name)
{
	struct victim_io l;

	tap_ok(loader_start(&l), "the next `notrap run` starts a new broker");
	tap_eq(code_differs(v->pid), 0, "which has taken the old jumps out");
	tap_ok(attach_both(&l, name, v->pid), "and attaches to the same process");
	tap_ok(victim_do(v, "run 2 500") && both_count(&l, 1000), "where counts are exact");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(code_differs(v->pid), 0, "and leaves nothing behind");
}

static void test_idle(void)
{
	struct victim_io v = victim_make("counter", NULL, NULL), l;

	tap_ok(loader_start(&l) && attach_both(&l, "counter", v.pid), "idle: two links on a victim");
	tap_ok(victim_do(&v, "run 2 500") && both_count(&l, 1000), "which count");
	kill_broker();
	tap_ok(brokers_end(2000), "the guardian leaves");
	tap_ok(victim_do(&v, "run 2 500"), "the victim goes on");
	tap_ok(both_count(&l, 1000), "and nothing is counted any more");
	tap_ok(!strncmp(loader_ask(&l, "attach 2 in %s all %d", stage_victim("counter"), (int)v.pid), "error", 5),
	       "the loader hears an error");
	tap_eq(loader_end(&l), 0, "and can end");
	check_again(&v, "counter");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

struct guard {
	pid_t broker, old;
};

static bool has_another(void *arg)
{
	const struct guard *g = arg;
	pid_t now = child_of(g->broker, "notrap-guard");

	return now && now != g->old;
}

static void test_guardian(void)
{
	struct victim_io v = victim_make("counter", NULL, NULL), l;
	struct guard g = {0};

	tap_ok(loader_start(&l) && attach_both(&l, "counter", v.pid), "guardian: two links on a victim");
	g.broker = ps_broker();
	g.old = child_of(g.broker, "notrap-guard");
	tap_ok(g.old && !kill(g.old, SIGKILL), "the guardian is killed");
	tap_ok(within(2000, has_another, &g), "there is another one");
	tap_ok(victim_do(&v, "run 2 500") && both_count(&l, 1000), "all calls are counted");
	kill_broker();
	tap_ok(brokers_end(2000), "it leaves when the broker is killed");
	tap_ok(victim_do(&v, "run 2 500") && both_count(&l, 1000), "and nothing is counted any more");
	loader_end(&l);
	check_again(&v, "counter");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

static void test_busy(void)
{
	struct victim_io v = victim_make("counter", NULL, NULL), l;

	tap_ok(victim_do(&v, "spin") && loader_start(&l) && attach_both(&l, "counter", v.pid), "full speed: two links");
	nap_ms(100);
	kill_broker();
	nap_ms(300);
	tap_ok(victim_do(&v, "still"), "the victim goes on");
	loader_end(&l);
	check_again(&v, "counter");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

/* A child has its parent's jumps; so has one that is forked when nobody watches. */
static void test_children(void)
{
	struct victim_io v = victim_make("acrobat", NULL, NULL), l;

	tap_ok(loader_start(&l) && attach_both(&l, "acrobat", -1), "children: two links for all processes");
	tap_ok(victim_do(&v, "split") && victim_do(&v, "run 100") && victim_do(&v, "child run 100") && both_count(&l, 200),
	       "count in a victim and its child");
	kill_broker();
	tap_ok(brokers_end(2000), "the guardian leaves");
	tap_ok(victim_do(&v, "child split"), "the child forks one more");
	tap_ok(victim_do(&v, "run 100") && victim_do(&v, "child run 100") && victim_do(&v, "child child run 100"), "all go on");
	tap_ok(both_count(&l, 200), "uncounted");
	loader_end(&l);
	tap_ok(loader_start(&l), "a new broker");
	tap_eq(code_differs(v.pid), 0, "has taken the old jumps out");
	tap_ok(attach_both(&l, "acrobat", -1) && victim_do(&v, "run 100") && victim_do(&v, "child run 100") &&
		       victim_do(&v, "child child run 100"),
	       "and attaches to all three");
	tap_ok(both_count(&l, 300), "exactly");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(victim_end(&v), 0, "all found every result right");
}

/* Has a victim ended before its time? Says how. */
static bool is_dead(const struct victim_io *v, int round)
{
	siginfo_t si = {0};

	if (waitid(P_PID, (id_t)v->pid, &si, WEXITED | WNOHANG | WNOWAIT) || !si.si_pid)
		return false;
	printf("# round %d: victim %d: %s %d\n", round, (int)v->pid, si.si_code == CLD_EXITED ? "exit" : "signal", si.si_status);
	return true;
}

struct tally {
	int rounds, hung, left, refused, wrong, dead;
};

/* One loader attaches for good, then attaches and detaches without end until its broker is killed. */
static void random_round(struct tally *t, struct victim_io *busy, struct victim_io *quiet, unsigned limit_us)
{
	struct victim_io l;
	char line[PATH_MAX + 64];
	pid_t broker = 0;

	if (!loader_start(&l) || !(broker = ps_broker())) {
		t->refused++;
		return;
	}
	if (code_differs(busy->pid) || code_differs(quiet->pid)) {
		t->left++;
		fflush(stdout);
		if (getenv("ROBUST_PAUSE"))
			pause(); /* to be looked at */
	}
	if (attach_both(&l, "counter", quiet->pid))
		t->wrong += !victim_do(quiet, "run 1 100") || !both_count(&l, 100);
	else
		t->refused++;
	loader_does(&l, "detach 0");
	loader_does(&l, "detach 1");
	snprintf(line, sizeof(line), "churn %s all -1 100000", stage_victim("counter"));
	victim_tell(&l, line);
	nanosleep(&(struct timespec){.tv_nsec = random() % limit_us * 1000}, NULL);
	kill(broker, SIGKILL);
	t->hung += !victim_line(&l, line, sizeof(line)) || strncmp(line, "error", 5);
	t->hung += loader_end(&l) != 0;
	t->wrong += !victim_do(quiet, "run 1 100");
	t->left += !brokers_end(3000);
}

/* At random moments of attaching and detaching. */
static void test_random(int rounds)
{
	struct victim_io busy = victim_make("counter", NULL, NULL), quiet = victim_make("counter", NULL, NULL);
	struct tally t = {0};

	victim_do(&busy, "spin");
	for (t.rounds = 0; t.rounds < rounds && !t.dead; t.rounds++) {
		random_round(&t, &busy, &quiet, 60000);
		t.dead += is_dead(&busy, t.rounds) || is_dead(&quiet, t.rounds);
	}
	tap_eq(t.hung, 0, "%d kills at random moments: the loader always hears of it", t.rounds);
	tap_eq(t.refused, 0, "a new broker can always attach again");
	tap_eq(t.left, 0, "having taken out what was left");
	tap_eq(t.wrong, 0, "and counts exactly");
	tap_eq(t.dead, 0, "no victim dies");
	tap_ok(victim_do(&busy, "still"), "the busy victim goes on");
	tap_eq(victim_end(&busy), 0, "and found every result right");
	tap_eq(victim_end(&quiet), 0, "so did the quiet one");
}

static bool ends(void *arg)
{
	struct victim_io *v = arg;

	siginfo_t si = {0};

	return !waitid(P_PID, (id_t)v->pid, &si, WEXITED | WNOHANG | WNOWAIT) && si.si_pid;
}

/* In the attach of 50,000 functions, at once for two threads that call them all. */
static void test_many(int rounds)
{
	struct victim_io v = victim_make("manyfuncs", "2", NULL), l;
	char file[PATH_MAX], line[PATH_MAX + 64];
	int left = 0, slow = 0;

	snprintf(file, sizeof(file), "%s", stage_victim("manyfuncs"));
	for (int i = 0; i < rounds && !is_dead(&v, i); i++) {
		uint64_t begin = now_ms();
		pid_t broker = 0;

		if (!loader_start(&l) || !(broker = ps_broker()))
			break;
		slow += now_ms() - begin > 3000;
		left += code_differs(v.pid) != 0;
		snprintf(line, sizeof(line), "attach 0 in %s f????? %d", file, (int)v.pid);
		victim_tell(&l, line);
		nanosleep(&(struct timespec){.tv_nsec = random() % 300000000}, NULL);
		kill(broker, SIGKILL);
		loader_end(&l);
		left += !brokers_end(5000);
	}
	tap_eq(left, 0, "%d kills while 50,000 functions are attached: nothing is left", rounds);
	tap_eq(slow, 0, "and the next broker starts soon");
	tap_ok(loader_start(&l) && loader_does(&l, "attach 0 in %s f????? %d", file, (int)v.pid), "it attaches them all");
	tap_eq(loader_end(&l), 0, "the loader ends");
	tap_eq(code_differs(v.pid), 0, "nothing is left");
	tap_eq(victim_end(&v), 0, "the victim found every result right");
}

enum who { BROKER, HANDS, BOTH };

/* The process that works on targets for the broker. */
static pid_t hands_of(pid_t broker)
{
	return child_of(broker, "notrap-hands");
}

static void nap_us(unsigned us)
{
	nanosleep(&(struct timespec){.tv_nsec = us * 1000L}, NULL);
}

/* A zombie has a name, but no program. */
static bool is_running(pid_t pid)
{
	char path[64], exe[16];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	return readlink(path, exe, sizeof(exe)) > 0;
}

/* While they work, however short that is: until their broker has heard of it. */
static bool kill_hands(pid_t broker)
{
	for (int i = 0; i < 2000 && is_running(broker); i++) {
		pid_t hands = hands_of(broker);

		nap_us(hands ? (unsigned)random() % 3000 : 200);
		if (hands)
			kill(hands, SIGKILL);
	}
	return !is_running(broker);
}

/* At a random moment; when the hands are meant, while they work. */
static bool kill_who(pid_t broker, enum who who)
{
	pid_t hands = 0;

	nap_us((unsigned)random() % 40000);
	if (who == HANDS)
		return kill_hands(broker);
	for (int i = 0; who == BOTH && !hands && i < 1000; i++) {
		hands = hands_of(broker);
		nap_us(hands ? (unsigned)random() % 3000 : 200);
	}
	kill(broker, SIGKILL);
	if (hands)
		kill(hands, SIGKILL);
	return hands != 0;
}

/* Every kind of system call; or those which the kernel begins again by itself: when the hands are killed nobody is left to
 * do it for the others. */
static struct victim_io sleeper(enum who who)
{
	char path[PATH_MAX];
	char *all[] = {path, (char *)"-n", NULL}; /* why not those with a child: inject/land.c */
	char *some[] = {path, "poll", "ppoll", "select", "pselect", "nanosleep", "clock_nanosleep_abs", "futex", "futex_timeout",
			"sem_timedwait", "read_pipe", "read_eventfd", "read_timerfd", "accept", "recv", "msgrcv",
			"flock", "mq_timedreceive", "ppoll_signal", NULL};
	struct victim_io v = {0};

	snprintf(path, sizeof(path), "%s", stage_victim("sleeper"));
	if (victim_start(&v, who == BROKER ? all : some)) {
		printf("Bail out! sleeper does not start\n");
		exit(99);
	}
	return v;
}

/* Threads asleep in system calls, while their registers are borrowed and the broker dies. */
static void test_sleeper(int rounds, enum who who)
{
	static const char *const names[] = {"the broker is", "its hands are", "the broker and its hands are"};
	struct victim_io v = sleeper(who), l;
	int with_hands = 0;
	char line[256];
	bool dead = false;
	int i;

	for (i = 0; i < rounds && !dead; i++) {
		pid_t broker;

		if (!loader_start(&l) || !(broker = ps_broker()))
			break;
		/* The first attach makes the room from which a thread finds home, so that one may not be cut short. */
		if (who != BROKER && !loader_does(&l, "attach 2 in libc.so.6 memcpy %d", (int)v.pid))
			break;
		snprintf(line, sizeof(line), "churn libc.so.6 mem* %d 100000", (int)v.pid);
		victim_tell(&l, line);
		with_hands += kill_who(broker, who);
		loader_end(&l);
		brokers_end(3000);
		dead = is_dead(&v, i);
	}
	tap_eq(i, rounds, "%s killed %d times (%d times at work) while threads sleep in system calls", names[who], rounds,
	       with_hands);
	close(v.in);
	v.in = open("/dev/null", O_WRONLY);
	if (!within(8000, ends, &v))
		show_threads(v.pid);
	while ((dead || within(60000, ends, &v)) && victim_line(&v, line, sizeof(line)))
		printf("# victim: %s\n", line);
	tap_eq(victim_end(&v), 0, "the victim saw no wait end early");
}

int main(int argc, char **argv)
{
	stage_begin();
	stage_seed();
	if (argc > 2) { /* one part alone: KIND ROUNDS */
		if (!strcmp(argv[1], "sleeper"))
			test_sleeper(atoi(argv[2]), argc > 3 ? (enum who)atoi(argv[3]) : BROKER);
		else
			test_random(atoi(argv[2]));
	} else {
		test_idle();
		test_guardian();
		test_busy();
		test_children();
		test_random(20);
		test_sleeper(20, BROKER);
		test_sleeper(5, HANDS);
		test_sleeper(12, BOTH);
		test_many(6);
	}
	tap_ok(stage_end(tap_failed), "no process of the broker is left");
	return tap_done();
}
