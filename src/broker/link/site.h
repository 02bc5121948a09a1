/* SPDX-License-Identifier: MIT */
/*
 * Binaries and their sites. A binary is a file by identity (device, inode); its analysis and the plans of its sites
 * are kept, so that a second link on the same file pays for neither. A site is an offset in it with the list of those
 * who want to be called there, newest first, whatever links they belong to.
 */
#pragma once

#include "broker/link/engine.h"

struct util_elf;

struct site {
	u64 off;   /* in the file */
	u32 id;	   /* index into module.patch, never changes */
	struct consumer *first;
	u32 round; /* one more whenever the list becomes empty: calls that began before are reported to nobody later */
	u64 ref_ctr; /* file offset of its counter, 0 = none; the same for all its consumers */
	struct patch_plan plan; /* vaddr is the ELF's */
};

/* One to come, in a loop over many, into the cache. */
static inline void site_prefetch(struct site *const *site, u32 i, u32 n)
{
	const char *p = i + 8 < n ? (const char *)site[i + 8] : NULL;

	if (!p)
		return;
	for (u32 k = 0; k < sizeof(struct site); k += 64)
		__builtin_prefetch(p + k);
}

struct binary_key {
	u64 dev, ino;
};

struct binary {
	struct binary_key key;
	u64 size;
	s64 mtime_ns;
	char *path; /* for messages */
	int fd;	     /* O_PATH, while a link is on it (its inode number cannot come to mean another file), else -1 */
	bool marked; /* watch/birth.h: whoever opens it waits */
	int opened;  /* watch/birth.h: openings are told under this number; 0 = they are not */
	u64 map_dev; /* the device that /proc/PID/maps shows */
	u8 *image;   /* the file's bytes */
	struct util_elf *elf; /* NULL: not an ELF file, no site can be patched */
	struct patch_binary *analysis;
	struct site **site; /* [nsites], sorted by off */
	u32 nsites;
	u32 next_id;
	bool rets_too; /* some process needs what exits.h has as second choice */
	struct patch_range *taken; /* [ntaken] what plans use apart from their sites, sorted: no other may use it */
	u32 ntaken;
	struct site_chunk *chunks;
	UT_hash_handle hh;
};

/* The binary behind an O_PATH descriptor (found again by identity, analysed at first sight). -errno. */
int binary_get(struct engine *e, int path_fd, struct binary **ret);
void binary_free_all(struct engine *e);

/* File offset of code (page of a mapping, or site) to the ELF's virtual address; -ENOENT: not in an executable segment. */
int binary_vaddr(const struct binary *b, u64 off, u64 *ret);

/* The same for the start of a mapping of size bytes, which may begin before the code (headers in the same segment). */
int binary_map_vaddr(const struct binary *b, u64 off, u64 size, u64 *ret);

/* The sites at offsets[0..n), planned, in the order of offsets; equal offsets give the same site. -ENOMEM. */
int binary_sites(struct binary *b, const u64 *offsets, u32 n, struct site **ret);

void site_add_consumer(struct site *s, struct consumer *c);
void site_remove_consumer(struct site *s, struct consumer *c);
