/* SPDX-License-Identifier: MIT */
/* Programs that write down what they see, in memory that the loader has mapped. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

#include "parity_events.h"

char LICENSE[] SEC("license") = "GPL";

struct parity_event event[EVENT_MAX];
__u64 nevents;
__u32 session_answer[8]; /* by cookie: what a session returns at entry */

static __always_inline void note(struct pt_regs *ctx, __u32 what, __u64 value)
{
	__u64 i = __sync_fetch_and_add(&nevents, 1);
	struct parity_event *e;

	if (i >= EVENT_MAX)
		return;
	e = &event[i];
	e->what = what;
	e->value = value;
	e->cookie = bpf_get_attach_cookie(ctx);
	e->func_ip = bpf_get_func_ip(ctx);
	e->pid_tgid = bpf_get_current_pid_tgid();
	e->r[0] = ctx->rax;
	e->r[1] = ctx->rbx;
	e->r[2] = ctx->rcx;
	e->r[3] = ctx->rdx;
	e->r[4] = ctx->rsi;
	e->r[5] = ctx->rdi;
	e->r[6] = ctx->rbp;
	e->r[7] = ctx->rsp;
	e->r[8] = ctx->r8;
	e->r[9] = ctx->r9;
	e->r[10] = ctx->r10;
	e->r[11] = ctx->r11;
	e->r[12] = ctx->r12;
	e->r[13] = ctx->r13;
	e->r[14] = ctx->r14;
	e->r[15] = ctx->r15;
	e->r[16] = ctx->rip;
	e->r[17] = ctx->eflags;
	e->r[18] = ctx->cs;
	e->r[19] = ctx->ss;
	e->r[20] = ctx->orig_rax;
}

SEC("uprobe.multi")
int entry(struct pt_regs *ctx)
{
	note(ctx, EV_ENTRY, 0);
	return 0;
}

SEC("uprobe.multi")
int entry_returns_1(struct pt_regs *ctx)
{
	note(ctx, EV_ENTRY, 1);
	return 1;
}

SEC("uretprobe.multi")
int leave(struct pt_regs *ctx)
{
	note(ctx, EV_RETURN, 0);
	return 0;
}

SEC("uprobe")
int single_entry(struct pt_regs *ctx)
{
	note(ctx, EV_SINGLE_ENTRY, 0);
	return 0;
}

SEC("uretprobe")
int single_leave(struct pt_regs *ctx)
{
	note(ctx, EV_SINGLE_RETURN, 0);
	return 0;
}

/* Loaded as sessions: see parity_load(). */
SEC("uprobe.multi")
int session(struct pt_regs *ctx)
{
	note(ctx, EV_SESSION, 0);
	return session_answer[bpf_get_attach_cookie(ctx) & 7] & 1;
}

extern bool bpf_session_is_return(void) __ksym;
extern __u64 *bpf_session_cookie(void) __ksym;

__u64 next_value = 1;

/* Notes what it finds in its cookie, and at entry leaves a number there that no other call has. */
SEC("uprobe.multi")
int session_cookie(struct pt_regs *ctx)
{
	bool at_return = bpf_session_is_return();
	__u64 *cookie = bpf_session_cookie();

	note(ctx, at_return ? EV_SESSION_OUT : EV_SESSION_IN, *cookie);
	if (!at_return)
		*cookie = __sync_fetch_and_add(&next_value, 1);
	return at_return ? 0 : session_answer[bpf_get_attach_cookie(ctx) & 7] & 1;
}

/* The signal is the cookie. */
SEC("uprobe.multi")
int signaller(struct pt_regs *ctx)
{
	bpf_send_signal((__u32)bpf_get_attach_cookie(ctx));
	return 0;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u64);
} busy_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} busy_ring SEC(".maps");

char busy_text[128];
__u64 busy_stack[32];
__u64 busy_runs;

/* Uses what takes the longest ways. */
SEC("uprobe.multi")
int busy(struct pt_regs *ctx)
{
	__u64 key = bpf_get_attach_cookie(ctx), *v, word = 0, args[2] = { ctx->rip, key };
	char comm[16];
	__u64 *e;

	__sync_fetch_and_add(&busy_runs, 1);
	bpf_get_current_comm(comm, sizeof(comm));
	bpf_probe_read_user(&word, sizeof(word), (void *)ctx->rsp);
	bpf_map_update_elem(&busy_hash, &key, &word, BPF_ANY);
	v = bpf_map_lookup_elem(&busy_hash, &key);
	if (v)
		*v += bpf_ktime_get_ns() + bpf_get_prandom_u32();
	bpf_snprintf(busy_text, sizeof(busy_text), "at %llx cookie %lld", args, sizeof(args));
	bpf_get_stack(ctx, busy_stack, sizeof(busy_stack), BPF_F_USER_STACK);
	e = bpf_ringbuf_reserve(&busy_ring, 8, 0);
	if (e) {
		*e = key;
		bpf_ringbuf_submit(e, 0);
	}
	return 0;
}

__u64 many_calls, many_cookies;

static __always_inline int many_count(struct pt_regs *ctx)
{
	many_calls++;
	many_cookies += bpf_get_attach_cookie(ctx);
	return 0;
}

SEC("uprobe.multi")
int many(struct pt_regs *ctx)
{
	return many_count(ctx);
}

SEC("uretprobe.multi")
int many_leave(struct pt_regs *ctx)
{
	return many_count(ctx);
}

__u64 tally[TALLY_ROWS][TALLY_THREADS];

/* By cookie and thread: the probed functions' second argument, which they leave in its register. */
static __always_inline int tally_add(struct pt_regs *ctx, __u64 plus)
{
	__u64 row = bpf_get_attach_cookie(ctx) + plus, thread = ctx->rsi;

	if (row < TALLY_ROWS && thread < TALLY_THREADS)
		tally[row][thread]++;
	return 0;
}

SEC("uprobe.multi")
int tally_multi(struct pt_regs *ctx)
{
	return tally_add(ctx, 0);
}

SEC("uprobe")
int tally_single(struct pt_regs *ctx)
{
	return tally_add(ctx, 0);
}

SEC("uprobe.multi")
int tally_session(struct pt_regs *ctx)
{
	return tally_add(ctx, bpf_session_is_return());
}

static __always_inline int usdt_note(struct pt_regs *ctx, __u64 plus)
{
	long a = -1, b = -1;

	bpf_usdt_arg(ctx, 0, &a);
	bpf_usdt_arg(ctx, 1, &b);
	note(ctx, EV_ENTRY, (__u64)a * 1000 + (__u64)b + plus * bpf_usdt_arg_cnt(ctx));
	return bpf_usdt_cookie(ctx) == 5;
}

SEC("usdt")
int static_probe(struct pt_regs *ctx)
{
	return usdt_note(ctx, 1000000);
}
