/* SPDX-License-Identifier: MIT */
/* A program for each kind of section that attaches to functions by itself. VICTIM: path of the target, a string. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} hits SEC(".maps");

static __always_inline int count(__u32 i)
{
	__u64 *v = bpf_map_lookup_elem(&hits, &i);

	if (v)
		__sync_fetch_and_add(v, 1);
	return 0;
}

SEC("uprobe/" VICTIM ":p_0")
int s_0_uprobe(struct pt_regs *ctx)
{
	return count(0);
}

SEC("uretprobe/" VICTIM ":p_0")
int s_1_uretprobe(struct pt_regs *ctx)
{
	return count(1);
}

SEC("uprobe.s/" VICTIM ":p_1")
int s_2_uprobe_sleepable(struct pt_regs *ctx)
{
	char c = 1;

	bpf_copy_from_user(&c, sizeof(c), (void *)PT_REGS_SP(ctx));
	return count(2);
}

SEC("uretprobe.s/" VICTIM ":p_1")
int s_3_uretprobe_sleepable(struct pt_regs *ctx)
{
	return count(3);
}

#ifdef MULTI
SEC("uprobe.multi/" VICTIM ":p_?")
int s_4_uprobe_multi(struct pt_regs *ctx)
{
	return count(4);
}

SEC("uretprobe.multi/" VICTIM ":p_?")
int s_5_uretprobe_multi(struct pt_regs *ctx)
{
	return count(5);
}

SEC("uprobe.multi.s/" VICTIM ":p_4")
int s_6_uprobe_multi_sleepable(struct pt_regs *ctx)
{
	return count(6);
}

SEC("uretprobe.multi.s/" VICTIM ":p_4")
int s_7_uretprobe_multi_sleepable(struct pt_regs *ctx)
{
	return count(7);
}
#endif

SEC("usdt/" VICTIM ":parity:twice")
int s_8_usdt(struct pt_regs *ctx)
{
	long a = 0;

	bpf_usdt_arg(ctx, 0, &a);
	return a ? count(8) : 0;
}

SEC("usdt/" VICTIM ":parity:once")
int s_9_usdt_semaphore(struct pt_regs *ctx)
{
	return count(9);
}

/* A nop in front of one of five bytes: from 1.7 on, and where the kernel knows how to make that fast, the second is taken. */
SEC("usdt/" VICTIM ":parity:combo")
int s_12_usdt_combo(struct pt_regs *ctx)
{
	long a = 0, b = 0;

	bpf_usdt_arg(ctx, 0, &a);
	bpf_usdt_arg(ctx, 1, &b);
	return a == 3 && b == 8 ? count(12) : 0;
}

#ifdef SESSIONS
extern bool bpf_session_is_return(void) __ksym;
extern __u64 *bpf_session_cookie(void) __ksym;

SEC("uprobe.session/" VICTIM ":p_5")
int s_10_session(struct pt_regs *ctx)
{
	__u64 *cookie = bpf_session_cookie();

	if (bpf_session_is_return())
		return *cookie == 77 ? count(10) : 0;
	*cookie = 77;
	return 0;
}

SEC("uprobe.session.s/" VICTIM ":p_6")
int s_11_session_sleepable(struct pt_regs *ctx)
{
	return count(11);
}
#endif
