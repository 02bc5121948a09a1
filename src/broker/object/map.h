/* SPDX-License-Identifier: MIT */
/*
 * A map: one memfd (layout in abi/map.h), always mapped here. Loaders get the file re-opened
 * (another struct file of the same inode), so a write lease on our own re-opened descriptor is
 * granted exactly when no loader has the map open or mapped any more. Descriptors sent to targets
 * must be duplicates of `fd`, which a lease does not count.
 */
#pragma once

#include <sys/types.h>

#include "abi/map.h"
#include "broker/object/object.h"

#define MAP_NAME_LEN 16

struct object_map {
	struct object obj;
	struct nt_map_view view; /* view.base: our own mapping, read-write even when frozen */
	int fd;			 /* the memfd */
	int mem_fd;		 /* its memory, for mapping into targets: the memfd, or an array of the kernel's (twin.h) */
	int lease_fd;		 /* re-opened, only for the lease probe */
	dev_t dev;		 /* of the memfd: how loaders' descriptors are recognised */
	ino_t ino;
	bool held; /* some loader has it open: holds one reference */
	bool frozen;
	char name[MAP_NAME_LEN];
	u64 map_extra;
	u64 arena_len; /* bytes that the loader has mapped, or will; 0 = not known yet, nor view.extra */
	u32 created_by_uid;
	u32 btf_key_type_id, btf_value_type_id;
	struct object *btf; /* owned reference or NULL */
	struct nt_map_view inner; /* map of maps: the shape of its elements */
	struct map_slot *slots; /* elements that are objects: slots.h */
	u32 owner_type; /* program array: type of all its programs, 0 = not known yet */
	bool owner_sleepable;
	int pollable_fd;    /* ring buffer: eventfd in the loaders' epoll sets, -1 = nobody waits */
	struct loop_source *rekick;
	bool kernel;	       /* its loader may have things in the kernel (`notrap run --kernel`) */
	struct twin_map *twin; /* in the kernel: twin.h; NULL: none */
};

/* What BPF_MAP_CREATE says (view: after map_geometry()) is copied from `from`, of its BTF a reference is taken. -ENOMEM, or
 * the kernel's errors. One reference, the caller's. */
int object_map_new(struct broker *b, const struct object_map *from, struct object_map **ret);
/* -EPERM frozen already, -EBUSY a loader has it mapped writable. */
int object_map_freeze(struct object_map *m);

/* A page that loaders map: its first word counts what makes their knowledge of maps outdated. Descriptor (owned by the
 * broker) or -errno. */
int object_map_news(struct broker *b);
void object_map_news_tell(struct broker *b);
void object_map_news_free(struct broker *b);

/* Re-opened memfd for a loader (mode: O_RDWR, O_RDONLY, O_WRONLY); the map now lives until nobody has it open. */
int object_map_give(struct object_map *m, int mode);
/* Drops maps that no loader has open any more. */
void object_map_reap(struct broker *b);

/* Ring buffer: the eventfd that stands for it in epoll (owned by the map). -EPERM for other types.
 */
int object_map_pollable(struct object_map *m);
/* Wakes the loaders that wait for this ring buffer, and again every 20 ms until they have consumed
 * everything. */
void object_map_kick(struct object_map *m);
/* The doorbell rang, nobody knows for whom: kicks every ring buffer whose `armed` flag was taken.
 */
void object_map_kick_rung(struct broker *b);

static inline struct object_map *object_to_map(struct object *o)
{
	return (struct object_map *)o; /* obj is the first member */
}
