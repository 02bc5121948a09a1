/* SPDX-License-Identifier: MIT */
/*
 * What is left in the kernel when somebody is killed: nothing, as soon as nobody has it open. An ordinary program, which
 * looks at the real kernel while a loader (mixed ... hold) has a uprobe and a tracepoint that share a hash there.
 *
 *     life NOTRAP MIXED VICTIM
 */
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tap.h"
#include "victim_io.h"

static long kernel(int cmd, union bpf_attr *a)
{
	return syscall(SYS_bpf, cmd, a, sizeof(*a));
}

#define MAPS 16

/* Of the loader's program in the kernel: who else uses one of them is the loader's, too. */
static uint32_t maps[MAPS], nmaps;

static int prog_info(uint32_t id, struct bpf_prog_info *ret, uint32_t ids[MAPS])
{
	union bpf_attr a = {.prog_id = id};
	int fd = (int)kernel(BPF_PROG_GET_FD_BY_ID, &a), r;

	memset(ret, 0, sizeof(*ret));
	ret->nr_map_ids = MAPS;
	ret->map_ids = (uint64_t)(uintptr_t)ids;
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (uint32_t)fd;
	a.info.info_len = sizeof(*ret);
	a.info.info = (uint64_t)(uintptr_t)ret;
	r = fd < 0 || kernel(BPF_OBJ_GET_INFO_BY_FD, &a) ? -1 : 0;
	close(fd);
	return r;
}

static bool shares_map(const struct bpf_prog_info *info, const uint32_t ids[MAPS])
{
	for (uint32_t i = 0; i < info->nr_map_ids && i < MAPS; i++)
		for (uint32_t k = 0; k < nmaps; k++)
			if (ids[i] == maps[k])
				return true;
	return false;
}

/* The loader's programs with this name that the kernel has. */
static int programs(const char *name)
{
	union bpf_attr next = {};
	int n = 0;

	while (!kernel(BPF_PROG_GET_NEXT_ID, &next)) {
		struct bpf_prog_info info;
		uint32_t ids[MAPS];

		if (!prog_info(next.next_id, &info, ids))
			n += !strcmp(info.name, name) && shares_map(&info, ids);
		next.start_id = next.next_id;
	}
	return n;
}

static int programs_within_5s(const char *name, int want)
{
	int n = -1;

	for (int i = 0; i < 500; i++) {
		n = programs(name);
		if (n == want)
			break;
		usleep(10000);
	}
	return n;
}

struct loader {
	pid_t pid;
	int in;
	FILE *out;
};

static struct loader loader_start(char **argv)
{
	char line[256] = "";
	struct bpf_prog_info info = {};
	unsigned id = 0;
	struct loader l;
	int in[2], out[2];

	if (pipe(in) || pipe(out))
		exit(2);
	l.pid = fork();
	if (!l.pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		for (int i = 3; i < 64; i++)
			close(i);
		execl(argv[1], argv[1], "run", "--kernel", argv[2], argv[3], "hold", NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	l.in = in[1];
	l.out = fdopen(out[0], "r");
	while (fgets(line, sizeof(line), l.out) && sscanf(line, "holding %u", &id) != 1)
		;
	tap_ok(id && !prog_info(id, &info, maps), "a loader has attached");
	nmaps = info.nr_map_ids < MAPS ? info.nr_map_ids : MAPS;
	return l;
}

static void loader_kill(struct loader *l)
{
	kill(l->pid, SIGKILL);
	waitpid(l->pid, NULL, 0);
	close(l->in);
	fclose(l->out);
}

/* Does what the command prints have this in it? */
static bool says(const char *notrap, const char *args, const char *what, char *line, size_t n)
{
	char command[512];
	bool found = false;
	FILE *f;

	snprintf(command, sizeof(command), "%s %s", notrap, args);
	f = popen(command, "r");
	while (f && !found && fgets(line, (int)n, f))
		found = strstr(line, what);
	if (f)
		pclose(f);
	return found;
}

static pid_t broker_pid(const char *notrap)
{
	char line[256];
	int pid = 0;

	if (says(notrap, "ps -v", "broker: pid", line, sizeof(line)))
		pid = atoi(strstr(line, "pid ") + 4);
	return pid;
}

static void test_loader(char **argv)
{
	struct loader l = loader_start(argv);
	char line[256];

	tap_eq(programs("k_hash"), 1, "the tracepoint's program is in the kernel");
	tap_eq(programs("u_hash"), 1, "and the uprobe's, as they share a map");
	tap_ok(says(argv[1], "ps", "runs in the kernel: it uses map start,", line, sizeof(line)), "`notrap ps` says why");
	tap_ok(says(argv[1], "ps", "program k_hash of pid", line, sizeof(line)), "and whose program the other one is");
	loader_kill(&l);
	tap_eq(programs_within_5s("k_hash", 0), 0, "loader killed: the tracepoint's is gone");
	tap_eq(programs_within_5s("u_hash", 0), 0, "loader killed: the uprobe's is gone");
	tap_ok(!says(argv[1], "ps", "u_hash", line, sizeof(line)), "`notrap ps` does not know it any more");
}

static void test_broker(char **argv)
{
	struct loader l = loader_start(argv);
	pid_t broker = broker_pid(argv[1]);

	if (tap_ok(broker > 0, "the broker"))
		kill(broker, SIGKILL);
	tap_eq(programs_within_5s("u_hash", 0), 0, "broker killed: the uprobe's program is gone");
	tap_eq(programs("k_hash"), 1, "the tracepoint's is the loader's own");
	loader_kill(&l);
	tap_eq(programs_within_5s("k_hash", 0), 0, "and goes with it");
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/notrap-test-XXXXXX", command[512];

	if (geteuid() || access("/sys/kernel/tracing/events/syscalls/sys_enter_getpriority/id", R_OK))
		tap_skip_all("needs root, and tracepoints of system calls");
	if (argc < 4 || !mkdtemp(dir))
		return 2;
	setenv("NOTRAP_DIR", dir, 1);
	test_loader(argv);
	test_broker(argv);
	snprintf(command, sizeof(command), "%s stop >/dev/null 2>&1; rm -rf %s", argv[1], dir);
	return system(command) < 0 ? 1 : tap_done();
}
