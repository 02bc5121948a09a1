/* SPDX-License-Identifier: MIT */
/*
 * Twins in the kernel (`notrap run --kernel`, docs/adr/004): of a map, and of a program.
 *
 * A map has one place where its elements are. Which one, and what the other side sees, depends on its type:
 *
 *     TWIN_SHARED   array that programs write: made as the kernel's (BPF_F_MMAPABLE), its memory is mapped here and in the
 *                   targets. Nothing has to be copied, ever.
 *     TWIN_MIRROR   map that programs only read (.rodata): the loader's writes go to both.
 *     TWIN_RELAY    ring and perf buffer: the kernel's records are copied into ours as they come (relay.h).
 *     TWIN_SLOTS    map of programs, maps, cgroups: what is stored here is stored there, too, as its own twin.
 *     TWIN_OWNER    all others: ours until a program of the kernel's side uses it, then the kernel's, for good. Programs of
 *                   ours that use it have to go to the kernel, too (link/mixed.h).
 */
#pragma once

#include "broker/object/map.h"
#include "broker/object/prog.h"

struct relay;

enum twin_how { TWIN_SHARED, TWIN_MIRROR, TWIN_RELAY, TWIN_SLOTS, TWIN_OWNER };

struct twin_map {
	int fd;
	enum twin_how how;
	bool wanted; /* TWIN_OWNER: will be the owner when all programs of ours have left it */
	bool owner;  /* TWIN_OWNER: it is */
	struct relay *relay; /* TWIN_RELAY */
};

/* For object_map_new() only: an array whose memory is the kernel's. m->view is complete. *ret_fd: the kernel's map. */
int twin_map_share(struct object_map *m, int *ret_fd);
/* The twin of a map, made when there is none. 0 or -errno of BPF_MAP_CREATE. */
int twin_map_make(struct object_map *m);
void twin_map_free(struct object_map *m); /* for object_map alone */
/* Can its elements move to the kernel, if it comes to that? */
bool twin_map_movable(const struct object_map *m);
/* Nobody here writes it any more: its elements move over, the kernel's is the owner. -EOPNOTSUPP: elements of this type
 * cannot be moved. */
int twin_map_own(struct object_map *m);
/* An element of a TWIN_SLOTS or perf buffer array was set or (o NULL) deleted: so it is in the twin. No twin: nothing. */
int twin_map_slot(struct object_map *m, const void *key, struct object *o);
/* The same for an object that is the kernel's own, by its descriptor. */
int twin_map_slot_fd(struct object_map *m, const void *key, int fd);
/* The loader has written (value) or deleted (NULL) an element of a TWIN_MIRROR map, or frozen it. */
int twin_map_mirror(struct object_map *m, const void *key, const void *value, u64 flags);
void twin_map_frozen(struct object_map *m);

static inline bool twin_map_is_owner(const struct object_map *m)
{
	return m->twin && m->twin->owner;
}

/* A map that a program names: one of ours, or the kernel's that the loader has a descriptor of. */
struct twin_ref {
	struct object_map *map; /* owned reference, or NULL: */
	int fd;
};

/* A program as it was loaded, and its twin. */
struct twin_prog {
	struct bpf_insn *insns; /* owned; map references carry indexes into refs */
	u32 n;
	struct twin_ref *refs; /* [nrefs] owned */
	u32 nrefs;
	u32 type, expected_attach, flags, kern_version, ifindex;
	u32 attach_btf_id;
	int attach_prog_fd; /* owned, -1 = none */
	char name[PROG_NAME_LEN];
	char license[128];
	struct object *btf; /* owned reference or NULL */
	u8 *func_info, *line_info, *core_relos; /* owned or NULL */
	u32 nfunc_info, nline_info, ncore_relos, func_rec, line_rec, core_rec;
	const char *failed; /* name of the map that could not be made when the load failed, NULL = none */
	bool only; /* our verifier refuses it, the kernel's does not */
	int fd;	   /* -1: not loaded yet */
};

#define TWIN_LOAD_ATTR 144u /* the attr up to and with log_true_size (Linux 6.4) */
#define TWIN_LOG_TRUE_SIZE 140u

struct twin_log { /* as bpf(2) has it; buf is our memory */
	u32 level, size;
	char *buf;
	u32 true_size; /* out */
};

/* Loads it, with the twins of its maps, if that is not done yet. log may be NULL. 0 or the kernel's -errno. */
int twin_prog_load(struct twin_prog *t, struct twin_log *log);
/* The same; on failure why gets the last line that the kernel's verifier has to say. */
int twin_prog_load_why(struct twin_prog *t, char *why, size_t n);
void twin_prog_free(struct twin_prog *t); /* NULL is fine */

/* Calls fn for every map that the program can get at: its own, those of programs that it can tail-call, inner maps. Ends
 * when fn returns true, and returns that. */
bool twin_prog_each_map(struct object_prog *p, bool (*fn)(struct object_map *m, void *arg), void *arg);
/* Can the program run nowhere but in the kernel: our verifier refuses it, or it gets at a map of which the kernel is (or
 * is about to be) the owner? *ret_map (may be NULL): which, or NULL. */
bool twin_prog_is_kernels(struct object_prog *p, const struct object_map **ret_map);
/* It is about to run in the kernel: so all its maps are wanted there. Makes their twins. 0 or -errno. */
int twin_prog_want(struct object_prog *p);
/* The same for the maps of a program that is the kernel's alone. */
int twin_refs_want(struct twin_prog *t);
