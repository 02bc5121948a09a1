/* SPDX-License-Identifier: MIT */
/*
 * `notrap run LOADER`: makes sure that a broker runs, preloads the shim and becomes the loader, so
 * its exit status, terminal and signals are its own. The connection that was made here stays open
 * across exec: it keeps the broker alive until the shim takes it over.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/connect.h"
#include "cli/filter.h"
#include "cli/loader.h"
#include "ipc/ipc.h"
#include "util/fd.h"

#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND 127
#define HIGH_FD 512

/* What we cannot do without; named, because "Function not implemented" helps nobody. */
static const char *missing_kernel_feature(void)
{
	char a = 1, b = 0;
	struct iovec from = {&a, 1}, to = {&b, 1};
	int fd fd_auto = memfd_create("notrap-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return "memfd_create (Linux 3.17)";
	if (syscall(SYS_pidfd_getfd, -1, 0, 0) < 0 && errno != EBADF)
		return "pidfd_getfd (Linux 5.6, and not blocked by a container's seccomp profile)";
	if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != 1)
		return "process_vm_readv (Linux 3.2 with CONFIG_CROSS_MEMORY_ATTACH, and not "
		       "blocked by a container)";
	return NULL;
}

/* Our other two files: next to this program (build folder), or where an installation has them. */
static int find_sibling(const char *name, char *ret, size_t n)
{
	static const char *const places[] = {"", "../lib/notrap/", "../libexec/notrap/"};
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (len < 0)
		return -errno;
	self[len] = 0;
	slash = strrchr(self, '/');
	if (!slash)
		return -ENOENT;
	slash[1] = 0;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (snprintf(ret, n, "%s%s%s", self, places[i], name) < (int)n &&
		    access(ret, R_OK) == 0)
			return 0;
	return -ENOENT;
}

static int set_preload(const char *shim)
{
	const char *old = getenv("LD_PRELOAD");
	char *value free_auto = NULL;

	if (strpbrk(shim, ": "))
		return -EINVAL;
	if (asprintf(&value, "%s%s%s", shim, old && old[0] ? ":" : "", old ? old : "") < 0)
		return -ENOMEM;
	return setenv("LD_PRELOAD", value, 1) ? -errno : 0;
}

/* The shim recognises the connection by number and inode; children see another inode or nothing,
 * and ignore it. */
static int set_connection(int sock)
{
	int high = fcntl(sock, F_DUPFD, HIGH_FD);
	char value[64];
	struct stat st;

	if (high < 0)
		high = fcntl(sock, F_DUPFD, 3); /* a small RLIMIT_NOFILE */
	if (high < 0 || fstat(high, &st) < 0)
		return -errno;
	close(sock);
	snprintf(value, sizeof(value), "%d:%llu", high, (unsigned long long)st.st_ino);
	return setenv("NOTRAP_FD", value, 1) ? -errno : 0;
}

static int prepare(const struct cli_command *c, const char *loader, enum loader_kind kind, bool verbose)
{
	char notrapd[PATH_MAX], shim[PATH_MAX], dir[512];
	const char *missing = missing_kernel_feature(), *why = NULL, *wanted = getenv("NOTRAP_DIR");
	int r, sock;

	if (missing)
		return cli_error(c, "this kernel lacks %s", missing);
	/* A relative directory would mean another one after the loader's chdir(). */
	if (wanted && *wanted && *wanted != '/')
		return cli_error(c, "NOTRAP_DIR must be an absolute path, not %s", wanted);
	r = ipc_runtime_dir(dir, sizeof(dir));
	if (r < 0)
		return cli_error(c, "runtime directory %s: %s%s", dir, strerror(-r),
				 r == -EPERM ? " (it must belong to you, with mode 0700)" : "");
	if (find_sibling("notrapd", notrapd, sizeof(notrapd)) < 0 ||
	    find_sibling("notrap-shim.so", shim, sizeof(shim)) < 0)
		return cli_error(c, "notrapd or notrap-shim.so is missing from the installation");
	if (dir[0] != '/')
		return cli_error(c, "XDG_RUNTIME_DIR must be an absolute path, not %s", dir);
	setenv("NOTRAP_DIR", dir, 1);
	setenv("NOTRAP_VERBOSE", verbose ? "1" : "0", 1);
	sock = broker_start(notrapd, NT_ROLE_SHIM);
	if (sock == -EPERM && getenv("NOTRAP_KERNEL"))
		return cli_error(c, "--kernel needs a broker that may load programs into the kernel (CAP_BPF and CAP_PERFMON, or "
				    "CAP_SYS_ADMIN): run this as root. If a broker is running that was started without, `notrap stop` "
				    "ends it");
	if (sock == -EPROTO)
		return cli_error(c, "cannot talk to the broker that runs: %s", broker_error(sock));
	if (sock < 0)
		return cli_error(c, "the broker does not start: %s; see %s/log", strerror(-sock),
				 dir);
	if (kind == LOADER_FILTER) {
		r = filter_install(sock, &why);
		if (r < 0)
			return cli_error(c, "cannot run %s: it is statically linked, and %s: %s", loader, why, strerror(-r));
	}
	r = set_connection(sock);
	if (!r && kind == LOADER_PRELOAD)
		r = set_preload(shim);
	return r < 0 ? cli_error(c, "cannot preload %s: %s", shim, strerror(-r)) : 0;
}

static int run_main(int argc, char **argv)
{
	const struct cli_command *c = &cli_run;
	char path[PATH_MAX];
	bool verbose = false;
	const char *why = "";
	enum loader_kind kind;
	int i, r;

	unsetenv("NOTRAP_ALLOW_WRITE");
	unsetenv("NOTRAP_KERNEL");
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			cli_help(c, stdout);
			return CLI_OK;
		}
		if (!strcmp(argv[i], "--root") || !strcmp(argv[i], "--no-root")) {
			setenv("NOTRAP_ROOT", argv[i][2] == 'r' ? "1" : "0", 1);
			continue;
		}
		if (!strcmp(argv[i], "--kernel")) {
			setenv("NOTRAP_KERNEL", "1", 1);
			continue;
		}
		if (!strcmp(argv[i], "--allow-write")) {
			setenv("NOTRAP_ALLOW_WRITE", "1", 1);
			continue;
		}
		if (strcmp(argv[i], "-v") && strcmp(argv[i], "--verbose"))
			return cli_usage_error(c, "unknown option %s", argv[i]);
		verbose = true;
	}
	if (i >= argc)
		return cli_usage_error(c, "which loader?");
	r = loader_find(argv[i], path, sizeof(path));
	if (r < 0) {
		cli_error(c, "%s: %s", argv[i], strerror(-r));
		return r == -ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
	}
	kind = loader_kind(path, &why);
	if (kind == LOADER_REFUSED) {
		cli_error(c, "cannot run %s: %s", path, why);
		return EXIT_CANNOT_RUN;
	}
	r = prepare(c, path, kind, verbose);
	if (r)
		return r;
	execv(path, argv + i);
	cli_error(c, "%s: %s", path, strerror(errno));
	return errno == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

const struct cli_command cli_run = {
    .name = "run",
    .args = "[-v] [--kernel] [--root] [--allow-write] [--] LOADER [ARGUMENT...]",
    .help = "Run a BPF loader; its uprobes are attached without the kernel",
    .details = "  -v, --verbose  tell which functions were refused, and why\n"
	       "  --kernel       kprobes, tracepoints, XDP and whatever else only the kernel can serve go there, in the\n"
	       "                 same run and with the same maps; needs root, or CAP_BPF and CAP_PERFMON\n"
	       "  --root         let the loader think that it is root, for those that insist (bpftrace always may:\n"
	       "                 --no-root tells it the truth); files and processes know better\n"
	       "  --allow-write  programs may change what a process does: bpf_override_return() makes a probed\n"
	       "                 function return at once, bpf_probe_write_user() writes into its memory\n\n"
	       "The exit status is the loader's own; 127: not found, 126: cannot be run.\n",
    .fn = run_main,
};
