/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <sys/mman.h>

#include "loader_calls.h"

static void maps_names(void)
{
	call_show_fd("name: dots and dashes",
		     call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, "a.b_C9"));
	call_show_fd("name: dash", call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, "a-b"));
	call_show_fd("name: space", call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, "a b"));
	call_show_fd("name: 15 bytes",
		     call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, "abcdefghijklmno"));
	call_show_fd("name: 16 bytes",
		     call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, "abcdefghijklmnop"));
	call_show_fd("name: bad name and bad type", call_map_create(9999, 4, 8, 1, 0, "a b"));
	call_show_fd("name: bad name and bad size",
		     call_map_create(BPF_MAP_TYPE_ARRAY, 3, 8, 1, 0, "a b"));
}

static void maps_array(void)
{
	call_show_fd("array: plain", call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0, NULL));
	call_show_fd("array: key 8", call_map_create(BPF_MAP_TYPE_ARRAY, 8, 8, 1, 0, NULL));
	call_show_fd("array: value 0", call_map_create(BPF_MAP_TYPE_ARRAY, 4, 0, 1, 0, NULL));
	call_show_fd("array: no entries", call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 0, 0, NULL));
	call_show_fd("array: mmapable",
		     call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE, "libbpf_mmap"));
	call_show_fd("array: no prealloc",
		     call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_NO_PREALLOC, NULL));
	call_show_fd("array: rdonly prog",
		     call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY_PROG, NULL));
	call_show_fd(
	    "array: rdonly and wronly",
	    call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY | BPF_F_WRONLY, NULL));
	call_show_fd("array: rdonly and wronly prog",
		     call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1,
				     BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG, NULL));
	call_show_fd("array: unknown flag",
		     call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, 1u << 30, NULL));
	call_show_fd("array: numa node 0",
		     call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_NUMA_NODE, NULL));
	call_show_fd("percpu array: plain",
		     call_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 4, 0, NULL));
	call_show_fd("percpu array: mmapable",
		     call_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 4, BPF_F_MMAPABLE, NULL));
	call_show_fd("percpu array: 40 KiB",
		     call_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 40960, 1, 0, NULL));
}

void maps_cases(void)
{
	union call_attr t = {};

	maps_names();
	maps_array();
	call_show_fd("hash: plain", call_map_create(BPF_MAP_TYPE_HASH, 8, 8, 16, 0, NULL));
	call_show_fd("hash: key 0", call_map_create(BPF_MAP_TYPE_HASH, 0, 8, 16, 0, NULL));
	call_show_fd("hash: value 0", call_map_create(BPF_MAP_TYPE_HASH, 4, 0, 16, 0, NULL));
	call_show_fd("hash: no entries", call_map_create(BPF_MAP_TYPE_HASH, 4, 4, 0, 0, NULL));
	call_show_fd("hash: no prealloc",
		     call_map_create(BPF_MAP_TYPE_HASH, 4, 4, 4, BPF_F_NO_PREALLOC, NULL));
	call_show_fd("hash: mmapable",
		     call_map_create(BPF_MAP_TYPE_HASH, 4, 4, 4, BPF_F_MMAPABLE, NULL));
	call_show_fd("percpu hash: plain",
		     call_map_create(BPF_MAP_TYPE_PERCPU_HASH, 4, 8, 4, 0, NULL));
	call_show_fd("ringbuf: page", call_map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, NULL));
	call_show_fd("ringbuf: key 4", call_map_create(BPF_MAP_TYPE_RINGBUF, 4, 0, 4096, 0, NULL));
	call_show_fd("ringbuf: 3 pages",
		     call_map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, 12288, 0, NULL));
	call_show_fd("ringbuf: 100 bytes",
		     call_map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, 100, 0, NULL));
	call_show_fd("ringbuf: empty", call_map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, 0, 0, NULL));
	call_show_fd("unspec", call_map_create(0, 4, 4, 1, 0, NULL));
	call_show_fd("type 9999", call_map_create(9999, 4, 4, 1, 0, NULL));
	t.a.map_type = BPF_MAP_TYPE_ARRAY;
	t.a.key_size = 4;
	t.a.value_size = 4;
	t.a.max_entries = 1;
	t.a.map_extra = 1;
	call_show_fd("array: map_extra", call_bpf(BPF_MAP_CREATE, &t, 72));
	t.a.map_extra = 0;
	t.a.btf_fd = 0;
	t.a.btf_key_type_id = 1;
	call_show_fd("array: btf key without value", call_bpf(BPF_MAP_CREATE, &t, 72));
	t.a.btf_value_type_id = 1;
	t.a.btf_fd = (uint32_t)-1;
	call_show_fd("array: bad btf fd", call_bpf(BPF_MAP_CREATE, &t, 72));
	t.a.btf_fd = 0;
	call_show_fd("array: btf fd is no btf", call_bpf(BPF_MAP_CREATE, &t, 72));
}

static void elem_array(void)
{
	long fd = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 4, BPF_F_MMAPABLE, "elems");
	uint32_t key = 1, next = 77;
	uint64_t value = 42, *mapped;

	call_show("elem array: update", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_ANY));
	value = 0;
	call_show("elem array: lookup", call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0));
	printf("elem array: value %llu\n", (unsigned long long)value);
	call_show("elem array: noexist",
		  call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_NOEXIST));
	call_show("elem array: exist", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_EXIST));
	call_show("elem array: flags 3", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 3));
	call_show("elem array: flags lock",
		  call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_F_LOCK));
	call_show("elem array: lookup lock",
		  call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, BPF_F_LOCK));
	call_show("elem array: lookup flags 1",
		  call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 1));
	call_show("elem array: delete", call_elem(BPF_MAP_DELETE_ELEM, fd, &key, NULL, 0));
	call_show("elem array: delete with value",
		  call_elem(BPF_MAP_DELETE_ELEM, fd, &key, &value, 0));
	call_show("elem array: lookup and delete",
		  call_elem(BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, &key, &value, 0));
	call_show("elem array: next of NULL", call_elem(BPF_MAP_GET_NEXT_KEY, fd, NULL, &next, 0));
	printf("elem array: next %u\n", next);
	key = 3;
	call_show("elem array: next of last", call_elem(BPF_MAP_GET_NEXT_KEY, fd, &key, &next, 0));
	key = 4;
	call_show("elem array: next of bogus", call_elem(BPF_MAP_GET_NEXT_KEY, fd, &key, &next, 0));
	printf("elem array: next %u\n", next);
	call_show("elem array: lookup oob", call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0));
	call_show("elem array: update oob", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0));
	key = 0;
	call_show("elem array: bad key pointer",
		  call_elem(BPF_MAP_LOOKUP_ELEM, fd, (void *)8, &value, 0));
	call_show("elem array: NULL key", call_elem(BPF_MAP_LOOKUP_ELEM, fd, NULL, &value, 0));
	call_show("elem array: bad value pointer",
		  call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, (void *)8, 0));
	call_show("elem array: update from bad pointer",
		  call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, (void *)8, 0));
	call_show("elem array: bad pointer and oob",
		  call_elem(BPF_MAP_UPDATE_ELEM, fd, (void *)8, (void *)8, 7));
	mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	printf("elem array: mapped value %llu\n",
	       mapped == MAP_FAILED ? 0ull : (unsigned long long)mapped[1]);
	mapped[2] = 99;
	key = 2;
	call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0);
	printf("elem array: value written through the mapping %llu\n", (unsigned long long)value);
	munmap(mapped, 4096);
	close((int)fd);
	call_show("elem: closed map", call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0));
	call_show("elem: fd -1", call_elem(BPF_MAP_LOOKUP_ELEM, -1, &key, &value, 0));
	call_show("elem: fd 0", call_elem(BPF_MAP_LOOKUP_ELEM, 0, &key, &value, 0));
}

static void elem_hash(void)
{
	long fd = call_map_create(BPF_MAP_TYPE_HASH, 4, 8, 2, 0, NULL);
	uint32_t key = 7, next = 0;
	uint64_t value = 1;

	call_show("elem hash: empty, next", call_elem(BPF_MAP_GET_NEXT_KEY, fd, NULL, &next, 0));
	call_show("elem hash: lookup missing", call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0));
	call_show("elem hash: exist missing",
		  call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_EXIST));
	call_show("elem hash: insert",
		  call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_NOEXIST));
	call_show("elem hash: insert again",
		  call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_NOEXIST));
	call_show("elem hash: next", call_elem(BPF_MAP_GET_NEXT_KEY, fd, NULL, &next, 0));
	printf("elem hash: next %u\n", next);
	call_show("elem hash: next of last", call_elem(BPF_MAP_GET_NEXT_KEY, fd, &next, &next, 0));
	key = 8;
	call_show("elem hash: second", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_ANY));
	key = 9;
	call_show("elem hash: full", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, BPF_ANY));
	key = 8;
	value = 0;
	call_show("elem hash: lookup and delete",
		  call_elem(BPF_MAP_LOOKUP_AND_DELETE_ELEM, fd, &key, &value, 0));
	printf("elem hash: value %llu\n", (unsigned long long)value);
	call_show("elem hash: delete missing", call_elem(BPF_MAP_DELETE_ELEM, fd, &key, NULL, 0));
	key = 7;
	call_show("elem hash: delete", call_elem(BPF_MAP_DELETE_ELEM, fd, &key, NULL, 0));
	call_show("elem hash: flags 4", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 4));
	call_show("elem hash: flags 8", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 8));
	close((int)fd);
}

static void elem_batch(void)
{
	long array = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 5, 0, NULL);
	long hash = call_map_create(BPF_MAP_TYPE_HASH, 4, 8, 8, 0, NULL);
	uint32_t keys[8] = {1, 2, 3, 4, 5}, token = 0;
	uint64_t values[8] = {11, 22, 33, 44, 55}, sum = 0;
	union call_attr t = {};

	t.a.batch.keys = (uintptr_t)keys;
	t.a.batch.values = (uintptr_t)values;
	t.a.batch.count = 5;
	t.a.batch.map_fd = (uint32_t)hash;
	call_show("batch hash: update", call_bpf(BPF_MAP_UPDATE_BATCH, &t, 56));
	printf("batch hash: count %u\n", t.a.batch.count);
	memset(values, 0, sizeof(values));
	t.a.batch.count = 8;
	t.a.batch.out_batch = (uintptr_t)&token;
	call_show("batch hash: lookup", call_bpf(BPF_MAP_LOOKUP_BATCH, &t, 56));
	for (int i = 0; i < 8; i++)
		sum += values[i];
	printf("batch hash: count %u sum %llu\n", t.a.batch.count, (unsigned long long)sum);
	t.a.batch.count = 8;
	t.a.batch.flags = 1;
	call_show("batch hash: flags", call_bpf(BPF_MAP_LOOKUP_BATCH, &t, 56));
	t.a.batch.flags = 0;
	t.a.batch.count = 0;
	call_show("batch hash: count 0", call_bpf(BPF_MAP_LOOKUP_BATCH, &t, 56));
	t.a.batch.count = 8;
	call_show("batch hash: lookup and delete",
		  call_bpf(BPF_MAP_LOOKUP_AND_DELETE_BATCH, &t, 56));
	printf("batch hash: count %u\n", t.a.batch.count);
	t.a.batch.count = 8;
	call_show("batch hash: now empty", call_bpf(BPF_MAP_LOOKUP_BATCH, &t, 56));
	printf("batch hash: count %u\n", t.a.batch.count);
	t.a.batch.map_fd = (uint32_t)array;
	t.a.batch.count = 3;
	call_show("batch array: lookup", call_bpf(BPF_MAP_LOOKUP_BATCH, &t, 56));
	printf("batch array: count %u token %u\n", t.a.batch.count, token);
	t.a.batch.in_batch = (uintptr_t)&token;
	t.a.batch.count = 3;
	call_show("batch array: rest", call_bpf(BPF_MAP_LOOKUP_BATCH, &t, 56));
	printf("batch array: count %u\n", t.a.batch.count);
	t.a.batch.count = 2;
	call_show("batch array: delete", call_bpf(BPF_MAP_DELETE_BATCH, &t, 56));
	call_show("batch array: lookup and delete",
		  call_bpf(BPF_MAP_LOOKUP_AND_DELETE_BATCH, &t, 56));
	t.a.batch.map_fd = (uint32_t)-1;
	call_show("batch: bad fd", call_bpf(BPF_MAP_LOOKUP_BATCH, &t, 56));
	close((int)array);
	close((int)hash);
}

static void freeze_try(const char *name, unsigned int flags, int prot, int unmap_first)
{
	long fd = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 64, 1, BPF_F_MMAPABLE | flags, "f");
	uint64_t value[8] = {5};
	uint32_t key = 0;
	char *p;

	errno = 0;
	p = mmap(NULL, 4096, prot, MAP_SHARED, (int)fd, 0);
	printf("%s: mapping %s\n", name, p == MAP_FAILED ? "refused" : "made");
	if (p != MAP_FAILED && prot & PROT_WRITE)
		p[8] = 1;
	if (p != MAP_FAILED && unmap_first)
		munmap(p, 4096);
	call_show(name, call_elem(BPF_MAP_FREEZE, fd, NULL, NULL, 0));
	call_show(name, call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, value, 0));
	call_show(name, call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, value, 0));
	if (p != MAP_FAILED && !unmap_first) {
		munmap(p, 4096);
		call_show(name, call_elem(BPF_MAP_FREEZE, fd, NULL, NULL, 0));
	}
	close((int)fd);
}

/* A map opened again by its id has the access that was asked for then. */
static void freeze_by_id(void)
{
	long fd = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY, NULL), again;
	struct bpf_map_info info = {};
	union call_attr t = {};
	uint64_t value = 1;
	uint32_t key = 0;

	t.a.info.bpf_fd = (uint32_t)fd;
	t.a.info.info_len = sizeof(info);
	t.a.info.info = (uintptr_t)&info;
	call_bpf(BPF_OBJ_GET_INFO_BY_FD, &t, 16);
	for (uint32_t flags = 0; flags <= (BPF_F_RDONLY | BPF_F_WRONLY); flags += BPF_F_RDONLY) {
		memset(&t, 0, sizeof(t));
		t.w[0] = info.id;
		t.w[2] = flags;
		again = call_bpf(BPF_MAP_GET_FD_BY_ID, &t, 16);
		call_show("by id: open", again);
		call_show("by id: update", call_elem(BPF_MAP_UPDATE_ELEM, again, &key, &value, 0));
		call_show("by id: lookup", call_elem(BPF_MAP_LOOKUP_ELEM, again, &key, &value, 0));
		if (again >= 0)
			close((int)again);
	}
	close((int)fd);
}

static long of_maps_create(unsigned int type, unsigned int key, unsigned int value, long inner)
{
	union call_attr t = {};

	t.a.map_type = type;
	t.a.key_size = key;
	t.a.value_size = value;
	t.a.max_entries = 4;
	t.a.inner_map_fd = (uint32_t)inner;
	return call_bpf(BPF_MAP_CREATE, &t, 72);
}

static void maps_of_maps(void)
{
	long array = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0, NULL);
	long other = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 3, 0, NULL);
	long progs = call_map_create(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2, 0, NULL);
	long outer = of_maps_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, array);
	long hash = of_maps_create(BPF_MAP_TYPE_HASH_OF_MAPS, 8, 4, array);
	uint32_t key = 1, fd = (uint32_t)array, fd2 = (uint32_t)other, closed = 1000;
	uint64_t hkey = 5;

	call_show("maps of maps: array", outer);
	call_show("maps of maps: hash", hash);
	call_show_fd("maps of maps: no inner map", of_maps_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1000));
	call_show_fd("maps of maps: fd 0", of_maps_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 0));
	call_show_fd("maps of maps: key 8", of_maps_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, 8, 4, array));
	call_show_fd("maps of maps: value 8", of_maps_create(BPF_MAP_TYPE_HASH_OF_MAPS, 8, 8, array));
	call_show_fd("maps of maps: of maps", of_maps_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, outer));
	call_show_fd("maps of maps: of programs", of_maps_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, progs));
	call_show("maps of maps: update", call_elem(BPF_MAP_UPDATE_ELEM, outer, &key, &fd, 0));
	call_show("maps of maps: another size", call_elem(BPF_MAP_UPDATE_ELEM, outer, &key, &fd2, 0));
	call_show("maps of maps: closed fd", call_elem(BPF_MAP_UPDATE_ELEM, outer, &key, &closed, 0));
	call_show("maps of maps: flags", call_elem(BPF_MAP_UPDATE_ELEM, outer, &key, &fd, BPF_NOEXIST));
	call_show("maps of maps: lookup", call_elem(BPF_MAP_LOOKUP_ELEM, outer, &key, &fd2, 0));
	call_show("maps of maps: lookup and delete", call_elem(BPF_MAP_LOOKUP_AND_DELETE_ELEM, outer, &key, &fd2, 0));
	call_show("maps of maps: delete", call_elem(BPF_MAP_DELETE_ELEM, outer, &key, NULL, 0));
	call_show("maps of maps: lookup of nothing", call_elem(BPF_MAP_LOOKUP_ELEM, outer, &key, &fd2, 0));
	key = 9;
	call_show("maps of maps: lookup behind", call_elem(BPF_MAP_LOOKUP_ELEM, outer, &key, &fd2, 0));
	call_show("maps of maps: update behind", call_elem(BPF_MAP_UPDATE_ELEM, outer, &key, &fd, 0));
	call_show("maps of maps: delete behind", call_elem(BPF_MAP_DELETE_ELEM, outer, &key, NULL, 0));
	call_show("hash of maps: update", call_elem(BPF_MAP_UPDATE_ELEM, hash, &hkey, &fd, BPF_NOEXIST));
	call_show("hash of maps: again", call_elem(BPF_MAP_UPDATE_ELEM, hash, &hkey, &fd, BPF_NOEXIST));
	call_show("hash of maps: lookup", call_elem(BPF_MAP_LOOKUP_ELEM, hash, &hkey, &fd2, 0));
	call_show("hash of maps: next", call_elem(BPF_MAP_GET_NEXT_KEY, hash, NULL, &hkey, 0));
	call_show("hash of maps: delete", call_elem(BPF_MAP_DELETE_ELEM, hash, &hkey, NULL, 0));
	call_show("hash of maps: delete again", call_elem(BPF_MAP_DELETE_ELEM, hash, &hkey, NULL, 0));
	call_show("program array: bad fd", call_elem(BPF_MAP_UPDATE_ELEM, progs, &(uint32_t){0}, &closed, 0));
	call_show("program array: a map", call_elem(BPF_MAP_UPDATE_ELEM, progs, &(uint32_t){0}, &fd, 0));
	call_show("program array: lookup of nothing", call_elem(BPF_MAP_LOOKUP_ELEM, progs, &(uint32_t){0}, &fd2, 0));
	fd2 = (uint32_t)call_simple_prog(BPF_PROG_TYPE_KPROBE, 0);
	call_show("program array: a program", call_elem(BPF_MAP_UPDATE_ELEM, progs, &(uint32_t){0}, &fd2, 0));
	close((int)fd2);
	fd2 = (uint32_t)call_simple_prog(BPF_PROG_TYPE_SOCKET_FILTER, 0);
	call_show("program array: of another type", call_elem(BPF_MAP_UPDATE_ELEM, progs, &(uint32_t){0}, &fd2, 0));
	close((int)fd2);
	call_show("program array: lookup", call_elem(BPF_MAP_LOOKUP_ELEM, progs, &(uint32_t){0}, &fd2, 0));
	call_show("program array: delete", call_elem(BPF_MAP_DELETE_ELEM, progs, &(uint32_t){0}, NULL, 0));
	call_show("program array: delete again", call_elem(BPF_MAP_DELETE_ELEM, progs, &(uint32_t){0}, NULL, 0));
	close((int)array);
	close((int)other);
	close((int)progs);
	close((int)outer);
	close((int)hash);
}

/* Batches of a map of maps: descriptors go in, ids come out; `fd` is put at both keys. */
static void batch_of_maps(const char *what, long map, const void *keys, unsigned int key_size, uint32_t fd)
{
	uint32_t values[4] = {fd, fd}, token[2] = {};
	uint64_t out_keys[4] = {};
	union call_attr t = {};
	char name[64];

#define SHOW(text, cmd)                                                                                                \
	do {                                                                                                           \
		snprintf(name, sizeof(name), "batch of %s: %s", what, text);                                           \
		call_show(name, call_bpf(cmd, &t, 56));                                                                \
		printf("%s: count %u\n", name, t.a.batch.count);                                                      \
	} while (0)
	t.a.batch.keys = (uintptr_t)keys;
	t.a.batch.values = (uintptr_t)values;
	t.a.batch.count = 2;
	t.a.batch.map_fd = (uint32_t)map;
	SHOW("update", BPF_MAP_UPDATE_BATCH);
	values[1] = 1000;
	SHOW("update, one is closed", BPF_MAP_UPDATE_BATCH);
	t.a.batch.count = 4;
	t.a.batch.keys = (uintptr_t)out_keys;
	t.a.batch.out_batch = (uintptr_t)token;
	values[0] = values[1] = 0;
	SHOW("lookup", BPF_MAP_LOOKUP_BATCH);
	printf("batch of %s: the same id twice: %d\n", what, values[0] && values[0] == values[1]);
	t.a.batch.count = 4;
	SHOW("lookup and delete", BPF_MAP_LOOKUP_AND_DELETE_BATCH);
	t.a.batch.keys = (uintptr_t)keys;
	t.a.batch.count = 2;
	values[0] = values[1] = fd;
	SHOW("update again", BPF_MAP_UPDATE_BATCH);
	SHOW("delete", BPF_MAP_DELETE_BATCH);
#undef SHOW
}

static void batches_of_maps(void)
{
	long inner = call_map_create(BPF_MAP_TYPE_HASH, 4, 8, 2, 0, NULL);
	long array = of_maps_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, inner);
	long hash = of_maps_create(BPF_MAP_TYPE_HASH_OF_MAPS, 8, 4, inner);
	uint32_t keys[2] = {0, 1};
	uint64_t hkeys[2] = {7, 9};

	batch_of_maps("an array of maps", array, keys, 4, (uint32_t)inner);
	batch_of_maps("a hash of maps", hash, hkeys, 8, (uint32_t)inner);
	close((int)inner);
	close((int)array);
	close((int)hash);
}

static void elem_freeze(void)
{
	long fd = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG,
				  ".rodata");
	uint32_t key = 0;
	uint64_t value = 5;
	void *p;

	call_show("freeze: update before", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0));
	call_show("freeze: first", call_elem(BPF_MAP_FREEZE, fd, NULL, NULL, 0));
	call_show("freeze: second", call_elem(BPF_MAP_FREEZE, fd, NULL, NULL, 0));
	call_show("freeze: update after", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0));
	call_show("freeze: lookup after", call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0));
	call_show("freeze: with a key", call_elem(BPF_MAP_FREEZE, fd, &key, NULL, 0));
	errno = 0;
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
	call_show("freeze: writable mapping", p == MAP_FAILED ? -1 : 0);
	p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, (int)fd, 0);
	call_show("freeze: readable mapping", p == MAP_FAILED ? -1 : 0);
	if (p != MAP_FAILED)
		munmap(p, 4096);
	close((int)fd);
	call_show("freeze: closed", call_elem(BPF_MAP_FREEZE, fd, NULL, NULL, 0));
	fd = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY, NULL);
	call_show("rdonly: update", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0));
	call_show("rdonly: lookup", call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0));
	close((int)fd);
	fd = call_map_create(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_WRONLY, NULL);
	call_show("wronly: update", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, &value, 0));
	call_show("wronly: lookup", call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, &value, 0));
	call_show("wronly: next", call_elem(BPF_MAP_GET_NEXT_KEY, fd, NULL, &key, 0));
	close((int)fd);
}

void elem_cases(void)
{
	long fd;
	uint32_t key = 0;
	uint64_t values[512] = {};

	elem_array();
	elem_hash();
	elem_batch();
	elem_freeze();
	freeze_try("freeze rw", 0, PROT_READ | PROT_WRITE, 0);
	freeze_try("freeze rw, unmapped", 0, PROT_READ | PROT_WRITE, 1);
	freeze_try("freeze r", 0, PROT_READ, 0);
	freeze_try("freeze rdonly_prog rw", BPF_F_RDONLY_PROG, PROT_READ | PROT_WRITE, 0);
	freeze_try("freeze rdonly_prog r", BPF_F_RDONLY_PROG, PROT_READ, 0);
	freeze_try("freeze rdonly rw", BPF_F_RDONLY, PROT_READ | PROT_WRITE, 0);
	freeze_try("freeze wronly w", BPF_F_WRONLY, PROT_WRITE, 0);
	freeze_by_id();
	maps_of_maps();
	batches_of_maps();
	fd = call_map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, NULL);
	call_show("elem ringbuf: lookup, key NULL",
		  call_elem(BPF_MAP_LOOKUP_ELEM, fd, NULL, values, 0));
	call_show("elem ringbuf: lookup, a key",
		  call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, values, 0));
	call_show("elem ringbuf: update", call_elem(BPF_MAP_UPDATE_ELEM, fd, NULL, values, 0));
	call_show("elem ringbuf: delete", call_elem(BPF_MAP_DELETE_ELEM, fd, NULL, NULL, 0));
	call_show("elem ringbuf: next", call_elem(BPF_MAP_GET_NEXT_KEY, fd, NULL, &key, 0));
	close((int)fd);
	fd = call_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 4, 2, 0, NULL);
	values[0] = 3;
	values[1] = 4;
	call_show("elem percpu array: update", call_elem(BPF_MAP_UPDATE_ELEM, fd, &key, values, 0));
	memset(values, 0xff, sizeof(values));
	call_show("elem percpu array: lookup", call_elem(BPF_MAP_LOOKUP_ELEM, fd, &key, values, 0));
	printf("elem percpu array: %u %u\n", (uint32_t)values[0], (uint32_t)values[1]);
	close((int)fd);
}
