/* SPDX-License-Identifier: MIT */
/*
 * What runs inside a target: helpers of programs and the slow paths of hits. Its entry points are
 * reached through struct nt_payload_hdr (abi/payload.h), never by name, except in hosted tests.
 *
 * Rules for every line in this folder. It runs on any thread of a stranger, on that thread's stack,
 * between any two instructions of it, perhaps in a signal handler that interrupted another run of
 * the same function:
 *   - no libc, no errno, no vector register, no allocation, no lock of anybody
 *   - a few hundred bytes of stack
 *   - the stack pointer may be misaligned (a probe can sit anywhere): nothing may count on 16 bytes
 *   - the kernel is entered through kernel.h only, which knows the processes where it must not be
 *   - no writable data but nt_state, nt_local and what they point to, which others change too
 *   - a fault kills the target, so foreign memory is read through safe_read.h only
 */
#pragma once

#include "abi/payload.h"

#pragma GCC visibility push(hidden)

/* Behind the image (payload.lds); hosted tests have ordinary variables of these names. */
extern struct nt_state nt_state;
extern struct nt_local nt_local;

/* Entry points of the header, besides the helpers. */
void *ret_refill(u64 word_at);	      /* fn_ret_slow */
struct nt_row *ret_deep(u64 word_at); /* fn_ret_deep */
struct nt_ret_entry *session_open(u64 word_at, u64 n);		 /* fn_session_open */
struct nt_ret_entry *session_keep(struct nt_ret_entry *e);	 /* fn_session_keep */
u64 *session_at(struct nt_ret_entry *e, u64 key);		 /* fn_session_at */
void session_give_more(struct nt_ret_entry *e, struct nt_row *row); /* fn_session_more */
struct nt_row *row_find_or_add(void); /* fn_row_slow */
struct unwind_object;
int unwind_find_object(void *pc, struct unwind_object *ret); /* fn_dl_find_object */
void rbrk_notify(void);					     /* fn_r_brk */
void hold_entry(void);					     /* fn_hold */
s64 sent_call(long nr, u64 a0, u64 a1, u64 a2); /* sent_pc lies behind its system call */

/*
 * Helpers. All have the type of a BPF helper: five 64-bit arguments, a 64-bit result; errors are
 * negative errno, as the kernel's. Arguments and results are those of include/uapi/linux/bpf.h,
 * with these readings: a map is the address of its struct nt_map_view in this process, ctx is the
 * address of struct pt_regs behind struct nt_run.
 */
typedef u64 helper_fn(u64 r1, u64 r2, u64 r3, u64 r4, u64 r5);

helper_fn helper_hash_lookup4, helper_hash_lookup8, helper_hash_lookup;
helper_fn helper_map_lookup, helper_map_update, helper_map_delete;
helper_fn helper_probe_read, helper_probe_read_str;
helper_fn helper_copy_from_user_task, helper_probe_write_user, helper_override_return;
helper_fn helper_ktime_ns, helper_ktime_boot_ns, helper_ktime_coarse_ns, helper_ktime_tai_ns,
    helper_jiffies64;
helper_fn helper_trace_printk, helper_trace_vprintk;
helper_fn helper_prandom_u32, helper_branch_snapshot;
helper_fn helper_strncmp, helper_strtol, helper_strtoul, helper_snprintf;
helper_fn helper_smp_processor_id, helper_numa_node_id;
helper_fn helper_pid_tgid, helper_uid_gid, helper_comm, helper_current_task;
helper_fn helper_ns_pid_tgid, helper_cgroup_id, helper_ancestor_cgroup_id, helper_zero;
helper_fn helper_send_signal, helper_send_signal_thread, helper_deliver_signals;
helper_fn helper_get_stack, helper_get_stackid, helper_under_cgroup;
helper_fn helper_loop, helper_for_each_map_elem, helper_tail_call, helper_user_ringbuf_drain;
helper_fn helper_get_task_stack, helper_task_pt_regs;
helper_fn helper_task_storage_get, helper_task_storage_delete, helper_map_lookup_percpu;
helper_fn helper_dynptr_from_mem, helper_dynptr_read, helper_dynptr_write, helper_dynptr_data;
helper_fn helper_func_ip, helper_attach_cookie;
helper_fn helper_ringbuf_output, helper_ringbuf_reserve, helper_ringbuf_submit,
    helper_ringbuf_discard;
helper_fn helper_ringbuf_query;
helper_fn helper_ringbuf_reserve_dynptr, helper_ringbuf_submit_dynptr,
    helper_ringbuf_discard_dynptr;

u64 stats_run(u64 ctx, u64 (*program)(u64 ctx), struct nt_prog_stats *stats); /* fn_stats_run */
/* May this thread have one more call that is reported at its return? Drops those that will never. */
bool depth_allows(struct nt_row *row, u64 word_at);
helper_fn helper_perf_event_output;
helper_fn helper_skb_load_bytes, helper_skb_load_bytes_relative, helper_packet_load, helper_csum_diff;
helper_fn helper_xdp_adjust_head, helper_xdp_adjust_meta, helper_xdp_adjust_tail;
helper_fn helper_xdp_get_buff_len, helper_xdp_load_bytes, helper_xdp_store_bytes;
helper_fn helper_sys_bpf, helper_sys_close;
helper_fn helper_map_push, helper_map_pop, helper_map_peek;

#pragma GCC visibility pop
