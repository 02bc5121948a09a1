/* SPDX-License-Identifier: MIT */
/* bench/run: see usage(). The contenders are no probe at all, notrap, and the kernel. */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void usage(FILE *f)
{
	fprintf(f, "Usage: bench/run [-r ROUNDS] [-o FILE.json] [-n | -k] [CASE_PREFIX]\n\n"
		   "Measures what probes cost: no probe, notrap and the kernel take turns, medians "
		   "are shown.\n\n"
		   "  -r ROUNDS  of each contender (5)\n"
		   "  -o FILE    write all medians, minima and maxima there as JSON\n"
		   "  -n, -k     without notrap, without the kernel\n\n"
		   "Cases: "
		   "hit/{entry,return,session}/{empty,array,atomic,percpu,hash,ringbuf}/"
		   "{push,nop5,endbr64},\n"
		   "hit-multi/... and hit-single/... (one function by a link and by a single "
		   "uprobe), and\n"
		   "attach/N, detach/N, attach-busy/N, detach-busy/N, first-hit/N, pause/N, pause-seen/N for\n"
		   "N = 1, 100, 1000, 10000, 50000;\n"
		   "engine/PROGRAM (compute kernels, helpers, map operations of programs), engine/loader/OPERATION\n"
		   "(on map elements, by the loader itself), engine/load/N (a program of N instructions, per\n"
		   "instruction), engine/verify/N, engine/jit/N (the two parts of it by themselves),\n"
		   "engine/llvm/PROGRAM (our machine code and LLVM's), engine/ring/N (N threads fill a ring buffer, one event; lost ones; wake-ups).\n");
}

bool bench_wants(const struct bench *b, const char *name)
{
	return !strncmp(name, b->prefix, strlen(b->prefix));
}

int bench_victim(const struct bench *b, struct child *ret)
{
	char *argv[] = {b->victim, NULL};

	return child_start(ret, argv, b->log);
}

int bench_loader(const struct bench *b, enum contender c, const char *program, const char *manner,
		 pid_t pid, const char *pattern, unsigned int max, struct child *ret)
{
	char *argv[16], pid_text[16], max_text[16];
	int n = 0;

	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	snprintf(max_text, sizeof(max_text), "%u", max);
	if (c == NOTRAP) {
		argv[n++] = b->notrap;
		argv[n++] = (char *)"run";
		argv[n++] = (char *)"--";
	}
	argv[n++] = b->loader;
	argv[n++] = (char *)program;
	argv[n++] = (char *)manner;
	argv[n++] = pid_text;
	argv[n++] = b->victim;
	argv[n++] = (char *)pattern;
	argv[n++] = max_text;
	argv[n] = NULL;
	return child_start(ret, argv, b->log);
}

/* Can this contender attach anything at all? */
static bool works(struct bench *b, enum contender c)
{
	struct child victim, loader;
	uint64_t ns;
	int err;

	if (c == NOTRAP && access(b->notrap, X_OK))
		return false;
	if (bench_victim(b, &victim))
		return false;
	err = bench_loader(b, c, "empty", "entry", victim.pid, "b_push", 1, &loader);
	if (!err) {
		err = child_ask(&loader, &ns, "attach");
		child_stop(&loader);
	}
	child_stop(&victim);
	if (err)
		printf("Without %s: it cannot attach here (see %s).\n", contender_name[c], b->log);
	return !err;
}

static char *beside(const char *program, const char *name)
{
	char self[PATH_MAX], *path;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		n = snprintf(self, sizeof(self), "%s", program);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	return asprintf(&path, "%s/%s", self, name) < 0 ? NULL : path;
}

static void show_machine(void)
{
	char line[256], *model = NULL;
	FILE *f = fopen("/proc/cpuinfo", "re");
	struct utsname u;

	while (f && !model && fgets(line, sizeof(line), f))
		if (!strncmp(line, "model name", 10))
			model = strchr(line, ':');
	if (f)
		fclose(f);
	if (model)
		model[strcspn(model, "\n")] = '\0';
	uname(&u);
	printf("%s, %ld CPUs, Linux %s\n", model ? model + 2 : u.machine,
	       sysconf(_SC_NPROCESSORS_ONLN), u.release);
}

/* A broker of this run's own: whatever else goes on with notrap on this machine stays out of it. */
static void own_broker_begin(void)
{
	char dir[] = "/tmp/notrap-bench.XXXXXX";

	if (mkdtemp(dir))
		setenv("NOTRAP_DIR", dir, 1);
}

static void own_broker_end(const struct bench *b)
{
	char command[PATH_MAX + 64];

	snprintf(command, sizeof(command), "'%s' stop >>'%s' 2>&1; rm -rf \"$NOTRAP_DIR\"",
		 b->notrap, b->log);
	if (b->takes_part[NOTRAP] && system(command))
		fprintf(stderr, "bench: cannot remove %s\n", getenv("NOTRAP_DIR"));
}

int main(int argc, char **argv)
{
	struct bench b = {.prefix = "", .rounds = 5, .takes_part = {true, true, true}};
	const char *json = NULL;
	int opt, err = 0;

	while ((opt = getopt(argc, argv, "r:o:nkh")) != -1) {
		switch (opt) {
		case 'r': b.rounds = atoi(optarg); break;
		case 'o': json = optarg; break;
		case 'n': b.takes_part[NOTRAP] = false; break;
		case 'k': b.takes_part[KERNEL] = false; break;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (argc - optind > 1 || b.rounds < 1 || b.rounds > MAX_SAMPLES) {
		usage(stderr);
		return 2;
	}
	if (optind < argc)
		b.prefix = argv[optind];
	b.victim = beside(argv[0], "victim");
	b.loader = beside(argv[0], "loader");
	b.engine = beside(argv[0], "engine_loader");
	b.compile = beside(argv[0], "compile");
	b.llvm = beside(argv[0], "llvm");
	b.object = beside(argv[0], "engine.bpf.o");
	b.notrap = beside(argv[0], "../notrap");
	b.log = beside(argv[0], "bench.log");
	unlink(b.log);

	show_machine();
	own_broker_begin();
	b.takes_part[NOTRAP] = b.takes_part[NOTRAP] && works(&b, NOTRAP);
	b.takes_part[KERNEL] = b.takes_part[KERNEL] && works(&b, KERNEL);
	bench_hits(&b);
	bench_attaching(&b);
	bench_engine(&b);
	if (b.restless)
		printf("\n%u of %u windows had a busy neighbour on the same core all the time.\n", b.restless, b.windows);
	own_broker_end(&b);
	if (!b.results.n) {
		fprintf(stderr, "bench: no case begins with '%s'\n", b.prefix);
		err = 2;
	}
	if (json && results_write(&b.results, json)) {
		fprintf(stderr, "bench: cannot write %s: %s\n", json, strerror(errno));
		err = 1;
	}
	err = err ? err : b.results.errors != 0;
	results_deinit(&b.results);
	return err;
}
