/* SPDX-License-Identifier: MIT */
/* The kernel's own types as a BTF object: found by its number, read, and no good for anything else. */
#include <fcntl.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "loader_calls.h"

static long first_btf(uint32_t *ret_id)
{
	union call_attr t = {};
	long r = call_bpf(BPF_BTF_GET_NEXT_ID, &t, 12);

	*ret_id = t.w[1];
	call_show("kernel btf: next id", r);
	memset(&t, 0, sizeof(t));
	t.w[0] = *ret_id;
	return call_bpf(BPF_BTF_GET_FD_BY_ID, &t, 12);
}

static long ask(long fd, struct bpf_btf_info *i)
{
	union call_attr t = {};

	t.a.info.bpf_fd = (uint32_t)fd;
	t.a.info.info_len = sizeof(*i);
	t.a.info.info = (uintptr_t)i;
	return call_bpf(BPF_OBJ_GET_INFO_BY_FD, &t, 16);
}

/* Is the object what the file shows? */
static int same_as_file(long fd, uint32_t size)
{
	struct bpf_btf_info i = {.btf_size = size};
	char *mine = malloc(size), *theirs = malloc(size);
	int file = open("/sys/kernel/btf/vmlinux", O_RDONLY);
	uint32_t done = 0;
	ssize_t n = 1;
	int same;

	i.btf = (uintptr_t)mine;
	while (n > 0 && done < size) {
		n = read(file, theirs + done, size - done);
		done += n > 0 ? (uint32_t)n : 0;
	}
	same = !ask(fd, &i) && done == size && !memcmp(mine, theirs, size);
	close(file);
	free(mine);
	free(theirs);
	return same;
}

static void infos(long fd)
{
	struct bpf_btf_info i = {};
	struct stat st = {};
	char name[16] = "................";
	struct btf_header head;

	call_show("kernel btf: info", ask(fd, &i));
	printf("kernel btf: id %u kernel %u name_len %u size is the file's %d\n", i.id, i.kernel_btf, i.name_len,
	       !stat("/sys/kernel/btf/vmlinux", &st) && i.btf_size == st.st_size);
	printf("kernel btf: bytes are the file's %d\n", same_as_file(fd, i.btf_size));
	i = (struct bpf_btf_info){.btf = (uintptr_t)&head, .btf_size = sizeof(head)};
	call_show("kernel btf: header", ask(fd, &i));
	printf("kernel btf: magic %x, size in full %d\n", head.magic, i.btf_size == st.st_size);
	i = (struct bpf_btf_info){.name = (uintptr_t)name, .name_len = sizeof(name)};
	call_show("kernel btf: name", ask(fd, &i));
	printf("kernel btf: '%s' %u\n", name, i.name_len);
	memset(name, '.', sizeof(name));
	i = (struct bpf_btf_info){.name = (uintptr_t)name, .name_len = 7};
	call_show("kernel btf: name, no room for the end", ask(fd, &i));
	printf("kernel btf: '%s' %u next %c\n", name, i.name_len, name[7]);
	i = (struct bpf_btf_info){.name = (uintptr_t)name, .name_len = 1};
	call_show("kernel btf: name, room for the end", ask(fd, &i));
	printf("kernel btf: '%s' %u next %c\n", name, i.name_len, name[1]);
	i = (struct bpf_btf_info){.name = (uintptr_t)name};
	call_show("kernel btf: name without length", ask(fd, &i));
	i = (struct bpf_btf_info){.name_len = 4};
	call_show("kernel btf: length without name", ask(fd, &i));
	i = (struct bpf_btf_info){.btf = 8, .btf_size = 24};
	call_show("kernel btf: bad pointer", ask(fd, &i));
	i = (struct bpf_btf_info){.name = 8, .name_len = 24};
	call_show("kernel btf: bad pointer for the name", ask(fd, &i));
}

static void uses(long fd)
{
	const struct bpf_insn insns[] = {CALL_MOV(0, 0), CALL_EXIT};
	const uint32_t func[2] = {0, 1};
	union call_attr t = {};

	t.a.map_type = BPF_MAP_TYPE_ARRAY;
	t.a.key_size = 4;
	t.a.value_size = 4;
	t.a.max_entries = 1;
	t.a.btf_fd = (uint32_t)fd;
	t.a.btf_key_type_id = 1;
	t.a.btf_value_type_id = 1;
	call_show_fd("kernel btf: map of its types", call_bpf(BPF_MAP_CREATE, &t, 72));
	t.a.btf_key_type_id = t.a.btf_value_type_id = 0;
	call_show_fd("kernel btf: map without types", call_bpf(BPF_MAP_CREATE, &t, 72));
	memset(&t, 0, sizeof(t));
	t.a.prog_type = BPF_PROG_TYPE_KPROBE;
	t.a.insn_cnt = 2;
	t.a.insns = (uintptr_t)insns;
	t.a.license = (uintptr_t) "GPL";
	t.a.prog_btf_fd = (uint32_t)fd;
	t.a.func_info = (uintptr_t)func;
	t.a.func_info_cnt = 1;
	t.a.func_info_rec_size = 8;
	call_show_fd("kernel btf: program with its functions", call_bpf(BPF_PROG_LOAD, &t, 148));
}

void btf_kernel_cases(void)
{
	uint32_t id;
	long fd = first_btf(&id);

	call_show("kernel btf: by id", fd);
	infos(fd);
	uses(fd);
	close((int)fd);
}
