/* SPDX-License-Identifier: MIT */
/* BPF_OBJ_GET_INFO_BY_FD of links: what is written when not all can be, or may be; ids; the descriptors themselves. */
#include "parity.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct multi_info {
	u32 type, id, prog_id, pad;
	u64 path, offsets, refs, cookies;
	u32 path_size, count, flags, pid;
	unsigned char more[64];
};

struct perf_info {
	u32 type, id, prog_id, pad;
	u32 event, pad2;
	u64 name;
	u32 name_len, offset;
	u64 cookie, ref_ctr;
	unsigned char more[64];
};

static char text[5000];
static u64 offsets[8], refs[8], cookies[8];

static long ask(int fd, void *info, u32 *len)
{
	struct {
		u32 fd, len;
		u64 info;
	} a = { (u32)fd, *len, (u64)(uintptr_t)info };
	long r = syscall(__NR_bpf, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a));

	*len = a.len;
	return r < 0 ? -errno : r;
}

/* Everything that is not wanted is left as it was: 0x55. */
static void show_multi(const char *name, int fd, struct multi_info i, u32 len)
{
	long r;

	memset(text, 'U', 300);
	text[300] = '\0';
	memset(offsets, 0x55, sizeof(offsets));
	memset(refs, 0x55, sizeof(refs));
	memset(cookies, 0x55, sizeof(cookies));
	i.type = 77;
	r = ask(fd, &i, &len);
	printf("%s: %s len %u type %u count %u flags %u pid %d path_size %d\n", name, error_name(r), len, i.type, i.count,
	       i.flags, i.pid == (u32)getpid() ? 1 : (int)i.pid, i.path_size > 1000 ? -1 : i.path_size == strlen(text) + 1);
	printf("%s: path %s\n", name, strrchr(text, '/') ? strrchr(text, '/') : *text == 'U' ? "untouched" : text);
	for (int n = 0; n < 4; n++)
		printf("%s: %d: offset %s, reference %#llx, cookie %#llx\n", name, n,
		       offsets[n] == offset_of(p_0) + (u64)n * (offset_of(p_1) - offset_of(p_0)) ? "right" :
		       offsets[n] == 0x5555555555555555 ? "untouched" : "wrong",
		       (unsigned long long)refs[n], (unsigned long long)cookies[n]);
}

static u64 at(const void *p)
{
	return (u64)(uintptr_t)p;
}

static void multi_infos(struct parity *p)
{
	const struct target three[] = { { p_0, 10, 0 }, { p_1, 11, 2 }, { p_2, 12, 0 } };
	int fd = link_targets(p->leave, LINK_MULTI, FLAG_RETURN, getpid(), three, 3), child, status;
	const struct multi_info all = { .path = at(text), .path_size = 300, .offsets = at(offsets), .refs = at(refs),
					.cookies = at(cookies), .count = 4 };
	struct multi_info i = all;
	u32 len;

	show_multi("all", fd, i, 64);
	i.count = 3;
	show_multi("exactly", fd, i, 64);
	i.count = 2;
	show_multi("room for two", fd, i, 64);
	i.count = 0;
	show_multi("room for none", fd, i, 64);
	i = (struct multi_info){ .count = 9 };
	show_multi("count alone", fd, i, 64);
	show_multi("nothing asked", fd, (struct multi_info){ 0 }, 64);
	i = all;
	i.offsets = 0;
	i.refs = 0;
	show_multi("cookies only", fd, i, 64);
	i = all;
	i.cookies = 8;
	show_multi("bad cookies", fd, i, 64);
	i.cookies = at(cookies);
	i.offsets = 8;
	show_multi("bad offsets", fd, i, 64);
	i = all;
	i.path_size = 0;
	show_multi("path without a size", fd, i, 64);
	i.path = 0;
	i.path_size = 300;
	show_multi("size without a path", fd, i, 64);
	i.path = at(text);
	i.path_size = 5;
	show_multi("five bytes for the path", fd, i, 64);
	i.path_size = 5000;
	show_multi("5000 bytes for the path", fd, i, 64);
	i.path = 8;
	i.path_size = 300;
	show_multi("bad path", fd, i, 64);
	for (len = 0; len <= 64; len += 8) {
		char name[32];

		snprintf(name, sizeof(name), "%u bytes", len);
		show_multi(name, fd, all, len);
	}
	show_multi("100 bytes", fd, all, 100);
	i = all;
	i.more[30] = 1;
	show_multi("100 bytes, not all zero", fd, i, 100);
	close(fd);
	fd = link_targets(p->entry, LINK_MULTI, 0, 0, three, 1);
	i = all;
	i.count = 1;
	show_multi("for everybody", fd, i, 64);
	close(fd);
	fflush(stdout);
	child = fork();
	if (!child) {
		pause();
		_exit(0);
	}
	fd = link_targets(p->entry, LINK_MULTI, 0, child, three, 1);
	len = 64;
	ask(fd, &i, &len);
	printf("a child: pid right %d\n", i.pid == (u32)child);
	kill(child, SIGKILL);
	waitid(P_PID, (id_t)child, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	len = 64;
	ask(fd, &i, &len);
	printf("a dead child: pid right %d\n", i.pid == (u32)child);
	waitpid(child, &status, 0);
	show_multi("a child that is no more", fd, i, 64);
	close(fd);
}

static void show_perf(const char *name, int fd, struct perf_info i, u32 len)
{
	long r;

	memset(text, 'U', 300);
	text[300] = '\0';
	r = ask(fd, &i, &len);
	printf("%s: %s len %u type %u event %u name '%.20s' %u offset %d cookie %llu reference %#llx\n", name, error_name(r), len,
	       i.type, i.event, text, i.name_len, i.offset == offset_of(p_0), (unsigned long long)i.cookie,
	       (unsigned long long)i.ref_ctr);
}

static void perf_infos(struct parity *p)
{
	const struct perf_info all = { .name = at(text), .name_len = 300 };
	struct perf_info i = all;
	int fd = perf_one(p->single_entry, false, p_0, 5);

	show_perf("perf", fd, i, 64);
	i.name_len = 15;
	show_perf("perf, exactly", fd, i, 64);
	i.name_len = 14;
	show_perf("perf, one too few", fd, i, 64);
	i.name_len = 1;
	show_perf("perf, one byte", fd, i, 64);
	i.name_len = 0;
	show_perf("perf, name without length", fd, i, 64);
	i.name = 0;
	i.name_len = 5;
	show_perf("perf, length without name", fd, i, 64);
	i.name_len = 0;
	show_perf("perf, nothing asked", fd, i, 64);
	i.name = 8;
	i.name_len = 300;
	show_perf("perf, bad name", fd, i, 64);
	show_perf("perf, 16 bytes", fd, all, 16);
	show_perf("perf, 40 bytes", fd, all, 40);
	close(fd);
	fd = perf_one(p->single_leave, true, p_0, 0);
	show_perf("perf return", fd, all, 64);
	close(fd);
}

static u32 id_of(int fd)
{
	struct multi_info i = { 0 };
	u32 len = 64;

	ask(fd, &i, &len);
	return i.id;
}

/* Others on this kernel may have links, too. */
static void ids(struct parity *p)
{
	int fd[3], seen = 0, again;
	u32 id = 0, mine[3], last = 0;
	bool rising = true;

	for (int i = 0; i < 3; i++) {
		fd[i] = link_one(p->entry, 0, p_0, (u64)i);
		mine[i] = id_of(fd[i]);
	}
	printf("ids rise: %d\n", mine[0] && mine[0] < mine[1] && mine[1] < mine[2]);
	while (!bpf_link_get_next_id(id, &id)) {
		rising &= id > last;
		last = id;
		for (int i = 0; i < 3; i++)
			seen += id == mine[i];
	}
	printf("walked: %d of 3, rising %d, at the end %s\n", seen, rising, error_name(-errno));
	again = bpf_link_get_fd_by_id(mine[1]);
	printf("the same by id: %d, another descriptor %d\n", id_of(again) == mine[1], again != fd[1]);
	close(again);
	close(fd[1]);
	seen = 0;
	for (id = mine[0] - 1; !bpf_link_get_next_id(id, &id);)
		seen += id == mine[1];
	printf("closed: seen %d\n", seen);
	errno = 0;
	again = bpf_link_get_fd_by_id(mine[1]);
	show("by its id", again < 0 ? -errno : 0);
	close(fd[0]);
	fd[1] = link_one(p->entry, 0, p_0, 9);
	printf("no id twice: %d\n", id_of(fd[1]) > mine[2]);
	close(fd[1]);
	close(fd[2]);
}

static void descriptors(const char *name, int fd)
{
	char path[64], target[64] = "", c = 0, *under;
	struct stat st = { 0 };
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	under = strrchr(target, '_');
	if (under && under > strchr(target, ':'))
		*under = '-'; /* the descriptor that made a link is bpf_link in the kernel, others are bpf-link */
	printf("%s: %s\n", name, n > 0 ? target : "?");
	printf("%s: close-on-exec %d\n", name, fcntl(fd, F_GETFD) & FD_CLOEXEC);
	printf("%s: mode %o\n", name, fstat(fd, &st) ? 0 : st.st_mode & 07777);
	printf("%s: read is refused %d\n", name, read(fd, &c, 1) < 0);
	show("seek", lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0);
	show("map", mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -errno : 0);
	show("ioctl", ioctl(fd, 0x1234, 0) < 0 ? -errno : 0);
	show("truncate", ftruncate(fd, 0) ? -errno : 0);
}

void info_cases(struct parity *p)
{
	int link = link_one(p->entry, 0, p_0, 1);

	multi_infos(p);
	perf_infos(p);
	ids(p);
	descriptors("link", link);
	descriptors("program", p->entry);
	close(link);
}
