/* SPDX-License-Identifier: MIT */
/*
 * Probes on a thousand functions come and go, again and again, while threads run through them: neither the target nor the
 * broker grows.
 *
 *     rounds_test MANYFUNCS NOTRAP       200 rounds, with NT_SOAK=1 10,000 (0.2: a fifth of that)
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "all.h"
#include "all.skel.h"
#include "common/functions.h"
#include "tap.h"

enum { SITES = 1000, ROUNDS = 200, ROUNDS_SOAK = 10000, WARM = 20 };

struct size { /* of a process */
	long maps, virtual_kib, resident_kib;
};

static struct size size_of(pid_t pid)
{
	struct size s = { 0 };
	char name[64], line[512];
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)pid);
	f = fopen(name, "r");
	while (f && fgets(line, sizeof(line), f))
		s.maps++;
	if (f)
		fclose(f);
	snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
	f = fopen(name, "r");
	while (f && fgets(line, sizeof(line), f)) {
		sscanf(line, "VmSize: %ld", &s.virtual_kib);
		sscanf(line, "VmRSS: %ld", &s.resident_kib);
	}
	if (f)
		fclose(f);
	return s;
}

static pid_t broker_pid(const char *notrap)
{
	char command[512], line[512];
	pid_t pid = 0;
	FILE *f;

	snprintf(command, sizeof(command), "%s ps -v", notrap);
	f = popen(command, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "broker: pid %d", &pid);
	if (f)
		pclose(f);
	return pid;
}

static bool one_round(struct all *a, pid_t pid, const char *path, const unsigned long *offsets, bool returns)
{
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .cnt = SITES, .offsets = offsets, .retprobe = returns);
	struct bpf_program *prog = returns ? a->skel->progs.on_return : a->skel->progs.on_entry;
	struct bpf_link *l = bpf_program__attach_uprobe_multi(prog, pid, path, NULL, &opts);

	bpf_link__destroy(l);
	return l;
}

static void print_size(const char *who, struct size before, struct size after)
{
	printf("# %s: %ld -> %ld mappings, %ld -> %ld KiB of addresses, %ld -> %ld KiB resident\n", who, before.maps,
	       after.maps, before.virtual_kib, after.virtual_kib, before.resident_kib, after.resident_kib);
}

static void run_rounds(struct all *a, struct victim_io *v, const char *notrap, const char *path, int rounds)
{
	static unsigned long offsets[SITES];
	struct size target, broker, target_after, broker_after;
	const struct functions *fs = a->file[0].functions;
	pid_t pid = broker_pid(notrap);
	bool ok = true;

	for (size_t i = 0; i < SITES; i++)
		offsets[i] = fs->fn[i * (fs->n / SITES)].offset;
	for (int i = 0; i < WARM && ok; i++)
		ok = one_round(a, v->pid, path, offsets, i & 1);
	target = size_of(v->pid);
	broker = size_of(pid);
	for (int i = 0; i < rounds && ok; i++)
		ok = one_round(a, v->pid, path, offsets, i & 1);
	target_after = size_of(v->pid);
	broker_after = size_of(pid);
	print_size("target", target, target_after);
	print_size("broker", broker, broker_after);
	if (!tap_ok(ok && pid > 0 && target.maps, "%d rounds of %d functions", rounds, SITES))
		return;
	tap_ok(target_after.maps <= target.maps + 8, "the target has no more mappings");
	tap_ok(target_after.virtual_kib <= target.virtual_kib + 2048, "and no more addresses in use");
	tap_ok(target_after.resident_kib <= target.resident_kib + 2048, "and no more memory");
	tap_ok(broker_after.resident_kib <= broker.resident_kib + 2048, "nor has the broker");
}

int main(int argc, char **argv)
{
	const char *soak = getenv("NT_SOAK");
	struct victim_io v = { 0 };
	struct all a;

	if (argc < 3)
		return 99;
	if (!tap_ok(!victim_start(&v, (char *[]){ argv[1], "2", NULL }) && all_open(&a, false) && all_add(&a, argv[1]),
		    "the victim starts"))
		return tap_done();
	run_rounds(&a, &v, argv[2], argv[1], soak && *soak ? (int)(ROUNDS_SOAK * strtod(soak, NULL)) : ROUNDS);
	all_close(&a);
	tap_eq(victim_end(&v), 0, "the victim's results were right");
	return tap_done();
}
