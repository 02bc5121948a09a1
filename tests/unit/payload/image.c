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

#include "abi/packet.h"
#include "ebpf/helpers.h"
#include "ebpf/kfuncs.h"
#include "subject.h"
#include "tap.h"

extern const u8 nt_payload_blob[], nt_payload_blob_end[];

/* The compiler writes its code in place. */
static bool is_compiled(u32 kfunc)
{
	switch (kfunc) {
	case EBPF_KFUNC_SESSION_IS_RETURN:
	case EBPF_KFUNC_SESSION_COOKIE:
	case EBPF_KFUNC_RCU_READ_LOCK:
	case EBPF_KFUNC_RCU_READ_UNLOCK:
	case EBPF_KFUNC_PREEMPT_DISABLE:
	case EBPF_KFUNC_PREEMPT_ENABLE:
	case EBPF_KFUNC_CAST_TO_KERN_CTX: return true;
	default: return false;
	}
}

static void test_header(const struct subject *s)
{
	const struct nt_payload_hdr *h = (const void *)nt_payload_blob;
	u32 missing = 0;

	tap_ok(!memcmp(nt_payload_blob, "notrappl", 8), "begins with the magic");
	tap_eq(h->version, NT_PAYLOAD_VERSION, "version");
	tap_eq(h->image_size, nt_payload_blob_end - nt_payload_blob, "size");
	for (u32 i = 0; i < NT_HELPER_MAX; i++) {
		bool outside = h->helper[i] < sizeof(*h) || h->helper[i] >= h->image_size;

		if (h->helper[i] ? outside : ebpf_helper_implemented(i))
			printf("# helper %u at %#x\n", i, h->helper[i]), missing++;
	}
	tap_eq(missing, 0, "every helper that programs may call is inside the image");
	missing = 0;
	for (u32 k = 0; k < EBPF_KFUNC_N; k++)
		if (ebpf_kfunc_implemented(k) && !is_compiled(k) && !h->helper[NT_HELPER_KFUNC + k])
			printf("# %s\n", ebpf_kfunc_get(k)->name), missing++;
	tap_eq(missing, 0, "every kernel function, too");
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

static void call_kfuncs(const struct subject *s, char *text, u64 *dynptr)
{
	for (u32 k = 0; k < EBPF_KFUNC_N; k++) {
		bool on_dynptr = (k >= EBPF_KFUNC_DYNPTR_ADJUST && k <= EBPF_KFUNC_PROBE_READ_KERNEL_STR_DYNPTR);
		u64 first = on_dynptr ? (u64)dynptr : (u64)text;

		if (!s->helper[NT_HELPER_KFUNC + k])
			continue;
		if (k == EBPF_KFUNC_DYNPTR_CLONE)
			call5(s->helper[NT_HELPER_KFUNC + k], first, (u64)text, 0, 0, 0);
		else if (k == EBPF_KFUNC_DYNPTR_COPY)
			call5(s->helper[NT_HELPER_KFUNC + k], first, 0, first, 0, 4);
		else
			call5(s->helper[NT_HELPER_KFUNC + k], first, k == EBPF_KFUNC_ITER_BITS_NEW ? first : 1, 2, first, 0);
	}
}

/* Maps of the types that some helpers are for. */
struct call_maps {
	struct nt_map_view *hash, *hash4, *ring, *orders, *tasks;
};

/* Everything that there is, with arguments that are good enough; nobody looks at the results. */
static void call_everything(const struct subject *s, const struct call_maps *m)
{
	struct nt_map_view *hash = m->hash, *ring = m->ring;
	struct {
		struct nt_run run;
		u64 regs[NT_PT_REGS_SIZE / 8];
	} f = {0};
	u64 key = 1, value = 2;
	struct unwind_object o;
	u64 no_event[4] = {0};
	struct nt_map_view events = {.type = BPF_MAP_TYPE_PERF_EVENT_ARRAY, .base = (u8 *)no_event, .max_entries = 4};
	u64 places[64] = {0}; /* of one bucket */
	struct nt_map_view stacks = {.type = BPF_MAP_TYPE_STACK_TRACE, .base = (u8 *)places, .value_size = 64, .nbuckets = 1,
				     .data_off = 128, .max_entries = 1};
	char buf[64];
	struct nt_skb_ctx skb = {.data = (u64)buf + NT_LINK_HEADER};
	struct nt_xdp_ctx xdp = {0};
	u64 d[2], out, regs = (u64)f.regs, text = (u64)buf;
	/* Those to whom a buffer, its size and a map would be an insult. */
	const struct {
		u32 id;
		u64 arg[5];
	} special[] = {
	    {6, {(u64) "%s %d", 6, (u64)hash}},
	    {25, {regs, (u64)&events, BPF_F_CURRENT_CPU, text, 8}},
	    {12, {regs, (u64)hash, ~0u}},
	    {26, {(u64)&skb, 0, text, 8}},
	    {27, {regs, (u64)&stacks, BPF_F_USER_STACK}},
	    {28, {text, 8, text, 8, 1}},
	    {37, {(u64)hash, ~0u}},
	    {44, {(u64)&xdp, 4}},
	    {54, {(u64)&xdp, 4}},
	    {65, {(u64)&xdp, 4}},
	    {67, {regs, text, 64, BPF_F_USER_STACK}},
	    {68, {(u64)&skb, 0, text, 8, 0}},
	    {105, {text, 8, 0, (u64)&out}},
	    {106, {text, 8, 0, (u64)&out}},
	    {109, {0}},
	    {117, {0}},
	    {120, {1, 1, text, 8}},
	    {130, {(u64)ring, text, 8}},
	    {134, {(u64)ring}},
	    {156, {(u64)m->tasks, 1, 0, 1}},
	    {157, {(u64)m->tasks, 1}},
	    {164, {(u64)hash, 0, 0, 1}},
	    {165, {text, sizeof(buf), (u64) "%d", (u64)&key, 8}},
	    {173, {regs}},
	    {174, {regs}},
	    {177, {(u64) "%d", 3, (u64)&key, 8}},
	    {181, {0}},
	    {182, {(u64) "a", 2, (u64) "b"}},
	    {188, {(u64)&xdp}},
	    {189, {(u64)&xdp, 0, text, 8}},
	    {190, {(u64)&xdp, 0, text, 8}},
	    {195, {(u64)hash, (u64)&key, 0}},
	    {198, {(u64)ring, 8, 0, (u64)d}},
	    {202, {(u64)d, 0, text, 8}},
	    {201, {text, 8, (u64)d, 0}},
	    {203, {(u64)d, 0, 8}},
	    {199, {(u64)d, 0}},
	    {200, {(u64)d, 0}},
	    {197, {text, sizeof(buf), 0, (u64)d}},
	    {209, {(u64)m->orders, 0, 0, 0}},
	    {NT_HELPER_HASH_LOOKUP, {(u64)m->hash4, (u64)&key}},
	    {NT_HELPER_HASH_LOOKUP + 1, {(u64)hash, (u64)&key}},
	    {NT_HELPER_HASH_LOOKUP + 2, {(u64)hash, (u64)&key}},
	};
	/* 141: is 67 with the ctx that compiled code has in r12 */
	bool done[NT_HELPER_MAX] = {[1] = true,	  [2] = true,	[3] = true, [131] = true,
				    [132] = true, [133] = true, [141] = true};

	memset(buf, '1', sizeof(buf));
	for (u32 id = 1; id <= 3; id++)
		call5(s->helper[id], (u64)hash, (u64)&key, (u64)&value, 0, 0);
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		const u64 *a = special[i].arg;

		call5(s->helper[special[i].id], a[0], a[1], a[2], a[3], a[4]);
		done[special[i].id] = true;
	}
	call_kfuncs(s, buf, d);
	for (u32 id = 0; id < NT_HELPER_KFUNC; id++)
		if (s->helper[id] && !done[id])
			helper_call(s, id, buf, sizeof(buf), hash);
	helper_call(s, 132, helper_call(s, 131, ring, 8, 0), 0, 0);
	helper_call(s, 133, helper_call(s, 131, ring, 8, 0), BPF_RB_FORCE_WAKEUP, 0);
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
	struct nt_map_view *ring = subject_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 1);
	struct call_maps maps = {.hash = subject_map(BPF_MAP_TYPE_HASH, 8, 8, 64, 1),
				 .hash4 = subject_map(BPF_MAP_TYPE_HASH, 4, 8, 64, 1),
				 .ring = ring,
				 .orders = subject_map(31 /* BPF_MAP_TYPE_USER_RINGBUF */, 0, 0, 4096, 1),
				 .tasks = subject_map(BPF_MAP_TYPE_TASK_STORAGE, 4, 16, 0, 1)};
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
		call_everything(s, &maps);
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
