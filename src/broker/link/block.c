/* SPDX-License-Identifier: MIT */
/*
 * The block: payload image, state, thread rows, pool of return entries, and the memory shared with the broker, in one
 * piece of a target's address space (process.h has the picture). Its layout is fixed by the sizes below, so that a
 * broker that did not put it there finds everything from the address of the gates.
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/bits.h"
#include "broker/arch/cpu.h"
#include "broker/link/ids.h"
#include "broker/link/payload_blob.h"
#include "broker/link/remote.h"
#include "broker/link/vdso.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

#define ROW_BITS 14u
#define POOL_N 65536u
#define ROWS_SIZE ((64ull << ROW_BITS) + NT_PAGE) /* behind the table: the row of those who have none */
#define POOL_SIZE (sizeof(struct nt_ret_entry) * POOL_N)
#define LOCAL_SIZE sizeof(struct nt_local)
#define STATE_SIZE bits_round_up((u64)sizeof(struct nt_state), NT_PAGE)

static const struct nt_payload_hdr *blob_hdr(void)
{
	return (const struct nt_payload_hdr *)nt_payload_blob;
}

static void block_addresses(struct process *p, u64 image)
{
	p->image = image;
	p->state = image + blob_hdr()->image_size;
	p->local = p->state + STATE_SIZE;
	p->rows = p->local + LOCAL_SIZE;
	p->pool = p->rows + ROWS_SIZE;
	p->gates = p->pool + POOL_SIZE;
	p->bell = p->gates + GATES_SIZE;
	p->trace = p->bell + NT_PAGE;
	p->stats = p->trace + p->engine->shared.trace.size;
	p->haven = bits_round_up(p->stats + STATS_SIZE, (u64)NT_PAGE);
	p->spare = p->haven + INJECT_HAVEN_SIZE;
	p->block_size = p->spare + PROCESS_SPARES * PROCESS_SPARE_SIZE - image;
	p->env = (struct region_env){ .fn_ret_slow = image + blob_hdr()->fn_ret_slow,
				      .fn_row_slow = image + blob_hdr()->fn_row_slow,
				      .fn_ret_deep = image + blob_hdr()->fn_ret_deep,
				      .fn_stats_run = image + blob_hdr()->fn_stats_run,
				      .fn_session_open = image + blob_hdr()->fn_session_open,
				      .fn_session_keep = image + blob_hdr()->fn_session_keep,
				      .fn_session_at = image + blob_hdr()->fn_session_at,
				      .fn_session_more = image + blob_hdr()->fn_session_more,
				      .rows = p->rows, .row_bits = ROW_BITS };
}

void process_use_block(struct process *p, u64 image)
{
	block_addresses(p, image);
}

u64 process_block_from_gates(u64 gates)
{
	return gates - POOL_SIZE - ROWS_SIZE - LOCAL_SIZE - STATE_SIZE - blob_hdr()->image_size;
}

int process_read_state(struct process *p, u64 state, struct nt_state *ret)
{
	int r = inject_read(&p->target, state, ret, sizeof(*ret));

	if (r)
		return r;
	if (ret->magic != NT_STATE_MAGIC || ret->version != NT_PAYLOAD_VERSION || ret->nregions > NT_MAX_REGIONS)
		return -EBADMSG;
	return 0;
}

/* The thread pointer conventions of the C library, seen in one thread. */
static void find_tls(struct process *p, u64 fs, pid_t its_tid, struct nt_state *state)
{
	static const s32 known[] = { 0x2d0, 0x30 }; /* glibc, musl: struct pthread's tid */
	struct proc_status st = { .ns_pid = its_tid };
	u64 self = 0;
	pid_t tid;

	if (!fs || inject_read(&p->target, fs, &self, sizeof(self)))
		return;
	if (self == fs) {
		state->flags |= NT_STATE_FS0;
		p->env.fs0 = true;
	}
	if (p->foreign && proc_status_read(its_tid, &st))
		return;
	for (u32 i = 0; i < bits_count(known); i++)
		if (!inject_read(&p->target, fs + (u64)known[i], &tid, sizeof(tid)) && tid == st.ns_pid) {
			state->tid_off = known[i];
			return;
		}
}

static void find_tls_of_borrowed(struct process *p, struct nt_state *state)
{
	u32 index = (u32)p->target.borrowed;

	if (!inject_regs(&p->target, index))
		find_tls(p, p->target.thread[index].regs.fs_base, p->target.thread[index].tid, state);
}

/* Namespace and cgroup, which a process can only ask for with descriptors: we ask for it. */
static void find_places(struct process *p, struct nt_state *state)
{
	struct proc_map stack;
	char path[64];
	struct stat st;
	u64 random;
	int n = proc_cgroup_ids(p->pid, state->cgroup, NT_CGROUPS);

	state->cgroup_n = n > 0 ? (u32)n : 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", p->pid);
	/* Its bytes are on the first thread's stack. */
	if (!proc_auxv(p->pid, AT_RANDOM, &random) && !proc_map_at(p->pid, random, &stack))
		state->stack_end = stack.end;
	if (!stat(path, &st)) {
		state->pidns_dev = st.st_dev;
		state->pidns_ino = st.st_ino;
	}
}

void process_learn_thread_block(struct process *p)
{
	struct nt_state s = { .tid_off = 0 };
	u64 at = p->state + offsetof(struct nt_state, flags);

	if (p->env.fs0 || inject_read(&p->target, at, &s.flags, sizeof(s.flags)) ||
	    inject_read(&p->target, p->state + offsetof(struct nt_state, rbrk_fs), &s.rbrk_fs, sizeof(s.rbrk_fs)))
		return;
	find_tls(p, s.rbrk_fs, p->pid, &s);
	if (s.tid_off)
		inject_write(&p->target, p->state + offsetof(struct nt_state, tid_off), &s.tid_off, sizeof(s.tid_off));
	inject_write(&p->target, at, &s.flags, sizeof(s.flags));
}

/* Into memory that is new: pages of zeros stay untouched. */
static int write_new(struct process *p, u64 addr, const u8 *bytes, u64 size)
{
	static const u8 zeros[NT_PAGE];
	int r = 0;

	for (u64 at = 0, n; at < size && !r; at += n) {
		n = bits_min(size - at, NT_PAGE - (addr + at) % NT_PAGE);
		if (memcmp(bytes + at, zeros, n))
			r = inject_write(&p->target, addr + at, bytes + at, n);
	}
	return r;
}

static int fill_block(struct process *p)
{
	struct shared *s = &p->engine->shared;
	struct nt_state *state free_auto = calloc(1, sizeof(*state));
	u32 seccomp = 0;
	int r;

	if (!state)
		return -ENOMEM;
	state->version = NT_PAYLOAD_VERSION;
	state->row_bits = ROW_BITS;
	state->rows = p->rows;
	state->pool = p->pool;
	state->pool_n = POOL_N;
	state->bell = p->bell;
	state->gates = p->gates;
	state->trace = s->trace;
	state->trace.base = (u8 *)p->trace;
	state->clock_gettime = vdso_clock_gettime(p->pid);
	if (getrandom(&state->token, sizeof(state->token), 0) < 0)
		return -errno;
	if (!p->target.seccomp_ok && !proc_seccomp(p->pid, &seccomp) && seccomp)
		state->flags |= NT_STATE_NO_SYSCALL;
	if (cpu_has_rdpid())
		state->flags |= NT_STATE_RDPID;
	p->foreign = ids_is_foreign(p->pid);
	if (p->foreign)
		state->flags |= NT_STATE_PIDNS;
	find_tls_of_borrowed(p, state);
	find_places(p, state);
	p->token = state->token;
	r = inject_write(&p->target, p->image, nt_payload_blob, blob_hdr()->image_size);
	if (!r)
		r = write_new(p, p->state + 8, (u8 *)state + 8, sizeof(*state) - 8);
	if (!r && p->foreign)
		ids_fill(p);
	state->magic = NT_STATE_MAGIC; /* last: whoever sees it sees all of it */
	if (!r)
		r = inject_write(&p->target, p->state, &state->magic, 8);
	return r;
}

static int inject_block(struct process *p)
{
	struct shared *s = &p->engine->shared;
	s64 at;
	int r = -ENOMEM;

	block_addresses(p, 0);
	at = remote_mmap(p, 0, p->block_size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (remote_failed(at))
		return (int)at;
	block_addresses(p, (u64)at);
	p->target.haven = p->haven; /* from now on whoever makes calls for us comes home by itself */
	at = remote_mmap(p, p->state, p->gates - p->state, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	if (remote_failed(at))
		goto undo;
	at = inject_syscall(&p->target, SYS_madvise, p->local, LOCAL_SIZE, MADV_WIPEONFORK, 0, 0, 0);
	if (remote_failed(at))
		goto undo;
	at = remote_map_parts(p, s->fd, (const struct remote_part[]){
		{ p->gates, GATES_SIZE, PROT_READ, 0 },
		{ p->bell, s->size - GATES_SIZE, PROT_READ | PROT_WRITE, GATES_SIZE } }, 2);
	if (remote_failed(at))
		goto undo;
	r = fill_block(p);
	if (!r) {
		remote_touch(p, p->gates, NT_PAGE);
		p->injected = true;
		return 0;
	}
	at = r;
undo:
	p->target.haven = 0;
	remote_munmap(p, p->image, p->block_size);
	return (int)at;
}

int process_prepare(struct process *p)
{
	int r;

	if (p->injected)
		return process_alive(p) ? 0 : -ESRCH;
	r = process_borrow(p);
	if (r)
		return r;
	r = inject_block(p);
	process_give_back(p);
	if (r)
		log_error("pid %d (%s): cannot inject: %s", p->pid, p->comm, strerror(-r));
	return r;
}

u64 process_hits(struct process *p)
{
	struct nt_row *rows free_auto = malloc(ROWS_SIZE);
	u64 hits = 0;

	if (!rows || !p->injected || inject_read(&p->target, p->rows, rows, ROWS_SIZE))
		return 0;
	for (u32 i = 0; i <= 1u << ROW_BITS; i++)
		hits += rows[i].hits;
	return hits;
}

int process_open_gate(struct process *p, u32 local_gate, u32 value)
{
	return inject_write(&p->target, p->local + offsetof(struct nt_local, gate) + 4ull * local_gate, &value,
			    sizeof(value));
}
