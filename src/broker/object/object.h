/* SPDX-License-Identifier: MIT */
/*
 * Kernel objects and their descriptors.
 *
 * An object lives while somebody holds a reference: another object (a program its maps) or a
 * handle. A handle is a descriptor that was given to other processes; however it is duplicated
 * there, its inode stays the same, so the inode names the object and the number means nothing. A
 * handle is one end of a socket pair whose other end is watched here: the last close anywhere is a
 * hang-up. Maps are memfds instead, because they can be mapped; their last close is seen with a
 * lease probe (map.h).
 *
 *     descriptor in a loader --inode--> struct object_handle --ref--> struct object
 */
#pragma once

#include <uthash.h>

#include "abi/types.h"

struct broker;
struct client;
struct loop_source;

enum object_kind { OBJECT_MAP, OBJECT_PROG, OBJECT_BTF, OBJECT_LINK, OBJECT_PERF, OBJECT_OUTPUT, OBJECT_STATS, OBJECT_NKINDS };

struct object {
	struct broker *broker;
	u32 kind; /* enum object_kind */
	u32 id;	  /* unique within the kind, from 1, never used twice */
	u32 refs;
	/* The last reference is gone; the object is in no table any more. */
	void (*free)(struct object *o);
	UT_hash_handle hh; /* object_table.by_id[kind] */
};

struct object_handle {
	struct object *object;
	u64 ino;
	int fd; /* socket pair: our end; map: not used */
	struct loop_source *hangup;
	UT_hash_handle hh; /* object_table.by_ino */
};

struct object_table {
	struct object *by_id[OBJECT_NKINDS];
	u32 last_id[OBJECT_NKINDS];
	struct object_handle *by_ino;
};

/* A new object with one reference, the caller's, under the next id. */
void object_init(struct object *o, struct broker *b, u32 kind, void (*free_fn)(struct object *o));
/* The id that the next object of this kind will get: a link has it before its object exists. */
u32 object_coming_id(struct broker *b, u32 kind);
/* Nobody gets that number any more: it has a use that is no object. */
void object_use_id(struct broker *b, u32 kind);
struct object *object_ref(struct object *o);
void object_unref(struct object *o); /* NULL is fine; the last one frees */

/* NULL if there is none. No reference is taken. */
struct object *object_by_id(struct broker *b, u32 kind, u32 id);
/* The smallest id above `after`, or NULL. For (o = next(0); o; o = next(o->id)) walks them in
 * order. */
struct object *object_next(struct broker *b, u32 kind, u32 after);

/*
 * The object behind the client's descriptor: 0, -EBADF no such descriptor, -EINVAL it is not ours
 * or not of this kind (OBJECT_NKINDS: any). No reference is taken.
 */
int object_by_fd(struct client *c, int fd, u32 kind, struct object **ret);
/* The same with the descriptor's access mode: O_RDONLY, O_WRONLY, O_RDWR. */
int object_by_fd_mode(struct client *c, int fd, u32 kind, struct object **ret, int *ret_mode);

/* A new handle, a map's with this access mode: returns the descriptor to send to the client (CLOEXEC; the caller closes its copy
 * after sending). */
int object_give(struct object *o, int mode);

/* As if the last copy of it were closed. */
void object_handle_free(struct object_handle *h);
/* Takes note of every close that has happened: drops the handles that nobody has open any more. */
void object_reap(struct broker *b);
