/* SPDX-License-Identifier: MIT */
/*
 * steps FILE PID OFFSET...: a loader's whole life in few system calls, for loader_stops.c to end it in each of them. Maps of
 * three kinds, one mapped and polled; a program by a link and by a perf event on the functions at these offsets; all undone.
 * Exit status: 0, or the step that failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MULTI 48u /* enum bpf_attach_type: BPF_TRACE_UPROBE_MULTI */
#define MOST 32
#define PAGE 4096u

/* attr.link_create with the words of uprobe_multi, which older headers do not have. */
struct link_multi {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, multi_flags, pid, unused;
};

static int bpf(int cmd, void *attr, size_t n)
{
	return (int)syscall(SYS_bpf, cmd, attr, n);
}

/* The loader ends here if this went wrong. */
static int must(int step, int r)
{
	if (r < 0) {
		fprintf(stderr, "step %d: %s\n", step, strerror(errno));
		exit(step);
	}
	return r;
}

static int map_new(uint32_t type, uint32_t key, uint32_t value, uint32_t n)
{
	union bpf_attr a = {.map_type = type, .key_size = key, .value_size = value, .max_entries = n};

	return bpf(BPF_MAP_CREATE, &a, sizeof(a));
}

static int element(int cmd, int map, uint32_t key, uint64_t *value)
{
	union bpf_attr a = {.map_fd = (uint32_t)map, .key = (uintptr_t)&key, .value = (uintptr_t)value};

	return bpf(cmd, &a, sizeof(a));
}

#define INSN(c, d, s, o, i) {.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)}

static int program(int map, uint32_t attach_type)
{
	const struct bpf_insn code[] = {
	    INSN(0x62, 10, 0, -4, 0), INSN(0x18, 1, 1, 0, map), INSN(0, 0, 0, 0, 0), INSN(0xbf, 2, 10, 0, 0), INSN(0x07, 2, 0, 0, -4),
	    INSN(0x85, 0, 0, 0, BPF_FUNC_map_lookup_elem), INSN(0x15, 0, 0, 2, 0), INSN(0xb7, 1, 0, 0, 1), INSN(0xdb, 0, 1, 0, 0),
	    INSN(0xb7, 0, 0, 0, 0), INSN(0x95, 0, 0, 0, 0),
	};
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE, .insns = (uintptr_t)code, .insn_cnt = sizeof(code) / sizeof(code[0]),
			    .license = (uintptr_t)"GPL", .expected_attach_type = attach_type};

	return bpf(BPF_PROG_LOAD, &a, sizeof(a));
}

static int perf_event(const char *file, int pid, uint64_t offset)
{
	char text[16] = "";
	int fd = must(20, open("/sys/bus/event_source/devices/uprobe/type", O_RDONLY));
	struct perf_event_attr a = {.size = sizeof(a), .config1 = (uintptr_t)file, .config2 = offset};

	must(21, (int)read(fd, text, sizeof(text) - 1));
	close(fd);
	a.type = (uint32_t)atoi(text);
	return (int)syscall(SYS_perf_event_open, &a, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static void poll_ring(int ring)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int set = must(30, epoll_create1(EPOLL_CLOEXEC));

	must(31, mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0) == MAP_FAILED ? -1 : 0);
	must(32, mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, ring, PAGE) == MAP_FAILED ? -1 : 0);
	must(33, epoll_ctl(set, EPOLL_CTL_ADD, ring, &ev));
	must(34, epoll_wait(set, &ev, 1, 0));
}

int main(int argc, char **argv)
{
	uint64_t offsets[MOST], one = 1, n = 0;
	int counts, hash, ring, multi, plain, event, link;
	struct link_multi m = {.attach_type = MULTI, .path = (uintptr_t)argv[1], .offsets = (uintptr_t)offsets};

	for (int i = 3; i < argc && m.cnt < MOST; i++)
		offsets[m.cnt++] = strtoull(argv[i], NULL, 16);
	if (!m.cnt)
		return 99;
	counts = must(1, map_new(BPF_MAP_TYPE_ARRAY, 4, 8, 1));
	hash = must(2, map_new(BPF_MAP_TYPE_HASH, 4, 8, 8));
	must(3, element(BPF_MAP_UPDATE_ELEM, hash, 7, &one));
	ring = must(4, map_new(BPF_MAP_TYPE_RINGBUF, 0, 0, PAGE));
	poll_ring(ring);
	multi = must(5, program(counts, MULTI));
	plain = must(6, program(counts, 0));
	m.prog_fd = (uint32_t)multi;
	m.pid = (uint32_t)atoi(argv[2]);
	link = must(7, bpf(BPF_LINK_CREATE, &m, sizeof(m)));
	event = must(8, perf_event(argv[1], (int)m.pid, offsets[0]));
	must(9, ioctl(event, PERF_EVENT_IOC_SET_BPF, plain));
	must(10, ioctl(event, PERF_EVENT_IOC_ENABLE, 0));
	must(11, element(BPF_MAP_LOOKUP_ELEM, counts, 0, &n));
	must(12, element(BPF_MAP_DELETE_ELEM, hash, 7, NULL));
	must(13, ioctl(event, PERF_EVENT_IOC_DISABLE, 0));
	must(14, close(event));
	must(15, close(link));
	return 0;
}
