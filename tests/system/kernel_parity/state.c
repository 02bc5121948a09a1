/* SPDX-License-Identifier: MIT */
/*
 * What the target has besides its integer registers: vector registers in their full width, their control word, the x87
 * stack, mask registers, signal mask, errno, the stack pointer's alignment. A program that uses every kind of helper runs at
 * entry and return; all must be as before.
 */
#include "parity.h"

#include <cpuid.h>
#include <signal.h>

#define ROOM 8192

enum { AVX = 1, AVX512 = 2 };

static int features(void)
{
	unsigned a, b, c, d, lo, hi;
	int f = 0;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
		return 0;
	__asm__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	if ((lo & 6) == 6)
		f |= AVX;
	if ((lo & 0xe6) == 0xe6 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_AVX512F)
		f |= AVX512;
	return f;
}

/* Everything that XSAVE knows, as the processor has it after fn was called with all of it filled. */
struct call_saved {
	parity_fn *fn;
	const unsigned char *fill;
	unsigned char *save;
	u64 mask, misalign, sp;
};

static void fill_call_save(struct call_saved *c)
{
	__asm__ volatile("mov %%rsp, %c[sp](%%rbx)\n\t"
			 "sub $512, %%rsp\n\t"
			 "and $-64, %%rsp\n\t"
			 "sub %c[misalign](%%rbx), %%rsp\n\t"
			 "mov %c[mask](%%rbx), %%eax\n\t"
			 "mov %c[mask]+4(%%rbx), %%edx\n\t"
			 "mov %c[fill](%%rbx), %%rcx\n\t"
			 "xrstor (%%rcx)\n\t"
			 "xor %%edi, %%edi\n\t"
			 "xor %%esi, %%esi\n\t"
			 "call *%c[fn](%%rbx)\n\t"
			 "mov %c[mask](%%rbx), %%eax\n\t"
			 "mov %c[mask]+4(%%rbx), %%edx\n\t"
			 "mov %c[save](%%rbx), %%rcx\n\t"
			 "xsave (%%rcx)\n\t"
			 "mov %c[sp](%%rbx), %%rsp\n\t"
			 "fninit\n\t"
			 :
			 : "b"(c), [fn] "i"(offsetof(struct call_saved, fn)), [fill] "i"(offsetof(struct call_saved, fill)),
			   [save] "i"(offsetof(struct call_saved, save)), [mask] "i"(offsetof(struct call_saved, mask)),
			   [misalign] "i"(offsetof(struct call_saved, misalign)), [sp] "i"(offsetof(struct call_saved, sp))
			 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1",
			   "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
			   "xmm14", "xmm15");
	__asm__ volatile("ldmxcsr %0" : : "m"((const unsigned){ 0x1f80 }));
}

/* An image with every register different. Legacy part and AVX; the rest is made by the processor (make_full()). */
static void make_image(unsigned char *img, u64 mask)
{
	u64 *xstate_bv = (u64 *)(img + 512);

	memset(img, 0, ROOM);
	*(unsigned short *)img = 0x027f;		/* x87: double precision */
	img[4] = 0xff;					/* all eight of its registers in use */
	*(unsigned *)(img + 24) = 0x7f80 | 0x20;	/* SSE: round to zero, flush, the precision flag */
	*(unsigned *)(img + 28) = 0xffff;
	for (int i = 0; i < 8; i++) {
		for (int k = 0; k < 8; k++)
			img[32 + 16 * i + k] = (unsigned char)(0x80 + 8 * i + k);
		img[32 + 16 * i + 8] = 0x11;
		img[32 + 16 * i + 9] = 0x40;
	}
	for (int i = 0; i < 256; i++)
		img[160 + i] = (unsigned char)(i * 7 + 1);
	*xstate_bv = mask;
	for (unsigned c = 2; c < 8; c++) {
		unsigned size, off, x, y;

		if (!(mask >> c & 1))
			continue;
		__cpuid_count(0xd, c, size, off, x, y);
		for (unsigned i = 0; i < size; i++)
			img[off + i] = (unsigned char)(i * 13 + c);
	}
}

static u64 difference(const unsigned char *a, const unsigned char *b, u64 mask)
{
	u64 n = 0;

	for (int i = 0; i < 6; i++) /* control, status, tags; not the last instruction's address */
		n += a[i] != b[i];
	for (int i = 24; i < 28; i++)
		n += a[i] != b[i];
	for (int i = 32; i < 416; i++)
		n += a[i] != b[i];
	for (unsigned c = 2; c < 8; c++) {
		unsigned size, off, x, y;

		if (!(mask >> c & 1))
			continue;
		__cpuid_count(0xd, c, size, off, x, y);
		for (unsigned i = 0; i < size; i++)
			n += a[off + i] != b[off + i];
	}
	return n;
}

static void vectors(struct parity *p, const char *name, u64 misalign)
{
	static unsigned char fill[ROOM] __attribute__((aligned(64))), before[ROOM] __attribute__((aligned(64))),
		after[ROOM] __attribute__((aligned(64)));
	int f = features();
	u64 mask = 3 | (f & AVX ? 4 : 0) | (f & AVX512 ? 0xe0 : 0), changed;

	make_image(fill, mask);
	fill_call_save(&(struct call_saved){ p_1, fill, before, mask, misalign, 0 }); /* not probed */
	fill_call_save(&(struct call_saved){ p_0, fill, after, mask, misalign, 0 });
	changed = difference(before, after, mask);
	printf("%s: changed bytes %llu, as wide as filled %d\n", name, (unsigned long long)changed,
	       !difference(fill, before, mask));
}

static void masks_and_errno(const char *name)
{
	sigset_t set, now;
	bool same = true;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMIN + 3);
	sigprocmask(SIG_SETMASK, &set, NULL);
	errno = 4321;
	p_0(NULL, NULL);
	printf("%s: errno %d\n", name, errno);
	sigprocmask(SIG_SETMASK, NULL, &now);
	for (int i = 1; i < 65; i++)
		same &= sigismember(&now, i) == (i == SIGUSR2 || i == SIGRTMIN + 3);
	printf("%s: signal mask as set %d\n", name, same);
	sigemptyset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

void state_cases(struct parity *p)
{
	int fd[4] = { -1, -1, -1, -1 };

	vectors(p, "nobody", 0);
	fd[0] = link_one(p->entry, 0, p_0, 1);
	vectors(p, "a small program", 0);
	fd[1] = link_one(p->busy, 0, p_0, 2);
	vectors(p, "a busy program", 0);
	fd[2] = link_one(p->busy, FLAG_RETURN, p_0, 3);
	vectors(p, "at the return, too", 0);
	fd[3] = session_one(p, p_0, 4, 0);
	vectors(p, "and a session", 0);
	vectors(p, "a stack that is not aligned", 8);
	vectors(p, "a stack that is odd", 1);
	masks_and_errno("all of them");
	printf("runs of the busy program: %llu\n", (unsigned long long)p->skel->bss->busy_runs);
	for (int i = 0; i < 4; i++)
		close(fd[i]);
	drop_events(p);
	vectors(p, "nobody any more", 0);
}
