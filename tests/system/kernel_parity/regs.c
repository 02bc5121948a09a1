/* SPDX-License-Identifier: MIT */
/* What programs see of the registers, and what the target sees of the probes. */
#include "parity.h"

static const char *const reg_name[] = { "rax", "rbx", "rcx", "rdx", "rsi",    "rdi", "rbp", "rsp",
					"r8",  "r9",  "r10", "r11", "r12",    "r13", "r14", "r15",
					"rip", "eflags", "cs",	"ss",  "orig_rax" };

/* Addresses are shown as what they mean. */
static void show_regs(const struct parity_event *e, const char *name, u64 sp)
{
	for (int i = 0; i < 21; i++) {
		unsigned long long v = e->r[i];

		if (i == 7)
			printf("%s rsp: caller's %+lld\n", name, (long long)(v - sp));
		else if (i == 16 && v - (u64)(uintptr_t)p_regs < 64)
			printf("%s rip: p_regs%+lld\n", name, (long long)(v - (u64)(uintptr_t)p_regs));
		else if (i == 16)
			printf("%s rip: the caller's %d\n", name, v == (u64)(uintptr_t)call_regs_back);
		else
			printf("%s %s: %#llx\n", name, reg_name[i], i == 17 ? v & 0xcd5 : v);
	}
	printf("%s func_ip: p_regs%+lld\n", name, (long long)(e->func_ip - (u64)(uintptr_t)p_regs));
}

static void show_after(const u64 *after)
{
	static const char *const name[] = { "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8",    "r9",
					    "r10", "r11", "r12", "r13", "r14", "r15", "eflags", "xmm7", "xmm15" };

	for (int i = 0; i < 18; i++)
		printf("afterwards %s: %#llx\n", name[i], (unsigned long long)(i == 15 ? after[i] & 0xcd5 : after[i]));
}

void regs_cases(struct parity *p)
{
	u64 after[24] = { 0 }, sp;
	int a = link_one(p->entry, 0, p_regs, 1), b = link_one(p->leave, FLAG_RETURN, p_regs, 2), c, d;

	call_regs(after);
	sp = p->skel->bss->event[1].r[7];
	printf("events: %llu\n", (unsigned long long)p->skel->bss->nevents);
	show_regs(&p->skel->bss->event[0], "entry", sp);
	show_regs(&p->skel->bss->event[1], "return", sp);
	show_after(after);
	close(b);
	close(a);
	drop_events(p);
	a = session_one(p, p_regs, 3, 0);
	call_regs(after);
	show_regs(&p->skel->bss->event[0], "session entry", sp);
	show_regs(&p->skel->bss->event[1], "session return", sp);
	show_after(after);
	close(a);
	drop_events(p);
	c = link_one(p->entry, 0, p_red_mid, 4);
	d = perf_one(p->single_entry, false, p_red_mid, 5);
	errno = 1234;
	printf("red zone and carry: %#llx\n", (unsigned long long)p_red());
	printf("errno: %d\n", errno);
	printf("in the middle: ip +%lld func_ip +%lld\n",
	       (long long)(p->skel->bss->event[0].r[16] - (u64)(uintptr_t)p_red_mid),
	       (long long)(p->skel->bss->event[0].func_ip - (u64)(uintptr_t)p_red_mid));
	show_events(p, "both");
	close(c);
	close(d);
}
