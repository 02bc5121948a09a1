/* SPDX-License-Identifier: MIT */
/*
 * Every mistake that BPF_LINK_CREATE knows, alone and with every other: which of two is reported shows the order in which
 * the fields are looked at.
 */
#include "parity.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct create {
	u32 prog, target, type, link_flags;
	u64 path, offsets, refs, cookies;
	u32 cnt, flags, pid, tail;
	unsigned char more[4096];
};

struct attempt {
	struct create a;
	struct parity *p;
	u32 size;
	bool no_room; /* for another descriptor */
	u64 off[2], ref[2], cookie[2];
};

static u64 at(const void *p)
{
	return (u64)(uintptr_t)p;
}

static void put_size(struct attempt *t) { t->size = 5000; }
static void put_far_tail(struct attempt *t) { t->size = 256, ((unsigned char *)&t->a)[255] = 1; }
static void put_tail(struct attempt *t) { t->a.tail = 1; }
static void put_no_prog(struct attempt *t) { t->a.prog = (u32)-1; }
static void put_stdin(struct attempt *t) { t->a.prog = 0; }
static void put_type(struct attempt *t) { t->a.type = 9999; }
static void put_session(struct attempt *t) { t->a.type = LINK_SESSION; }
static void put_single(struct attempt *t) { t->a.prog = (u32)t->p->single_entry; }
static void put_link_flags(struct attempt *t) { t->a.link_flags = 1; }
static void put_flags(struct attempt *t) { t->a.flags = 4; }
static void put_no_path(struct attempt *t) { t->a.path = 0; }
static void put_no_offsets(struct attempt *t) { t->a.offsets = 0; }
static void put_none(struct attempt *t) { t->a.cnt = 0; }
static void put_pid(struct attempt *t) { t->a.pid = (u32)-2; }
static void put_many(struct attempt *t) { t->a.cnt = (1u << 20) + 1; }
static void put_bad_path(struct attempt *t) { t->a.path = 8; }
static void put_missing(struct attempt *t) { t->a.path = at("/no/such/file"); }
static void put_below_file(struct attempt *t) { t->a.path = at("/etc/passwd/x"); }
static void put_directory(struct attempt *t) { t->a.path = at("/"); }
static void put_fifo(struct attempt *t) { t->a.path = at("/tmp/notrap-parity-fifo"); }
static void put_circle(struct attempt *t) { t->a.path = at("/tmp/notrap-parity-circle"); }
static void put_nobody(struct attempt *t) { t->a.pid = 4194303; }
static void put_bad_offsets(struct attempt *t) { t->a.offsets = 8; }
static void put_negative(struct attempt *t) { t->off[0] = (u64)-1; }
static void put_bad_refs(struct attempt *t) { t->a.refs = 8; }
static void put_bad_cookies(struct attempt *t) { t->a.cookies = 8; }
static void put_behind(struct attempt *t) { t->off[0] = 1ull << 40; }
static void put_second_behind(struct attempt *t) { t->off[1] = 1ull << 40; }
static void put_odd(struct attempt *t) { t->a.refs = at(t->ref), t->ref[0] = 3; }
static void put_two_refs(struct attempt *t) { t->a.refs = at(t->ref), t->off[1] = t->off[0], t->ref[1] = 8; }
static void put_no_room(struct attempt *t) { t->no_room = true; }

static const struct mistake {
	const char *name;
	void (*put)(struct attempt *t);
} mistakes[] = {
	{ "size 5000", put_size },
	{ "byte 255", put_far_tail },
	{ "byte 60", put_tail },
	{ "program -1", put_no_prog },
	{ "program stdin", put_stdin },
	{ "type 9999", put_type },
	{ "type session", put_session },
	{ "single program", put_single },
	{ "link flags", put_link_flags },
	{ "flags 4", put_flags },
	{ "no path", put_no_path },
	{ "no offsets", put_no_offsets },
	{ "count 0", put_none },
	{ "pid -2", put_pid },
	{ "count 2^20+1", put_many },
	{ "bad path", put_bad_path },
	{ "missing file", put_missing },
	{ "below a file", put_below_file },
	{ "directory", put_directory },
	{ "fifo", put_fifo },
	{ "circle", put_circle },
	{ "no such process", put_nobody },
	{ "bad offsets", put_bad_offsets },
	{ "negative offset", put_negative },
	{ "bad references", put_bad_refs },
	{ "bad cookies", put_bad_cookies },
	{ "offset behind the end", put_behind },
	{ "second offset behind the end", put_second_behind },
	{ "odd reference", put_odd },
	{ "two references for one place", put_two_refs },
	{ "no descriptor left", put_no_room },
};
#define N (sizeof(mistakes) / sizeof(mistakes[0]))

static void begin(struct attempt *t, struct parity *p)
{
	*t = (struct attempt){ .p = p, .size = 64, .off = { offset_of(p_0), offset_of(p_1) }, .cookie = { 1, 2 } };
	t->a.prog = (u32)p->entry;
	t->a.type = LINK_MULTI;
	t->a.path = at("/proc/self/exe");
	t->a.offsets = at(t->off);
	t->a.cookies = at(t->cookie);
	t->a.cnt = 2;
}

/* As many descriptors as there are. */
static void close_the_door(struct rlimit *old)
{
	int lowest = dup(0);
	struct rlimit now;

	getrlimit(RLIMIT_NOFILE, old);
	now = *old;
	now.rlim_cur = (rlim_t)lowest;
	close(lowest);
	setrlimit(RLIMIT_NOFILE, &now);
}

static long attempt(struct attempt *t)
{
	struct rlimit old;
	long r;

	if (t->no_room)
		close_the_door(&old);
	r = syscall(__NR_bpf, BPF_LINK_CREATE, &t->a, t->size);
	r = r < 0 ? -errno : r;
	if (t->no_room)
		setrlimit(RLIMIT_NOFILE, &old);
	if (r >= 0)
		close((int)r);
	return r;
}

void errno_cases(struct parity *p)
{
	static struct attempt t;
	char name[100];

	mkfifo("/tmp/notrap-parity-fifo", 0600);
	if (symlink("/tmp/notrap-parity-circle", "/tmp/notrap-parity-circle"))
		errno = 0; /* it is there */
	begin(&t, p);
	show("no mistake", attempt(&t));
	for (size_t i = 0; i < N; i++) {
		for (size_t k = i; k < N; k++) {
			begin(&t, p);
			mistakes[i].put(&t);
			mistakes[k].put(&t);
			snprintf(name, sizeof(name), i == k ? "%s" : "%s, %s", mistakes[i].name, mistakes[k].name);
			show(name, attempt(&t));
		}
	}
	p_0(NULL, NULL);
	p_1(NULL, NULL);
	show_events(p, "nobody stayed behind");
	unlink("/tmp/notrap-parity-fifo");
	unlink("/tmp/notrap-parity-circle");
}
