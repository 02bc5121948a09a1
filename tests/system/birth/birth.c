/* SPDX-License-Identifier: MIT */
#include "birth.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "birth.skel.h"

static const char *const names[] = {"main_ctor", "main_fn", "lib_ctor", "lib_fn", "plug_ctor", "plug_fn"};
#define NNAMES (sizeof(names) / sizeof(names[0]))
#define RETURNS 16

const char *newborn, *library, *plug;
static struct birth_bpf *skel;
static struct bpf_link *links[LINKS_MAX];
static int nlinks;

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return getenv("BIRTH_VERBOSE") ? vfprintf(stderr, fmt, ap) : 0;
}

int birth_load(int argc, char **argv)
{
	if (argc < 4)
		return EINVAL;
	newborn = argv[1];
	library = argv[2];
	plug = argv[3];
	libbpf_set_print(quiet);
	skel = birth_bpf__open_and_load();
	return skel ? 0 : errno;
}

static bool watch_half(struct bpf_program *prog, const char *file, __u64 first, pid_t pid, bool ret)
{
	const char *syms[2] = {names[first], names[first + 1]};
	__u64 cookies[2] = {first, first + 1};
	LIBBPF_OPTS(bpf_uprobe_multi_opts, opts, .syms = syms, .cookies = cookies, .cnt = 2, .retprobe = ret);
	struct bpf_link *l = bpf_program__attach_uprobe_multi(prog, pid, file, NULL, &opts);

	if (!l)
		printf("# %s: %s\n", file, strerror(errno));
	else
		links[nlinks++] = l;
	return l;
}

bool watch_file(const char *file, const char *kind, pid_t pid)
{
	__u64 first = 0;

	while (strncmp(names[first], kind, strlen(kind)))
		first += 2;
	return watch_half(skel->progs.entered, file, first, pid, false) &&
	       watch_half(skel->progs.returned, file, first, pid, true);
}

bool watch_all_files(pid_t pid)
{
	return watch_file(newborn, "main", pid) && watch_file(library, "lib", pid) && watch_file(plug, "plug", pid);
}

void unwatch(void)
{
	while (nlinks)
		bpf_link__destroy(links[--nlinks]);
	skel->bss->nids = 0;
}

unsigned long long caller_id(unsigned int n)
{
	return n < skel->bss->nids ? skel->bss->ids[n] : 0;
}

static unsigned long long take(__u32 slot)
{
	__u64 v = 0, zero = 0;

	bpf_map__lookup_elem(skel->maps.calls, &slot, sizeof(slot), &v, sizeof(v), 0);
	bpf_map__update_elem(skel->maps.calls, &slot, sizeof(slot), &zero, sizeof(zero), 0);
	return v;
}

const char *counted(void)
{
	static char text[512];
	size_t n = 0;

	*text = 0;
	for (__u32 i = 0; i < NNAMES; i++) {
		unsigned long long in = take(i), out = take(RETURNS + i);

		if (!in && !out)
			continue;
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %llu", n ? " " : "", names[i], in);
		if (in != out)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "/%llu", out);
	}
	return text;
}

pid_t stranger(char *const argv[], int *in, int *out)
{
	int i[2] = {-1, -1}, o[2] = {-1, -1};
	pid_t pid;

	if ((in && pipe2(i, O_CLOEXEC)) || (out && pipe2(o, O_CLOEXEC)))
		return -1;
	pid = fork();
	if (!pid) {
		char libs[4200];
		char *const env[] = {libs, NULL}; /* copies of newborn are not beside its library */

		snprintf(libs, sizeof(libs), "LD_LIBRARY_PATH=%.*s", (int)(strrchr(library, '/') - library), library);

		if (in)
			dup2(i[0], 0);
		if (out)
			dup2(o[1], 1);
		execve(argv[0], argv, env);
		_exit(127);
	}
	if (in) {
		close(i[0]);
		*in = i[1];
	}
	if (out) {
		close(o[1]);
		*out = o[0];
	}
	return pid;
}

bool is_ready(int out)
{
	struct pollfd p = {.fd = out, .events = POLLIN};
	char text[64] = "";

	return poll(&p, 1, 20000) == 1 && read(out, text, sizeof(text) - 1) > 0 && !strncmp(text, "ready", 5);
}

void go_on(int in)
{
	if (write(in, "\n", 1) != 1)
		perror("newborn");
}

int ended(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

void a_moment(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
}

bool copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	bool ok = in >= 0 && out >= 0;
	char buf[65536];
	ssize_t n;

	while (ok && (n = read(in, buf, sizeof(buf))) > 0)
		ok = write(out, buf, (size_t)n) == n;
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return ok;
}
