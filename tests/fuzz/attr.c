/* SPDX-License-Identifier: MIT */
/*
 * System calls of a hostile loader: bpf(2), perf_event_open(2), ioctl, mmap and the shim's own
 * questions, with attributes made from the input. The loader is a child that does nothing: it has
 * a few good descriptors and 64 KiB of memory that is shared with us, so that the broker's writes
 * hit nobody else. Whatever is asked, the answer is a number, a descriptor or an errno.
 *
 * Every input is some calls. The words of an attr are chosen by a byte each, so that random bytes
 * are often nearly right: zeroes, small numbers, descriptors, addresses in the memory (where a program, BTF, a
 * license and paths lie), or what stands in the input.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "../unit/broker/rig.h"
#include "base/bits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA 0x10000000ul
#define ARENA_SIZE 0x10000u
#define CALLS_MAX 12
#define FIRST_FD 200

struct feed {
	const u8 *data;
	size_t n, pos;
};

static u8 feed_u8(struct feed *f)
{
	return f->pos < f->n ? f->data[f->pos++] : 0;
}

static u32 feed_u16(struct feed *f)
{
	u32 lo = feed_u8(f);

	return lo | (u32)feed_u8(f) << 8;
}

static u32 feed_u32(struct feed *f)
{
	u32 lo = feed_u16(f);

	return lo | feed_u16(f) << 16;
}

static struct {
	struct rig rig;
	u8 *arena;
	u32 nfds;
	pid_t child;
	bool ready;
} world;

/* A descriptor that the loader will have, too. */
static void keep(s64 fd)
{
	if (fd < 0 || dup2((int)fd, FIRST_FD + (int)world.nfds) < 0)
		abort();
	close((int)fd);
	world.nfds++;
}

static void make_map(u32 type, u32 key, u32 value, u32 n, u32 flags)
{
	union bpf_attr a = {.map_type = type, .key_size = key, .value_size = value, .max_entries = n, .map_flags = flags};

	if (type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS)
		a.inner_map_fd = FIRST_FD + 1;
	keep(rig_bpf(&world.rig, BPF_MAP_CREATE, &a, sizeof(a)));
}

#define AT_INSNS 0x100u
#define AT_LICENSE 0x200u
#define AT_PATH 0x240u
#define AT_PIN 0x280u
#define AT_BTF 0x300u

static void fill_arena(void)
{
	static const struct bpf_insn insns[] = {{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
	static const struct {
		struct btf_header h;
		u32 type[4];
		char names[5];
	} btf = {{BTF_MAGIC, 1, 0, 24, 0, 16, 16, 5}, {1, BTF_KIND_INT << 24, 4, 0x01000020}, "\0int"};

	memset(world.arena, 0, ARENA_SIZE);
	memcpy(world.arena + AT_INSNS, insns, sizeof(insns));
	memcpy(world.arena + AT_LICENSE, "GPL", 4);
	memcpy(world.arena + AT_PATH, "/bin/true", 10);
	memcpy(world.arena + AT_PIN, "/sys/fs/bpf/x", 14);
	memcpy(world.arena + AT_BTF, &btf, sizeof(btf));
}

static void make_objects(void)
{
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE,
			    .insns = ARENA + AT_INSNS,
			    .insn_cnt = 2,
			    .license = ARENA + AT_LICENSE};

	make_map(BPF_MAP_TYPE_ARRAY, 4, 8, 16, 0);
	make_map(BPF_MAP_TYPE_HASH, 4, 8, 16, 0);
	make_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 12, 4, 0);
	make_map(BPF_MAP_TYPE_LRU_HASH, 8, 24, 8, 0);
	make_map(BPF_MAP_TYPE_LPM_TRIE, 8, 8, 8, BPF_F_NO_PREALLOC);
	make_map(BPF_MAP_TYPE_QUEUE, 0, 8, 4, 0);
	make_map(BPF_MAP_TYPE_BLOOM_FILTER, 0, 8, 4, 0);
	make_map(BPF_MAP_TYPE_STACK_TRACE, 4, 80, 16, 0);
	make_map(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0);
	make_map(31 /* BPF_MAP_TYPE_USER_RINGBUF */, 0, 0, 4096, 0);
	make_map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4, 0);
	make_map(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, 4, 0);
	make_map(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 4, 0);
	make_map(BPF_MAP_TYPE_HASH_OF_MAPS, 4, 4, 4, 0);
	keep(rig_bpf(&world.rig, BPF_PROG_LOAD, &a, sizeof(a)));
	a = (union bpf_attr){.btf = ARENA + AT_BTF, .btf_size = 45};
	keep(rig_bpf(&world.rig, BPF_BTF_LOAD, &a, sizeof(a)));
	keep(open("/bin/true", O_RDONLY | O_CLOEXEC));
}

static void finish(void)
{
	kill(world.child, SIGKILL);
	waitpid(world.child, NULL, 0);
}

static void make_world(void)
{
	world.arena = mmap((void *)ARENA, ARENA_SIZE, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (world.arena != (u8 *)ARENA)
		abort();
	rig_init(&world.rig);
	fill_arena();
	make_objects();
	world.child = fork();
	if (world.child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	close(world.rig.self.pidfd);
	world.rig.self.pid = world.child;
	world.rig.self.pidfd = (int)syscall(SYS_pidfd_open, world.child, 0);
	if (world.rig.self.pidfd < 0)
		abort();
	world.ready = true;
	atexit(finish);
}

static u64 arena_address(struct feed *f)
{
	static const u32 at[] = {0, AT_INSNS, AT_LICENSE, AT_PATH, AT_PIN, AT_BTF, 0x1000, ARENA_SIZE - 4};
	u8 which = feed_u8(f);

	return ARENA + (which < 0xc0 ? at[which % bits_count(at)] : feed_u16(f));
}

static u32 feed_fd(struct feed *f)
{
	return FIRST_FD + feed_u8(f) % (world.nfds + 1);
}

static void make_attr(struct feed *f, u32 *word, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		u8 how = feed_u8(f);

		switch (how & 15) {
		case 0 ... 4: break;
		case 5 ... 7: word[i] = how >> 4; break;
		case 8: word[i] = feed_u8(f); break;
		case 9:
		case 10: word[i] = feed_fd(f); break;
		case 11 ... 14:
			word[i] = (u32)arena_address(f);
			i += i & 1; /* the upper half of a u64 stays 0 */
			break;
		default: word[i] = feed_u32(f);
		}
	}
}

static void check_answer(s64 ret, u32 op, u32 cmd)
{
	if (ret >= -4095)
		return;
	fprintf(stderr, "call %u, command %u: the answer is %lld\n", op, cmd, (long long)ret);
	abort();
}

static s64 one_call(struct feed *f, struct call *k, u32 op, u32 cmd, u64 uattr)
{
	static const u8 sizes[] = {168, 168, 168, 144, 64, 32, 16, 0};
	static const u32 requests[] = {PERF_EVENT_IOC_ENABLE, PERF_EVENT_IOC_DISABLE, PERF_EVENT_IOC_SET_BPF,
				       PERF_EVENT_IOC_ID, PERF_EVENT_IOC_QUERY_BPF};

	switch (op) {
	case 0: return cmd_perf_open(k, uattr, feed_u8(f) & 1 ? -1 : world.child, (s8)feed_u8(f), -1, feed_u8(f));
	case 1: return cmd_ioctl(k, (int)feed_fd(f), requests[cmd % bits_count(requests)], feed_fd(f));
	case 2: return cmd_map_view(k, (int)feed_fd(f), arena_address(f));
	case 3: return cmd_fdinfo(k, (int)feed_fd(f));
	case 4: return cmd_mmap(k, (int)feed_fd(f), (u64)feed_u16(f) << 8, feed_u8(f), feed_u8(f), (u64)feed_u8(f) << 12,
				(u64)feed_u16(f) << 12);
	default: return cmd_bpf(k, cmd, uattr, sizes[feed_u8(f) % bits_count(sizes)]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed f = {data, size, 0};
	u32 ncalls;

	if (!world.ready)
		make_world();
	fill_arena();
	ncalls = feed_u8(&f) % CALLS_MAX + 1;
	if (size > 1024) /* and what the pointers lead to */
		memcpy(world.arena + 0x1000, data + 1024, bits_min(size - 1024, (size_t)0x8000));
	while (ncalls-- && f.pos < size) {
		struct call k = {.b = &world.rig.b, .c = &world.rig.self, .ret_fd = -1};
		u32 op = feed_u8(&f) % 32, cmd = feed_u8(&f) % 40;

		memset(world.arena, 0, ATTR_SIZE);
		make_attr(&f, (u32 *)(void *)world.arena, ATTR_SIZE / 4);
		check_answer(one_call(&f, &k, op, cmd, ARENA), op, cmd);
		if (k.ret_fd >= 0)
			close(k.ret_fd);
	}
	object_reap(&world.rig.b);
	return 0;
}
