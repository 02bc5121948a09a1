/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <link.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "loader_calls.h"

/* A blob with n words of types right in front of its strings. */
static long btf_load(const uint32_t *types, uint32_t n, const char *strings, uint32_t nstr,
		     uint32_t hdr_len)
{
	unsigned char blob[512] = {};
	uint32_t head[6] = {0xeb9f | 1u << 16, hdr_len, 0, n * 4, n * 4, nstr};
	union call_attr t = {};

	memcpy(blob, head, sizeof(head));
	memcpy(blob + hdr_len, types, n * 4);
	memcpy(blob + hdr_len + n * 4, strings, nstr);
	t.q[0] = (uintptr_t)blob;
	t.w[4] = hdr_len + n * 4 + nstr;
	return call_bpf(BPF_BTF_LOAD, &t, 28);
}

#define INFO(kind, vlen) ((uint32_t)(kind) << 24 | (vlen))
static const uint32_t type_int[] = {1, INFO(1, 0), 4, 0x01000020};

void btf_cases(void)
{
	const uint32_t with_func[] = {1,	   INFO(1, 0), 4, 0x01000020,  0,
				      INFO(13, 0), 0,	       5, INFO(12, 0), 2};
	const uint32_t with_float[] = {1, INFO(16, 0), 4};
	const uint32_t with_enum64[] = {1, INFO(19, 1), 8, 5, 1, 0};
	const uint32_t unknown[] = {1, INFO(25, 0), 4};
	union call_attr t = {};

	call_show_fd("btf: int", btf_load(type_int, 4, "\0int", 5, 24));
	call_show_fd("btf: func", btf_load(with_func, 10, "\0int\0f", 7, 24));
	call_show_fd("btf: float", btf_load(with_float, 3, "\0flt", 5, 24));
	call_show_fd("btf: enum64", btf_load(with_enum64, 6, "\0enu\0v", 7, 24));
	call_show_fd("btf: unknown kind", btf_load(unknown, 3, "\0flt", 5, 24));
	call_show_fd("btf: header 40, zero tail", btf_load(type_int, 4, "\0int", 5, 40));
	call_show_fd("btf: header 16", btf_load(type_int, 4, "\0int", 5, 16));
	call_show_fd("btf: strings without NUL", btf_load(type_int, 4, "\0int", 4, 24));
	call_show_fd("btf: no types", btf_load(type_int, 0, "\0int", 5, 24));
	call_show_fd("btf: cut type", btf_load(type_int, 2, "\0int", 5, 24));
	t.w[4] = 1u << 30;
	call_show_fd("btf: too large", call_bpf(BPF_BTF_LOAD, &t, 28));
	t.w[4] = 100;
	t.q[0] = 8;
	call_show_fd("btf: bad pointer", call_bpf(BPF_BTF_LOAD, &t, 28));
	t.w[4] = 0;
	call_show_fd("btf: empty", call_bpf(BPF_BTF_LOAD, &t, 28));
}

static long link_create(long prog, unsigned int type, unsigned int flags, const void *path,
			const void *offsets, unsigned int cnt, unsigned int multi_flags,
			unsigned int pid, unsigned int tail)
{
	union call_attr t = {};

	t.w[0] = (uint32_t)prog;
	t.w[1] = (uint32_t)-1;
	t.w[2] = type;
	t.w[3] = flags;
	t.q[2] = (uintptr_t)path;
	t.q[3] = (uintptr_t)offsets;
	t.w[12] = cnt;
	t.w[13] = multi_flags;
	t.w[14] = pid;
	t.w[15] = tail;
	return call_bpf(BPF_LINK_CREATE, &t, 64);
}

static void link_multi(long prog)
{
	const uint64_t off = 0, negative = (uint64_t)-5;
	long other = call_simple_prog(BPF_PROG_TYPE_KPROBE, 0);

	call_show_fd("link multi: path /", link_create(prog, 48, 0, "/", &off, 1, 0, 0, 0));
	call_show_fd("link multi: path /, pid -1",
		     link_create(prog, 48, 0, "/", &off, 1, 0, (uint32_t)-1, 0));
	call_show_fd("link multi: bad prog", link_create(-1, 48, 0, "/", &off, 1, 0, 0, 0));
	call_show_fd("link multi: prog is fd 0", link_create(0, 48, 0, "/", &off, 1, 0, 0, 0));
	call_show_fd("link multi: prog of another type",
		     link_create(other, 48, 0, "/", &off, 1, 0, 0, 0));
	call_show_fd("link multi: as session", link_create(prog, 57, 0, "/", &off, 1, 0, 0, 0));
	call_show_fd("link multi: attach type 9999",
		     link_create(prog, 9999, 0, "/", &off, 1, 0, 0, 0));
	call_show_fd("link multi: link flags", link_create(prog, 48, 1, "/", &off, 1, 0, 0, 0));
	call_show_fd("link multi: flags 4", link_create(prog, 48, 0, "/", &off, 1, 4, 0, 0));
	call_show_fd("link multi: byte 60", link_create(prog, 48, 0, "/", &off, 1, 0, 0, 1));
	call_show_fd("link multi: no path", link_create(prog, 48, 0, NULL, &off, 1, 0, 0, 0));
	call_show_fd("link multi: no offsets", link_create(prog, 48, 0, "/", NULL, 1, 0, 0, 0));
	call_show_fd("link multi: count 0", link_create(prog, 48, 0, "/", &off, 0, 0, 0, 0));
	call_show_fd("link multi: count 2^20 + 1",
		     link_create(prog, 48, 0, "/", &off, (1 << 20) + 1, 0, 0, 0));
	call_show_fd("link multi: bad path pointer",
		     link_create(prog, 48, 0, (void *)8, &off, 1, 0, 0, 0));
	call_show_fd("link multi: no such file",
		     link_create(prog, 48, 0, "/no/such", &off, 1, 0, 0, 0));
	call_show_fd("link multi: not a directory",
		     link_create(prog, 48, 0, "/etc/passwd/x", &off, 1, 0, 0, 0));
	call_show_fd("link multi: device", link_create(prog, 48, 0, "/dev/null", &off, 1, 0, 0, 0));
	call_show_fd("link multi: no such pid",
		     link_create(prog, 48, 0, "/proc/self/exe", &off, 1, 0, 4194303, 0));
	call_show_fd("link multi: bad offsets",
		     link_create(prog, 48, 0, "/proc/self/exe", (void *)8, 1, 0, 0, 0));
	call_show_fd("link multi: offset -5",
		     link_create(prog, 48, 0, "/proc/self/exe", &negative, 1, 0, 0, 0));
	close((int)other);
}

void link_cases(void)
{
	long multi = call_simple_prog(BPF_PROG_TYPE_KPROBE, 48);
	long tp = call_simple_prog(BPF_PROG_TYPE_TRACEPOINT, 0);
	long kprobe = call_simple_prog(BPF_PROG_TYPE_KPROBE, 0);
	union call_attr t = {};

	link_multi(multi);
	call_show_fd("link perf: target -1, tracepoint",
		     link_create(tp, 41, 0, NULL, NULL, 0, 0, 0, 0));
	call_show_fd("link perf: target -1, kprobe",
		     link_create(kprobe, 41, 0, NULL, NULL, 0, 0, 0, 0));
	call_show_fd("link perf: target -1, multi",
		     link_create(multi, 41, 0, NULL, NULL, 0, 0, 0, 0));
	call_show_fd("link perf: flags", link_create(kprobe, 41, 1, NULL, NULL, 0, 0, 0, 0));
	t.w[0] = (uint32_t)-1;
	call_show("link detach: bad fd", call_bpf(BPF_LINK_DETACH, &t, 4));
	t.w[0] = (uint32_t)kprobe;
	call_show("link detach: a program", call_bpf(BPF_LINK_DETACH, &t, 4));
	call_show("link update: a program", call_bpf(BPF_LINK_UPDATE, &t, 16));
	t.w[2] = 1u << 20;
	call_show("link update: flags", call_bpf(BPF_LINK_UPDATE, &t, 16));
	close((int)multi);
	close((int)tp);
	close((int)kprobe);
}

static long info_call(long fd, void *info, uint32_t *len)
{
	union call_attr t = {};
	long r;

	t.w[0] = (uint32_t)fd;
	t.w[1] = *len;
	t.q[1] = (uintptr_t)info;
	r = call_bpf(BPF_OBJ_GET_INFO_BY_FD, &t, 16);
	*len = t.w[1];
	return r;
}

static void info_map(void)
{
	long fd = call_map_create(BPF_MAP_TYPE_HASH, 4, 24, 100, BPF_F_NO_PREALLOC, "shown");
	union {
		struct bpf_map_info i;
		unsigned char bytes[256];
	} u = {};
	uint32_t len = 88;

	call_show("info map", info_call(fd, &u, &len));
	printf("info map: type %u key %u value %u max %u flags %u name %s len %u\n", u.i.type,
	       u.i.key_size, u.i.value_size, u.i.max_entries, u.i.map_flags, u.i.name, len);
	memset(&u, 0xff, sizeof(u));
	len = 8;
	call_show("info map: 8 bytes", info_call(fd, &u, &len));
	printf("info map: len %u type %u rest untouched %d\n", len, u.i.type,
	       u.i.key_size == 0xffffffff);
	memset(&u, 0, sizeof(u));
	len = 256;
	call_show("info map: 256 bytes", info_call(fd, &u, &len));
	u.bytes[255] = 1;
	len = 256;
	call_show("info map: tail not zero", info_call(fd, &u, &len));
	len = 0;
	call_show("info map: 0 bytes", info_call(fd, &u, &len));
	len = 88;
	call_show("info map: bad pointer", info_call(fd, (void *)8, &len));
	len = 88;
	call_show("info: fd 0", info_call(0, &u, &len));
	len = 88;
	call_show("info: fd -1", info_call(-1, &u, &len));
	close((int)fd);
}

static void info_prog(void)
{
	long map = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, "used");
	struct bpf_insn insns[] = {CALL_LD(1, 1, 0), CALL_LD2(0), CALL_MOV(0, 0), CALL_EXIT};
	struct call_load l = {
	    .type = BPF_PROG_TYPE_KPROBE, .eat = 48, .insns = insns, .n = 4, .name = "shown"};
	struct bpf_prog_info i = {};
	uint32_t ids[4] = {}, len = sizeof(i);
	struct bpf_map_info mi = {};
	uint32_t mlen = sizeof(mi);
	long fd;

	insns[0].imm = (int)map;
	fd = call_prog_load(&l);
	i.nr_map_ids = 4;
	i.map_ids = (uintptr_t)ids;
	call_show("info prog", info_call(fd, &i, &len));
	info_call(map, &mi, &mlen);
	printf("info prog: type %u name %s maps %u gpl %u xlated %u tag "
	       "%02x%02x%02x%02x%02x%02x%02x%02x\n",
	       i.type, i.name, i.nr_map_ids, i.gpl_compatible, i.xlated_prog_len, i.tag[0],
	       i.tag[1], i.tag[2], i.tag[3], i.tag[4], i.tag[5], i.tag[6], i.tag[7]);
	printf("info prog: names its map %d\n", ids[0] == mi.id && mi.id);
	close((int)fd);
	close((int)map);
}

void info_cases(void)
{
	struct bpf_btf_info bi = {};
	char name[16] = "x";
	uint32_t len = sizeof(bi);
	long fd;

	info_map();
	info_prog();
	fd = btf_load(type_int, 4, "\0int", 5, 24);
	bi.name = (uintptr_t)name;
	bi.name_len = sizeof(name);
	call_show("info btf", info_call(fd, &bi, &len));
	printf("info btf: size %u name '%s' len %u kernel %u\n", bi.btf_size, name, bi.name_len,
	       bi.kernel_btf);
	memset(&bi, 0, sizeof(bi));
	bi.name = (uintptr_t)name;
	len = sizeof(bi);
	call_show("info btf: name without length", info_call(fd, &bi, &len));
	close((int)fd);
}

static uint32_t uprobe_type(void)
{
	FILE *f = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
	uint32_t type = 0;

	if (f && fscanf(f, "%u", &type) != 1)
		type = 0;
	if (f)
		fclose(f);
	return type;
}

static long perf_open(const void *path, uint64_t offset, uint64_t config, int pid, int cpu,
		      uint32_t size)
{
	struct perf_event_attr a = {.type = uprobe_type(),
				    .size = size,
				    .config = config,
				    .config1 = (uintptr_t)path,
				    .config2 = offset};

	errno = 0;
	return syscall(__NR_perf_event_open, &a, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* A function that can be probed, and where it is in our file. */
__attribute__((noinline, noclone)) static int probed(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x + 1;
}

static int find_probed(struct dl_phdr_info *info, size_t size, void *arg)
{
	uint64_t addr = (uint64_t)(uintptr_t)probed - info->dlpi_addr;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_LOAD && addr >= p->p_vaddr && addr < p->p_vaddr + p->p_filesz)
			*(uint64_t *)arg = addr - p->p_vaddr + p->p_offset;
	}
	return 1; /* only the program itself, which comes first */
}

void perf_cases(void)
{
	const uint32_t size = sizeof(struct perf_event_attr);
	const char *exe = "/proc/self/exe";
	uint64_t here = 0;
	long kprobe = call_simple_prog(BPF_PROG_TYPE_KPROBE, 0),
	     tp = call_simple_prog(BPF_PROG_TYPE_TRACEPOINT, 0), fd;

	dl_iterate_phdr(find_probed, &here);
	call_show_fd("perf: self", perf_open(exe, here, 0, 0, -1, size));
	call_show_fd("perf: everybody, no cpu", perf_open(exe, here, 0, -1, -1, size));
	call_show_fd("perf: no such pid", perf_open(exe, here, 0, 4194303, -1, size));
	call_show_fd("perf: no such cpu", perf_open(exe, here, 0, 0, 4000, size));
	call_show_fd("perf: no path", perf_open(NULL, here, 0, 0, -1, size));
	call_show_fd("perf: empty path", perf_open("", here, 0, 0, -1, size));
	call_show_fd("perf: directory", perf_open("/", here, 0, 0, -1, size));
	call_show_fd("perf: device", perf_open("/dev/null", here, 0, 0, -1, size));
	call_show_fd("perf: missing file", perf_open("/no/such", here, 0, 0, -1, size));
	call_show_fd("perf: bad path pointer", perf_open((void *)8, here, 0, 0, -1, size));
	call_show_fd("perf: offset behind the end", perf_open(exe, 1ull << 40, 0, 0, -1, size));
	call_show_fd("perf: odd semaphore", perf_open(exe, here, 1ull << 32, 0, -1, size));
	call_show_fd("perf: size 72", perf_open(exe, here, 0, 0, -1, 72));
	call_show_fd("perf: size 10", perf_open(exe, here, 0, 0, -1, 10));
	call_show_fd("perf: size 0", perf_open(exe, here, 0, 0, -1, 0));
	fd = perf_open(exe, here, 1, 0, -1, size);
	errno = 0;
	call_show("perf ioctl: bad prog", ioctl((int)fd, PERF_EVENT_IOC_SET_BPF, -1));
	call_show("perf ioctl: fd 0", ioctl((int)fd, PERF_EVENT_IOC_SET_BPF, 0));
	call_show("perf ioctl: tracepoint program", ioctl((int)fd, PERF_EVENT_IOC_SET_BPF, tp));
	call_show("perf ioctl: program", ioctl((int)fd, PERF_EVENT_IOC_SET_BPF, kprobe));
	call_show("perf ioctl: second program", ioctl((int)fd, PERF_EVENT_IOC_SET_BPF, kprobe));
	call_show("perf ioctl: enable", ioctl((int)fd, PERF_EVENT_IOC_ENABLE, 0));
	call_show("perf ioctl: disable", ioctl((int)fd, PERF_EVENT_IOC_DISABLE, 0));
	call_show("perf ioctl: unknown", ioctl((int)fd, 0x24ff, 0));
	close((int)fd);
	close((int)tp);
	close((int)kprobe);
}
