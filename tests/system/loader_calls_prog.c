/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "loader_calls.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))

static void show_load(const char *name, unsigned int type, unsigned int eat,
		      const struct bpf_insn *insns, size_t n)
{
	struct call_load l = {
	    .type = type, .eat = eat, .insns = insns, .n = (unsigned int)n, .name = "case"};

	call_show_fd(name, call_prog_load(&l));
}

static void prog_probes(void)
{
	const struct bpf_insn ok[] = {CALL_MOV(0, 0), CALL_EXIT};
	const struct bpf_insn memcg[] = {CALL_HELPER(160), CALL_EXIT};
	const struct bpf_insn cookie[] = {CALL_HELPER(174), CALL_EXIT};
	const struct bpf_insn probe_read[] = {CALL_MOVR(1, 10), CALL_ADD(1, -8),  CALL_MOV(2, 8),
					      CALL_MOV(3, 0),	CALL_HELPER(113), CALL_EXIT};

	call_show_fd("prog: socket filter", call_simple_prog(BPF_PROG_TYPE_SOCKET_FILTER, 0));
	call_show_fd("prog: kprobe", call_simple_prog(BPF_PROG_TYPE_KPROBE, 0));
	call_show_fd("prog: kprobe, uprobe_multi", call_simple_prog(BPF_PROG_TYPE_KPROBE, 48));
	call_show_fd("prog: kprobe, attach type 9999",
		     call_simple_prog(BPF_PROG_TYPE_KPROBE, 9999));
	call_show_fd("prog: tracepoint", call_simple_prog(BPF_PROG_TYPE_TRACEPOINT, 0));
	call_show_fd("prog: raw tracepoint", call_simple_prog(BPF_PROG_TYPE_RAW_TRACEPOINT, 0));
	call_show_fd("prog: perf event", call_simple_prog(BPF_PROG_TYPE_PERF_EVENT, 0));
	call_show_fd("prog: cgroup sock, create",
		     call_simple_prog(BPF_PROG_TYPE_CGROUP_SOCK, BPF_CGROUP_INET_SOCK_CREATE));
	call_show_fd("prog: cgroup sock, bad attach type",
		     call_simple_prog(BPF_PROG_TYPE_CGROUP_SOCK, 9999));
	call_show_fd("prog: unspec", call_simple_prog(0, 0));
	call_show_fd("prog: type 9999", call_simple_prog(9999, 0));
	show_load("prog: memcg helper", BPF_PROG_TYPE_SOCKET_FILTER, 0, memcg, N(memcg));
	show_load("prog: cookie helper", BPF_PROG_TYPE_KPROBE, 0, cookie, N(cookie));
	show_load("prog: cookie helper, tracepoint", BPF_PROG_TYPE_TRACEPOINT, 0, cookie,
		  N(cookie));
	show_load("prog: probe_read_kernel", BPF_PROG_TYPE_TRACEPOINT, 0, probe_read,
		  N(probe_read));
	show_load("prog: no instructions", BPF_PROG_TYPE_KPROBE, 0, ok, 0);
	show_load("prog: no exit", BPF_PROG_TYPE_KPROBE, 0, ok, 1);
	show_load("prog: 2000000 instructions", BPF_PROG_TYPE_KPROBE, 0, ok, 2000000);
	show_load("prog: bad pointer", BPF_PROG_TYPE_KPROBE, 0, (void *)8, 2);
}

static void prog_attr(void)
{
	const struct bpf_insn ok[] = {CALL_MOV(0, 0), CALL_EXIT};
	struct call_load l = {.type = BPF_PROG_TYPE_KPROBE, .insns = ok, .n = 2};
	union call_attr t = {};
	uint32_t func_info[2] = {0, 1};

	l.flags = 1u << 4;
	call_show_fd("prog: sleepable kprobe", call_prog_load(&l));
	l.type = BPF_PROG_TYPE_TRACEPOINT;
	call_show_fd("prog: sleepable tracepoint", call_prog_load(&l));
	l.type = BPF_PROG_TYPE_KPROBE;
	l.flags = 1u << 30;
	call_show_fd("prog: unknown flag", call_prog_load(&l));
	l.flags = 0;
	l.name = "bad name";
	call_show_fd("prog: bad name", call_prog_load(&l));
	l.name = NULL;
	l.license = "";
	call_show_fd("prog: no license", call_prog_load(&l));
	l.license = (void *)8;
	call_show_fd("prog: bad license pointer", call_prog_load(&l));
	t.a.prog_type = BPF_PROG_TYPE_KPROBE;
	t.a.insns = (uintptr_t)ok;
	t.a.insn_cnt = 2;
	t.a.license = (uintptr_t) "GPL";
	t.a.prog_btf_fd = (uint32_t)-1;
	call_show_fd("prog: btf fd -1, no info", call_bpf(BPF_PROG_LOAD, &t, 148));
	t.a.func_info = (uintptr_t)func_info;
	t.a.func_info_cnt = 1;
	t.a.func_info_rec_size = 8;
	call_show_fd("prog: btf fd -1", call_bpf(BPF_PROG_LOAD, &t, 148));
	t.a.func_info_cnt = 0;
	t.a.attach_btf_id = 1;
	call_show_fd("prog: attach_btf_id", call_bpf(BPF_PROG_LOAD, &t, 148));
	t.a.attach_btf_id = 0;
	t.a.attach_prog_fd = (uint32_t)-1;
	call_show_fd("prog: attach_prog_fd -1", call_bpf(BPF_PROG_LOAD, &t, 148));
}

static void prog_gpl(void)
{
	const struct bpf_insn printk[] = {CALL_ST(10, -8, 0), CALL_MOVR(1, 10), CALL_ADD(1, -8),
					  CALL_MOV(2, 8),     CALL_HELPER(6),	CALL_MOV(0, 0),
					  CALL_EXIT};
	struct call_load l = {
	    .type = BPF_PROG_TYPE_KPROBE, .insns = printk, .n = N(printk), .license = "MIT"};

	call_show_fd("prog: GPL helper, MIT license", call_prog_load(&l));
	l.license = "Dual MIT/GPL";
	call_show_fd("prog: GPL helper, dual license", call_prog_load(&l));
}

static void prog_maps(void)
{
	long one = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 32, 1, 0, "one");
	long two = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 32, 2, 0, "two");
	long hash = call_map_create(BPF_MAP_TYPE_HASH, 4, 32, 2, 0, "hash");
	struct bpf_insn value[] = {CALL_LD(1, 2, 0), CALL_LD2(16), CALL_ST(1, 0, 42),
				   CALL_MOV(0, 0), CALL_EXIT};
	struct bpf_insn map[] = {CALL_LD(1, 1, 0), CALL_LD2(0), CALL_MOV(0, 0), CALL_EXIT};
	const struct bpf_insn half[] = {CALL_MOV(0, 0), CALL_LD(1, 1, 0)};

	value[0].imm = (int)one;
	show_load("map value: array of 1", BPF_PROG_TYPE_SOCKET_FILTER, 0, value, N(value));
	value[1].imm = 24;
	show_load("map value: last word", BPF_PROG_TYPE_KPROBE, 0, value, N(value));
	value[1].imm = 32;
	show_load("map value: behind the end", BPF_PROG_TYPE_KPROBE, 0, value, N(value));
	value[1].imm = 1 << 30;
	show_load("map value: far offset", BPF_PROG_TYPE_KPROBE, 0, value, N(value));
	value[1].imm = 0;
	value[0].imm = (int)two;
	show_load("map value: array of 2", BPF_PROG_TYPE_KPROBE, 0, value, N(value));
	value[0].imm = (int)hash;
	show_load("map value: hash", BPF_PROG_TYPE_KPROBE, 0, value, N(value));
	value[0].imm = -1;
	show_load("map value: fd -1", BPF_PROG_TYPE_KPROBE, 0, value, N(value));
	map[0].imm = (int)hash;
	show_load("map: hash", BPF_PROG_TYPE_KPROBE, 0, map, N(map));
	map[0].imm = 0;
	show_load("map: fd 0 is no map", BPF_PROG_TYPE_KPROBE, 0, map, N(map));
	map[0].imm = 9999;
	show_load("map: fd not open", BPF_PROG_TYPE_KPROBE, 0, map, N(map));
	map[0].imm = (int)hash;
	map[1].imm = 8;
	show_load("map: with an offset", BPF_PROG_TYPE_KPROBE, 0, map, N(map));
	map[1].imm = 0;
	map[0].src_reg = 5;
	show_load("map: index without fd_array", BPF_PROG_TYPE_KPROBE, 0, map, N(map));
	map[0].src_reg = 9;
	show_load("map: unknown pseudo source", BPF_PROG_TYPE_KPROBE, 0, map, N(map));
	show_load("map: half an instruction", BPF_PROG_TYPE_KPROBE, 0, half, N(half));
	close((int)one);
	close((int)two);
	close((int)hash);
}

static void prog_bind(void)
{
	long map = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 32, 1, 0, "libbpf_det_bind");
	long prog = call_simple_prog(BPF_PROG_TYPE_SOCKET_FILTER, 0);
	union call_attr t = {};

	t.a.prog_bind_map.prog_fd = (uint32_t)prog;
	t.a.prog_bind_map.map_fd = (uint32_t)map;
	call_show("bind", call_bpf(BPF_PROG_BIND_MAP, &t, 12));
	call_show("bind: again", call_bpf(BPF_PROG_BIND_MAP, &t, 12));
	t.a.prog_bind_map.flags = 1;
	call_show("bind: flags", call_bpf(BPF_PROG_BIND_MAP, &t, 12));
	t.a.prog_bind_map.flags = 0;
	t.a.prog_bind_map.map_fd = (uint32_t)prog;
	call_show("bind: a program as map", call_bpf(BPF_PROG_BIND_MAP, &t, 12));
	t.a.prog_bind_map.prog_fd = (uint32_t)map;
	call_show("bind: a map as program", call_bpf(BPF_PROG_BIND_MAP, &t, 12));
	memset(&t, 0, sizeof(t));
	close((int)prog);
	prog = call_simple_prog(BPF_PROG_TYPE_KPROBE, 0);
	t.a.test.prog_fd = (uint32_t)prog;
	call_show("test run: kprobe", call_bpf(BPF_PROG_TEST_RUN, &t, 76));
	t.a.test.prog_fd = (uint32_t)-1;
	call_show("test run: bad fd", call_bpf(BPF_PROG_TEST_RUN, &t, 76));
	close((int)prog);
	close((int)map);
}

void prog_cases(void)
{
	prog_probes();
	prog_attr();
	prog_gpl();
	prog_maps();
	prog_bind();
}

static void log_one(const char *name, unsigned int level, char *buf, unsigned int size,
		    unsigned int n)
{
	const struct bpf_insn insns[] = {CALL_MOV(0, 0), CALL_EXIT, CALL_EXIT};
	struct call_load l = {.type = BPF_PROG_TYPE_KPROBE,
			      .insns = insns,
			      .n = n,
			      .log_level = level,
			      .log = buf,
			      .log_size = size};

	call_show_fd(name, call_prog_load(&l));
	printf("%s: needs text %d\n", name, l.true_size > 0);
}

void log_cases(void)
{
	static char buf[1 << 20];

	log_one("log: level 0, no buffer", 0, NULL, 0, 2);
	log_one("log: level 0, a buffer", 0, buf, sizeof(buf), 2);
	log_one("log: level 1, no buffer", 1, NULL, 0, 2);
	log_one("log: level 1, size without buffer", 1, NULL, 100, 2);
	log_one("log: level 1, buffer without size", 1, buf, 0, 2);
	log_one("log: level 16", 16, buf, sizeof(buf), 2);
	log_one("log: level 1", 1, buf, sizeof(buf), 2);
	printf("log: processed 2 insns %d\n",
	       strstr(buf, "processed 2 insns (limit 1000000)") != NULL);
	memset(buf, 'x', 64);
	log_one("log: 16 bytes", 1, buf, 16, 2);
	printf("log: ends with NUL %d, untouched behind %d\n", buf[15] == 0, buf[16] == 'x');
	memset(buf, 'x', 64);
	log_one("log: 16 bytes, fixed", 1 | 8, buf, 16, 2);
	printf("log: starts %.9s\n", buf);
	log_one("log: bad pointer", 1, (char *)8, 1000, 2);
	log_one("log: unreachable instruction", 1, buf, sizeof(buf), 3);
	printf("log: says unreachable %d\n", strstr(buf, "unreachable insn 2") != NULL);
}
