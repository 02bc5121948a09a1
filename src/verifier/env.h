/* SPDX-License-Identifier: MIT */
/*
 * One run of the verifier: what all its files share. Each file has one idea:
 *     cfg      the program's structure: functions, jumps, reachability, opcodes and reserved fields
 *     live     which registers are read later (static, per function)
 *     verifier the walk along every path
 *     prune    checkpoints, comparison of states, the set of places that must be compared by value
 *     alu branch stack mem access     what instructions do to the state
 *     helper arg map_rules callback dynptr kfunc func     what calls do to it
 *     ctx packet arena     contexts by program type, network packets, arenas
 *     special  objects on the stack: dynptrs, iterators
 *     loop     loops whose end no state shows: callbacks, iterators, may_goto
 *     fact     what the JIT is told
 *     log      text
 * Every function that can refuse writes the reason to the log and returns -errno.
 */
#pragma once

#include "ebpf/insn.h"
#include "verifier/state.h"
#include "verifier/verifier.h"

#define VMAX_PENDING 8192u
#define VMAX_VAR_OFF (1 << 29)
#define VPT_REGS_SIZE 168u
#define VHELPER_COUNT 212u /* numbers the kernel (6.18) knows: 1..211 */

struct vfunc {
	u32 start, end; /* [start, end) */
	u32 depth;	/* bytes of stack used, rounded up to 8 */
	bool tail_calls;
};

/* A copy of the state at a checkpoint. It is complete when every path behind it has been walked. */
struct vnode {
	struct vstate st;
	struct vnode *next; /* at the same instruction */
	struct vnode *all_next, **all_prev;
	u64 demanded; /* origin bits already marked precise */
	u64 held;     /* ... marked held */
	struct vnode *dep; /* checkpoint that this one's proof leans on, though it came before (loop.c) */
	u32 serial;	   /* in the order of their making */
	bool is_head;	   /* others lean on it: it must not go */
	u32 branches; /* paths behind it that are not walked to their end */
	u32 hits, misses;
	bool listed;
};

struct vpending {
	struct vpending *next;
	struct vstate st;
	size_t log_len;
};

#define VINSN_CHECKPOINT 1u /* states are compared here */
#define VINSN_REACHED 2u
#define VINSN_SECOND 4u /* second half of LD_IMM64 */
#define VINSN_HEAD 8u /* of a loop that something outside the program counts: loop.c */
#define VINSN_CALLS_BACK 16u /* a helper that calls a function of the program */

struct venv {
	const struct verifier_prog *prog;
	const struct bpf_insn *insns;
	u32 n;
	struct verifier_log *log;
	struct verifier_insn *fact;
	struct verifier_result *res;

	struct vfunc *func;
	u32 nfuncs;
	u8 *flag;  /* [n] VINSN_* */
	u16 *live; /* [n] bit per register that is read before it is written, from here on */
	u8 *known; /* [n] what fact.c has fixed */

	struct vstate cur;
	struct vpending *pending;
	u32 npending;
	struct vnode **explored; /* [n] */
	struct vnode *all;
	u32 last_id;
	u32 insn_count, jump_count;
	u32 mark_insns, mark_jumps; /* counts at the last checkpoint */
	u32 nstates, peak_states, total_states, max_states_per_insn;
	bool line_open; /* the log's last line waits for the instruction's outcome */
};

/* log.c */
__attribute__((format(printf, 2, 3))) void vlog(struct venv *env, const char *fmt, ...);
void vlog_insn(struct venv *env, u32 i);
void vlog_insn_done(struct venv *env, const struct bpf_insn *in);
void vlog_state(struct venv *env, const struct vstate *st);
void vlog_cut(struct venv *env, size_t len);
void vlog_stats(struct venv *env);
#define VTNUM_TEXT 48u
void vlog_tnum(struct tnum t, char buf[VTNUM_TEXT]);

/* cfg.c, insn_check.c, live.c */
int vcfg_check(struct venv *env);
u32 vcfg_func_at(const struct venv *env, u32 insn); /* index of the function that starts at insn */
int vcfg_stack_depth(struct venv *env); /* after the walk: limits along call chains, stack facts */
bool vinsn_is_known(u8 code);
int vinsn_check(struct venv *env, const struct bpf_insn *in);
void vlive_compute(struct venv *env);
u16 vlive_defs(const struct bpf_insn *in);
u16 vlive_uses(const struct bpf_insn *in);

/* prune.c */
/* At a checkpoint instruction: 1 = the rest of this path is proven already, 0 = go on, or -errno.
 */
int vprune_visit(struct venv *env);
void vprune_path_done(struct venv *env, struct vnode *parent);
void vprune_deinit(struct venv *env);

/* compare.c: does everything proven for old hold for cur too? */
enum vcompare {
	VCOMPARE_PROVEN, /* old is finished: what was marked in it must be met */
	VCOMPARE_WITHIN, /* it is not: all of it must be met */
	VCOMPARE_EXACT	 /* the same */
};
bool vstates_equal(struct venv *env, const struct vnode *old, const struct vstate *cur, enum vcompare how);

/* origin.c */
void vorigin_demand(struct venv *env, u64 origin);
/* The same for a loop that was closed, from node upwards: marks `held` instead of `precise`. */
void vorigin_hold(struct vnode *node, u64 origin);
void vorigin_stack_read(const struct vstate *st, u32 frame, u64 slots);
void vorigin_restart(
    struct vstate *st); /* after a checkpoint: every scalar stems from its own place */

/* loop.c */
/* A counter that both states have is further in cur: a round of it was spent. */
bool vloop_progressed(const struct vstate *old, const struct vstate *cur);
/* node is finished, but may lean on a head that is not: is that the loop that cur is in? */
bool vloop_may_serve(const struct vnode *node, const struct vstate *cur);
void vloop_close(struct venv *env, struct vnode *head);	 /* env->cur lies inside head, which is before it */
void vloop_depend(struct venv *env, struct vnode *head); /* the path to env->cur leans on head */
/* st is about to begin another round: compare with the last checkpoint at instruction head, from `from` upwards. */
void vloop_widen(const struct vnode *from, u32 head, struct vstate *st);

/* special.c: dynptrs and iterators on the stack */
bool vspecial_is(const struct vreg *spill);
/* The slot at the object's address if the register points to nslots slots at a fixed, aligned place; else NULL. */
struct vslot *vspecial_slot(struct venv *env, u32 regno, u32 nslots);
int vspecial_put(struct venv *env, u32 regno, u32 nslots, const struct vreg *object);
/* Slot i is about to be overwritten. */
int vspecial_overwrite(struct venv *env, struct vframe *f, u32 i);
void vspecial_drop_dynptrs(struct vstate *st, u32 ref); /* all that share the reference, and their slices */
void vspecial_drop_iter(struct vslot *first, u32 nslots);

/* regs.c: register access with the kernel's checks */
struct vreg *vreg_of(struct venv *env, u32 regno);
int vreg_check_read(struct venv *env, u32 regno);
int vreg_check_write(struct venv *env, u32 regno);
/* The register is about to be copied: what is learnt of one copy will be learnt of the other. */
void vreg_make_group(struct venv *env, struct vreg *r);

/* alu.c */
int valu_exec(struct venv *env, const struct bpf_insn *in);
int valu_ld64(struct venv *env, const struct bpf_insn *in);

/* branch.c: sets env->cur.pc; forks through env_push() */
int vbranch_exec(struct venv *env, const struct bpf_insn *in);
int venv_push(struct venv *env, struct vstate **ret); /* copy of cur to be walked later */

/* refine.c: what the outcome (truth) of a comparison tells of both sides */
void vrefine(struct vreg *a, struct vreg *b, u8 op, bool is32, bool truth);
/* 1: always, 0: never, -1: depends */
int vrefine_outcome(const struct range *a, const struct range *b, u8 op, bool is32);

/* mem.c */
int vmem_exec(struct venv *env, const struct bpf_insn *in);
int vmem_check_aligned(struct venv *env, u32 regno, u32 size); /* whatever the memory */

/* access.c: may [reg + off, + size) be touched? The check of all memory that is no stack. */
enum vaccess { VACCESS_READ, VACCESS_WRITE };
int vaccess_value(struct venv *env, u32 regno, s64 off, u32 size, enum vaccess how, bool zero_ok);
/* a ring buffer record or other memory of known size */
int vaccess_memory(struct venv *env, u32 regno, s64 off, u32 size, enum vaccess how, bool zero_ok);
int vaccess_ctx_unmoved(struct venv *env,
			u32 regno); /* the register is ctx as the program got it */
/* ctx.c */
int vaccess_ctx(struct venv *env, u32 regno, s32 off, u32 size, enum vaccess how);
/* value was loaded from there: is it an address? -EACCES: it is, and must not be changed by that. */
int vctx_loaded(struct venv *env, s32 off, u32 size, bool sign, struct vreg *value);

/* arena.c */
int varena_check_cast(struct venv *env, const struct bpf_insn *in);
int varena_cast(struct venv *env, const struct bpf_insn *in);
/* Arithmetic: one side or both are addresses in the arena. 1: done; 0: neither is; -errno. */
int varena_alu(struct venv *env, const struct bpf_insn *in, const struct vreg *src);
int varena_index(const struct venv *env); /* the map, -1 = the program has none */

/* packet.c */
bool vpacket_is(const struct vreg *r); /* a pointer into a packet or its metadata */
int vpacket_access(struct venv *env, u32 regno, s64 off, u32 size, bool zero_ok);
void vpacket_moved(struct venv *env, struct vreg *moved, const struct vreg *num, u8 op); /* by op num */
/* A comparison: where it jumps, and where it goes on. */
void vpacket_learn(struct vstate *taken, struct vstate *on, const struct bpf_insn *in);
/* BPF_LD_ABS, BPF_LD_IND */
int vpacket_load(struct venv *env, const struct bpf_insn *in);
void vpacket_forget(struct vstate *st); /* the packet has changed: pointers into it become numbers */

/* stack.c */
struct vspan { /* bytes [lo, hi) relative to the frame pointer */
	s64 lo, hi;
	bool fixed; /* the access is at lo, else somewhere between */
};
int vstack_span(struct venv *env, u32 regno, s32 off, u32 size, enum vaccess how,
		struct vspan *ret);
int vstack_load(struct venv *env, u32 regno, s32 off, u32 size, struct vreg *ret);
int vstack_store(struct venv *env, u32 regno, s32 off, u32 size, const struct vreg *value);
void vstack_read_span(struct venv *env, u32 frame, const struct vspan *span);
int vstack_clobber_span(struct venv *env, u32 frame, const struct vspan *span);
bool vstack_has_special(const struct venv *env, u32 frame, const struct vspan *span);
/* The constant u32 at the span's start; *ret_kernel: the kernel's verifier would know it, too. */
bool vstack_const_u32(struct venv *env, u32 frame, const struct vspan *span, u32 *ret,
		      bool *ret_kernel, u64 *ret_origin);

/* map_rules.c: may this helper get a map of this type? */
bool vmap_fits(u32 type, u32 helper);

/* helper.c, func.c */
int vhelper_call(struct venv *env, const struct bpf_insn *in);
int vkfunc_call(struct venv *env, const struct bpf_insn *in); /* kfunc.c */
int vfunc_call(struct venv *env, const struct bpf_insn *in);
int vfunc_exit(struct venv *env, bool *ret_done);
int vfunc_check_nothing_held(struct venv *env, const char *what); /* nothing to give back is left */
int vref_add(struct venv *env, u32 id); /* 0, -E2BIG, -ENOMEM */
void vref_release(struct venv *env, struct vstate *st, u32 ref, bool keep_regs);
/* R<regno> is the size of the memory that the register before it points to; *ret_max: at most. */
int vhelper_check_size(struct venv *env, u32 regno, enum vaccess how, bool zero_ok, s64 *ret_max);
/* "At program exit the register R0 has ...": [0, highest] was asked for. */
void vlog_bad_return(struct venv *env, const char *where, const struct range *v, u32 highest);

/* fact.c */
void vfact_mem(struct venv *env, u32 i, u8 mem);
/* The accesses that instruction i makes are all to the context, all to the arena, or to neither. */
bool vfact_ctx_alone(struct venv *env, u32 i, u8 kind); /* kind: VMEM_CTX, VMEM_ARENA or any other */
void vfact_map(struct venv *env, u32 i, u32 map);
void vfact_no_map(struct venv *env, u32 i);
/* key: NULL = not constant on this path. true: the fact still stands, so the key's origins matter.
 */
bool vfact_key(struct venv *env, u32 i, const u32 *key);
void vfact_ctx_touched(struct venv *env, s32 off, u32 size);
/* r goes where its loads are not seen: if it is the context, anything of it may be read. */
void vfact_ctx_escapes(struct venv *env, const struct vreg *r);
