/* SPDX-License-Identifier: MIT */
/*
 * The context: what a program of which type may read and write of it. Follows is_valid_access() of the kernel's
 * bpf_verifier_ops for the type. The kernel translates struct __sk_buff and struct xdp_md to its own structures; here
 * they are memory as they stand in <linux/bpf.h> (abi/packet.h), the addresses in xdp_md included.
 */
#include <errno.h>

#include "base/bits.h"
#include "verifier/env.h"

int vaccess_ctx_unmoved(struct venv *env, u32 regno)
{
	const struct vreg *r = vreg_of(env, regno);
	char bits[VTNUM_TEXT];

	if (!range_is_const(&r->v)) {
		vlog_tnum(r->v.t, bits);
		vlog(env, "variable ctx access var_off=%s disallowed\n", bits);
		return -EACCES;
	}
	if (!vreg_fixed_off(r))
		return 0;
	if (vreg_fixed_off(r) < 0)
		vlog(env, "negative offset ctx ptr R%u off=%lld disallowed\n", regno,
		     (long long)vreg_fixed_off(r));
	else
		vlog(env, "dereference of modified ctx ptr R%u off=%lld disallowed\n", regno,
		     (long long)vreg_fixed_off(r));
	return -EACCES;
}

#define PERF_EVENT_CTX_SIZE (VPT_REGS_SIZE + 16u) /* struct bpf_perf_event_data: sample_period and addr follow */
#define RAW_TP_ARGS_SIZE 96u			  /* u64 args[12] */
#define SYSCALL_CTX_MAX 65535u

#define SKB(field) (u32)offsetof(struct __sk_buff, field)
#define SKB_END(field) (SKB(field) + (u32)sizeof(((struct __sk_buff *)0)->field))
#define XDP(field) (u32)offsetof(struct xdp_md, field)

/* sk_filter_is_valid_access(): what a socket filter does not see of struct __sk_buff, as ranges of bytes. */
static bool skb_has(u32 off, u32 size, enum vaccess how)
{
	static const struct { u32 from, to; } hidden[] = {
	    {SKB(tc_classid), SKB_END(data_end)},
	    {SKB(family), SKB_END(wire_len)},
	    {SKB(sk), SKB(gso_size)},
	    {SKB_END(gso_size), UINT32_MAX},
	};

	if (off >= SKB(cb[0]) && off + size <= SKB_END(cb[4]))
		return true;
	if (how == VACCESS_WRITE || size == sizeof(u64))
		return false;
	for (u32 i = 0; i < bits_count(hidden); i++)
		if (off >= hidden[i].from && off < hidden[i].to)
			return false;
	return true;
}

/* Aligned accesses alone are asked for. */
static bool ctx_has(u32 prog_type, u32 off, u32 size, enum vaccess how)
{
	switch (prog_type) {
	case BPF_PROG_TYPE_SOCKET_FILTER: return skb_has(off, size, how);
	case BPF_PROG_TYPE_SYSCALL: return off < SYSCALL_CTX_MAX;
	}
	if (how == VACCESS_WRITE)
		return false;
	switch (prog_type) {
	case BPF_PROG_TYPE_KPROBE: return off + size <= VPT_REGS_SIZE;
	case BPF_PROG_TYPE_RAW_TRACEPOINT: return off + size <= RAW_TP_ARGS_SIZE;
	case BPF_PROG_TYPE_PERF_EVENT: return off + size <= PERF_EVENT_CTX_SIZE && (size == 8 || off >= VPT_REGS_SIZE);
	case BPF_PROG_TYPE_XDP: return size == sizeof(u32) && off < XDP(egress_ifindex);
	}
	return false;
}

int vaccess_ctx(struct venv *env, u32 regno, s32 off, u32 size, enum vaccess how)
{
	int r = vaccess_ctx_unmoved(env, regno);

	if (r)
		return r;
	if (off < 0 || (u32)off % size || !ctx_has(env->prog->prog_type, (u32)off, size, how)) {
		vlog(env, "invalid bpf_context access off=%d size=%u\n", off, size);
		return -EACCES;
	}
	vfact_ctx_touched(env, off, size);
	return 0;
}

int vctx_loaded(struct venv *env, s32 off, u32 size, bool sign, struct vreg *value)
{
	u8 type;

	if (env->prog->prog_type != BPF_PROG_TYPE_XDP)
		return 0;
	switch ((u32)off) {
	case XDP(data): type = VREG_PACKET; break;
	case XDP(data_meta): type = VREG_PACKET_META; break;
	case XDP(data_end): type = VREG_PACKET_END; break;
	default: return 0;
	}
	if (sign) {
		vlog(env, "invalid bpf_context access off=%d size=%u\n", off, size);
		return -EACCES;
	}
	vreg_set_pointer(value, type);
	return 0;
}
