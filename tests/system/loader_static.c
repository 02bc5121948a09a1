/* SPDX-License-Identifier: MIT */
/*
 * A statically linked loader that is its own target: links are made while it waits for the answer to its call, under a
 * storm of signals (with SA_RESTART: docs/differences.md) that must not be seen, and a perf buffer is mapped. Run on the kernel and under
 * notrap.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <elf.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "tap.h"

#define ROUNDS 60
#define CALLS 100
#define RING_PAGES 4u
#define PAGE 4096u

__attribute__((noinline, noclone, used)) static int probed(int a)
{
	__asm__ volatile("" : "+r"(a));
	return a + 1;
}

static volatile sig_atomic_t alarms;

static void on_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static int bpf(int cmd, union bpf_attr *a)
{
	return (int)syscall(SYS_bpf, cmd, a, sizeof(*a));
}

static int map_new(uint32_t type, uint32_t value, uint32_t n, uint32_t flags)
{
	union bpf_attr a = {.map_type = type, .key_size = 4, .value_size = value, .max_entries = n, .map_flags = flags};

	return bpf(BPF_MAP_CREATE, &a);
}

static int map_set(int fd, uint32_t key, const void *value)
{
	union bpf_attr a = {.map_fd = (uint32_t)fd, .key = (uintptr_t)&key, .value = (uintptr_t)value};

	return bpf(BPF_MAP_UPDATE_ELEM, &a);
}

static uint64_t map_get(int fd, uint32_t key)
{
	uint64_t value = ~0ull;
	union bpf_attr a = {.map_fd = (uint32_t)fd, .key = (uintptr_t)&key, .value = (uintptr_t)&value};

	bpf(BPF_MAP_LOOKUP_ELEM, &a);
	return value;
}

static int prog_new(const struct bpf_insn *insns, uint32_t n)
{
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE, .insns = (uintptr_t)insns, .insn_cnt = n, .license = (uintptr_t)"GPL"};

	return bpf(BPF_PROG_LOAD, &a);
}

#define INSN(c, d, s, o, i) {.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)}

static int counting_prog(int map)
{
	const struct bpf_insn code[] = {
	    INSN(0x62, 10, 0, -4, 0), INSN(0x18, 1, 1, 0, map), INSN(0, 0, 0, 0, 0), INSN(0xbf, 2, 10, 0, 0), INSN(0x07, 2, 0, 0, -4),
	    INSN(0x85, 0, 0, 0, BPF_FUNC_map_lookup_elem), INSN(0x15, 0, 0, 2, 0), INSN(0xb7, 1, 0, 0, 1), INSN(0xdb, 0, 1, 0, 0),
	    INSN(0xb7, 0, 0, 0, 0), INSN(0x95, 0, 0, 0, 0),
	};

	return prog_new(code, sizeof(code) / sizeof(code[0]));
}

/* Sends its first argument. */
static int sending_prog(int map)
{
	const struct bpf_insn code[] = {
	    INSN(0x79, 0, 1, 112, 0), INSN(0x7b, 10, 0, -8, 0), INSN(0x18, 2, 1, 0, map), INSN(0, 0, 0, 0, 0),
	    INSN(0x18, 3, 0, 0, -1), INSN(0, 0, 0, 0, 0), INSN(0xbf, 4, 10, 0, 0), INSN(0x07, 4, 0, 0, -8), INSN(0xb7, 5, 0, 0, 8),
	    INSN(0x85, 0, 0, 0, BPF_FUNC_perf_event_output), INSN(0xb7, 0, 0, 0, 0), INSN(0x95, 0, 0, 0, 0),
	};

	return prog_new(code, sizeof(code) / sizeof(code[0]));
}

static uint64_t file_offset(void *function)
{
	const Elf64_Phdr *ph = (const void *)getauxval(AT_PHDR);
	uint64_t at = (uintptr_t)function;

	for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
		if (ph[i].p_type == PT_LOAD && at - ph[i].p_vaddr < ph[i].p_filesz)
			return at - ph[i].p_vaddr + ph[i].p_offset;
	return 0;
}

static int perf_open(struct perf_event_attr *a, int pid, int cpu)
{
	a->size = sizeof(*a);
	return (int)syscall(SYS_perf_event_open, a, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static int attach(int prog, uint32_t type)
{
	struct perf_event_attr a = {.type = type, .config1 = (uintptr_t)"/proc/self/exe", .config2 = file_offset(probed)};
	int fd = perf_open(&a, 0, -1);

	if (fd < 0 || ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		return -1;
	return fd;
}

static uint32_t uprobe_type(void)
{
	char text[16] = "";
	int fd = open("/sys/bus/event_source/devices/uprobe/type", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 1)
		tap_skip_all("there are no uprobes");
	close(fd);
	return (uint32_t)atoi(text);
}

static void storm(int on)
{
	struct itimerval it = {.it_value.tv_usec = on ? 300 : 0, .it_interval.tv_usec = on ? 300 : 0};
	struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
}

static void test_self(uint32_t type)
{
	int map = map_new(BPF_MAP_TYPE_ARRAY, 8, 1, 0), prog = counting_prog(map), attached = 0, exact = 0;

	if (prog < 0 && errno == EPERM)
		tap_skip_all("no right to use bpf(2)");
	storm(1);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t before = map_get(map, 0);
		int fd = attach(prog, type);

		attached += fd >= 0;
		for (int j = 0; j < CALLS; j++)
			probed(j);
		exact += map_get(map, 0) - before == CALLS;
		close(fd);
		/* The close of a static loader takes effect a moment later. */
		for (int wait = 0; wait < 2000; wait++) {
			before = map_get(map, 0);
			probed(0);
			if (map_get(map, 0) == before)
				break;
		}
	}
	storm(0);
	tap_eq(attached, ROUNDS, "it attaches to itself, %d times", ROUNDS);
	tap_eq(exact, ROUNDS, "and counts every call");
	tap_ok(alarms > ROUNDS / 4, "under signals: %d", (int)alarms);
	close(prog);
	close(map);
}

struct ring {
	volatile struct perf_event_mmap_page *page;
	int fd;
};

/* Samples that are there: their number, and the sum of what was sent. */
static int ring_drain(struct ring *r, uint64_t *sum)
{
	uint64_t tail = r->page->data_tail, head = r->page->data_head;
	const char *data = (const char *)r->page + PAGE;
	int n = 0;

	__sync_synchronize();
	for (; tail < head; n++) {
		const struct perf_event_header *h = (const void *)(data + tail % (RING_PAGES * PAGE));

		/* header, u32 size, data: 8 + 4 + 8, never across the end as records of 24 bytes do not fill a ring here */
		*sum += *(const uint32_t *)((const char *)h + sizeof(*h) + 4);
		tail += h->size;
	}
	__sync_synchronize();
	r->page->data_tail = tail;
	return n;
}

static void test_perf(uint32_t type)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	int map = map_new(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, (uint32_t)cpus, 0), prog = sending_prog(map);
	int set = epoll_create1(EPOLL_CLOEXEC), ok = 0, fd, n = 0;
	struct ring ring[64] = {};
	uint64_t sum = 0;

	for (int i = 0; i < cpus && i < 64; i++) {
		struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .config = PERF_COUNT_SW_BPF_OUTPUT, .sample_type = PERF_SAMPLE_RAW,
					    .sample_period = 1, .wakeup_events = 1};
		struct epoll_event ev = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

		ring[i].fd = perf_open(&a, -1, i);
		ring[i].page = mmap(NULL, (1 + RING_PAGES) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring[i].fd, 0);
		ok += ring[i].page != MAP_FAILED && ring[i].page->data_size == RING_PAGES * PAGE &&
		      !ioctl(ring[i].fd, PERF_EVENT_IOC_ENABLE, 0) && !map_set(map, (uint32_t)i, &ring[i].fd) &&
		      !epoll_ctl(set, EPOLL_CTL_ADD, ring[i].fd, &ev);
	}
	if (!tap_eq(ok, cpus, "a perf buffer per CPU is opened, mapped and in the array"))
		return;
	tap_ok(mmap(NULL, 3 * PAGE + PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring[0].fd, 0) == MAP_FAILED && errno == EINVAL,
	       "a buffer whose size is no power of two is refused");
	fd = attach(prog, type);
	for (int i = 1; i <= CALLS; i++) {
		struct epoll_event ev;

		probed(i);
		if (i % 10)
			continue;
		if (epoll_wait(set, &ev, 1, 2000) != 1)
			break;
		for (int c = 0; c < cpus; c++)
			n += ring_drain(&ring[c], &sum);
	}
	tap_eq(n, CALLS, "all samples come");
	tap_eq(sum, CALLS * (CALLS + 1) / 2, "with what was sent");
	close(fd);
}

static void test_maps(void)
{
	int map = map_new(BPF_MAP_TYPE_ARRAY, 8, 1, BPF_F_MMAPABLE);
	union bpf_attr a = {.map_fd = (uint32_t)map};
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);

	tap_ok(p != MAP_FAILED, "an array is mapped");
	munmap(p, PAGE);
	tap_eq(bpf(BPF_MAP_FREEZE, &a), 0, "and frozen");
	p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	tap_ok(p == MAP_FAILED && errno == EPERM, "then it is not mapped writable");
	p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, map, 0);
	tap_ok(p != MAP_FAILED, "but readable");
}

int main(void)
{
	uint32_t type = uprobe_type();

	test_self(type);
	test_perf(type);
	test_maps();
	return tap_done();
}
