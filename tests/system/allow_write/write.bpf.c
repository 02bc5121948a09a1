/* SPDX-License-Identifier: MIT */
/* Programs that change what a process does. */
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

unsigned long long entries, returns, result;
long first_error, second_error;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} progs SEC(".maps");

/* Odd arguments are answered here, even ones by the function. */
SEC("uprobe.multi")
int override(struct pt_regs *ctx)
{
	entries++;
	if (PT_REGS_PARM1(ctx) & 1)
		bpf_override_return(ctx, PT_REGS_PARM1(ctx) * 1000);
	return 0;
}

/* Writes its third argument to the addresses that are its first and second. */
SEC("uprobe.multi")
int poke(struct pt_regs *ctx)
{
	__u32 value = PT_REGS_PARM3(ctx);

	first_error = bpf_probe_write_user((void *)PT_REGS_PARM1(ctx), &value, sizeof(value));
	second_error = bpf_probe_write_user((void *)PT_REGS_PARM2(ctx), &value, sizeof(value));
	return 0;
}

SEC("uprobe.multi")
int at_return(struct pt_regs *ctx)
{
	returns++;
	result = PT_REGS_RC(ctx);
	return 0;
}

SEC("uprobe.multi")
int session(struct pt_regs *ctx)
{
	entries++;
	return 0;
}
