/* SPDX-License-Identifier: MIT */
/* Which of two errors comes first, what may be probed, and that a link which fails leaves nothing behind. */
#include "parity.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct create {
	u32 prog, target, type, link_flags;
	u64 path, offsets, refs, cookies;
	u32 cnt, flags, pid, pad;
};

static int create(const struct create *a, u32 size)
{
	long r = syscall(__NR_bpf, BPF_LINK_CREATE, a, size);

	return r < 0 ? -errno : (int)r;
}

static void show_create(const char *name, const struct create *a, u32 size)
{
	int fd = create(a, size);

	show(name, fd);
	if (fd >= 0)
		close(fd);
}

static struct create good(const struct parity *p, const char *path, const u64 *offsets, u32 n)
{
	return (struct create){ .prog = (u32)p->entry, .type = LINK_MULTI, .path = (u64)(uintptr_t)path,
				.offsets = (u64)(uintptr_t)offsets, .cnt = n };
}

/* Two words, the second in memory that is not there. */
static u64 *half_there(u64 first)
{
	char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u64 *w = (u64 *)(m + 4096) - 1;

	munmap(m + 4096, 4096);
	*w = first;
	return w;
}

static void array_cases(struct parity *p)
{
	u64 negative[2] = { (u64)-5, 0 }, fine[2] = { offset_of(p_0), offset_of(p_1) }, odd[2] = { 0, 3 };
	struct create a = good(p, "/proc/self/exe", negative, 2);

	a.cookies = 8;
	show_create("negative offset, bad cookies", &a, 64);
	a.offsets = (u64)(uintptr_t)fine;
	show_create("bad cookies", &a, 64);
	a.refs = (u64)(uintptr_t)odd;
	show_create("bad cookies, odd reference", &a, 64);
	a.cookies = 0;
	show_create("odd reference", &a, 64);
	a.refs = 0;
	a.offsets = (u64)(uintptr_t)half_there((u64)-5);
	show_create("negative offset, the next not there", &a, 64);
	a.offsets = (u64)(uintptr_t)half_there(fine[0]);
	show_create("offset, the next not there", &a, 64);
	a.offsets = (u64)(uintptr_t)fine;
	a.refs = (u64)(uintptr_t)half_there(0);
	show_create("the second reference not there", &a, 64);
	negative[0] = fine[0];
	negative[1] = (u64)-5;
	a.offsets = (u64)(uintptr_t)negative;
	show_create("the second reference not there, second offset negative", &a, 64);
	a.refs = 0;
	a.cookies = (u64)(uintptr_t)half_there(0);
	a.offsets = (u64)(uintptr_t)fine;
	show_create("the second cookie not there", &a, 64);
	a.cookies = 0;
	show_create("size 60", &a, 60);
	show_create("size 48", &a, 48);
	show_create("size 16", &a, 16);
	a.refs = (u64)(uintptr_t)(u64[2]){ 2, (u64)-2 };
	show_create("references to nowhere", &a, 64);
}

static void *with_tid(void *arg)
{
	struct create *a = arg;

	a->pid = (u32)syscall(__NR_gettid);
	show_create("a thread that leads no group", a, 64);
	return NULL;
}

static void path_cases(struct parity *p)
{
	static char longest[4200], component[400];
	u64 off[2] = { 0, 0 }, size;
	struct create a = good(p, "/proc/self/exe", off, 1);
	struct stat st = { 0 };
	pthread_t t;
	int child, fd;

	stat("/proc/self/exe", &st);
	size = (u64)st.st_size;
	show_create("offset 0", &a, 64);
	off[0] = size;
	show_create("offset at the end", &a, 64);
	off[0] = size + 1;
	show_create("offset behind the end", &a, 64);
	off[0] = 0;
	memset(longest, 'x', sizeof(longest) - 1);
	a.path = (u64)(uintptr_t)longest;
	show_create("path without an end", &a, 64);
	memset(component, 'x', 300);
	a.path = (u64)(uintptr_t)component;
	show_create("long component", &a, 64);
	a.path = (u64)(uintptr_t)"";
	show_create("empty path", &a, 64);
	a.path = (u64)(uintptr_t)"/etc/passwd";
	show_create("text file", &a, 64);
	a.path = (u64)(uintptr_t)"/proc/self/maps";
	show_create("file that cannot be mapped", &a, 64);
	fd = memfd_create("parity", 0);
	snprintf(component, sizeof(component), "/proc/self/fd/%d", fd);
	a.path = (u64)(uintptr_t)component;
	show_create("empty memfd", &a, 64);
	a.path = (u64)(uintptr_t)"/proc/self/exe";
	pthread_create(&t, NULL, with_tid, &a);
	pthread_join(t, NULL);
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(0);
	waitid(P_PID, (id_t)child, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	a.pid = (u32)child;
	show_create("a zombie", &a, 64);
	waitpid(child, &fd, 0);
	show_create("a process that is gone", &a, 64);
}

static int count_links(void)
{
	u32 id = 0;
	int n = 0;

	while (!bpf_link_get_next_id(id, &id))
		n++;
	return n;
}

static void rollback_cases(struct parity *p)
{
	const struct target two[] = { { p_0, 2, 0 }, { p_0, 3, 8 } }, same[] = { { p_0, 4, 8 } };
	u64 off[3] = { offset_of(p_0), offset_of(p_1), 1ull << 40 };
	struct create a = good(p, "/proc/self/exe", off, 3);
	int fd = link_one(p->entry, 0, p_0, 1), links = count_links();

	show_create("two functions and nothing", &a, 64);
	p_0(NULL, NULL);
	p_1(NULL, NULL);
	show_events(p, "only the first link is there");
	show("one function, two references", link_targets(p->entry, LINK_MULTI, 0, getpid(), two, 2));
	show("another reference than the first link", link_targets(p->entry, LINK_MULTI, 0, getpid(), same, 1));
	p_0(NULL, NULL);
	show_events(p, "as before");
	printf("links more: %d\n", count_links() - links);
	close(fd);
	p_0(NULL, NULL);
	show_events(p, "none");
}

void create_cases(struct parity *p)
{
	array_cases(p);
	path_cases(p);
	rollback_cases(p);
}

/* --- perf events --- */

static void query(const char *name, int fd, u32 room)
{
	char buf[64] = "????";
	u32 len = room, prog = 0, type = 0;
	__u64 off = 0, addr = 0;
	int r = bpf_task_fd_query(getpid(), fd, 0, buf, &len, &prog, &type, &off, &addr);

	printf("%s: %s '%s' %u type %u program %d offset %d address %llu\n", name, error_name(r < 0 ? -errno : r), buf, len,
	       type, prog != 0, off == offset_of(p_0), (unsigned long long)addr);
}

static void show_query(const char *name, int pid, int fd, u32 flags)
{
	char buf[64];
	u32 len = sizeof(buf), prog, type;
	__u64 off, addr;

	errno = 0;
	show(name, bpf_task_fd_query(pid, fd, flags, buf, &len, &prog, &type, &off, &addr) ? -errno : 0);
}

static void query_errors(struct parity *p, int event, int link)
{
	show_query("query: with a flag", getpid(), event, 1);
	show_query("query: descriptor -1", getpid(), -1, 0);
	show_query("query: descriptor 9999", getpid(), 9999, 0);
	show_query("query: process 0", 0, event, 0);
	show_query("query: no such process", 4194303, event, 0);
	show_query("query: a flag, no such process", 4194303, event, 1);
	show_query("query: stdin", getpid(), 0, 0);
	show_query("query: a program", getpid(), p->entry, 0);
	show_query("query: a perf link", getpid(), link, 0);
}

void perf_cases(struct parity *p)
{
	LIBBPF_OPTS(bpf_link_create_opts, o, .perf_event.bpf_cookie = 9);
	int a = perf_event(false, "/proc/self/exe", offset_of(p_0), getpid(), -1, 0), b, link, other;

	show("open", a);
	query("without a program", a, 64);
	show("set", ioctl(a, PERF_EVENT_IOC_SET_BPF, p->single_entry) ? -errno : 0);
	p_0(NULL, NULL);
	show_events(p, "set, not enabled");
	query("with a program", a, 64);
	query("small buffer", a, 5);
	query("no buffer", a, 0);
	show("disable", ioctl(a, PERF_EVENT_IOC_DISABLE, 0) ? -errno : 0);
	p_0(NULL, NULL);
	show_events(p, "disabled");
	show("set again", ioctl(a, PERF_EVENT_IOC_SET_BPF, p->single_leave) ? -errno : 0);
	show("link on it", bpf_link_create(p->single_entry, a, BPF_PERF_EVENT, &o));
	close(a);
	p_0(NULL, NULL);
	show_events(p, "closed");
	b = perf_event(true, "/proc/self/exe", offset_of(p_0), -1, 0, 0);
	link = bpf_link_create(p->single_leave, b, BPF_PERF_EVENT, &o);
	show("link", link);
	show("set on top", ioctl(b, PERF_EVENT_IOC_SET_BPF, p->single_leave) ? -errno : 0);
	query("the event of a link", b, 64);
	query("a link", link, 64);
	query_errors(p, b, link);
	close(b);
	p_0(NULL, NULL);
	show_events(p, "a link without its event");
	other = link_one(p->leave, FLAG_RETURN, p_0, 1);
	p_0(NULL, NULL);
	show_events(p, "and another kind");
	query("a multi link", other, 64);
	close(other);
	close(link);
	b = perf_event(false, "/proc/self/exe", offset_of(p_0), getpid(), -1, 0);
	show("a multi program by ioctl", ioctl(b, PERF_EVENT_IOC_SET_BPF, p->entry) ? -errno : 0);
	p_0(NULL, NULL);
	printf("runs: %llu\n", (unsigned long long)p->skel->bss->nevents); /* its cookie is nothing, on 6.18 anything */
	drop_events(p);
	close(b);
	b = perf_event(false, "/proc/self/exe", offset_of(p_0), getpid(), -1, 0);
	show("a multi program by link", bpf_link_create(p->entry, b, BPF_PERF_EVENT, &o));
	close(b);
}
