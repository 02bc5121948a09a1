/* SPDX-License-Identifier: MIT */
/* Static probes, by libbpf. */
#include "parity.h"

static unsigned short semaphore(void)
{
	return *(volatile unsigned short *)&usdt_semaphore;
}

static struct bpf_link *usdt(struct parity *p, const char *name, u64 cookie, int pid)
{
	LIBBPF_OPTS(bpf_usdt_opts, o, .usdt_cookie = cookie);

	return bpf_program__attach_usdt(p->skel->progs.static_probe, pid, "/proc/self/exe", "parity", name, &o);
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
