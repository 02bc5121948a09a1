/* SPDX-License-Identifier: MIT */
/* A map for tests: a memfd mapped shared between two guard areas, so that a stray access faults. */
#pragma once

#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "maps/maps.h"

#define MAPFILE_GUARD (64ul << 20)

__attribute__((unused)) static struct nt_map_view mapfile_spec(u32 type, u32 key, u32 value,
							       u32 max, u32 flags, u32 ncpus)
{
	return (struct nt_map_view){.type = type,
				    .key_size = key,
				    .value_size = value,
				    .max_entries = max,
				    .flags = flags,
				    .ncpus = ncpus,
				    .id = 1};
}

__attribute__((unused)) static struct nt_map_view mapfile_new(u32 type, u32 key, u32 value, u32 max,
							      u32 flags, u32 ncpus)
{
	struct nt_map_view v = mapfile_spec(type, key, value, max, flags, ncpus);
	int fd = memfd_create("map", MFD_CLOEXEC), r = map_geometry(&v);
	u8 *area;

	if (r < 0 || fd < 0 || ftruncate(fd, (off_t)v.size) < 0) {
		fprintf(stderr, "mapfile: geometry %d, fd %d\n", r, fd);
		exit(2);
	}
	area = mmap(NULL, v.size + 2 * MAPFILE_GUARD, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		exit(2);
	v.base = mmap(area + MAPFILE_GUARD, v.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		      fd, 0);
	close(fd);
	if (v.base == MAP_FAILED || map_init(&v) < 0)
		exit(2);
	return v;
}

__attribute__((unused)) static void mapfile_free(struct nt_map_view *v)
{
	munmap(v->base - MAPFILE_GUARD, v->size + 2 * MAPFILE_GUARD);
	v->base = NULL;
}

__attribute__((unused)) static struct nt_caller mapfile_caller(u32 cpu)
{
	return (struct nt_caller){.tid = (u32)syscall(SYS_gettid), .cpu = cpu};
}

/* Deterministic random numbers (splitmix). */
__attribute__((unused)) static u64 mapfile_rand(u64 *state)
{
	u64 z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}
