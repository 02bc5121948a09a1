/* SPDX-License-Identifier: MIT */
/* Programs as instructions, loaded and attached by bpf(2) itself; what the verifier says of them. Header only. */
#pragma once

#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef uint64_t u64;
typedef uint32_t u32;

#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = c, .dst_reg = d, .src_reg = s, .off = o, .imm = i})
#define MOVI(d, i) INSN(0xb7, d, 0, 0, i)
#define MOV(d, s) INSN(0xbf, d, s, 0, 0)
#define ADDI(d, i) INSN(0x07, d, 0, 0, i)
#define LDX(size, d, s, o) INSN(BPF_LDX | BPF_MEM | size, d, s, o, 0)
#define STX(size, d, s, o) INSN(BPF_STX | BPF_MEM | size, d, s, o, 0)
#define ST(size, d, o, i) INSN(BPF_ST | BPF_MEM | size, d, 0, o, i)
#define JI(op, d, i, o) INSN(BPF_JMP | op | BPF_K, d, 0, o, i)
#define CALL(n) INSN(0x85, 0, 0, 0, n)
#define EXIT() INSN(0x95, 0, 0, 0, 0)
#define COUNT(a) (u32)(sizeof(a) / sizeof(*(a)))

/* Older headers do not have them. */
#define SLEEPABLE 16u
#define UPROBE_MULTI 48u

struct raw_link_attr { /* BPF_LINK_CREATE of a uprobe_multi link, as libbpf passes it */
	u32 prog_fd, target_fd, attach_type, flags;
	u64 path, offsets, ref_ctr_offsets, cookies;
	u32 cnt, multi_flags, pid, pad;
};

static char raw_log[1 << 16]; /* of the last program */

/* The result or -errno. */
__attribute__((unused)) static int raw_bpf(int cmd, union bpf_attr *a)
{
	long r = syscall(SYS_bpf, cmd, a, sizeof(*a));

	return r < 0 ? -errno : (int)r;
}

/* attach: the expected kind, 0 none. A descriptor or -errno. */
__attribute__((unused)) static int raw_load(u32 type, u32 attach, u32 flags, const struct bpf_insn *insn, u32 n)
{
	union bpf_attr a = {.prog_type = type, .insns = (u64)insn, .insn_cnt = n, .license = (u64) "GPL"};

	a.expected_attach_type = attach;
	a.prog_flags = flags;
	a.log_level = 1;
	a.log_buf = (u64)raw_log;
	a.log_size = sizeof(raw_log);
	raw_log[0] = 0;
	return raw_bpf(BPF_PROG_LOAD, &a);
}

/* The log's line before the count of instructions. */
__attribute__((unused)) static const char *raw_reason(void)
{
	char *end = strstr(raw_log, "processed "), *line;

	if (!end)
		end = raw_log + strlen(raw_log);
	while (end > raw_log && end[-1] == '\n')
		end--;
	*end = 0;
	line = strrchr(raw_log, '\n');
	return line ? line + 1 : raw_log;
}

/* Prints what raw_load() said, and closes the program. */
__attribute__((unused)) static void raw_show_load(const char *name, int fd)
{
	printf("load: %s: %d%s%s\n", name, fd < 0 ? fd : 0, fd < 0 ? " " : "", fd < 0 ? raw_reason() : "");
	if (fd >= 0)
		close(fd);
}

/* A link to this place in the running program's own file, for all processes; negative: none. */
__attribute__((unused)) static int raw_probe(int prog, u64 offset)
{
	struct raw_link_attr a = {.prog_fd = (u32)prog, .attach_type = UPROBE_MULTI, .path = (u64) "/proc/self/exe",
				  .offsets = (u64)&offset, .cnt = 1};

	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, &a, sizeof(a));
}
