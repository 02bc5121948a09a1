/* SPDX-License-Identifier: MIT */
/* The image as such: its header, calls from anywhere, and what it must not do. Blob only. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "subject.h"
#include "tap.h"

extern const u8 nt_payload_blob[], nt_payload_blob_end[];

static void test_header(const struct subject *s)
{
	static const u32 ids[] = {1,   2,   3,	 4,   5,   6,	7,   8,	  14,  15,
				  16,  35,  45,	 112, 113, 114, 115, 118, 125, 130,
				  131, 132, 133, 134, 160, 173, 174, 177, 182};
	const struct nt_payload_hdr *h = (const void *)nt_payload_blob;
	u32 n = 0, missing = 0;

	tap_ok(!memcmp(nt_payload_blob, "notrappl", 8), "begins with the magic");
	tap_eq(h->version, NT_PAYLOAD_VERSION, "version");
	tap_eq(h->image_size, nt_payload_blob_end - nt_payload_blob, "size");
	for (u32 i = 0; i < NT_HELPER_MAX; i++) {
		n += !!h->helper[i];
		if (h->helper[i] && (h->helper[i] < sizeof(*h) || h->helper[i] >= h->image_size))
			missing++;
	}
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		missing += !s->helper[ids[i]];
	tap_eq(missing, 0, "every helper is there and inside the image");
	tap_eq(n, sizeof(ids) / sizeof(ids[0]), "and no other");
}

/* A probe may sit where the stack pointer is anything. */
u64 call_misaligned(subject_helper *f, u64 shift, u64 r1, u64 r2, u64 r3);
__asm__(".text\n"
	".type call_misaligned, @function\n"
	"call_misaligned:\n"
	"	push %rbp\n"
	"	mov %rsp, %rbp\n"
	"	sub %rsi, %rsp\n"
	"	mov %rdi, %rax\n"
	"	mov %rdx, %rdi\n"
	"	mov %rcx, %rsi\n"
	"	mov %r8, %rdx\n"
	"	xor %ecx, %ecx\n"
	"	xor %r8d, %r8d\n"
	"	call *%rax\n"
	"	leave\n"
	"	ret\n"
	".size call_misaligned, . - call_misaligned\n");

static void test_misaligned(const struct subject *s)
{
	struct nt_map_view *hash = subject_map(BPF_MAP_TYPE_HASH, 8, 8, 64, 1);
	struct nt_map_view *ring = subject_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 1);
	char out[32];

	s->state->rings[0] = (u64)ring;
	s->state->nrings = 1;
	for (u64 shift = 0; shift < 16; shift++) {
		u64 key = shift, value = ~shift, got = 0, *p, rec;
		bool ok = true;

		ok &= !call_misaligned(s->helper[2], shift, (u64)hash, (u64)&key, (u64)&value);
		p = (u64 *)call_misaligned(s->helper[1], shift, (u64)hash, (u64)&key, 0);
		ok &= p && *p == value;
		ok &= !call_misaligned(s->helper[112], shift, (u64)&got, 8, (u64)hash) &&
		      got == (u64)hash->base;
		ok &= call_misaligned(s->helper[114], shift, (u64)out, 32, (u64) "text") == 5 &&
		      !strcmp(out, "text");
		ok &= call_misaligned(s->helper[5], shift, 0, 0, 0) > 0;
		ok &= call_misaligned(s->helper[6], shift, (u64) "%d", 3, 12345) == 5;
		rec = call_misaligned(s->helper[131], shift, (u64)ring, 8, 0);
		ok &= rec && !call_misaligned(s->helper[132], shift, rec, 0, 0);
		ok &= call_misaligned((subject_helper *)(void *)s->row_slow, shift, 0, 0, 0) != 0;
		ok &= call_misaligned((subject_helper *)(void *)s->ret_slow, shift, 0, 0, 0) != 0;
		tap_ok(ok, "stack pointer off by %llu", (long long)shift);
	}
}

/* Everything that there is, with arguments that are good enough; nobody looks at the results. */
static void call_everything(const struct subject *s, struct nt_map_view *hash,
			    struct nt_map_view *ring)
{
	struct {
		struct nt_run run;
		u64 regs[NT_PT_REGS_SIZE / 8];
	} f = {0};
	u64 key = 1, value = 2;
	struct unwind_object o;
	char buf[64];

	for (u32 id = 1; id <= 3; id++)
		call5(s->helper[id], (u64)hash, (u64)&key, (u64)&value, 0, 0);
	for (u32 id = 0; id < NT_HELPER_MAX; id++) {
		bool ring_call = id >= 130 && id <= 134;

		if (!s->helper[id] || id <= 3 || ring_call || id == 6 || id == 177)
			continue;
		if (id == 173 || id == 174)
			helper_call(s, id, f.regs, 0, 0);
		else if (id == 182)
			helper_call(s, id, "a", 2, "b");
		else
			helper_call(s, id, buf, sizeof(buf), hash);
	}
	helper_call(s, 6, "%s %d", 6, hash);
	call5(s->helper[130], (u64)ring, (u64)buf, 8, 0, 0);
	helper_call(s, 132, helper_call(s, 131, ring, 8, 0), 0, 0);
	helper_call(s, 133, helper_call(s, 131, ring, 8, 0), BPF_RB_FORCE_WAKEUP, 0);
	helper_call(s, 134, ring, 0, 0);
	s->row_slow();
	s->ret_slow(0);
	s->dl_find_object((void *)1, &o);
	s->r_brk();
}

/* In a child that dies of any system call but its exit. */
static int sandboxed(const struct subject *s, u32 flags)
{
	struct sock_filter code[] = {
	    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = {sizeof(code) / sizeof(code[0]), code};
	struct nt_map_view *hash = subject_map(BPF_MAP_TYPE_HASH, 8, 8, 64, 1);
	struct nt_map_view *ring = subject_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 1);
	pid_t pid = fork();
	int st;

	if (!pid) {
		s->state->flags |= flags;
		s->state->rings[0] = (u64)ring;
		s->state->nrings = 1;
		s->state->trace = *ring;
		s->state->pool_n = 0; /* so that the reaper is tried */
		((struct nt_ring_ctl *)(void *)(ring->base + ring->ctl_off))->armed = 1;
		subject_bell(s)->waiting = 1;
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
			_exit(77);
		call_everything(s, hash, ring);
		syscall(SYS_exit_group, 0); /* sanitizers enter the kernel before an _exit() */
	}
	waitpid(pid, &st, 0);
	return st;
}

static void test_sandbox(const struct subject *s)
{
	int st = sandboxed(s, 0);

	if (WIFEXITED(st) && WEXITSTATUS(st) == 77) {
		tap_skip("no seccomp here", "sandbox");
		return;
	}
	tap_ok(WIFSIGNALED(st), "the sandbox kills who enters the kernel");
	st = sandboxed(s, NT_STATE_NO_SYSCALL);
	tap_ok(WIFEXITED(st) && WEXITSTATUS(st) == 0,
	       "with NT_STATE_NO_SYSCALL nothing enters the kernel");
}

int main(void)
{
	const struct subject *s = subject_new();

	test_header(s);
	test_misaligned(s);
	test_sandbox(s);
	return tap_done();
}
