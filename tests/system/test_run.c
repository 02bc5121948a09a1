/* SPDX-License-Identifier: MIT */
/*
 * BPF_PROG_TEST_RUN of socket filters, XDP and system call programs: what they may do (load), and what running them gives.
 * One line per answer; the kernel's are in test_run.expected (loader_parity.sh). Arguments are chosen so that none depends
 * on the machine.
 */
#include "raw_prog.h"

#include <stdbool.h>

#define ADD(d, s) INSN(0x0f, d, s, 0, 0)
#define SUB(d, s) INSN(0x1f, d, s, 0, 0)
#define JX(op, d, s, o) INSN(BPF_JMP | op | BPF_X, d, s, o, 0)
/* r2 = data, r3 = data_end; r4 = data + n; outside: jump */
#define PACKET(n, op, over) LDX(BPF_W, 2, 1, 0), LDX(BPF_W, 3, 1, 4), MOV(4, 2), ADDI(4, n), JX(op, 4, 3, over)

#define SKB BPF_PROG_TYPE_SOCKET_FILTER
#define XDP BPF_PROG_TYPE_XDP
#define SYS BPF_PROG_TYPE_SYSCALL
#define GUARD 0xdeadu

#define PROG(type, ...) \
	raw_load(type, 0, (type) == SYS ? SLEEPABLE : 0, (struct bpf_insn[]){__VA_ARGS__}, COUNT(((struct bpf_insn[]){__VA_ARGS__})))
#define LOAD(name, type, ...) raw_show_load(name, PROG(type, __VA_ARGS__))

#define ABS(size, i) INSN(BPF_LD | BPF_ABS | size, 0, 0, 0, i)
#define IND(size, s, i) INSN(BPF_LD | BPF_IND | size, 0, s, 0, i)

/* Which fields of the context are there. */
static void check_fields(const char *name, u32 type, int last)
{
	static const u32 size[] = {BPF_B, BPF_H, BPF_W, BPF_DW};

	for (int off = -8; off <= last; off++) {
		printf("%s + %d:", name, off);
		for (u32 i = 0; i < 4; i++) {
			int r = PROG(type, LDX(size[i], 0, 1, off), MOVI(0, 0), EXIT());
			int w = PROG(type, MOVI(0, 0), STX(size[i], 1, 0, off), EXIT());

			printf(" %s%s", r < 0 ? "-" : "r", w < 0 ? "-" : "w");
			close(r);
			close(w);
		}
		printf("\n");
	}
}

static void check_loads(void)
{
	LOAD("a packet without a check", XDP, LDX(BPF_W, 2, 1, 0), LDX(BPF_B, 0, 2, 0), EXIT());
	LOAD("inside by >", XDP, MOVI(0, 0), PACKET(14, BPF_JGT, 1), LDX(BPF_H, 0, 2, 12), EXIT());
	LOAD("one byte outside by >", XDP, MOVI(0, 0), PACKET(14, BPF_JGT, 1), LDX(BPF_H, 0, 2, 13), EXIT());
	LOAD("inside by >=", XDP, MOVI(0, 0), PACKET(14, BPF_JGE, 1), LDX(BPF_B, 0, 2, 14), EXIT());
	LOAD("outside by >=", XDP, MOVI(0, 0), PACKET(14, BPF_JGE, 1), LDX(BPF_H, 0, 2, 14), EXIT());
	LOAD("the wrong side of >", XDP, MOVI(0, 0), PACKET(14, BPF_JGT, 1), EXIT(), LDX(BPF_B, 0, 2, 0), EXIT());
	LOAD("inside by <", XDP, MOVI(0, 0), PACKET(14, BPF_JLT, 1), EXIT(), LDX(BPF_B, 0, 2, 14), EXIT());
	LOAD("inside by <=", XDP, MOVI(0, 0), PACKET(14, BPF_JLE, 1), EXIT(), LDX(BPF_B, 0, 2, 13), EXIT());
	LOAD("outside by <=", XDP, MOVI(0, 0), PACKET(14, BPF_JLE, 1), EXIT(), LDX(BPF_B, 0, 2, 14), EXIT());
	LOAD("the end on the left", XDP, LDX(BPF_W, 2, 1, 0), LDX(BPF_W, 3, 1, 4), MOV(4, 2), ADDI(4, 8), MOVI(0, 0),
	     JX(BPF_JLT, 3, 4, 1), LDX(BPF_DW, 0, 2, 0), EXIT());
	LOAD("the end on the left, outside", XDP, LDX(BPF_W, 2, 1, 0), LDX(BPF_W, 3, 1, 4), MOV(4, 2), ADDI(4, 8),
	     MOVI(0, 0), JX(BPF_JLT, 3, 4, 1), LDX(BPF_DW, 0, 2, 1), EXIT());
	LOAD("writes", XDP, MOVI(0, 0), PACKET(14, BPF_JGT, 1), ST(BPF_B, 2, 0, 7), EXIT());
	LOAD("atomic", XDP, MOVI(0, 0), PACKET(14, BPF_JGT, 1), INSN(0xdb, 2, 0, 0, 0), EXIT());
	LOAD("below the packet", XDP, MOVI(0, 0), PACKET(14, BPF_JGT, 1), LDX(BPF_B, 0, 2, -1), EXIT());
	LOAD("variable, checked", XDP, MOVI(0, 0), PACKET(1, BPF_JGT, 7), LDX(BPF_B, 5, 2, 0), INSN(0x57, 5, 0, 0, 15), ADD(2, 5),
	     MOV(4, 2), ADDI(4, 8), JX(BPF_JGT, 4, 3, 1), LDX(BPF_DW, 0, 2, 0), EXIT());
	LOAD("variable, the old check", XDP, MOVI(0, 0), PACKET(32, BPF_JGT, 4), LDX(BPF_B, 5, 2, 0), INSN(0x57, 5, 0, 0, 15),
	     ADD(2, 5), LDX(BPF_B, 0, 2, 0), EXIT());
	LOAD("variable, two of them", XDP, MOVI(0, 0), PACKET(1, BPF_JGT, 9), LDX(BPF_B, 5, 2, 0), INSN(0x57, 5, 0, 0, 15),
	     MOV(7, 2), ADD(7, 5), ADD(2, 5), MOV(4, 7), ADDI(4, 8), JX(BPF_JGT, 4, 3, 1), LDX(BPF_DW, 0, 2, 0), EXIT());
	LOAD("variable, large", XDP, MOVI(0, 0), PACKET(8, BPF_JGT, 6), LDX(BPF_W, 5, 2, 0), ADD(2, 5), MOV(4, 2), ADDI(4, 8),
	     JX(BPF_JGT, 4, 3, 1), LDX(BPF_DW, 0, 2, 0), EXIT());
	LOAD("variable, 16 bits and more", XDP, MOVI(0, 0), PACKET(8, BPF_JGT, 6), LDX(BPF_H, 5, 2, 0), ADD(2, 5), MOV(4, 2),
	     ADDI(4, 8), JX(BPF_JGT, 4, 3, 1), LDX(BPF_DW, 0, 2, 0), EXIT());
	LOAD("arithmetic on the end", XDP, LDX(BPF_W, 3, 1, 4), ADDI(3, 1), MOVI(0, 0), EXIT());
	LOAD("length", XDP, LDX(BPF_W, 2, 1, 0), LDX(BPF_W, 0, 1, 4), SUB(0, 2), EXIT());
	LOAD("spilled", XDP, MOVI(0, 0), LDX(BPF_W, 2, 1, 0), STX(BPF_DW, 10, 2, -8), LDX(BPF_W, 3, 1, 4), MOV(4, 2), ADDI(4, 8),
	     JX(BPF_JGT, 4, 3, 2), LDX(BPF_DW, 5, 10, -8), LDX(BPF_DW, 0, 5, 0), EXIT());
	LOAD("metadata", XDP, MOVI(0, 0), LDX(BPF_W, 2, 1, 8), LDX(BPF_W, 3, 1, 0), MOV(4, 2), ADDI(4, 4), JX(BPF_JGT, 4, 3, 1),
	     LDX(BPF_W, 0, 2, 0), EXIT());
	LOAD("metadata against the end", XDP, MOVI(0, 0), LDX(BPF_W, 2, 1, 8), LDX(BPF_W, 3, 1, 4), MOV(4, 2), ADDI(4, 4),
	     JX(BPF_JGT, 4, 3, 1), LDX(BPF_W, 0, 2, 0), EXIT());
	LOAD("after adjust_head", XDP, MOVI(0, 0), LDX(BPF_W, 6, 1, 0), LDX(BPF_W, 3, 1, 4), MOV(4, 6), ADDI(4, 8),
	     JX(BPF_JGT, 4, 3, 3), MOVI(2, 0), CALL(44), LDX(BPF_DW, 0, 6, 0), EXIT());
	LOAD("packet to a helper", XDP, MOVI(0, 0), PACKET(14, BPF_JGT, 4), MOV(1, 2), MOVI(2, 4), MOV(3, 10), CALL(6), EXIT());
	LOAD("checksum of a packet", XDP, MOVI(0, 0), PACKET(16, BPF_JGT, 6), MOV(1, 2), MOVI(2, 16), MOVI(3, 0), MOVI(4, 0),
	     MOVI(5, 0), CALL(28), EXIT());
	LOAD("checksum of more", XDP, MOVI(0, 0), PACKET(16, BPF_JGT, 6), MOV(1, 2), MOVI(2, 20), MOVI(3, 0), MOVI(4, 0),
	     MOVI(5, 0), CALL(28), EXIT());
	LOAD("xdp helper in a filter", SKB, CALL(44), MOVI(0, 0), EXIT());
	LOAD("filter helper in xdp", XDP, CALL(26), MOVI(0, 0), EXIT());
	LOAD("sys_bpf in xdp", XDP, CALL(166), MOVI(0, 0), EXIT());
	LOAD("get_stack in a filter", SKB, CALL(67), MOVI(0, 0), EXIT());
	LOAD("moved context", SYS, ADDI(1, 8), LDX(BPF_W, 0, 1, 0), EXIT());
	LOAD("context as memory", SYS, MOVI(2, 8), MOVI(3, 0), CALL(113), MOVI(0, 0), EXIT());
	LOAD("context end", SYS, LDX(BPF_B, 0, 1, 32767), EXIT());
	LOAD("atomic context", SYS, MOVI(2, 1), INSN(0xdb, 1, 2, 0, 0), MOVI(0, 0), EXIT());
	LOAD("no result", XDP, EXIT());
	raw_show_load("not sleepable", raw_load(SYS, 0, 0, (struct bpf_insn[]){MOVI(0, 0), EXIT()}, 2));
	raw_show_load("sleepable", raw_load(XDP, 0, SLEEPABLE, (struct bpf_insn[]){MOVI(0, 0), EXIT()}, 2));
	raw_show_load("sleepable", raw_load(SKB, 0, SLEEPABLE, (struct bpf_insn[]){MOVI(0, 0), EXIT()}, 2));
	check_fields("__sk_buff", SKB, 193);
	check_fields("xdp_md", XDP, 24);
}

static void check_packet_loads(void)
{
	LOAD("packet load", SKB, MOV(6, 1), ABS(BPF_W, 0), EXIT());
	LOAD("packet load in xdp", XDP, MOV(6, 1), ABS(BPF_W, 0), EXIT());
	LOAD("packet load in a system call program", SYS, MOV(6, 1), ABS(BPF_W, 0), EXIT());
	LOAD("packet load of 8 bytes", SKB, MOV(6, 1), ABS(BPF_DW, 0), EXIT());
	LOAD("packet load without r6", SKB, ABS(BPF_W, 0), EXIT());
	LOAD("packet load, a number in r6", SKB, MOVI(6, 1), ABS(BPF_W, 0), EXIT());
	LOAD("packet load, r6 moved", SKB, MOV(6, 1), ADDI(6, 4), ABS(BPF_W, 0), EXIT());
	LOAD("packet load by a register", SKB, MOV(6, 1), MOVI(2, 4), IND(BPF_H, 2, 8), EXIT());
	LOAD("packet load by a register that is not set", SKB, MOV(6, 1), IND(BPF_H, 2, 8), EXIT());
	LOAD("packet load by an address", SKB, MOV(6, 1), IND(BPF_H, 1, 8), EXIT());
	LOAD("r1 after a packet load", SKB, MOV(6, 1), ABS(BPF_W, 0), MOV(0, 1), EXIT());
	LOAD("r6 after a packet load", SKB, MOV(6, 1), ABS(BPF_W, 0), LDX(BPF_W, 0, 6, 0), EXIT());
	LOAD("r0 after a packet load", SKB, MOV(6, 1), ABS(BPF_B, 0), MOV(2, 10), ADD(2, 0), LDX(BPF_B, 0, 2, -512), EXIT());
	LOAD("packet load, another destination", SKB, MOV(6, 1), INSN(BPF_LD | BPF_ABS | BPF_W, 1, 0, 0, 0), EXIT());
	LOAD("packet load, a source", SKB, MOV(6, 1), INSN(BPF_LD | BPF_ABS | BPF_W, 0, 1, 0, 0), EXIT());
	LOAD("packet load, an offset", SKB, MOV(6, 1), INSN(BPF_LD | BPF_IND | BPF_W, 0, 6, 4, 0), EXIT());
	LOAD("packet load in a function", SKB, MOV(6, 1), INSN(0x85, 0, 1, 0, 1), EXIT(), MOV(6, 1), ABS(BPF_W, 0), EXIT());
	LOAD("packet load in dead code", XDP, MOVI(0, 1), JI(BPF_JEQ, 0, 1, 1), ABS(BPF_W, 0), EXIT());
}

static unsigned char packet[80000], out[80000];
static u32 ctx[64];

struct arg {
	u32 n, room, nctx, ctx_room, repeat, flags, cpu, batch;
	bool no_data, bad_data, no_out, bad_out, bad_ctx, bad_ctx_out, with_ctx, with_ctx_out;
	u64 data_in, data_out;
};

static u32 sum(const void *p, u32 n)
{
	const unsigned char *b = p;
	u32 s = 1;

	while (n--)
		s = s * 31 + *b++;
	return s;
}

static void run(const char *name, int fd, const struct arg *g)
{
	union bpf_attr a = {.test = {.prog_fd = (u32)fd, .retval = GUARD, .data_size_in = g->n, .data_size_out = g->room}};
	u32 result[64];
	int r;

	memset(out, 0xee, 8192);
	memset(result, 0xee, sizeof(result));
	a.test.data_in = g->no_data ? 0 : g->bad_data ? 8 : (u64)packet;
	a.test.data_out = g->no_out ? 0 : g->bad_out ? 8 : (u64)out;
	a.test.ctx_in = g->bad_ctx ? 8 : g->with_ctx ? (u64)ctx : 0;
	a.test.ctx_out = g->bad_ctx_out ? 8 : g->with_ctx_out ? (u64)result : 0;
	a.test.ctx_size_in = g->nctx;
	a.test.ctx_size_out = g->ctx_room;
	a.test.repeat = g->repeat;
	a.test.flags = g->flags;
	a.test.cpu = g->cpu;
	a.test.batch_size = g->batch;
	r = raw_bpf(BPF_PROG_TEST_RUN, &a);
	printf("run: %s: %d retval %#x size %u ctx %u out %#x ctx out %#x\n", name, r, a.test.retval, a.test.data_size_out,
	       a.test.ctx_size_out, sum(out, 8192), sum(result, sizeof(result)));
}

#define RUN(name, fd, ...) run(name, fd, &(struct arg){__VA_ARGS__})

static void run_sizes(const char *type, int fd)
{
	static const u32 sizes[] = {0, 13, 14, 15, 64, 1500, 3519, 3520, 3521, 3712, 3713, 5000, 73152, 73153};
	char name[64];

	for (u32 i = 0; i < COUNT(sizes); i++)
		for (u32 room = 0; room < 3; room++) {
			snprintf(name, sizeof(name), "%s: %u bytes, %s", type, sizes[i],
				 room == 0 ? "any room" : room == 1 ? "little room" : "room");
			RUN(name, fd, .n = sizes[i], .room = room == 1 ? 20 : room == 2 ? 80000 : 0);
		}
	RUN("no result wanted", fd, .n = 64, .no_out = true);
	RUN("no data", fd, .no_data = true);
	RUN("bad data", fd, .n = 64, .bad_data = true);
	RUN("bad place for the result", fd, .n = 64, .bad_out = true);
	RUN("repeated", fd, .n = 64, .repeat = 100);
	RUN("another processor", fd, .n = 64, .cpu = 1);
	for (u32 flag = 0; flag < 4; flag++)
		if (flag != 1 || type[0] != 'x') /* live frames: the kernel's alone */
			RUN("flag", fd, .n = 64, .flags = 1u << flag);
	RUN("batch", fd, .n = 64, .batch = 5);
	RUN("a context of no size", fd, .n = 64, .with_ctx = true);
	RUN("no context of some size", fd, .n = 64, .nctx = 8);
	RUN("bad context", fd, .n = 64, .nctx = 24, .bad_ctx = true);
	RUN("bad place for the context", fd, .n = 64, .ctx_room = 192, .bad_ctx_out = true);
	RUN("context out alone", fd, .n = 64, .ctx_room = 192, .with_ctx_out = true);
	RUN("little room for the context", fd, .n = 64, .ctx_room = 10, .with_ctx_out = true);
	RUN("short context", fd, .n = 64, .nctx = 4, .with_ctx = true, .ctx_room = 192, .with_ctx_out = true);
	RUN("long context", fd, .n = 64, .nctx = 256, .with_ctx = true, .ctx_room = 192, .with_ctx_out = true);
	ctx[60] = 1;
	RUN("long context, not zero", fd, .n = 64, .nctx = 256, .with_ctx = true);
	ctx[60] = 0;
	RUN("huge context", fd, .n = 64, .nctx = 1u << 20, .with_ctx = true);
}

static void run_words(const char *type, int fd, u32 n, u32 set, u32 value)
{
	char name[64];

	for (u32 i = 0; i < n; i++) {
		memset(ctx, 0, sizeof(ctx));
		if (set)
			ctx[1] = set;
		ctx[i] = value;
		snprintf(name, sizeof(name), "%s: context word %u is %u", type, i, value);
		RUN(name, fd, .n = 64, .nctx = n * 4, .with_ctx = true, .ctx_room = 192, .with_ctx_out = true);
	}
	memset(ctx, 0, sizeof(ctx));
}

static void run_skb(void)
{
	static const u32 fields[] = {0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 64, 68, 84, 164, 176};
	int fd = PROG(SKB, LDX(BPF_DW, 2, 1, 48), ADDI(2, 5), STX(BPF_DW, 1, 2, 48), ST(BPF_H, 1, 66, 77), LDX(BPF_W, 0, 1, 8),
		      ADDI(0, 3), EXIT());
	char name[64];

	run_sizes("filter", fd);
	run_words("filter", fd, 48, 0, 1);
	run_words("filter", fd, 48, 0, 65536);
	run_words("filter", fd, 48, 0, 999999);
	for (u32 i = 0; i < 8; i++)
		for (u32 k = 0; k < COUNT(fields); k++) {
			static const u32 types[] = {0x0800, 0x86dd, 0x05ff, 0x100};
			int f = PROG(SKB, LDX(BPF_W, 0, 1, (int)fields[k]), EXIT());

			packet[0] = i & 1 ? 3 : 2;
			packet[12] = types[i / 2] >> 8;
			packet[13] = types[i / 2] & 0xff;
			packet[14] = packet[15] = i == 5 ? 0xff : 1;
			snprintf(name, sizeof(name), "field %u of packet %u", fields[k], i);
			RUN(name, f, .n = 64);
			close(f);
		}
	for (int off = -1; off < 52; off += off < 1 || off > 44 ? 1 : 5)
		for (int how = 0; how < 4; how++) {
			int f = PROG(SKB, MOVI(2, off), MOV(3, 10), ADDI(3, -8), MOVI(4, 4), MOVI(5, how - 1), ST(BPF_DW, 10, -8, 0x77),
				     CALL(how ? 68 : 26), MOV(6, 0), LDX(BPF_W, 0, 10, -8), SUB(0, 6), EXIT());

			snprintf(name, sizeof(name), "bytes at %d, way %d", off, how);
			RUN(name, f, .n = 64);
			close(f);
		}
}

/* At an offset that the context brings, and at one in the instruction; what is behind it was not ended by it. */
static void run_packet_loads(void)
{
	static const u32 at[] = {0, 1, 13, 45, 46, 47, 48, 49, 50, 51, 52, 1u << 31, -1u, -2u, -4096u, -4100u, -1u << 20, (-1u << 20) + 46,
				 (-1u << 20) + 47, (-1u << 20) + 50, (-1u << 20) - 1, -2u << 20, (-2u << 20) + 12, (-2u << 20) + 62,
				 (-2u << 20) - 1, 1u << 20, 0x7ffffffe};
	static const u32 size[] = {BPF_B, BPF_H, BPF_W};
	char name[64];

	for (u32 i = 0; i < COUNT(at); i++)
		for (u32 s = 0; s < 3; s++) {
			int ind = PROG(SKB, MOV(6, 1), LDX(BPF_W, 2, 6, 48), IND(size[s], 2, 2), ADDI(0, 7), EXIT());
			int abs = PROG(SKB, MOV(6, 1), MOVI(7, 7), ABS(size[s], (int)at[i]), ADD(0, 7), EXIT());

			memset(ctx, 0, sizeof(ctx));
			ctx[12] = at[i] - 2;
			snprintf(name, sizeof(name), "packet load %#x at %#x", size[s], at[i]);
			RUN(name, ind, .n = 64, .nctx = 192, .with_ctx = true);
			RUN(name, abs, .n = 64);
			close(ind);
			close(abs);
		}
	memset(ctx, 0, sizeof(ctx));
}

static void run_xdp_helpers(u32 n)
{
	static const int by[] = {-5000, -300,  -256, -217, -216, -200, -60, -51, -50, -49, -36, -4, -3, 0,   1,   3,   4,
				 14,	30,    49,   50,   51,	 52,   60,  64,	 65,  100, 200, 3400, 3456, 3457, 4000};
	static const int helper[] = {44, 54, 65};
	char name[64];

	for (u32 h = 0; h < 3; h++)
		for (u32 i = 0; i < COUNT(by); i++) {
			int fd = PROG(XDP, MOV(6, 1), MOVI(2, by[i]), CALL(helper[h]), MOV(7, 0), LDX(BPF_W, 2, 6, 0), LDX(BPF_W, 0, 6, 4),
				      SUB(0, 2), INSN(0x67, 0, 0, 0, 8), SUB(0, 7), EXIT());

			snprintf(name, sizeof(name), "helper %d by %d of %u", helper[h], by[i], n);
			RUN(name, fd, .n = n, .room = 8192, .ctx_room = 24, .with_ctx_out = true, .nctx = 24, .with_ctx = true);
			close(fd);
		}
	for (int off = -1; off < (int)n + 3; off += off < 2 || off > (int)n - 8 ? 1 : 500)
		for (int h = 189; h <= 190; h++) {
			int fd = PROG(XDP, MOVI(2, off), MOV(3, 10), ADDI(3, -8), MOVI(4, 6), ST(BPF_DW, 10, -8, 0x77665544), CALL(h),
				      MOV(6, 0), LDX(BPF_W, 0, 10, -8), SUB(0, 6), EXIT());

			snprintf(name, sizeof(name), "helper %d at %d of %u", h, off, n);
			RUN(name, fd, .n = n, .room = 8192);
			close(fd);
		}
}

static void run_xdp(void)
{
	int fd = PROG(XDP, MOVI(0, 1), PACKET(16, BPF_JGT, 6), LDX(BPF_W, 5, 2, 4), STX(BPF_W, 2, 5, 8), LDX(BPF_W, 4, 1, 12),
		      LDX(BPF_W, 0, 1, 16), ADD(0, 5), ADD(0, 4), EXIT());
	int sums = PROG(XDP, MOVI(0, 1), PACKET(16, BPF_JGT, 7), MOV(1, 2), MOVI(2, 8), MOV(3, 1), ADDI(3, 8), MOVI(4, 8), MOVI(5, 99),
			CALL(28), EXIT());
	int length = PROG(XDP, CALL(188), EXIT());
	char name[64];

	run_sizes("xdp", fd);
	run_words("xdp", fd, 6, 64, 1);
	run_words("xdp", fd, 6, 64, 999999);
	for (u32 meta = 0; meta <= 256; meta += meta > 40 && meta < 60 ? 1 : 4) {
		memset(ctx, 0, sizeof(ctx));
		ctx[0] = meta;
		ctx[1] = 400;
		snprintf(name, sizeof(name), "%u bytes of metadata", meta);
		RUN(name, fd, .n = 400, .nctx = 24, .with_ctx = true, .ctx_room = 24, .with_ctx_out = true);
	}
	RUN("checksum", sums, .n = 64);
	RUN("length", length, .n = 64);
	RUN("length of pieces", length, .n = 5000);
	for (u32 n = 64; n <= 5000; n += 4936) {
		memset(ctx, 0, sizeof(ctx));
		ctx[0] = 8;
		ctx[1] = n < 4000 ? n : 3500;
		run_xdp_helpers(n);
	}
}

static void run_syscall(void)
{
	static u64 big[9000];
	int fd = PROG(SYS, LDX(BPF_W, 0, 1, 8), ST(BPF_W, 1, 4, 77), STX(BPF_DW, 1, 0, 16), EXIT());
	int null = PROG(SYS, MOVI(0, 0), JI(BPF_JEQ, 1, 0, 1), MOVI(0, 1), EXIT());
	union bpf_attr a;
	int r;

	for (u32 n = 0; n <= 65536; n = n < 32 ? n + 4 : n * 2 - (n == 32768)) {
		memset(big, 0x11, sizeof(big));
		a = (union bpf_attr){.test = {.prog_fd = (u32)fd, .retval = GUARD, .ctx_in = n ? (u64)big : 0, .ctx_size_in = n}};
		r = raw_bpf(BPF_PROG_TEST_RUN, &a);
		printf("run: syscall, %u bytes: %d retval %#x %#x\n", n, r, a.test.retval, sum(big, sizeof(big)));
	}
	a = (union bpf_attr){.test = {.prog_fd = (u32)null, .retval = GUARD}};
	r = raw_bpf(BPF_PROG_TEST_RUN, &a);
	printf("run: syscall without a context: %d %u\n", r, a.test.retval);
	a = (union bpf_attr){.test = {.prog_fd = (u32)fd, .retval = GUARD, .ctx_in = (u64) "a string that is a constant", .ctx_size_in = 24}};
	r = raw_bpf(BPF_PROG_TEST_RUN, &a);
	printf("run: syscall, context in constant memory: %d %#x\n", r, a.test.retval);
	RUN("syscall with data", fd, .with_ctx = true, .nctx = 24);
	RUN("syscall with a repetition", fd, .with_ctx = true, .nctx = 24, .no_data = true, .no_out = true, .repeat = 1);
	RUN("syscall with room", fd, .with_ctx = true, .nctx = 24, .no_data = true, .no_out = true, .room = 5, .n = 5);
	RUN("syscall with a processor", fd, .with_ctx = true, .nctx = 24, .no_data = true, .no_out = true, .cpu = 7);
	RUN("syscall with a flag", fd, .with_ctx = true, .nctx = 24, .no_data = true, .no_out = true, .flags = 1);
	RUN("syscall with a batch", fd, .with_ctx = true, .nctx = 24, .no_data = true, .no_out = true, .batch = 1);
}

/* A program that makes a map and puts something into it, as light skeletons do. */
static void run_sys_bpf(void)
{
	/* at fp - 48: map_type 2, key_size 4, value_size 8, max_entries 4, flags 0 ... */
	int fd = PROG(SYS, ST(BPF_W, 10, -48, 2), ST(BPF_W, 10, -44, 4), ST(BPF_W, 10, -40, 8), ST(BPF_W, 10, -36, 4), ST(BPF_W, 10, -32, 0),
		      MOV(6, 1), MOVI(1, BPF_MAP_CREATE), MOV(2, 10), ADDI(2, -48), MOVI(3, 20), CALL(166), STX(BPF_W, 6, 0, 0), MOVI(0, 9), EXIT());
	int bad = PROG(SYS, ST(BPF_DW, 10, -8, 0), MOV(6, 1), MOVI(1, BPF_PROG_TEST_RUN), MOV(2, 10), ADDI(2, -8), MOVI(3, 8), CALL(166),
		       STX(BPF_W, 6, 0, 0), EXIT());
	int shut = PROG(SYS, MOV(6, 1), LDX(BPF_W, 1, 1, 0), CALL(168), STX(BPF_W, 6, 0, 0), EXIT());
	int c[2] = {0}, map;
	u32 key = 3;
	u64 value = 42, got = 0;
	union bpf_attr a = {.test = {.prog_fd = (u32)fd, .ctx_in = (u64)c, .ctx_size_in = 8}};
	int r = raw_bpf(BPF_PROG_TEST_RUN, &a);

	map = c[0];
	printf("run: a map made by a program: %d %u %s\n", r, a.test.retval, map > 0 ? "a descriptor" : "none");
	a = (union bpf_attr){.map_fd = (u32)map, .key = (u64)&key, .value = (u64)&value};
	printf("run: update: %d\n", raw_bpf(BPF_MAP_UPDATE_ELEM, &a));
	a.value = (u64)&got;
	r = raw_bpf(BPF_MAP_LOOKUP_ELEM, &a);
	printf("run: look-up: %d %llu\n", r, (unsigned long long)got);
	a = (union bpf_attr){.test = {.prog_fd = (u32)bad, .ctx_in = (u64)c, .ctx_size_in = 8}};
	r = raw_bpf(BPF_PROG_TEST_RUN, &a);
	printf("run: a command that programs have not: %d %d\n", r, c[0]);
	c[0] = map;
	a = (union bpf_attr){.test = {.prog_fd = (u32)shut, .ctx_in = (u64)c, .ctx_size_in = 8}};
	r = raw_bpf(BPF_PROG_TEST_RUN, &a);
	printf("run: the program closes it: %d %d\n", r, c[0]);
	a = (union bpf_attr){.map_fd = (u32)map, .key = (u64)&key, .value = (u64)&got};
	printf("run: look-up: %d\n", raw_bpf(BPF_MAP_LOOKUP_ELEM, &a));
}

int main(void)
{
	for (u32 i = 0; i < sizeof(packet); i++)
		packet[i] = (unsigned char)(i * 7 + 1);
	check_loads();
	check_packet_loads();
	run_skb();
	run_packet_loads();
	run_xdp();
	run_syscall();
	run_sys_bpf();
	return 0;
}
