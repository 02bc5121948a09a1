/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include <jansson.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

static char dir[64];

/* --- places --- */

static const char *from_env(const char *name)
{
	const char *v = getenv(name);

	if (!v)
		tap_skip_all("is started by meson, which says where things are");
	return v;
}

const char *stage_tool(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", from_env("ROBUST_BUILD"), name);
	return path;
}

/* A file of its own, so that other tests' links for all processes (also the kernel's) do not concern it. */
const char *stage_victim(const char *name)
{
	static char path[PATH_MAX];
	char command[2 * PATH_MAX];
	const char *acrobat = from_env("ROBUST_ACROBAT");

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (!access(path, F_OK))
		return path;
	if (!strcmp(name, "acrobat"))
		snprintf(command, sizeof(command), "cp %s %s", acrobat, path);
	else
		snprintf(command, sizeof(command), "cp %s/%s %s", from_env("ROBUST_VICTIMS"), name, path);
	if (system(command)) {
		printf("Bail out! no victim %s\n", name);
		exit(99);
	}
	return path;
}

const char *stage_dir(void)
{
	return dir;
}

void stage_begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/notrap-robust-XXXXXX");
	if (!mkdtemp(dir))
		tap_skip_all("no directory in /tmp");
	setenv("NOTRAP_DIR", dir, 1);
	signal(SIGPIPE, SIG_IGN);
}

void stage_show_log(void)
{
	char command[256];

	snprintf(command, sizeof(command), "tail -30 %s/log | sed 's/^/# broker: /'; sed 's/^/# said: /' %s/stderr", dir, dir);
	fflush(stdout);
	if (system(command))
		printf("# no log\n");
}

static int quietly(const char *what)
{
	char command[PATH_MAX + 64];

	snprintf(command, sizeof(command), "%s %s >/dev/null 2>&1", stage_tool("notrap"), what);
	return system(command);
}

bool stage_end(bool failed)
{
	char command[128];
	bool ended;

	quietly("stop -a");
	ended = brokers_end(8000);
	if (!ended)
		printf("# %d processes of the broker are left\n", broker_processes());
	if (failed || !ended)
		stage_show_log();
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		printf("# %s is left\n", dir);
	return ended;
}

/* --- time --- */

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void nap_ms(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

bool within(unsigned ms, bool (*check)(void *arg), void *arg)
{
	uint64_t end = now_ms() + ms;

	do {
		if (check(arg))
			return true;
		nap_ms(10);
	} while (now_ms() < end);
	return check(arg);
}

pid_t stage_trace(pid_t victim)
{
	int ready[2];
	char c;
	pid_t pid;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		if (!ptrace(PTRACE_SEIZE, victim, NULL, NULL) && write(ready[1], "r", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) != 1)
		tap_ok(false, "cannot trace");
	close(ready[0]);
	return pid;
}

unsigned stage_seed(void)
{
	const char *s = getenv("ROBUST_SEED");
	unsigned seed = s ? (unsigned)strtoul(s, NULL, 10) : (unsigned)time(NULL) ^ (unsigned)getpid();

	printf("# ROBUST_SEED=%u\n", seed);
	srandom(seed);
	return seed;
}

/* --- what the broker says --- */

static json_t *ask_ps(void)
{
	char command[PATH_MAX + 64];
	json_t *root;
	FILE *f;

	snprintf(command, sizeof(command), "%s ps --json 2>/dev/null", stage_tool("notrap"));
	f = popen(command, "r");
	if (!f)
		return NULL;
	root = json_loadf(f, 0, NULL);
	pclose(f);
	return root;
}

static int number(const json_t *object, const char *key)
{
	return (int)json_integer_value(json_object_get(object, key));
}

struct ps_process ps_of(pid_t pid)
{
	json_t *root = ask_ps(), *p;
	struct ps_process ret = {0};
	size_t i;

	json_array_foreach (json_object_get(root, "processes"), i, p)
		if (number(p, "pid") == pid)
			ret = (struct ps_process){.found = 1, .links = number(p, "links"), .sites = number(p, "sites"),
						  .regions = number(p, "regions"),
						  .hits = json_integer_value(json_object_get(p, "hits"))};
	if (!root)
		ret.found = ret.sites = -1;
	json_decref(root);
	return ret;
}

int ps_links(void)
{
	json_t *root = ask_ps();
	int n = root ? (int)json_array_size(json_object_get(root, "links")) : -1;

	json_decref(root);
	return n;
}

int ps_objects(void)
{
	json_t *root = ask_ps(), *broker = json_object_get(root, "broker");
	int n = broker ? number(broker, "programs") + number(broker, "maps") : -1;

	json_decref(root);
	return n;
}

pid_t ps_broker(void)
{
	json_t *root = ask_ps();
	pid_t pid = number(json_object_get(root, "broker"), "pid");

	json_decref(root);
	return pid;
}

static bool has_no_sites(void *arg)
{
	return ps_of(*(pid_t *)arg).sites == 0;
}

bool no_sites(pid_t pid, unsigned ms)
{
	return within(ms, has_no_sites, &pid);
}

/* --- loaders and victims --- */

bool loader_start(struct victim_io *l)
{
	char notrap[PATH_MAX];

	snprintf(notrap, sizeof(notrap), "%s", stage_tool("notrap"));
	return !victim_start(l, (char *[]){"/bin/sh", "-c", "exec \"$0\" run -- \"$1\" 2>>\"$NOTRAP_DIR/stderr\"", notrap,
					   (char *)from_env("ROBUST_LOADER"), NULL});
}

bool loaders_heard(const char *text)
{
	char path[96];
	bool found;

	snprintf(path, sizeof(path), "%s/stderr", dir);
	found = file_says(path, text);
	if (!found)
		printf("# nobody heard '%s'\n", text);
	return found;
}

static const char *ask(struct victim_io *l, const char *fmt, va_list ap)
{
	static char text[1024];

	vsnprintf(text, sizeof(text), fmt, ap);
	victim_tell(l, text);
	if (!victim_line(l, text, sizeof(text)))
		*text = '\0';
	return text;
}

const char *loader_ask(struct victim_io *l, const char *fmt, ...)
{
	const char *r;
	va_list ap;

	va_start(ap, fmt);
	r = ask(l, fmt, ap);
	va_end(ap);
	return r;
}

bool loader_does(struct victim_io *l, const char *fmt, ...)
{
	const char *r;
	va_list ap;

	va_start(ap, fmt);
	r = ask(l, fmt, ap);
	va_end(ap);
	if (!strcmp(r, "ok"))
		return true;
	printf("# loader %d: %s\n", (int)l->pid, *r ? r : "(silence)");
	return false;
}

bool loader_counts(struct victim_io *l, const char *which, unsigned long long n)
{
	const char *r = loader_ask(l, "counts %s", which), *p = r;
	int i, used;

	if (strncmp(p, "counts", 6))
		i = -1;
	else
		for (i = 0, p += 6; i < STAGE_NFUNCS; i++, p += used) {
			unsigned long long v;

			if (sscanf(p, "%llu%n", &v, &used) != 1 || v != n)
				break;
		}
	if (i == STAGE_NFUNCS)
		return true;
	printf("# want %llu %s: %s\n", n, which, r);
	return false;
}

void loader_kill(struct victim_io *l)
{
	kill(l->pid, SIGKILL);
	waitpid(l->pid, NULL, 0);
	close(l->in);
	fclose(l->out);
}

int loader_end(struct victim_io *l)
{
	return victim_end(l);
}

struct victim_io victim_make(const char *name, const char *a1, const char *a2)
{
	struct victim_io v = {0};
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", stage_victim(name));
	if (victim_start(&v, (char *[]){path, (char *)a1, (char *)a2, NULL})) {
		printf("Bail out! victim %s does not start\n", name);
		exit(99);
	}
	return v;
}
