/* SPDX-License-Identifier: MIT */
/* A program: verified and compiled once, at BPF_PROG_LOAD. It keeps its maps alive. */
#pragma once

#include "broker/object/object.h"
#include "ebpf/insn.h"
#include "jit/jit.h"
#include "verifier/verifier.h"

struct object_map;

#define PROG_NAME_LEN 16
#define PROG_TAG_LEN 8

struct prog_records { /* owned */
	u8 *data;
	u32 n;
};

struct object_prog {
	struct object obj;
	u32 type;	     /* BPF_PROG_TYPE_* */
	u32 expected_attach; /* BPF_TRACE_UPROBE_MULTI ... */
	bool sleepable;
	bool gpl;
	char name[PROG_NAME_LEN];
	u8 tag[PROG_TAG_LEN];
	u32 created_by_uid;
	u64 load_time_ns;	/* since boot */
	struct bpf_insn *insns; /* map references carry map indexes */
	u32 n;
	struct verifier_result facts;
	bool compiled; /* only types that can run are; image is valid then */
	struct jit_image image;
	struct object_map *
	    *maps; /* [nmaps], index = the one in insns and in image.got; owned references */
	u32 nmaps;
	struct object_map **bound; /* BPF_PROG_BIND_MAP: kept alive, not used; owned references */
	u32 nbound;
	struct object *btf; /* owned reference or NULL */
	struct prog_records func_info, line_info; /* cmd/prog_records.h */
	struct twin_prog *twin; /* as it was loaded, for the kernel (twin.h): owned; NULL: not with --kernel */
	bool visited; /* twin_prog_each_map() */
};

/* Takes over everything in *from (insns, facts, image, maps, btf); one reference, the caller's.
 * -ENOMEM: from is untouched. */
int object_prog_new(struct broker *b, const struct object_prog *from, struct object_prog **ret);

/* Frees what *p owns, not p itself: for a program that did not become an object. */
void object_prog_deinit(struct object_prog *p);

/* bpf_prog_info.tag: a hash of the instructions as the loader passed them. */
void prog_tag(const struct bpf_insn *insns, u32 n, u8 ret[PROG_TAG_LEN]);

/* BPF_PROG_BIND_MAP: the program keeps m alive. 0 or -ENOMEM. */
int object_prog_bind(struct object_prog *p, struct object_map *m);

static inline struct object_prog *object_to_prog(struct object *o)
{
	return (struct object_prog *)o; /* obj is the first member */
}

/* It may make functions return before they have begun. */
static inline bool object_prog_overrides(const struct object_prog *p)
{
	return p->facts.helpers[BPF_FUNC_override_return / 32] >> BPF_FUNC_override_return % 32 & 1;
}
