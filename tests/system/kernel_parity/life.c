/* SPDX-License-Identifier: MIT */
/* How long objects live and what can be asked about them. */
#include "parity.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#define DIR_NAME "/sys/fs/bpf/notrap-parity"

static void calls(struct parity *p, const char *name)
{
	drop_events(p);
	p_0(NULL, NULL);
	show_events(p, name);
}

static u32 link_id(int fd)
{
	struct bpf_link_info i = { 0 };
	u32 len = sizeof(i);

	return bpf_link_get_info_by_fd(fd, &i, &len) ? 0 : i.id;
}

static int send_and_receive(int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} u = { 0 };
	struct iovec iov = { .iov_base = (char[1]){ 'x' }, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = sizeof(u.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int pair[2], got;

	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	sendmsg(pair[0], &m, 0);
	close(fd);
	recvmsg(pair[1], &m, 0);
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	close(pair[0]);
	close(pair[1]);
	return got;
}

static void references(struct parity *p)
{
	int fd = link_one(p->entry, 0, p_0, 1), more, by_id, status, to[2];
	u32 id = link_id(fd);
	char c;

	more = dup(fd);
	close(fd);
	calls(p, "a duplicate is left");
	by_id = bpf_link_get_fd_by_id(id);
	show("by id", by_id < 0 ? -errno : 0);
	close(more);
	calls(p, "a descriptor by id is left");
	by_id = send_and_receive(by_id);
	calls(p, "sent through a socket");
	if (pipe(to))
		return;
	fflush(stdout);
	if (!fork()) {
		close(to[1]);
		if (read(to[0], &c, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(to[0]);
	close(by_id);
	calls(p, "a child has it");
	close(to[1]);
	wait(&status);
	calls(p, "nobody has it");
	errno = 0;
	by_id = bpf_link_get_fd_by_id(id);
	show("by id, gone", by_id < 0 ? -errno : 0);
}

static void show_fdinfo(const char *name, int fd)
{
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		char *tab = strchr(line, '\t');
		static const char *const vary[] = { "mnt_id", "ino", "link_id", "prog_id", "prog_tag", "map_id", "btf_id", "pid",
						    "memlock", "path", "verified_insns" };

		if (tab)
			for (size_t i = 0; i < sizeof(vary) / sizeof(vary[0]); i++)
				if (!strncmp(line, vary[i], strlen(vary[i])) && line[strlen(vary[i])] == ':')
					strcpy(tab, "\t...\n");
		printf("%s fdinfo %s", name, line);
	}
	if (f)
		fclose(f);
}

static void show_link_info(const char *name, int fd)
{
	u64 offsets[4] = { 0 }, cookies[4] = { 0 };
	char path[256] = "";
	struct {
		u32 type, id, prog_id, pad;
		u64 path, offsets, refs, cookies;
		u32 path_size, count, flags, pid;
	} i = { .path = (u64)(uintptr_t)path, .path_size = sizeof(path), .offsets = (u64)(uintptr_t)offsets,
		.cookies = (u64)(uintptr_t)cookies, .count = 4 };
	struct {
		u32 fd, len;
		u64 info;
	} a = { (u32)fd, sizeof(i), (u64)(uintptr_t)&i };
	long r = syscall(__NR_bpf, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a));
	const char *base = strrchr(path, '/');

	printf("%s info: %s type %u count %u flags %u own %d path %s %d cookies %llu %llu first at %d\n", name,
	       error_name(r < 0 ? -errno : r), i.type, i.count, i.flags, i.pid == (u32)getpid(), base ? base : path,
	       i.path_size == strlen(path) + 1, (unsigned long long)cookies[0], (unsigned long long)cookies[1],
	       offsets[0] == offset_of(p_1));
}

static void texts(struct parity *p)
{
	const struct target two[] = { { p_1, 11, 0 }, { p_2, 22, 0 } };
	int fd = link_targets(p->entry, LINK_MULTI, 0, getpid(), two, 2);

	show_fdinfo("link", fd);
	show_link_info("link", fd);
	close(fd);
	fd = link_targets(p->leave, LINK_MULTI, FLAG_RETURN, 0, two, 2);
	show_fdinfo("return link", fd);
	show_link_info("return link", fd);
	close(fd);
	fd = link_targets(p->session, LINK_SESSION, 0, 0, two, 2);
	show_fdinfo("session link", fd);
	show_link_info("session link", fd);
	close(fd);
	fd = perf_one(p->single_leave, true, p_1, 7);
	show_fdinfo("perf link", fd);
	close(fd);
	show_fdinfo("map", bpf_map__fd(p->skel->maps.bss));
	show_fdinfo("program", p->entry);
}

/* The name of the target as it changes. */
static void names(struct parity *p)
{
	char self[256] = "", moved[300];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const struct target one = { p_1, 1, 0 };
	int fd = link_targets(p->entry, LINK_MULTI, 0, getpid(), &one, 1);

	self[n > 0 ? n : 0] = '\0';
	snprintf(moved, sizeof(moved), "%s-moved", self);
	rename(self, moved);
	show_link_info("moved", fd);
	rename(moved, self);
	show_link_info("back", fd);
	close(fd);
}

static void updates(struct parity *p)
{
	int fd = link_one(p->entry, 0, p_0, 1), other = link_one(p->entry, 0, p_0, 2);
	LIBBPF_OPTS(bpf_link_update_opts, o, .flags = BPF_F_REPLACE, .old_prog_fd = (u32)p->entry);

	show("detach", bpf_link_detach(fd));
	show("detach what is no link", bpf_link_detach(p->entry));
	show("detach nothing", bpf_link_detach(-1));
	show("update", bpf_link_update(fd, p->entry_1, NULL));
	show("replace", bpf_link_update(fd, p->entry_1, &o));
	show("update with nothing", bpf_link_update(fd, -1, NULL));
	show("update what is no link", bpf_link_update(p->entry, p->entry, NULL));
	calls(p, "as before");
	close(fd);
	close(other);
	fd = perf_one(p->single_entry, false, p_0, 3);
	show("perf link: detach", bpf_link_detach(fd));
	show("perf link: update", bpf_link_update(fd, p->entry_1, NULL));
	calls(p, "perf link: as before");
	close(fd);
}

/* --- pins --- */

static void list(const char *name)
{
	DIR *d = opendir(DIR_NAME);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	printf("%s: %d names\n", name, d ? n : -1);
	if (d)
		closedir(d);
}

static int get(const char *path, u32 flags)
{
	LIBBPF_OPTS(bpf_obj_get_opts, o, .file_flags = flags);
	int fd = bpf_obj_get_opts(path, &o);

	return fd < 0 ? -errno : fd;
}

static void show_get(const char *name, const char *path, u32 flags)
{
	int fd = get(path, flags);

	show(name, fd);
	if (fd >= 0)
		close(fd);
}

static long pin(int fd, const char *path)
{
	return bpf_obj_pin(fd, path) ? -errno : 0;
}

static void pin_errors(struct parity *p, int link)
{
	int map = bpf_map__fd(p->skel->maps.bss), btf = bpf_object__btf_fd(p->skel->obj);

	show("pin again", pin(link, DIR_NAME "/link"));
	show("pin with a dot", pin(link, DIR_NAME "/li.nk"));
	show("pin in no directory", pin(link, DIR_NAME "/no/link"));
	show("pin elsewhere", pin(link, "/tmp/notrap-parity-link"));
	show("pin over a file elsewhere", pin(link, "/etc/passwd"));
	show("pin nothing", pin(-1, DIR_NAME "/nothing"));
	show("pin stdin", pin(0, DIR_NAME "/stdin"));
	show("pin btf", pin(btf, DIR_NAME "/btf"));
	show("pin NULL", pin(link, NULL));
	show("get what is not there", get(DIR_NAME "/none", 0));
	show("get elsewhere", get("/etc/passwd", 0));
	show("get a directory", get(DIR_NAME, 0));
	show("get below a pin", get(DIR_NAME "/link/x", 0));
	show_get("get read-only", DIR_NAME "/link", BPF_F_RDONLY);
	show_get("get with a bad flag", DIR_NAME "/link", 1);
	show("pin a map", pin(map, DIR_NAME "/map"));
	show("pin a program", pin(p->entry, DIR_NAME "/program"));
	show_get("get the map", DIR_NAME "/map", 0);
	show_get("get the map read-only", DIR_NAME "/map", BPF_F_RDONLY);
	show_get("get the program", DIR_NAME "/program", 0);
	show_get("get the map with both flags", DIR_NAME "/map", BPF_F_RDONLY | BPF_F_WRONLY);
}

void pin_cases(struct parity *p)
{
	int link = link_one(p->entry, 0, p_0, 1), fd, status;
	struct statfs fs = { 0 };
	struct stat st = { 0 };

	mkdir(DIR_NAME, 0700);
	show("statfs", statfs(DIR_NAME, &fs) ? -errno : 0);
	printf("bpffs: %d\n", fs.f_type == 0xcafe4a11);
	show("pin", pin(link, DIR_NAME "/link"));
	list("one");
	show("stat", stat(DIR_NAME "/link", &st) ? -errno : 0);
	printf("mode %o, directory %d\n", st.st_mode & 0777, S_ISDIR(st.st_mode));
	show("access", access(DIR_NAME "/link", F_OK) ? -errno : 0);
	pin_errors(p, link);
	list("three");
	close(link);
	calls(p, "pinned, closed");
	fflush(stdout);
	if (!fork()) {
		int mine = get(DIR_NAME "/link", 0);

		calls(p, "a child has it too");
		fflush(stdout);
		_exit(mine < 0);
	}
	wait(&status);
	fd = get(DIR_NAME "/link", 0);
	show("get", fd);
	show_link_info("pinned", fd);
	show("rename", rename(DIR_NAME "/link", DIR_NAME "/other") ? -errno : 0);
	show_get("get by the old name", DIR_NAME "/link", 0);
	show_get("get by the new name", DIR_NAME "/other", 0);
	show("unlink", unlink(DIR_NAME "/other") ? -errno : 0);
	calls(p, "unlinked, open");
	close(fd);
	calls(p, "closed");
	link = link_one(p->entry, 0, p_0, 2);
	pin(link, DIR_NAME "/link");
	close(link);
	calls(p, "pinned again");
	unlink(DIR_NAME "/link");
	usleep(200000); /* the kernel may take its time */
	calls(p, "unlinked");
	show("rmdir", rmdir(DIR_NAME) ? -errno : 0);
	unlink(DIR_NAME "/map");
	unlink(DIR_NAME "/program");
	show("rmdir when empty", rmdir(DIR_NAME) ? -errno : 0);
	list("gone");
}

static void run_stats(struct parity *p, const char *name)
{
	struct bpf_prog_info i = { 0 };
	u32 len = sizeof(i);

	for (int n = 0; n < 10; n++)
		p_0(NULL, NULL);
	bpf_prog_get_info_by_fd(p->entry, &i, &len);
	printf("%s: run_cnt %llu, some time %d\n", name, (unsigned long long)i.run_cnt, i.run_time_ns > 0);
}

static void statistics(struct parity *p)
{
	int link = link_one(p->entry, 0, p_0, 1), other, on, more;

	run_stats(p, "before");
	on = bpf_enable_stats(BPF_STATS_RUN_TIME);
	show("enable", on);
	run_stats(p, "enabled");
	more = bpf_enable_stats(BPF_STATS_RUN_TIME);
	other = link_one(p->leave, FLAG_RETURN, p_0, 2);
	run_stats(p, "enabled twice, one more link");
	close(on);
	run_stats(p, "once again");
	close(more);
	run_stats(p, "disabled");
	show("enable something else", bpf_enable_stats(7) < 0 ? -errno : 0);
	close(other);
	drop_events(p);
	close(link);
}

void life_cases(struct parity *p)
{
	references(p);
	texts(p);
	names(p);
	updates(p);
	statistics(p);
}
