/* SPDX-License-Identifier: MIT */
/*
 * union bpf_attr of Linux 6.18 (include/uapi/linux/bpf.h), one struct per command that the broker
 * implements. The size of a struct is the end of the command's last field: what follows it inside
 * the attr must be zero (EINVAL), what follows the attr itself must be zero too (E2BIG).
 */
#pragma once

#include "abi/types.h"

#define ATTR_SIZE 168u /* sizeof(union bpf_attr) of 6.18 */
#define ATTR_NAME_LEN 16u

struct attr_map_create {
	u32 type, key_size, value_size, max_entries, flags, inner_map_fd, numa_node;
	char name[ATTR_NAME_LEN];
	u32 ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
	u64 map_extra;
	u32 value_type_btf_obj_fd, token_fd;
	u64 excl_prog_hash;
	u32 excl_prog_hash_size;
} __attribute__((packed));
_Static_assert(offsetof(struct attr_map_create, map_extra) == 64, "");
_Static_assert(sizeof(struct attr_map_create) == 92, "");

struct attr_map_elem {
	u32 map_fd, pad;
	u64 key, value /* or next_key */, flags;
};
_Static_assert(sizeof(struct attr_map_elem) == 32, "");

struct attr_batch {
	u64 in_batch, out_batch, keys, values;
	u32 count, map_fd;
	u64 elem_flags, flags;
};
_Static_assert(sizeof(struct attr_batch) == 56, "");

struct attr_prog_load {
	u32 type, insn_cnt;
	u64 insns, license;
	u32 log_level, log_size;
	u64 log_buf;
	u32 kern_version, flags;
	char name[ATTR_NAME_LEN];
	u32 ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size;
	u64 func_info;
	u32 func_info_cnt, line_info_rec_size;
	u64 line_info;
	u32 line_info_cnt, attach_btf_id, attach_prog_fd, core_relo_cnt;
	u64 fd_array, core_relos;
	u32 core_relo_rec_size, log_true_size, token_fd, fd_array_cnt;
	u64 signature;
	u32 signature_size, keyring_id;
};
_Static_assert(offsetof(struct attr_prog_load, log_true_size) == 140, "");
_Static_assert(sizeof(struct attr_prog_load) == ATTR_SIZE, "");

struct attr_btf_load {
	u64 btf, log_buf;
	u32 size, log_size, log_level, log_true_size, flags, token_fd;
};
_Static_assert(sizeof(struct attr_btf_load) == 40, "");

struct attr_test_run {
	u32 prog_fd, retval, data_size_in, data_size_out;
	u64 data_in, data_out;
	u32 repeat, duration, ctx_size_in, ctx_size_out;
	u64 ctx_in, ctx_out;
	u32 flags, cpu, batch_size;
} __attribute__((packed));
_Static_assert(sizeof(struct attr_test_run) == 76, "");

struct attr_get_id {
	u32 start_id, next_id, open_flags, token_fd;
};

struct attr_obj_info {
	u32 fd, info_len;
	u64 info;
};

struct attr_prog_bind {
	u32 prog_fd, map_fd, flags;
};

struct attr_obj_pin { /* BPF_OBJ_PIN, BPF_OBJ_GET */
	u64 path;
	u32 fd, flags, path_fd;
} __attribute__((packed));
_Static_assert(sizeof(struct attr_obj_pin) == 20, "");

struct attr_link_create { /* the common head; the rest depends on the attach type */
	u32 prog_fd, target_fd, attach_type, flags;
	u64 cookie; /* BPF_PERF_EVENT */
};
#define ATTR_LINK_CREATE_SIZE                                                                      \
	60u /* the last field of 6.18 is uprobe_multi.pid, whatever the attach type */

struct attr_link_update {
	u32 link_fd, new_prog_fd, flags, old_prog_fd;
};

struct attr_link_detach {
	u32 link_fd;
};

struct attr_enable_stats {
	u32 type;
};

struct attr_token_create {
	u32 flags, bpffs_fd;
};

struct attr_task_fd_query {
	u32 pid, fd, flags, buf_len;
	u64 buf;
	u32 prog_id, fd_type;
	u64 probe_offset, probe_addr;
};

struct attr_raw_tracepoint {
	u64 name;
	u32 prog_fd, pad;
	u64 cookie;
};

struct attr_prog_attach {
	u32 target_fd, prog_fd, attach_type, flags;
};

union attr {
	u8 bytes[ATTR_SIZE];
	struct attr_map_create map_create;
	struct attr_map_elem elem;
	struct attr_batch batch;
	struct attr_prog_load prog_load;
	struct attr_btf_load btf_load;
	struct attr_test_run test_run;
	struct attr_get_id get_id;
	struct attr_obj_info info;
	struct attr_prog_bind bind;
	struct attr_obj_pin pin;
	struct attr_link_create link_create;
	struct attr_link_update link_update;
	struct attr_link_detach link_detach;
	struct attr_enable_stats stats;
	struct attr_token_create token;
	struct attr_task_fd_query query;
	struct attr_raw_tracepoint raw_tracepoint;
	struct attr_prog_attach prog_attach;
};
_Static_assert(sizeof(union attr) == ATTR_SIZE, "");
