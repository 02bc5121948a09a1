/* SPDX-License-Identifier: MIT */
/* `notrap run --root` as an ordinary user: what the loader is told, and that nobody else is. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

static int exit_of(const char *command)
{
	int status = system(command);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool is_empty_file(int fd)
{
	char c;
	bool ok = fd >= 0 && read(fd, &c, 1) == 0;

	close(fd);
	return ok;
}

static void test_root(void)
{
	struct __user_cap_header_struct hdr = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {};

	tap_eq(geteuid(), 0, "the loader is told that it is root");
	tap_eq(getuid(), 1000, "its real user is what it is");
	tap_eq(syscall(SYS_geteuid), 1000, "and the kernel knows");
	tap_eq(syscall(SYS_capget, &hdr, data), 0, "capget works");
	tap_ok(data[1].effective & 1u << (39 /* CAP_BPF */ - 32), "and shows CAP_BPF");
	tap_eq(exit_of("exec test \"$(id -u)\" = 1000"), 0, "its children are told the truth");
	tap_ok(open("/etc/shadow", O_RDONLY) == -1 && errno == EACCES, "files are as closed as they are");
}

static void test_files(void)
{
	FILE *f;

	tap_ok(is_empty_file(open("/sys/kernel/tracing/uprobe_events", O_RDONLY)), "no uprobe_events");
	tap_ok(is_empty_file(openat(AT_FDCWD, "/sys/kernel/debug/tracing/kprobe_events", O_RDONLY | O_CLOEXEC)),
	       "no kprobe_events");
	f = fopen("/sys/kernel/tracing/available_events", "r");
	tap_ok(f && getc(f) == EOF, "no available_events");
	if (f)
		fclose(f);
	tap_ok(open("/sys/kernel/tracing/uprobe_events", O_WRONLY) == -1, "none can be written");
	tap_ok(open("/sys/kernel/tracing/nonsense", O_RDONLY) == -1, "other files are not there");
	errno = 77;
	f = fopen("/no/such/file", "r");
	tap_ok(!f && errno == ENOENT, "a file that is missing is missing");
	errno = 77;
	f = fopen("/proc/self/maps", "r");
	tap_ok(f && errno == 77, "one that is there is opened");
	fclose(f);
}

int main(void)
{
	const struct rlimit infinite = {RLIM_INFINITY, RLIM_INFINITY}, less = {4096, 4096};

	if (getuid() != 1000)
		tap_skip_all("is for user 1000");
	test_root();
	test_files();
	setrlimit(RLIMIT_MEMLOCK, &less);
	tap_eq(setrlimit(RLIMIT_MEMLOCK, &infinite), 0, "locked memory has no limit");
	setrlimit(RLIMIT_CORE, &less);
	tap_ok(setrlimit(RLIMIT_CORE, &infinite) == -1 && errno == EPERM, "other limits have");
	return tap_done();
}
