/* SPDX-License-Identifier: MIT */
/*
 * A target process: the payload in it, what of ours is mapped there, and what is written into its code.
 *
 *     [payload image r-x][nt_state, nt_local, rows, pool rw-][gates r--, shared][bell, trace, stats rw-, shared]
 *     [haven, spares r-x]      all of this is one block
 *     [views, program r-x]     per program
 *     [map memory rw-, shared] per map
 *     [code region r-x]        per batch, within 2 GiB of the module that it serves
 */
#pragma once

#include "broker/link/engine.h"

struct module_patch { /* one site of a module, by site id */
	struct code_region *region; /* NULL: not patched */
	u32 jump_off, victim_off, meta_off; /* as in struct region_site */
	u32 ledger;	/* index in the region's ledger */
	u32 placed;	/* index in the batch that made the region */
	bool counted;	/* the site's reference counter is up by one */
	bool busy;	/* somebody else's bytes were found here: our jump may come back, so it stays recorded */
};

struct module { /* one executable mapping of a probed file; a file mapped twice is two modules */
	struct module *next;
	struct binary *binary;
	u64 bias; /* run-time address = site's ELF address + bias */
	u64 lo, hi;
	struct module_patch *patch; /* [npatch] */
	u32 npatch, patched;
	bool seen; /* still there at the last scan */
};

struct code_return { /* a slot that calls may have yet to return through */
	u32 site; /* id */
	u32 round; /* of the site, then */
	u32 meta; /* its struct nt_slot_meta from the region's base */
};

struct code_region {
	struct code_region *next;
	u64 base;
	u32 size, live; /* live: patched sites whose slot is in here */
	u32 code_end, ledger_off, nledger;
	u32 index;	/* in nt_state.region */
	struct nt_region data; /* as published */
	const struct module *module; /* that it was made for, NULL when that is gone */
	struct code_return *ret; /* [nret] owned, by rising meta */
	u32 nret, follow_off;
	u32 *gate; /* [ngates] owned: gates that its code looks at */
	u32 ngates;
	bool needed; /* quiesce.c: a way back leads through it */
	bool unused; /* nobody needs it any more */
};

struct process_map {
	u32 id;
	u64 base, size;
	u32 refs;
	u64 view;   /* inner map: page with its view, 0 = none (inner.h) */
	bool is_ring; /* and it is in nt_state.rings */
	u32 *held;  /* map of maps: ids of the inner maps that are mapped for it */
	u32 nheld;
	UT_hash_handle hh;
};

struct process_prog {
	u32 id;
	u64 base, size;
	u64 entry;
	u32 links; /* open links that use it in this process */
	bool in_array; /* published for tail calls; held for them */
	u32 held;  /* runs (link/run.c) that use it */
	bool needed; /* quiesce.c: has ended, but its last instructions are yet to come */
	struct object_prog *prog; /* owned reference: its maps stay while they are mapped */
	struct region_inline inlined; /* len 0: the program is called; arrays are owned */
	UT_hash_handle hh;
};

#define PROCESS_SPARE_SIZE (4u * NT_PAGE) /* of each: a region of one site is bound by three */
#define PROCESS_SPARES 4u

struct process {
	struct engine *engine;
	pid_t pid;
	u64 start_time;
	char comm[16];
	struct inject_target target;
	bool opened, injected;
	u32 borrows; /* nested process_borrow() */
	bool gone;
	bool unfinished; /* a detach is still to be done: unfinished.h */
	u32 tries;	 /* so often it was tried */
	bool unwind_hooked, linker_watched;
	u32 spares_used; /* bits: a code region is in it */
	bool no_returns; /* its unwinder cannot be told about return probes (unwind.h): it gets none */
	u64 image, state, local, rows, pool, gates, bell, trace, stats, haven, spare; /* addresses in it, 0 before injection */
	u64 block_size;
	struct region_env env;
	struct module *modules;
	struct code_region *regions;
	struct process_map *maps;
	struct process_prog *progs;
	u64 pause_ns, pause_max_ns; /* the longest stop of the last attach or detach, and of all */
	u64 token; /* of its block */
	u64 statm, retry_ns, round; /* watch: size at the last look, when to try again, last round that saw it */
	u32 rbrk_seq, ids_seq;
	bool foreign; /* in another pid namespace than we: ids.h */
	u64 r_debug; /* the dynamic linker's struct r_debug, 0 = unknown */
	u8 birth; /* watch/birth.h */
	u64 birth_until_ns;
	int last_error;
	UT_hash_handle hh;
};

void code_region_free(struct code_region *r); /* the record */

/* Finds or makes the record; nothing is done to the process. -ESRCH, -ENOMEM, -EAGAIN: its memory is its parent's for now (a
 * child of vfork). */
int process_get(struct engine *e, pid_t pid, struct process **ret);
struct process *process_find(struct engine *e, pid_t pid);
/* Forgets a process: frees the record, touches nothing in it. */
void process_forget(struct process *p);
/* The same for a process that has ended: ring records that it left unfinished are given up first. */
void process_gone(struct process *p);

/*
 * Borrows a thread of the target for remote system calls; the calls nest, so that several steps share one stop of that
 * thread. What takes long does not belong in between. Opens the target (ptrace access is checked). -errno of
 * inject_open() and inject_borrow().
 */
int process_borrow(struct process *p);
void process_give_back(struct process *p);
/* After inject_stop(); notes how long it was. */
void process_resume(struct process *p);

/* Several stops and loans with one tracer: inject_hold(). Opens the target if need be. */
int process_hold(struct process *p, int (*fn)(void *arg), void *arg);

/* Opens the target (ptrace access is checked) and injects the payload if it is not there yet. */
int process_prepare(struct process *p);
/* Stacks for hits in Go code, of a prepared process that has none yet; with a borrowed thread. Go programs with C in them
 * get none. -ENOMEM. */
int process_go_stacks(struct process *p);
/* What could not be known of libc's thread block when the payload was put in, before there was one. */
void process_learn_thread_block(struct process *p);
/* Is the memory that we know still this process' memory (no exec, not gone)? */
bool process_alive(struct process *p);

/* Maps a program and its maps; *ret_entry = address of the compiled function. */
int process_map_prog(struct process *p, struct object_prog *prog, struct process_prog **ret);
/* The same program at the same place in a forked child: a record of its own. */
int process_prog_copy(const struct process_prog *from, struct process_prog **ret);
void process_inline_free(struct region_inline *in);
/* One user more or less of a map in the process. With a borrowed thread. */
int process_map_get(struct process *p, struct object_map *m);
void process_map_put(struct process *p, struct process_map *m);
/* The view of a map as it is mapped there. */
void process_map_view(struct process *p, const struct object_map *m, struct nt_map_view *ret);
/* Views of ring buffers in nt_state.rings: n more or less of them. */
int process_rings_change(struct process *p, const u64 *view, u32 n, bool add);
/* The program's maps, which are mapped already, have one user more. */
void process_ref_maps(struct process *p, const struct object_prog *prog);
/* Unmaps what no open link uses. Only when no thread can be inside. */
void process_unmap_prog(struct process *p, struct process_prog *pp);

/* Room for a code region within reach of [lo, hi); writes nothing. With a borrowed thread. -ENOMEM: no room in reach. */
int process_place(struct process *p, u64 lo, u64 hi, u32 size, u64 *ret_base);

/* A spare of the block, as room for a small region that needs no remote call. False: they are used, too small or too far. */
bool process_take_spare(struct process *p, u64 lo, u64 hi, u32 size, u64 *ret_base);
/* Is this a spare? Then it is free again, and not to be unmapped. */
bool process_give_spare(struct process *p, u64 base);
/* A region was found there, which another broker may have made. */
void process_note_spare(struct process *p, u64 base);
bool process_is_spare(const struct process *p, u64 base);
bool process_has_spare(const struct process *p);

int process_open_gate(struct process *p, u32 local_gate, u32 value);
/* Publishes or withdraws a region in the target's struct nt_state. */
int process_publish_region(struct process *p, struct code_region *r, const struct nt_region *data);

/* Layout of the block from the address of the gates mapping (how a block is found from outside). */
u64 process_block_from_gates(u64 gates);
/* Fills the record's addresses for a block that is there already. */
void process_use_block(struct process *p, u64 image);
int process_read_state(struct process *p, u64 state, struct nt_state *ret);

/* Forgets the modules of a binary without touching them. */
void process_drop_binary(struct process *p, struct binary *b);
/* Entry hits counted in this process, over all threads. */
u64 process_hits(struct process *p);

/* Known executable mappings of the file; refreshes p->modules from /proc/PID/maps. Returns their number or -errno. */
int process_scan_modules(struct process *p, struct binary *b);
