/* SPDX-License-Identifier: MIT */
/* What the raw-bpf(2) test loader's files share: the calls, and one printed line per case. */
#pragma once

#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As large as the newest attr: zeroed, then filled through the system header's union. */
union call_attr {
	union bpf_attr a;
	unsigned char bytes[256];
	uint32_t w[64];
	uint64_t q[32];
};

static inline long call_bpf(int cmd, void *attr, unsigned int size)
{
	errno = 0;
	return syscall(__NR_bpf, cmd, attr, size);
}

static inline const char *call_error(long ret)
{
	const char *name;

	if (ret >= 0)
		return "ok";
	if (errno == 524)
		return "ENOTSUPP";
	name = strerrorname_np(errno);
	return name ? name : "E?";
}

/* All 16 bytes of an attr's name, with or without a NUL. */
static inline void call_set_name(char to[16], const char *name)
{
	if (name)
		memcpy(to, name, strnlen(name, 16));
}

/* "name: ok" or "name: EINVAL"; descriptors are closed, numbers are not shown. */
static inline void call_show(const char *name, long ret)
{
	printf("%s: %s\n", name, call_error(ret));
}

static inline void call_show_fd(const char *name, long ret)
{
	call_show(name, ret);
	if (ret >= 0)
		close((int)ret);
}

static inline long call_map_create(unsigned int type, unsigned int key, unsigned int value,
				   unsigned int max, unsigned int flags, const char *name)
{
	union call_attr t = {};

	t.a.map_type = type;
	t.a.key_size = key;
	t.a.value_size = value;
	t.a.max_entries = max;
	t.a.map_flags = flags;
	call_set_name(t.a.map_name, name);
	return call_bpf(BPF_MAP_CREATE, &t, 72);
}

static inline long call_elem(int cmd, long fd, const void *key, const void *value, uint64_t flags)
{
	union call_attr t = {};

	t.a.map_fd = (uint32_t)fd;
	t.a.key = (uint64_t)(uintptr_t)key;
	t.a.value = (uint64_t)(uintptr_t)value;
	t.a.flags = flags;
	return call_bpf(cmd, &t, 32);
}

#define CALL_EXIT ((struct bpf_insn){.code = BPF_JMP | BPF_EXIT})
#define CALL_MOV(d, i)                                                                             \
	((struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (d), .imm = (i)})
#define CALL_MOVR(d, s)                                                                            \
	((struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (d), .src_reg = (s)})
#define CALL_ADD(d, i)                                                                             \
	((struct bpf_insn){.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = (d), .imm = (i)})
#define CALL_HELPER(i) ((struct bpf_insn){.code = BPF_JMP | BPF_CALL, .imm = (i)})
#define CALL_SUBPROG(i) ((struct bpf_insn){.code = BPF_JMP | BPF_CALL, .src_reg = 1, .imm = (i)})
#define CALL_ST(d, o, i)                                                                           \
	((struct bpf_insn){                                                                        \
	    .code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = (d), .off = (o), .imm = (i)})
#define CALL_LD(d, s, i)                                                                           \
	((struct bpf_insn){                                                                        \
	    .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = (d), .src_reg = (s), .imm = (i)})
#define CALL_LD2(i) ((struct bpf_insn){.imm = (i)})

struct call_load {
	unsigned int type, eat, n, log_level, log_size, flags;
	const struct bpf_insn *insns;
	char *log;
	const char *license, *name;
	unsigned int true_size; /* out */
};

static inline long call_prog_load(struct call_load *l)
{
	union call_attr t = {};
	long r;

	t.a.prog_type = l->type;
	t.a.expected_attach_type = l->eat;
	t.a.insn_cnt = l->n;
	t.a.insns = (uint64_t)(uintptr_t)l->insns;
	t.a.license = (uint64_t)(uintptr_t)(l->license ? l->license : "GPL");
	t.a.log_level = l->log_level;
	t.a.log_size = l->log_size;
	t.a.log_buf = (uint64_t)(uintptr_t)l->log;
	t.a.prog_flags = l->flags;
	call_set_name(t.a.prog_name, l->name);
	r = call_bpf(BPF_PROG_LOAD, &t, 148);
	l->true_size = t.w[140 / 4];
	return r;
}

static inline long call_simple_prog(unsigned int type, unsigned int eat)
{
	const struct bpf_insn insns[] = {CALL_MOV(0, 0), CALL_EXIT};
	struct call_load l = {.type = type, .eat = eat, .insns = insns, .n = 2, .name = "simple"};

	return call_prog_load(&l);
}

void maps_cases(void);
void elem_cases(void);
void prog_cases(void);
void log_cases(void);
void btf_cases(void);
void btf_kernel_cases(void);
void link_cases(void);
void info_cases(void);
void perf_cases(void);
void attr_cases(void);
