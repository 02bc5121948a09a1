/* SPDX-License-Identifier: MIT */
/* bpf(2): copies the attr in and finds the command (kernel/bpf/syscall.c, __sys_bpf). */
#include <errno.h>
#include <linux/bpf.h>
#include <string.h>

#include "base/bits.h"
#include "broker/cmd/cmd.h"
#include "broker/cmd/kernel.h"
#include "broker/cmd/kernel_only.h"

struct bpf_cmd_entry {
	u32 known; /* bytes of attr that the command has */
	s64 (*fn)(struct call *k);
};

static s64 cmd_map_next_id(struct call *k)
{
	return cmd_next_id(k, OBJECT_MAP);
}

static s64 cmd_prog_next_id(struct call *k)
{
	return cmd_next_id(k, OBJECT_PROG);
}

static s64 cmd_btf_next_id(struct call *k)
{
	return cmd_next_id(k, OBJECT_BTF);
}

static s64 cmd_link_next_id(struct call *k)
{
	return cmd_next_id(k, OBJECT_LINK);
}

static s64 cmd_map_by_id(struct call *k)
{
	return cmd_fd_by_id(k, OBJECT_MAP);
}

static s64 cmd_prog_by_id(struct call *k)
{
	return cmd_fd_by_id(k, OBJECT_PROG);
}

static s64 cmd_btf_by_id(struct call *k)
{
	return cmd_fd_by_id(k, OBJECT_BTF);
}

static s64 cmd_link_by_id(struct call *k)
{
	return cmd_fd_by_id(k, OBJECT_LINK);
}

/* Commands that exist in the kernel and have no meaning here. */
static s64 cmd_einval(struct call *k)
{
	return -EINVAL;
}

static s64 cmd_token_create(struct call *k)
{
	return k->attr.token.flags ? -EINVAL : -EOPNOTSUPP;
}

#define ATTR_OF(member) sizeof(((union attr *)0)->member)
#define ATTR_UPTO(type, field) (offsetof(struct type, field) + sizeof(((struct type *)0)->field))

static const struct bpf_cmd_entry commands[] = {
    [BPF_MAP_CREATE] = {ATTR_OF(map_create), cmd_map_create},
    [BPF_MAP_LOOKUP_ELEM] = {ATTR_OF(elem), cmd_map_lookup},
    [BPF_MAP_UPDATE_ELEM] = {ATTR_OF(elem), cmd_map_update},
    [BPF_MAP_DELETE_ELEM] = {ATTR_UPTO(attr_map_elem, key), cmd_map_delete},
    [BPF_MAP_GET_NEXT_KEY] = {ATTR_UPTO(attr_map_elem, value), cmd_map_next_key},
    [BPF_PROG_LOAD] = {ATTR_OF(prog_load), cmd_prog_load},
    [BPF_OBJ_PIN] = {ATTR_OF(pin), cmd_obj_pin},
    [BPF_OBJ_GET] = {ATTR_OF(pin), cmd_obj_get},
    [BPF_PROG_ATTACH] = {ATTR_SIZE, cmd_prog_attach},
    [BPF_PROG_DETACH] = {ATTR_SIZE, cmd_einval},
    [BPF_PROG_TEST_RUN] = {ATTR_OF(test_run), cmd_prog_test_run},
    [BPF_PROG_GET_NEXT_ID] = {ATTR_UPTO(attr_get_id, next_id), cmd_prog_next_id},
    [BPF_MAP_GET_NEXT_ID] = {ATTR_UPTO(attr_get_id, next_id), cmd_map_next_id},
    [BPF_PROG_GET_FD_BY_ID] = {ATTR_UPTO(attr_get_id, start_id), cmd_prog_by_id},
    [BPF_MAP_GET_FD_BY_ID] = {ATTR_UPTO(attr_get_id, open_flags), cmd_map_by_id},
    [BPF_OBJ_GET_INFO_BY_FD] = {ATTR_OF(info), cmd_obj_info},
    [BPF_PROG_QUERY] = {ATTR_SIZE, cmd_einval},
    [BPF_RAW_TRACEPOINT_OPEN] = {ATTR_OF(raw_tracepoint), cmd_raw_tracepoint_open},
    [BPF_BTF_LOAD] = {ATTR_OF(btf_load), cmd_btf_load},
    [BPF_BTF_GET_FD_BY_ID] = {ATTR_OF(get_id), cmd_btf_by_id},
    [BPF_TASK_FD_QUERY] = {ATTR_OF(query), cmd_task_fd_query},
    [BPF_MAP_LOOKUP_AND_DELETE_ELEM] = {ATTR_OF(elem), cmd_map_lookup_and_delete},
    [BPF_MAP_FREEZE] = {ATTR_UPTO(attr_map_elem, map_fd), cmd_map_freeze},
    [BPF_BTF_GET_NEXT_ID] = {ATTR_UPTO(attr_get_id, next_id), cmd_btf_next_id},
    [BPF_MAP_LOOKUP_BATCH] = {ATTR_OF(batch), cmd_map_lookup_batch},
    [BPF_MAP_LOOKUP_AND_DELETE_BATCH] = {ATTR_OF(batch), cmd_map_lookup_and_delete_batch},
    [BPF_MAP_UPDATE_BATCH] = {ATTR_OF(batch), cmd_map_update_batch},
    [BPF_MAP_DELETE_BATCH] = {ATTR_OF(batch), cmd_map_delete_batch},
    [BPF_LINK_CREATE] = {ATTR_LINK_CREATE_SIZE, cmd_link_create},
    [BPF_LINK_UPDATE] = {ATTR_OF(link_update), cmd_link_update},
    [BPF_LINK_GET_FD_BY_ID] = {ATTR_UPTO(attr_get_id, start_id), cmd_link_by_id},
    [BPF_LINK_GET_NEXT_ID] = {ATTR_UPTO(attr_get_id, next_id), cmd_link_next_id},
    [BPF_ENABLE_STATS] = {ATTR_OF(stats), cmd_enable_stats},
    [BPF_ITER_CREATE] = {ATTR_SIZE, cmd_einval},
    [BPF_LINK_DETACH] = {ATTR_OF(link_detach), cmd_link_detach},
    [BPF_PROG_BIND_MAP] = {ATTR_OF(bind), cmd_prog_bind_map},
    [36 /* BPF_TOKEN_CREATE */] = {ATTR_OF(token), cmd_token_create},
};

/* bpf_check_uarg_tail_zero(): a longer struct than ours is fine as long as we miss nothing. */
int call_check_tail(struct call *k, u64 addr, u64 ours, u64 theirs)
{
	u8 tail[NT_PAGE];
	int r;

	if (theirs > NT_PAGE)
		return -E2BIG;
	if (theirs <= ours)
		return 0;
	r = client_read(k->c, addr + ours, tail, theirs - ours);
	if (r < 0)
		return r;
	for (u64 i = 0; i < theirs - ours; i++)
		if (tail[i])
			return -E2BIG;
	return 0;
}

s64 cmd_bpf(struct call *k, u64 cmd, u64 uattr, u64 size)
{
	s64 answer;
	int r;

	size = (u32)size; /* the system call's types: int cmd, unsigned int size */
	r = call_check_tail(k, uattr, ATTR_SIZE, size);
	if (r < 0)
		return r;
	k->uattr = uattr;
	k->size = bits_min((u32)size, ATTR_SIZE);
	memset(&k->attr, 0, sizeof(k->attr));
	r = client_read(k->c, uattr, &k->attr, k->size);
	if (r < 0)
		return r;
	cmd = (u32)cmd;
	if (kernel_cmd(k, (u32)cmd, &answer))
		return answer;
	if (cmd >= bits_count(commands) || !commands[cmd].fn)
		return -EINVAL;
	r = call_check_attr(k, commands[cmd].known);
	return r < 0 ? r : commands[cmd].fn(k);
}
