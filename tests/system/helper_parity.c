/* SPDX-License-Identifier: MIT */
/*
 * The same helper call with the same bytes in the kernel (a raw tracepoint program under BPF_PROG_TEST_RUN) and in the
 * payload's sources: the same return value, the same memory afterwards?
 *
 * A call's pointers point into one block of memory: a map value there, a buffer here. Formats of bpf_snprintf must be
 * in a frozen read-only map; dynptrs must be on the program's stack.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "payload/payload.h"
#include "tap.h"

struct nt_state nt_state; /* of the hosted payload */
struct nt_local nt_local;

enum { BLOCK = 1024, FMT = 64, DATA = 512, OUT = 768 };
enum arg_kind { ARG_NONE, ARG_NUM, ARG_BLOCK, ARG_FMT, ARG_DYNPTR };

struct arg {
	enum arg_kind kind;
	u64 value; /* number, or offset in the block */
};

#define NUM(v) { ARG_NUM, (u64)(v) }
#define MEM(off) { ARG_BLOCK, (off) }
#define FORMAT { ARG_FMT, 0 }
#define DYNPTR { ARG_DYNPTR, 0 }

struct call {
	u32 id;
	struct arg arg[5];
};

enum { CALLS_MAX = 3 };

/* One program: calls one after the other; the results are added up with weights. */
struct scene {
	struct call call[CALLS_MAX];
	u32 n;
	u8 block[BLOCK];
	char fmt[FMT];
};

static s64 sys_bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int map_new(u32 value_size, u32 flags, const void *value)
{
	union bpf_attr attr;
	u32 zero = 0;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = 4;
	attr.value_size = value_size;
	attr.max_entries = 1;
	attr.map_flags = flags;
	fd = (int)sys_bpf(BPF_MAP_CREATE, &attr);
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (u32)fd;
	attr.key = (u64)(uintptr_t)&zero;
	attr.value = (u64)(uintptr_t)value;
	if (fd >= 0 && sys_bpf(BPF_MAP_UPDATE_ELEM, &attr))
		return -1;
	if (fd >= 0 && flags & BPF_F_RDONLY_PROG) {
		memset(&attr, 0, sizeof(attr));
		attr.map_fd = (u32)fd;
		sys_bpf(BPF_MAP_FREEZE, &attr);
	}
	return fd;
}

static u32 put_wide(struct bpf_insn *in, u8 dst, u8 src, u32 lo, u32 hi)
{
	in[0] = (struct bpf_insn){ .code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = dst, .src_reg = src, .imm = (s32)lo };
	in[1] = (struct bpf_insn){ .imm = (s32)hi };
	return 2;
}

static struct bpf_insn alu(u8 op, u8 dst, s32 imm)
{
	return (struct bpf_insn){ .code = BPF_ALU64 | op | BPF_K, .dst_reg = dst, .imm = imm };
}

static struct bpf_insn alu_reg(u8 op, u8 dst, u8 src)
{
	return (struct bpf_insn){ .code = BPF_ALU64 | op | BPF_X, .dst_reg = dst, .src_reg = src };
}

static u32 put_arg(struct bpf_insn *in, u8 reg, const struct arg *a, int block, int fmt)
{
	switch (a->kind) {
	case ARG_NUM: return put_wide(in, reg, 0, (u32)a->value, (u32)(a->value >> 32));
	case ARG_BLOCK: return put_wide(in, reg, BPF_PSEUDO_MAP_VALUE, (u32)block, (u32)a->value);
	case ARG_FMT: return put_wide(in, reg, BPF_PSEUDO_MAP_VALUE, (u32)fmt, 0);
	case ARG_DYNPTR:
		in[0] = alu_reg(BPF_MOV, reg, 10);
		in[1] = alu(BPF_ADD, reg, -16);
		return 2;
	default: return 0;
	}
}

/* The results of all calls as the last words of the block. */
static u32 put_scene(struct bpf_insn *in, const struct scene *s, int block, int fmt)
{
	u32 n = 0;

	for (u32 c = 0; c < s->n; c++) {
		for (u8 a = 0; a < 5; a++)
			n += put_arg(in + n, a + 1, &s->call[c].arg[a], block, fmt);
		in[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_CALL, .imm = (s32)s->call[c].id };
		n += put_wide(in + n, 1, BPF_PSEUDO_MAP_VALUE, (u32)block, BLOCK - 8 * (c + 1));
		in[n++] = (struct bpf_insn){ .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = 1, .src_reg = 0 };
	}
	in[n++] = alu(BPF_MOV, 0, 0);
	in[n++] = (struct bpf_insn){ .code = BPF_JMP | BPF_EXIT };
	return n;
}

/* 0, or -errno: the kernel would not have it. */
static int in_kernel(const struct scene *s, u8 *ret_block)
{
	static char log[1 << 16];
	struct bpf_insn insns[128];
	union bpf_attr attr;
	u32 zero = 0;
	int block = map_new(BLOCK, 0, s->block), fmt = map_new(FMT, BPF_F_RDONLY_PROG, s->fmt), fd, r = 0;

	if (block < 0 || fmt < 0)
		return -errno;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
	attr.insns = (u64)(uintptr_t)insns;
	attr.insn_cnt = put_scene(insns, s, block, fmt);
	attr.license = (u64)(uintptr_t) "GPL";
	attr.log_buf = (u64)(uintptr_t)log;
	attr.log_size = sizeof(log);
	attr.log_level = 1;
	fd = (int)sys_bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0) {
		r = -errno;
		if (!strstr(log, "Invalid format string"))
			printf("# refused: %.500s\n", strlen(log) > 500 ? log + strlen(log) - 500 : log);
	}
	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (u32)fd;
	if (!r && sys_bpf(BPF_PROG_TEST_RUN, &attr))
		r = -errno;
	memset(&attr, 0, sizeof(attr));
	attr.map_fd = (u32)block;
	attr.key = (u64)(uintptr_t)&zero;
	attr.value = (u64)(uintptr_t)ret_block;
	if (!r && sys_bpf(BPF_MAP_LOOKUP_ELEM, &attr))
		r = -errno;
	close(fd);
	close(block);
	close(fmt);
	return r;
}

static const struct {
	u32 id;
	helper_fn *fn;
} helpers[] = {
	{ BPF_FUNC_strtol, helper_strtol },
	{ BPF_FUNC_strtoul, helper_strtoul },
	{ BPF_FUNC_snprintf, helper_snprintf },
	{ BPF_FUNC_dynptr_from_mem, helper_dynptr_from_mem },
	{ BPF_FUNC_dynptr_read, helper_dynptr_read },
	{ BPF_FUNC_dynptr_write, helper_dynptr_write },
	{ BPF_FUNC_send_signal, helper_send_signal },
	{ BPF_FUNC_send_signal_thread, helper_send_signal_thread },
	{ BPF_FUNC_get_branch_snapshot, helper_branch_snapshot },
	{ BPF_FUNC_get_ns_current_pid_tgid, helper_ns_pid_tgid },
};

static void in_payload(const struct scene *s, u8 *ret_block)
{
	u64 stack[2];

	memcpy(ret_block, s->block, BLOCK);
	for (u32 c = 0; c < s->n; c++) {
		u64 v[5] = { 0 }, r = ~0ull;

		for (u32 a = 0; a < 5; a++)
			switch (s->call[c].arg[a].kind) {
			case ARG_NUM: v[a] = s->call[c].arg[a].value; break;
			case ARG_BLOCK: v[a] = (u64)(uintptr_t)ret_block + s->call[c].arg[a].value; break;
			case ARG_FMT: v[a] = (u64)(uintptr_t)s->fmt; break;
			case ARG_DYNPTR: v[a] = (u64)(uintptr_t)stack; break;
			default: break;
			}
		for (u32 h = 0; h < sizeof(helpers) / sizeof(helpers[0]); h++)
			if (helpers[h].id == s->call[c].id)
				r = helpers[h].fn(v[0], v[1], v[2], v[3], v[4]);
		memcpy(ret_block + BLOCK - 8 * (c + 1), &r, 8);
	}
}

/* false: a difference, shown. A format that the kernel does not load is -EINVAL here. */
static bool same(const struct scene *s)
{
	static u8 kernel[BLOCK], payload[BLOCK];
	int r = in_kernel(s, kernel);
	s64 first;

	in_payload(s, payload);
	memcpy(&first, payload + BLOCK - 8, 8);
	if (r) {
		if (s->fmt[0] && first == -EINVAL)
			return true;
		printf("# the kernel refuses: %d, format \"%.60s\", %llu arguments: payload %lld\n", r, s->fmt,
		       (unsigned long long)s->call[0].arg[4].value / 8, (long long)first);
		return false;
	}
	for (u32 i = 0; i < BLOCK; i += 8) {
		u64 k, p;

		memcpy(&k, kernel + i, 8);
		memcpy(&p, payload + i, 8);
		if (k == p)
			continue;
		printf("# at %u: kernel %#llx, payload %#llx; text \"%.40s\", format \"%.60s\", out \"%.60s\" \"%.60s\"\n", i,
		       (unsigned long long)k, (unsigned long long)p, (const char *)s->block, s->fmt, kernel + OUT,
		       payload + OUT);
		return false;
	}
	return true;
}

static void test_numbers(void)
{
	static const char *const text[] = {
		"0", "1", "42xyz", "-42", "  \t\n17", "- 5", "--5", "+5", "", "   ", "0x1f", "0X1F", "0x", "0xg", "017", "08", "-0x10",
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"18446744073709551615", "18446744073709551616", "99999999999999999999999", "\xa0""5", "ffff", "-ff",
		"0000000000000000000000000000000000000000000000000000000000000000000000001234",
	};
	static const u64 flags[] = { 0, 8, 10, 16, 2, 36, 37, 1ull << 40 };
	u32 bad = 0, n = 0;

	for (u32 i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		for (u32 f = 0; f < sizeof(flags) / sizeof(flags[0]); f++) {
			u32 len = (u32)strlen(text[i]) ? (u32)strlen(text[i]) : 1;
			struct scene s = { .n = 2,
					   .call = { { BPF_FUNC_strtol, { MEM(0), NUM(len), NUM(flags[f]), MEM(OUT) } },
						     { BPF_FUNC_strtoul, { MEM(0), NUM(len), NUM(flags[f]), MEM(OUT + 8) } } } };

			memcpy(s.block, text[i], strlen(text[i]));
			memset(s.block + OUT, 0xee, 16);
			bad += !same(&s);
			n++;
		}
	tap_eq(bad, 0, "strtol and strtoul: %u texts and bases", n);
}

/* Words 0..2 of the data are numbers, word 3 points to nothing readable. */
static void test_snprintf(void)
{
	static const char *const fmt[] = {
		"", "plain", "100%%", "%d %i %u", "%5d|%-5d|%05d", "%x %X %lx", "%llu", "%ld %li %lu", "%c%c%c", "%s", "%p", "%px", "%pK",
		"%10s|", "%+d % d", "%", "%q", "%d %d %d %d %d", "%08llx", "%pks", "%pus", "%hd", "%hhu", "%#x", "%.3d", "%*d", "%pi4 %pI4",
		"%pi6", "%pI6", "%pB", "%ps", "%pS", "%p4", "\x80", "%d\n", "%5c|", "%-5c|", "%%%d", "%l", "%lld!", "%0-5d|", "%-05d|", "%pd",
		"%dx%d", "%sx", "%s s", "%s.", "%s-%d", "%20p|", "%zd",
	};
	static const u64 values[][4] = { { 0, 0, 0, 0 }, { 1, 2, 3, 0x10 }, { -1ull, 65, 0x8000000000000000ull, 0 } };
	static const u32 sizes[] = { 0, 1, 5, 128 };
	u32 bad = 0, n = 0;

	for (u32 f = 0; f < sizeof(fmt) / sizeof(fmt[0]); f++)
		for (u32 k = 0; k < 12; k++) {
			u32 nargs = 0;
			struct scene s = { .n = 1,
					   .call = { { BPF_FUNC_snprintf,
						       { MEM(OUT), NUM(sizes[k % 4]), FORMAT, MEM(DATA), NUM(0) } } } };

			for (const char *p = fmt[f]; *p; p++)
				if (*p == '%' && p[1] != '%')
					nargs++;
				else if (*p == '%')
					p++;
			if (nargs > 3)
				nargs = 3;
			s.call[0].arg[4].value = 8 * nargs;
			snprintf(s.fmt, FMT, "%s", fmt[f]);
			memcpy(s.block + DATA, values[k / 4], 32);
			memset(s.block + OUT, 0xee, 128);
			if (strstr(fmt[f], "%p") && values[k / 4][0] > 1 && !strstr(fmt[f], "%px"))
				continue; /* hashed, or a kernel symbol */
			if (k / 4 && (strstr(fmt[f], "%p\0") || strstr(fmt[f], "%20p") || strstr(fmt[f], "%pK") ||
				      strstr(fmt[f], "%pB") || strstr(fmt[f], "%ps") || strstr(fmt[f], "%pS")))
				continue;
			if ((strstr(fmt[f], "%pi") || strstr(fmt[f], "%pI") || strstr(fmt[f], "%pB")) && sizes[k % 4] < 128)
				continue; /* an address needs room for all of it, there */
			bad += !same(&s);
			n++;
		}
	tap_eq(bad, 0, "snprintf: %u formats, values and sizes", n);
}

static void test_dynptr(void)
{
	static const struct {
		u64 size, flags, off, len, rw_flags;
	} c[] = { { 64, 0, 0, 8, 0 },  { 64, 0, 56, 8, 0 }, { 64, 0, 57, 8, 0 }, { 64, 0, 64, 0, 0 },  { 64, 0, 65, 0, 0 },
		  { 64, 1, 0, 8, 0 },  { 64, 0, 0, 8, 1 },  { 0, 0, 0, 0, 0 },	 { 0, 0, 0, 1, 0 },    { 64, 0, 0, 64, 0 },
		  { 64, 0, 0, 65, 0 }, { 64, 0, 0xffffffff, 8, 0 } };
	u32 bad = 0;

	for (u32 i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		struct scene s = {
			.n = 3,
			.call = { { BPF_FUNC_dynptr_from_mem, { MEM(0), NUM(c[i].size), NUM(c[i].flags), DYNPTR } },
				  { BPF_FUNC_dynptr_write, { DYNPTR, NUM(c[i].off), MEM(128), NUM(c[i].len), NUM(c[i].rw_flags) } },
				  { BPF_FUNC_dynptr_read, { MEM(OUT), NUM(c[i].len), DYNPTR, NUM(c[i].off), NUM(c[i].rw_flags) } } }
		};

		for (u32 b = 0; b < 256; b++)
			s.block[b] = (u8)(b * 7);
		bad += !same(&s);
	}
	tap_eq(bad, 0, "dynptrs over memory: bounds, flags");
}

static void test_refusals(void)
{
	struct scene s = { .n = 3,
			   .call = { { BPF_FUNC_send_signal, { NUM(65) } },
				     { BPF_FUNC_send_signal_thread, { NUM(0x10000000) } },
				     { BPF_FUNC_get_branch_snapshot, { MEM(OUT), NUM(24), NUM(0) } } } };
	struct scene t = { .n = 3,
			   .call = { { BPF_FUNC_get_ns_current_pid_tgid, { NUM(1), NUM(2), MEM(OUT), NUM(8) } },
				     { BPF_FUNC_get_ns_current_pid_tgid, { NUM(1), NUM(2), MEM(OUT + 16), NUM(16) } },
				     { BPF_FUNC_get_branch_snapshot, { MEM(OUT + 64), NUM(24), NUM(1) } } } };

	memset(t.block + OUT, 0xee, 96);
	tap_ok(same(&s), "a signal that does not exist; branch records that do not");
	tap_ok(same(&t), "a pid namespace that does not exist");
}

static bool kernel_can(void)
{
	struct scene s = { .n = 1, .call = { { BPF_FUNC_strtol, { MEM(0), NUM(1), NUM(0), MEM(OUT) } } } };
	u8 block[BLOCK];

	return !in_kernel(&s, block);
}

int main(void)
{
	if (!kernel_can())
		tap_skip_all("this kernel does not run BPF programs for us");
	test_numbers();
	test_snprintf();
	test_dynptr();
	test_refusals();
	return tap_done();
}
