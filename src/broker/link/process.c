/* SPDX-License-Identifier: MIT */
#include "broker/link/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>

#include "base/bits.h"
#include "broker/arch/cpu.h"
#include "broker/link/payload_blob.h"
#include "broker/link/site.h"
#include "broker/link/vdso.h"
#include "maps/maps.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

#define ROW_BITS 14u
#define POOL_N 65536u
#define ROWS_SIZE ((64ull << ROW_BITS) + NT_PAGE) /* behind the table: the row of those who have none */
#define POOL_SIZE (64ull * POOL_N)
#define STATE_SIZE bits_round_up((u64)sizeof(struct nt_state), NT_PAGE)

struct process *process_find(struct engine *e, pid_t pid)
{
	struct process *p;

	HASH_FIND_INT(e->processes, &pid, p);
	return p;
}

int process_get(struct engine *e, pid_t pid, struct process **ret)
{
	struct process *p = process_find(e, pid);
	u64 start;
	int r = proc_start_time(pid, &start);

	if (r)
		return r;
	if (p && p->start_time != start) { /* the number is used again */
		process_forget(p);
		p = NULL;
	}
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		p->engine = e;
		p->pid = pid;
		p->start_time = start;
		proc_comm(pid, p->comm);
		HASH_ADD_INT(e->processes, pid, p);
	}
	*ret = p;
	return 0;
}

static void inline_free(struct region_inline *in)
{
	free((void *)in->rip_at);
	free((void *)in->rip_word);
	free((void *)in->word);
	*in = (struct region_inline){ .len = 0 };
}

static void process_clear(struct process *p)
{
	struct process_map *m, *mt;
	struct process_prog *pp, *pt;

	while (p->modules) {
		struct module *next = p->modules->next;

		free(p->modules->patch);
		free(p->modules);
		p->modules = next;
	}
	while (p->regions) {
		struct code_region *next = p->regions->next;

		free(p->regions);
		p->regions = next;
	}
	HASH_ITER(hh, p->maps, m, mt) {
		HASH_DEL(p->maps, m);
		free(m);
	}
	HASH_ITER(hh, p->progs, pp, pt) {
		HASH_DEL(p->progs, pp);
		object_unref(&pp->prog->obj);
		inline_free(&pp->inlined);
		free(pp);
	}
	if (p->opened)
		inject_close(&p->target);
	p->opened = p->injected = false;
}

void process_forget(struct process *p)
{
	HASH_DEL(p->engine->processes, p);
	process_clear(p);
	free(p);
}

static bool thread_dead(u32 tid, void *arg)
{
	u64 start;

	return proc_start_time((pid_t)tid, &start) == -ESRCH;
}

void process_gone(struct process *p)
{
	for (struct process_prog *pp = p->progs; pp; pp = pp->hh.next)
		for (u32 i = 0; i < pp->prog->nmaps; i++)
			if (pp->prog->maps[i]->view.type == BPF_MAP_TYPE_RINGBUF)
				ring_reap(&pp->prog->maps[i]->view, thread_dead, NULL);
	process_forget(p);
}

/* --- the block --- */

static const struct nt_payload_hdr *blob_hdr(void)
{
	return (const struct nt_payload_hdr *)nt_payload_blob;
}

static void block_addresses(struct process *p, u64 image)
{
	p->image = image;
	p->state = image + blob_hdr()->image_size;
	p->local = p->state + STATE_SIZE;
	p->rows = p->local + NT_PAGE;
	p->pool = p->rows + ROWS_SIZE;
	p->gates = p->pool + POOL_SIZE;
	p->bell = p->gates + GATES_SIZE;
	p->trace = p->bell + NT_PAGE;
	p->block_size = p->trace + p->engine->shared.trace.size - image;
	p->env = (struct region_env){ .fn_ret_slow = image + blob_hdr()->fn_ret_slow,
				      .fn_row_slow = image + blob_hdr()->fn_row_slow,
				      .rows = p->rows, .row_bits = ROW_BITS };
}

void process_use_block(struct process *p, u64 image)
{
	block_addresses(p, image);
}

u64 process_block_from_gates(u64 gates)
{
	return gates - POOL_SIZE - ROWS_SIZE - NT_PAGE - STATE_SIZE - blob_hdr()->image_size;
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

bool process_alive(struct process *p)
{
	u64 magic = 0;

	if (p->gone)
		return false;
	if (!p->injected)
		return true;
	return inject_read(&p->target, p->state, &magic, sizeof(magic)) == 0 && magic == NT_STATE_MAGIC;
}

static bool failed(s64 addr)
{
	return addr < 0 && addr > -4096;
}

static s64 remote_mmap(struct process *p, u64 addr, u64 size, int prot, int flags, int fd, u64 off)
{
	return inject_syscall(&p->target, SYS_mmap, addr, size, (u64)prot, (u64)flags, (u64)(s64)fd, off);
}

static void remote_munmap(struct process *p, u64 addr, u64 size)
{
	inject_syscall(&p->target, SYS_munmap, addr, size, 0, 0, 0, 0);
}

/* Maps one of our files over [addr, addr + size) or, with addr 0, anywhere. */
static s64 map_file(struct process *p, int fd, u64 addr, u64 size, int prot)
{
	int remote;
	int r = inject_send_fds(&p->target, &fd, 1, &remote);
	s64 at;

	if (r)
		return r;
	at = remote_mmap(p, addr, size, prot, MAP_SHARED | (addr ? MAP_FIXED : 0), remote, 0);
	inject_syscall(&p->target, SYS_close, (u64)remote, 0, 0, 0, 0, 0);
	return at;
}

/* The thread pointer conventions of the C library, seen in the borrowed thread. */
static void find_tls(struct process *p, struct nt_state *state)
{
	static const s32 known[] = { 0x2d0, 0x30 }; /* glibc, musl: struct pthread's tid */
	u32 index = (u32)p->target.borrowed;
	u64 fs, self = 0;
	u32 tid;

	if (inject_regs(&p->target, index))
		return;
	fs = p->target.thread[index].regs.fs_base;
	if (!fs || inject_read(&p->target, fs, &self, sizeof(self)))
		return;
	if (self == fs) {
		state->flags |= NT_STATE_FS0;
		p->env.fs0 = true;
	}
	for (u32 i = 0; i < bits_count(known); i++)
		if (!inject_read(&p->target, fs + (u64)known[i], &tid, sizeof(tid)) &&
		    tid == (u32)p->target.thread[index].tid) {
			state->tid_off = known[i];
			return;
		}
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
	if (!proc_seccomp(p->pid, &seccomp) && seccomp)
		state->flags |= NT_STATE_NO_SYSCALL;
	if (cpu_has_rdpid())
		state->flags |= NT_STATE_RDPID;
	find_tls(p, state);
	p->token = state->token;
	r = inject_write(&p->target, p->image, nt_payload_blob, blob_hdr()->image_size);
	if (!r)
		r = inject_write(&p->target, p->state + 8, (u8 *)state + 8, sizeof(*state) - 8);
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
	if (failed(at))
		return (int)at;
	block_addresses(p, (u64)at);
	at = remote_mmap(p, p->state, p->gates - p->state, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	if (failed(at))
		goto undo;
	at = inject_syscall(&p->target, SYS_madvise, p->local, NT_PAGE, MADV_WIPEONFORK, 0, 0, 0);
	if (failed(at))
		goto undo;
	at = map_file(p, s->gates_fd, p->gates, GATES_SIZE, PROT_READ);
	if (!failed(at))
		at = map_file(p, s->bell_fd, p->bell, NT_PAGE, PROT_READ | PROT_WRITE);
	if (!failed(at))
		at = map_file(p, s->trace_fd, p->trace, s->trace.size, PROT_READ | PROT_WRITE);
	if (failed(at))
		goto undo;
	r = fill_block(p);
	if (!r) {
		p->injected = true;
		return 0;
	}
	at = r;
undo:
	remote_munmap(p, p->image, p->block_size);
	return (int)at;
}

int process_borrow(struct process *p)
{
	int r = 0;

	if (!p->opened) {
		r = inject_open(p->pid, &p->target);
		if (r)
			return r;
		p->opened = true;
	}
	if (!p->borrows)
		r = inject_borrow(&p->target);
	if (!r)
		p->borrows++;
	return r;
}

void process_give_back(struct process *p)
{
	if (!--p->borrows)
		inject_give_back(&p->target);
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

/* --- programs and maps --- */

static void map_put(struct process *p, struct process_map *m)
{
	if (--m->refs)
		return;
	remote_munmap(p, m->base, m->size);
	HASH_DEL(p->maps, m);
	free(m);
}

static int map_get(struct process *p, struct object_map *om, struct process_map **ret)
{
	struct process_map *m;
	int prot = PROT_READ | (om->view.flags & BPF_F_RDONLY_PROG ? 0 : PROT_WRITE);
	s64 at;

	HASH_FIND_INT(p->maps, &om->obj.id, m);
	if (m) {
		m->refs++;
		*ret = m;
		return 0;
	}
	at = map_file(p, om->fd, 0, om->view.size, prot);
	if (failed(at))
		return (int)at;
	m = calloc(1, sizeof(*m));
	if (!m) {
		remote_munmap(p, (u64)at, om->view.size);
		return -ENOMEM;
	}
	*m = (struct process_map){ .id = om->obj.id, .base = (u64)at, .size = om->view.size, .refs = 1 };
	HASH_ADD_INT(p->maps, id, m);
	*ret = m;
	return 0;
}

/* Ring buffers by address, so that submit and discard find the ring of a record. Programs run meanwhile: an entry
 * never moves. */
static int rings_change(struct process *p, const u64 *view, u32 n, bool add)
{
	u64 rings[NT_MAX_RINGS], at = p->state + offsetof(struct nt_state, rings);
	u64 at_n = p->state + offsetof(struct nt_state, nrings), zero = 0;
	u32 nrings, free_slot;
	int r = 0;

	if (inject_read(&p->target, at, rings, sizeof(rings)) ||
	    inject_read(&p->target, at_n, &nrings, sizeof(nrings)) || nrings > NT_MAX_RINGS)
		return -EFAULT;
	for (u32 j = 0; j < n && !r; j++) {
		for (free_slot = 0; free_slot < nrings; free_slot++)
			if (rings[free_slot] == (add ? 0 : view[j]))
				break;
		if (free_slot == nrings && !add)
			continue;
		if (free_slot == NT_MAX_RINGS)
			return -ENOSPC;
		rings[free_slot] = add ? view[j] : 0;
		r = inject_write(&p->target, at + 8ull * free_slot, add ? &view[j] : &zero, 8);
		if (!r && free_slot == nrings) {
			nrings++;
			r = inject_write(&p->target, at_n, &nrings, sizeof(nrings));
		}
	}
	return r;
}

#define INLINE_MAX 128u /* bytes of machine code */

/* What the code regions need to hold the program's instructions themselves. got: its table as this process has it.
 * A program that cannot be inlined is called: that is no error. */
static void inline_prepare(struct region_inline *in, const struct jit_image *img, const u64 *got)
{
	u32 n = img->nrip, *at, *word;
	u64 *table;

	if (!img->inlinable || img->size - img->entry > INLINE_MAX || in->len)
		return;
	at = calloc(n + 1, sizeof(*at));
	word = calloc(n + 1, sizeof(*word));
	table = calloc(img->ngot + 1, sizeof(*table));
	*in = (struct region_inline){ .code = img->code + img->entry, .rip_at = at, .rip_word = word, .nrip = n,
				      .word = table, .nwords = img->ngot };
	for (u32 i = 0; i < n && at && word && table; i++) {
		s32 disp;

		memcpy(&disp, img->code + img->rip_at[i], sizeof(disp));
		at[i] = img->rip_at[i] - img->entry;
		word[i] = (img->rip_at[i] + 4 + (u32)disp) / 8;
		if (img->rip_at[i] < img->entry || word[i] >= img->ngot) {
			inline_free(in);
			return;
		}
	}
	if (!at || !word || !table) {
		inline_free(in);
		return;
	}
	memcpy(table, got, 8ull * img->ngot);
	in->len = img->size - img->entry - 1;
}

/* Views first, then the image with its table filled in. */
static int prog_bytes(struct process *p, struct object_prog *prog, u64 base, u8 *out, u64 image_off)
{
	struct nt_map_view *views = (struct nt_map_view *)out;
	u64 *got = (u64 *)(out + image_off);

	for (u32 i = 0; i < prog->nmaps; i++) {
		struct process_map *m;

		HASH_FIND_INT(p->maps, &prog->maps[i]->obj.id, m);
		if (!m)
			return -ENOENT;
		views[i] = prog->maps[i]->view;
		views[i].base = (u8 *)m->base;
	}
	memcpy(out + image_off, prog->image.code, prog->image.size);
	for (u32 i = 0; i < prog->image.ngot; i++) {
		const struct jit_got *g = &prog->image.got[i];

		if (g->kind == JIT_GOT_HELPER) {
			u32 off = g->index < NT_HELPER_MAX ? blob_hdr()->helper[g->index] : 0;

			if (!off)
				return -EINVAL;
			got[i] = p->image + off;
		} else if (g->index >= prog->nmaps) {
			return -EINVAL;
		} else if (g->kind == JIT_GOT_MAP_VIEW) {
			got[i] = base + sizeof(*views) * g->index;
		} else {
			got[i] = (u64)views[g->index].base + views[g->index].data_off;
		}
	}
	return 0;
}

static int prog_write(struct process *p, struct object_prog *prog, struct process_prog *pp)
{
	u64 image_off = bits_round_up(sizeof(struct nt_map_view) * prog->nmaps, (u64)64);
	u64 rings[NT_MAX_RINGS];
	u32 nrings = 0;
	u8 *bytes free_auto = NULL;
	s64 at;
	int r;

	pp->size = bits_round_up(image_off + prog->image.size, (u64)NT_PAGE);
	bytes = calloc(1, pp->size);
	if (!bytes)
		return -ENOMEM;
	at = remote_mmap(p, 0, pp->size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (failed(at))
		return (int)at;
	pp->base = (u64)at;
	pp->entry = pp->base + image_off + prog->image.entry;
	r = prog_bytes(p, prog, pp->base, bytes, image_off);
	if (!r)
		inline_prepare(&pp->inlined, &prog->image, (const u64 *)(bytes + image_off));
	if (!r)
		r = inject_write(&p->target, pp->base, bytes, pp->size);
	for (u32 i = 0; i < prog->nmaps && !r; i++)
		if (prog->maps[i]->view.type == BPF_MAP_TYPE_RINGBUF && nrings < NT_MAX_RINGS)
			rings[nrings++] = pp->base + sizeof(struct nt_map_view) * i;
	if (!r && nrings)
		r = rings_change(p, rings, nrings, true);
	if (r)
		remote_munmap(p, pp->base, pp->size);
	return r;
}

static void maps_put(struct process *p, struct object_prog *prog, u32 n)
{
	struct process_map *m;

	while (n--) {
		HASH_FIND_INT(p->maps, &prog->maps[n]->obj.id, m);
		if (m)
			map_put(p, m);
	}
}

int process_prog_copy(const struct process_prog *from, struct process_prog **ret)
{
	struct process_prog *pp = malloc(sizeof(*pp));

	if (!pp)
		return -ENOMEM;
	*pp = *from;
	pp->inlined = (struct region_inline){ .len = 0 };
	if (from->inlined.len)
		inline_prepare(&pp->inlined, &from->prog->image, from->inlined.word);
	object_ref(&pp->prog->obj);
	*ret = pp;
	return 0;
}

int process_map_prog(struct process *p, struct object_prog *prog, struct process_prog **ret)
{
	struct process_prog *pp;
	struct process_map *m;
	u32 n;
	int r;

	HASH_FIND_INT(p->progs, &prog->obj.id, pp);
	if (pp) {
		*ret = pp;
		return 0;
	}
	pp = calloc(1, sizeof(*pp));
	if (!pp)
		return -ENOMEM;
	r = process_borrow(p);
	if (r) {
		free(pp);
		return r;
	}
	for (n = 0; n < prog->nmaps && !r; n++)
		r = map_get(p, prog->maps[n], &m);
	if (r)
		n--;
	else
		r = prog_write(p, prog, pp);
	if (r)
		maps_put(p, prog, n);
	process_give_back(p);
	if (r) {
		inline_free(&pp->inlined);
		free(pp);
		return r;
	}
	pp->id = prog->obj.id;
	object_ref(&prog->obj);
	pp->prog = prog;
	HASH_ADD_INT(p->progs, id, pp);
	*ret = pp;
	return 0;
}

void process_unmap_prog(struct process *p, struct process_prog *pp)
{
	u64 rings[NT_MAX_RINGS];
	u32 nrings = 0;

	if (process_borrow(p))
		return;
	for (u32 i = 0; i < pp->prog->nmaps; i++)
		if (pp->prog->maps[i]->view.type == BPF_MAP_TYPE_RINGBUF && nrings < NT_MAX_RINGS)
			rings[nrings++] = pp->base + sizeof(struct nt_map_view) * i;
	if (nrings)
		rings_change(p, rings, nrings, false);
	remote_munmap(p, pp->base, pp->size);
	maps_put(p, pp->prog, pp->prog->nmaps);
	process_give_back(p);
	HASH_DEL(p->progs, pp);
	object_unref(&pp->prog->obj);
	inline_free(&pp->inlined);
	free(pp);
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

/* --- code regions --- */

struct gap_search {
	u64 lo, hi, size, prev_end, best;
};

#define REACH 0x7f000000ull /* rel32 with room for the region's and the module's own size */

static u64 distance(const struct gap_search *g, u64 base)
{
	u64 end = base + g->size;

	return base < g->lo ? g->hi - base : end - g->lo;
}

static void gap_offer(struct gap_search *g, u64 base)
{
	if (distance(g, base) > REACH || (g->best && distance(g, base) >= distance(g, g->best)))
		return;
	g->best = base;
}

static bool gap_visit(const struct proc_map *map, void *arg)
{
	struct gap_search *g = arg;
	/* A page stays free on both sides; what grows (heap up, stack down) is kept away from. */
	u64 from = g->prev_end + NT_PAGE, to = map->start - NT_PAGE;
	bool stack = !strcmp(map->path, "[stack]");

	if (map->start > g->prev_end && to > from && to - from >= g->size && !stack && map->start < 1ull << 47) {
		if (to <= g->lo)
			gap_offer(g, to - g->size);
		else
			gap_offer(g, from);
	}
	g->prev_end = !strcmp(map->path, "[heap]") ? map->end + (64ull << 20) : map->end;
	return false;
}

int process_place(struct process *p, u64 lo, u64 hi, u32 size, u64 *ret_base)
{
	for (int tries = 0; tries < 4; tries++) {
		struct gap_search g = { .lo = lo, .hi = hi, .size = bits_round_up(size, NT_PAGE), .prev_end = 1 << 20 };
		int r = proc_maps_each(p->pid, gap_visit, &g);
		s64 at;

		if (r)
			return r;
		if (!g.best)
			return -ENOMEM;
		at = remote_mmap(p, g.best, g.size, PROT_READ | PROT_EXEC,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
		if (!failed(at)) {
			*ret_base = (u64)at;
			return 0;
		}
		if (at != -EEXIST)
			return (int)at;
	}
	return -ENOMEM;
}

int process_publish_region(struct process *p, struct code_region *r, const struct nt_region *data)
{
	u64 at = p->state + offsetof(struct nt_state, region) + sizeof(*data) * r->index;
	struct nt_region quiet = *data;
	u32 n, want = r->index + 1;
	int err = inject_read(&p->target, p->state + offsetof(struct nt_state, nregions), &n, sizeof(n));

	/* Threads of the target may look at the entry meanwhile: it is void while its fields change. */
	quiet.state = NT_REGION_FREE;
	if (!err)
		err = inject_write(&p->target, at + offsetof(struct nt_region, state), &quiet.state, sizeof(quiet.state));
	if (!err)
		err = inject_write(&p->target, at, &quiet, sizeof(quiet));
	if (!err && data->state != NT_REGION_FREE)
		err = inject_write(&p->target, at + offsetof(struct nt_region, state), &data->state, sizeof(data->state));
	if (!err && n < want)
		err = inject_write(&p->target, p->state + offsetof(struct nt_state, nregions), &want, sizeof(want));
	return err;
}

/* --- modules --- */

struct module_scan {
	struct process *p;
	struct binary *b;
	int found, error;
};

static bool module_visit(const struct proc_map *map, void *arg)
{
	struct module_scan *s = arg;
	struct module *m;
	u64 vaddr, bias;

	if (map->shared || !(map->prot & PROT_EXEC) || binary_vaddr(s->b, map->off, &vaddr))
		return false;
	bias = map->start - vaddr;
	for (m = s->p->modules; m; m = m->next)
		if (m->binary == s->b && m->bias == bias)
			break;
	if (!m) {
		m = calloc(1, sizeof(*m));
		if (!m) {
			s->error = -ENOMEM;
			return true;
		}
		m->binary = s->b;
		m->bias = bias;
		m->lo = map->start;
		m->hi = map->end;
		m->next = s->p->modules;
		s->p->modules = m;
	}
	m->lo = bits_min(m->lo, map->start);
	m->hi = bits_max(m->hi, map->end);
	m->seen = true;
	s->found++;
	return false;
}

static void module_free(struct process *p, struct module *m)
{
	for (u32 i = 0; i < m->npatch; i++)
		if (m->patch[i].region)
			m->patch[i].region->live--;
	free(m->patch);
	free(m);
}

static void modules_remove(struct process *p, struct binary *b, bool unseen_only)
{
	for (struct module **at = &p->modules; *at;) {
		struct module *m = *at;

		if (m->binary != b || (unseen_only && m->seen)) {
			at = &m->next;
			continue;
		}
		*at = m->next;
		module_free(p, m);
	}
}

void process_drop_binary(struct process *p, struct binary *b)
{
	modules_remove(p, b, false);
}

int process_scan_modules(struct process *p, struct binary *b)
{
	struct module_scan s = { .p = p, .b = b };
	int r;

	for (struct module *m = p->modules; m; m = m->next)
		if (m->binary == b)
			m->seen = false;
	r = proc_maps_of_file(p->pid, (dev_t)b->map_dev, b->key.ino, module_visit, &s);
	if (!r)
		r = s.error;
	if (r)
		return r;
	modules_remove(p, b, true); /* unmapped since (dlclose): forgotten without writing */
	return s.found;
}
