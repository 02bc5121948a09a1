/* SPDX-License-Identifier: MIT */
/* Static probes, by libbpf. */
#include "parity.h"

#include <dlfcn.h>
#include <sys/wait.h>

static unsigned short semaphore(void)
{
	return *(volatile unsigned short *)&usdt_semaphore;
}

static struct bpf_link *usdt_in(struct parity *p, const char *file, const char *name, u64 cookie, int pid)
{
	LIBBPF_OPTS(bpf_usdt_opts, o, .usdt_cookie = cookie);

	return bpf_program__attach_usdt(p->skel->progs.static_probe, pid, file, "parity", name, &o);
}

static struct bpf_link *usdt(struct parity *p, const char *name, u64 cookie, int pid)
{
	return usdt_in(p, "/proc/self/exe", name, cookie, pid);
}

static void call(struct parity *p, const char *name)
{
	printf("value %llu, semaphore %u\n", (unsigned long long)p_usdt(3, 4), semaphore());
	for (u64 i = 0; i < p->skel->bss->nevents; i++)
		p->skel->bss->event[i].cookie = 0; /* the number of the argument description */
	show_events(p, name);
}

void usdt_cases(struct parity *p)
{
	struct bpf_link *twice = usdt(p, "twice", 1, getpid()), *once, *again;

	printf("twice: %d\n", twice != NULL);
	call(p, "a probe at two places");
	once = usdt(p, "once", 2, getpid());
	printf("once: %d, semaphore %u\n", once != NULL, semaphore());
	call(p, "and one with a semaphore");
	again = usdt(p, "once", 3, -1);
	printf("again: %d, semaphore %u\n", again != NULL, semaphore());
	call(p, "twice on one place");
	bpf_link__destroy(once);
	printf("semaphore %u\n", semaphore());
	bpf_link__destroy(again);
	printf("semaphore %u\n", semaphore());
	bpf_link__destroy(twice);
	call(p, "none");
	errno = 0;
	twice = usdt(p, "nowhere", 1, getpid());
	printf("nowhere: %d %s\n", twice != NULL, error_name(-errno));
}

struct library {
	void *handle;
	u64 (*fn)(u64 a, u64 b);
	volatile unsigned short *semaphore;
};

static struct library load(void)
{
	struct library l = { .handle = dlopen(getenv("PARITY_LIB"), RTLD_NOW) };

	if (!l.handle) {
		printf("dlopen: %s\n", dlerror());
		exit(99);
	}
	*(void **)&l.fn = dlsym(l.handle, "l_usdt");
	l.semaphore = dlsym(l.handle, "l_semaphore");
	return l;
}

static void call_library(struct parity *p, const struct library *l, const char *name)
{
	printf("%s: value %llu, semaphore %u\n", name, (unsigned long long)l->fn(5, 6), *l->semaphore);
	for (u64 i = 0; i < p->skel->bss->nevents; i++)
		p->skel->bss->event[i].cookie = 0;
	show_events(p, name);
}

static void in_child(struct parity *p, const struct library *l, const char *name)
{
	int pid, status;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		call_library(p, l, name);
		fflush(stdout);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status)
		printf("%s: status %d\n", name, status);
}

/* The library comes after the link. */
static void libraries(struct parity *p)
{
	struct bpf_link *a = usdt_in(p, getenv("PARITY_LIB"), "counted", 1, -1), *b;
	struct library l;

	printf("in a library that nobody has: %d\n", a != NULL);
	l = load();
	call_library(p, &l, "loaded");
	b = usdt_in(p, getenv("PARITY_LIB"), "counted", 2, getpid());
	call_library(p, &l, "a second link");
	in_child(p, &l, "in a child");
	dlclose(l.handle);
	l = load();
	call_library(p, &l, "unloaded, loaded again");
	bpf_link__destroy(a);
	call_library(p, &l, "the first is gone");
	bpf_link__destroy(b);
	call_library(p, &l, "both are");
	a = usdt_in(p, getenv("PARITY_LIB"), "counted", 3, -1);
	call_library(p, &l, "and one again");
	fflush(stdout);
	in_child(p, &l, "a child inherits the count");
	bpf_link__destroy(a);
	call_library(p, &l, "the end");
	dlclose(l.handle);
}

/* Run by another program of this file: what its semaphore is when it begins. */
void usdt_child(void)
{
	printf("a program that starts later: semaphore %u, value %llu\n", semaphore(), (unsigned long long)p_usdt(3, 4));
}

static void later_programs(struct parity *p)
{
	struct bpf_link *a = usdt(p, "once", 1, -1);
	int pid, status;

	for (int i = 0; i < 2; i++) {
		fflush(stdout);
		pid = fork();
		if (!pid) {
			execl("/proc/self/exe", "parity", "usdt-child", NULL);
			_exit(99);
		}
		waitpid(pid, &status, 0);
		p->skel->bss->event[0].cookie = 0;
		show_events(p, "its call");
		if (!i)
			bpf_link__destroy(a);
	}
}

/* A nop, a nop of five bytes, both; how libbpf 1.7 asks which of them. */
static void sites(struct parity *p)
{
	struct bpf_link *a = usdt(p, "combo", 1, getpid());
	int five;

	errno = 0;
	printf("system call 336: %ld %s\n", syscall(336), error_name(-errno));
	printf("value %llu\n", (unsigned long long)p_combo(3, 4));
	p->skel->bss->event[0].cookie = 0;
	show_events(p, "a nop in front of one of five bytes");
	five = link_one(p->entry, 0, p_combo_5, 5);
	printf("value %llu\n", (unsigned long long)p_combo(3, 4));
	p->skel->bss->event[0].cookie = 0;
	show_events(p, "and that one");
	bpf_link__destroy(a);
	for (int i = 0; i < 3; i++)
		printf("value %llu\n", (unsigned long long)p_combo(3, 4));
	show_events(p, "that alone");
	close(five);
	printf("value %llu\n", (unsigned long long)p_combo(3, 4));
	show_events(p, "neither");
}

void usdt_late_cases(struct parity *p)
{
	libraries(p);
	later_programs(p);
	sites(p);
}
