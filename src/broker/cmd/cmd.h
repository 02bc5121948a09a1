/* SPDX-License-Identifier: MIT */
/*
 * System calls of a client, one function per command. A command returns what the system call
 * returns (>= 0 or -errno); a descriptor goes out through call.ret_fd, which the server sends and
 * closes.
 */
#pragma once

#include "broker/broker.h"
#include "broker/client.h"
#include "broker/cmd/attr.h"

struct call {
	struct broker *b;
	struct client *c;
	union attr attr;   /* bpf(2): zero behind what the client passed */
	u64 uattr;	   /* where attr is in the client */
	u32 size;	   /* of the client's attr, at most ATTR_SIZE */
	int ret_fd;	   /* -1 = the result is a number */
	u32 seq;	   /* of the request that is answered */
	u64 loader_call;   /* bpf(2): the client's function for programs that make system calls, 0 = none */
	bool instead;	   /* the client shall make the call itself, with ret_fd's number in its attr, at the offset returned */
	bool arena;	   /* mmap: NT_REPLY_ARENA */
	bool native;	   /* not ours: the client shall make the system call itself */
	bool has_run;	   /* run is for the client */
	struct nt_run_order run;
	char notice[1024]; /* for the user, shown by `notrap run -v`; "" = none */
};

/* The system calls. */
s64 cmd_bpf(struct call *k, u64 cmd, u64 uattr, u64 size);
s64 cmd_perf_open(struct call *k, u64 uattr, s32 pid, s32 cpu, s32 group_fd, u64 flags);
s64 cmd_ioctl(struct call *k, int fd, u64 request, u64 argument);

s64 cmd_mmap(struct call *k, int fd, u64 length, u64 prot, u64 flags, u64 offset, u64 addr);
/* The client has mapped an arena there. -EBUSY: it belongs elsewhere. */
s64 cmd_arena_mapped(struct call *k, int fd, u64 addr, u64 length);

/* Perf events of the software clock (clock.c). */
struct object_perf;
struct object_prog;
struct perf_event_attr;
/* Does a program make this event tick (nobody else looks at it)? Else it is the kernel's own business. */
bool clock_is_ours(const struct perf_event_attr *a);
s64 clock_open(struct call *k, const struct perf_event_attr *a, pid_t pid, s32 cpu);
/* Runs prog at every tick from now on, in the caller's process. 0, -EINVAL, -EEXIST, errors of run_open(). */
int clock_attach(struct call *k, struct object_perf *p, struct object_prog *prog);
void clock_turn(struct object_perf *p, bool on);

s64 cmd_map_view(struct call *k, int fd, u64 addr);
s64 cmd_map_memory(struct call *k, int fd);

/* Perf events that programs write to (output.c). */
struct object_output;
bool output_is_ours(const struct perf_event_attr *a);
s64 cmd_output_open(struct call *k, const struct perf_event_attr *a, s32 pid, s32 cpu);
s64 cmd_output_ioctl(struct call *k, struct object_output *o, u32 request, u64 argument);

/* NT_OP_FDINFO: what a reader of /proc/self/fdinfo/FD gets. */
s64 cmd_fdinfo(struct call *k, int fd);

/* bpf(2) commands (map.c, batch.c, prog.c, btf.c, link.c, info.c, id.c). */
s64 cmd_map_create(struct call *k);
s64 cmd_map_lookup(struct call *k);
s64 cmd_map_update(struct call *k);
s64 cmd_map_delete(struct call *k);
s64 cmd_map_next_key(struct call *k);
s64 cmd_map_lookup_and_delete(struct call *k);
s64 cmd_map_freeze(struct call *k);
s64 cmd_map_lookup_batch(struct call *k);
s64 cmd_map_lookup_and_delete_batch(struct call *k);
s64 cmd_map_update_batch(struct call *k);
s64 cmd_map_delete_batch(struct call *k);
s64 cmd_prog_load(struct call *k);
s64 cmd_prog_bind_map(struct call *k);
s64 cmd_prog_test_run(struct call *k);
s64 cmd_btf_load(struct call *k);
s64 cmd_link_create(struct call *k);
s64 cmd_link_update(struct call *k);
s64 cmd_link_detach(struct call *k);

s64 cmd_obj_info(struct call *k);
s64 cmd_obj_pin(struct call *k);
s64 cmd_obj_get(struct call *k);
s64 cmd_enable_stats(struct call *k);
s64 cmd_task_fd_query(struct call *k);
s64 cmd_next_id(struct call *k, u32 kind);
s64 cmd_fd_by_id(struct call *k, u32 kind);

/* Helpers of the commands. */
/* Fails with -EINVAL when a byte of the attr behind `known` is not zero (the kernel's CHECK_ATTR).
 */
int call_check_attr(const struct call *k, size_t known);
/* A struct of the client that may be longer than ours: -E2BIG when what we do not know is not zero.
 */
int call_check_tail(struct call *k, u64 addr, u64 ours, u64 theirs);
/* Copies a name out of an attr: letters, digits, '_' and '.', NUL-terminated; -EINVAL as
 * bpf_obj_name_cpy(). */
int call_name(const char from[ATTR_NAME_LEN], char ret[ATTR_NAME_LEN]);
/* Hands out a descriptor for o and drops the caller's reference, also on failure. 0 or -errno. */
s64 call_give(struct call *k, struct object *o);
/* The same for a map that BPF_F_RDONLY or BPF_F_WRONLY in flags restricts. */
s64 call_give_map(struct call *k, struct object *o, u32 flags);
