/* SPDX-License-Identifier: MIT */
#include "parity.h"

#include <linux/perf_event.h>
#include <fcntl.h>
#include <link.h>

static const struct group {
	const char *name;
	void (*fn)(struct parity *p);
} groups[] = {
	{ "order", order_cases },     { "inside", inside_cases }, { "consumers", consumer_cases },
	{ "session", session_cases }, { "depth", depth_cases },	  { "threads", thread_cases },
	{ "life", life_cases },	      { "pins", pin_cases },
	{ "cookies", cookie_cases },  { "usdt", usdt_cases },
	{ "create", create_cases },   { "perf", perf_cases },
	{ "errnos", errno_cases },    { "info", info_cases },
	{ "many", many_cases },	      { "places", place_cases },
	{ "state", state_cases },     { "usdt-late", usdt_late_cases },
	{ "regs", regs_cases },	      { "differs", differs_cases },
	{ "speed", speed_cases },	      { "signals", signal_cases },
};

static int refuse(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(99);
}

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, ap) : 0;
}

void parity_load(struct parity *p)
{
	libbpf_set_print(quiet);
	p->skel = parity_bpf__open();
	if (!p->skel)
		refuse("open");
	bpf_program__set_expected_attach_type(p->skel->progs.session, LINK_SESSION);
	bpf_program__set_expected_attach_type(p->skel->progs.session_cookie, LINK_SESSION);
	bpf_program__set_expected_attach_type(p->skel->progs.tally_session, LINK_SESSION);
	if (parity_bpf__load(p->skel))
		refuse("load");
	p->entry = bpf_program__fd(p->skel->progs.entry);
	p->entry_1 = bpf_program__fd(p->skel->progs.entry_returns_1);
	p->leave = bpf_program__fd(p->skel->progs.leave);
	p->single_entry = bpf_program__fd(p->skel->progs.single_entry);
	p->single_leave = bpf_program__fd(p->skel->progs.single_leave);
	p->session = bpf_program__fd(p->skel->progs.session);
	p->session_cookie = bpf_program__fd(p->skel->progs.session_cookie);
	p->signaller = bpf_program__fd(p->skel->progs.signaller);
	p->busy = bpf_program__fd(p->skel->progs.busy);
	p->many = bpf_program__fd(p->skel->progs.many);
	p->many_leave = bpf_program__fd(p->skel->progs.many_leave);
	p->tally = bpf_program__fd(p->skel->progs.tally_multi);
	p->tally_single = bpf_program__fd(p->skel->progs.tally_single);
	p->tally_session = bpf_program__fd(p->skel->progs.tally_session);
}

struct wanted {
	u64 addr, off;
};

static int find_segment(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct wanted *w = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		u64 lo = info->dlpi_addr + h->p_vaddr;

		if (h->p_type == PT_LOAD && w->addr - lo < h->p_memsz)
			w->off = w->addr - lo + h->p_offset;
	}
	return 1; /* the first one is the program itself */
}

u64 offset_of(const void *addr)
{
	struct wanted w = { .addr = (u64)(uintptr_t)addr };

	dl_iterate_phdr(find_segment, &w);
	return w.off;
}

int link_targets(int prog, u32 attach_type, u32 flags, int pid, const struct target *t, u32 n)
{
	u64 *off = calloc(n, 8), *cookie = calloc(n, 8), *ref = calloc(n, 8);
	bool refs = false;
	struct {
		u32 prog, target, type, link_flags;
		u64 path, offsets, refs, cookies;
		u32 cnt, flags, pid, pad;
	} a = { .prog = (u32)prog, .type = attach_type, .path = (u64)(uintptr_t)"/proc/self/exe", .cnt = n, .flags = flags,
		.pid = (u32)pid };
	long r;

	for (u32 i = 0; i < n; i++) {
		off[i] = offset_of(t[i].fn);
		cookie[i] = t[i].cookie;
		ref[i] = t[i].ref_ctr;
		refs |= t[i].ref_ctr != 0;
	}
	a.offsets = (u64)(uintptr_t)off;
	a.cookies = (u64)(uintptr_t)cookie;
	a.refs = refs ? (u64)(uintptr_t)ref : 0;
	r = syscall(__NR_bpf, BPF_LINK_CREATE, &a, 64);
	r = r < 0 ? -errno : r;
	free(off);
	free(cookie);
	free(ref);
	return (int)r;
}

int link_one(int prog, u32 flags, const void *fn, u64 cookie)
{
	return link_targets(prog, LINK_MULTI, flags, getpid(), &(struct target){ fn, cookie, 0 }, 1);
}

int session_link(int prog, const struct parity *p, const void *fn, u64 cookie, u32 answer)
{
	p->skel->bss->session_answer[cookie & 7] = answer;
	return link_targets(prog, LINK_SESSION, 0, getpid(), &(struct target){ fn, cookie, 0 }, 1);
}

int session_one(const struct parity *p, const void *fn, u64 cookie, u32 answer)
{
	return session_link(p->session, p, fn, cookie, answer);
}

static u32 uprobe_type(void)
{
	char line[16] = "";
	int fd = open("/sys/bus/event_source/devices/uprobe/type", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, line, sizeof(line) - 1) <= 0)
		refuse("uprobe/type");
	close(fd);
	return (u32)atoi(line);
}

int perf_event(bool retprobe, const char *path, u64 offset, int pid, int cpu, u64 ref_ctr)
{
	struct perf_event_attr a = { .type = uprobe_type(), .size = sizeof(a), .config = retprobe | ref_ctr << 32 };
	long r;

	a.config1 = (u64)(uintptr_t)path;
	a.config2 = offset;
	r = syscall(__NR_perf_event_open, &a, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return r < 0 ? -errno : (int)r;
}

int perf_one(int prog, bool retprobe, const void *fn, u64 cookie)
{
	LIBBPF_OPTS(bpf_link_create_opts, o, .perf_event.bpf_cookie = cookie);
	int fd = perf_event(retprobe, "/proc/self/exe", offset_of(fn), getpid(), -1, 0), link;

	if (fd < 0)
		return fd;
	link = bpf_link_create(prog, fd, BPF_PERF_EVENT, &o);
	close(fd);
	return link;
}

/* --- events --- */

static const char *const what_name[] = { "in", "out", "single-in", "single-out", "session", "session-in", "session-out" };

static u64 taken(const struct parity *p)
{
	u64 n = __atomic_load_n(&p->skel->bss->nevents, __ATOMIC_ACQUIRE);

	return n < EVENT_MAX ? n : EVENT_MAX;
}

void drop_events(struct parity *p)
{
	__atomic_store_n(&p->skel->bss->nevents, 0, __ATOMIC_RELEASE);
}

void show_events(struct parity *p, const char *name)
{
	printf("%s:", name);
	for (u64 i = 0; i < taken(p); i++) {
		const struct parity_event *e = &p->skel->bss->event[i];

		printf(" %llu:%s", e->cookie, what_name[e->what]);
		if (e->value)
			printf("=%llu", e->value);
	}
	printf("\n");
	drop_events(p);
}

u64 count_events(const struct parity *p, u64 cookie, int what)
{
	u64 n = 0;

	for (u64 i = 0; i < taken(p); i++)
		n += p->skel->bss->event[i].cookie == cookie && (what < 0 || p->skel->bss->event[i].what == (unsigned)what);
	return n;
}

const char *error_name(long r)
{
	const char *name = r >= 0 ? "ok" : r == -524 ? "ENOTSUPP" : strerrorname_np((int)-r);

	return name ? name : "E?";
}

void show(const char *name, long r)
{
	printf("%s: %s\n", name, error_name(r));
}

int main(int argc, char **argv)
{
	struct parity p;

	if (argc < 2) {
		for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
			printf("%s\n", groups[i].name);
		return 0;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!strcmp(argv[1], "usdt-child")) {
		usdt_child();
		return 0;
	}
	parity_load(&p);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (!strcmp(argv[1], groups[i].name))
			groups[i].fn(&p);
	return 0;
}
