/* SPDX-License-Identifier: MIT */
#include "broker/link/adopt.h"
#include "broker/link/sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bits.h"
#include "broker/link/ids.h"
#include "broker/link/steady.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

#define STOP_TIMEOUT_MS 1000u

static struct nt_ledger_site *read_ledger(struct process *p, const struct nt_region *r)
{
	struct nt_ledger_site *l;

	if (r->nsites > (1u << 21) || (u64)r->ledger_off + r->nsites * sizeof(*l) > r->size)
		return NULL;
	l = malloc(r->nsites * sizeof(*l) + 1);
	if (l && inject_read(&p->target, r->base + r->ledger_off, l, r->nsites * sizeof(*l))) {
		free(l);
		return NULL;
	}
	return l;
}

/* --- forked children --- */

static struct site *site_by_vaddr(const struct binary *b, u64 vaddr)
{
	u32 lo = 0, hi = b->nsites;

	while (lo < hi) {
		u32 mid = (lo + hi) / 2;
		u64 at;

		if (binary_vaddr(b, b->site[mid]->off, &at)) { /* not code: look at its neighbours one by one */
			for (mid = lo; mid < hi; mid++)
				if (!binary_vaddr(b, b->site[mid]->off, &at) && at == vaddr)
					return b->site[mid];
			return NULL;
		}
		if (at == vaddr)
			return b->site[mid];
		if (at < vaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* What the parent's record knows and the region does not tell. A fork keeps addresses; seq says that it is the same. */
static int take_notes(struct code_region *r, const struct process *p, const struct process *parent)
{
	const struct code_region *q = parent ? parent->regions : NULL;

	while (q && (q->base != r->base || q->data.seq != r->data.seq))
		q = q->next;
	if (!q)
		return 0;
	r->ret = calloc(q->nret + 1, sizeof(*r->ret));
	r->gate = calloc(q->ngates + 1, sizeof(*r->gate));
	if (!r->ret || !r->gate)
		return -ENOMEM;
	memcpy(r->ret, q->ret ? q->ret : r->ret, q->nret * sizeof(*r->ret));
	memcpy(r->gate, q->gate ? q->gate : r->gate, q->ngates * sizeof(*r->gate));
	r->nret = q->nret;
	r->ngates = q->ngates;
	r->follow_off = q->follow_off;
	for (const struct module *m = p->modules; m && q->module; m = m->next)
		if (m->binary == q->module->binary && m->bias == q->module->bias)
			r->module = m;
	return 0;
}

static u32 meta_of(const struct code_region *r, const struct site *s)
{
	for (u32 i = 0; i < r->nret; i++)
		if (r->ret[i].site == s->id)
			return r->ret[i].meta;
	return 0;
}

static void take_site(struct process *p, struct code_region *r, const struct nt_ledger_site *l, u32 index)
{
	for (struct module *m = p->modules; m; m = m->next) {
		struct site *s;

		if (l->addr < m->lo || l->addr >= m->hi)
			continue;
		s = site_by_vaddr(m->binary, l->addr + l->back - m->bias);
		if (!s || s->id >= m->npatch)
			continue;
		m->patch[s->id] = (struct module_patch){ .region = r, .jump_off = l->slot_off, .meta_off = meta_of(r, s),
						       .ledger = index, .counted = s->ref_ctr };
		if (s->plan.victim.len && index + 1 < r->nledger)
			m->patch[s->id].victim_off = l[1].slot_off;
		m->patched++;
		r->live++;
		return;
	}
}

static int take_region(struct process *p, const struct process *parent, const struct nt_region *data, u32 index)
{
	struct code_region *r = calloc(1, sizeof(*r));
	struct nt_ledger_site *ledger free_auto = NULL;

	if (!r)
		return -ENOMEM;
	*r = (struct code_region){ .base = data->base, .size = data->size, .index = index, .data = *data,
				   .ledger_off = data->ledger_off, .nledger = data->nsites,
				   .code_end = data->frames_lo != data->frames_hi ? (u32)(data->frames_lo - data->base)
										  : data->ledger_off };
	r->next = p->regions;
	p->regions = r;
	process_note_spare(p, r->base);
	if (take_notes(r, p, parent))
		return -ENOMEM;
	if (data->state != NT_REGION_LIVE)
		return 0;
	ledger = read_ledger(p, data);
	if (!ledger)
		return -EBADMSG;
	for (u32 i = 0; i < data->nsites; i++)
		if (ledger[i].addr && ledger[i].back != NT_LEDGER_FAR)
			take_site(p, r, &ledger[i], i);
	return 0;
}

static int modules_ready(struct process *p)
{
	for (struct binary *b = p->engine->binaries; b; b = b->hh.next) {
		int r = process_scan_modules(p, b);

		if (r < 0)
			return r;
	}
	for (struct module *m = p->modules; m; m = m->next) {
		if (m->npatch >= m->binary->next_id)
			continue;
		free(m->patch);
		m->npatch = m->binary->next_id;
		m->patch = calloc(m->npatch, sizeof(*m->patch));
		if (!m->patch)
			return -ENOMEM;
	}
	return 0;
}

/* Programs and maps stand where the parent had them at the fork; what came later is not in the child. */
static void take_programs(struct process *p, const struct process *parent)
{
	const struct process_prog *pp;
	const struct process_map *pm;
	struct process_map *m, *tmp;
	struct proc_map map;

	for (pm = parent->maps; pm; pm = pm->hh.next) {
		if (proc_map_at(p->pid, pm->base, &map) || map.start != pm->base || map.end - map.start < pm->size || !map.shared)
			continue;
		m = malloc(sizeof(*m));
		if (!m)
			return;
		*m = *pm;
		m->refs = 0;
		m->held = malloc(bits_max(pm->nheld, 1u) * sizeof(*m->held));
		m->nheld = m->held ? pm->nheld : 0;
		if (m->nheld)
			memcpy(m->held, pm->held, pm->nheld * sizeof(*m->held));
		HASH_ADD_INT(p->maps, id, m);
	}
	/* Inner maps are there for their outer ones, once for each. */
	HASH_ITER(hh, p->maps, m, tmp)
	{
		for (u32 i = 0; i < m->nheld; i++) {
			struct process_map *inner;

			HASH_FIND_INT(p->maps, &m->held[i], inner);
			if (inner)
				inner->refs++;
		}
	}
	for (pp = parent->progs; pp; pp = pp->hh.next) {
		struct process_prog *q;
		u8 mine[64], theirs[64];

		if (inject_read(&p->target, pp->base, mine, sizeof(mine)) ||
		    inject_read((struct inject_target *)&parent->target, pp->base, theirs, sizeof(theirs)) ||
		    memcmp(mine, theirs, sizeof(mine)))
			continue;
		if (process_prog_copy(pp, &q))
			return;
		process_ref_maps(p, q->prog);
		HASH_ADD_INT(p->progs, id, q);
	}
}

/* A child may be the first in a namespace of its own. */
static void take_ids(struct process *p, u32 flags)
{
	p->foreign = ids_is_foreign(p->pid);
	flags = p->foreign ? flags | NT_STATE_PIDNS : flags & ~NT_STATE_PIDNS;
	if (p->foreign)
		ids_fill(p);
	inject_write(&p->target, p->state + offsetof(struct nt_state, flags), &flags, sizeof(flags));
}

static int take_child(struct process *p, const struct nt_state *state)
{
	struct process *parent;
	u64 newest = 0, token;
	int r;

	for (parent = p->engine->processes; parent; parent = parent->hh.next)
		if (parent != p && parent->injected && parent->token == state->token)
			break;
	r = modules_ready(p);
	for (u32 i = 0; i < state->nregions && !r; i++) {
		if (state->region[i].state == NT_REGION_FREE)
			continue;
		r = take_region(p, parent, &state->region[i], i);
		newest = bits_max(newest, state->region[i].seq);
	}
	if (r)
		return r;
	if (parent)
		take_programs(p, parent);
	p->env.fs0 = state->flags & NT_STATE_FS0;
	p->env.go_stacks = state->go_stacks;
	p->env.go_words = (u32)state->go_words;
	p->unwind_hooked = state->orig_dl_find_object;
	p->rbrk_seq = state->rbrk_seq;
	p->ids_seq = state->ids_seq;
	take_ids(p, state->flags);
	p->target.haven = p->haven;
	p->injected = true;
	if (getrandom(&token, sizeof(token), 0) == sizeof(token) &&
	    !inject_write(&p->target, p->state + offsetof(struct nt_state, token), &token, sizeof(token)))
		p->token = token;
	if (newest != p->engine->seq)
		for (struct module *m = p->modules; m; m = m->next)
			attach_module(p, m, m->binary->site, m->binary->nsites);
	log_info("pid %d (%s): adopted%s", p->pid, p->comm, parent ? "" : ", its parent is gone");
	return 0;
}

/* --- what a killed broker left --- */

struct proc_gates {
	u64 ino;
	bool found;
};

static bool gates_of_owner(const struct proc_map *map, void *arg)
{
	struct proc_gates *g = arg;

	g->found = map->ino == g->ino && map->shared;
	return g->found;
}

/* Is the broker that made this block dead, and what it had begun (steady.h) done? Its process id stands in front of its
 * gates; the guardian of a dead one has wiped it. */
static bool is_for_us(struct process *p, u64 gates_addr, u64 ino, bool others)
{
	struct proc_gates g = { .ino = ino };
	u32 word[GATE_FIRST] = { 0 };
	pid_t pid;
	char comm[16];
	int r = inject_read(&p->target, gates_addr, word, sizeof(word));

	if (!r && !others && word[GATE_DIR] != p->engine->shared.gates[GATE_DIR])
		return false;
	pid = (pid_t)word[GATE_OWNER];
	if (r || !pid || pid == p->engine->pid)
		return true;
	if (proc_comm(pid, comm) || (strcmp(comm, "notrapd") && strcmp(comm, STEADY_NAME)))
		return true;
	/* Another broker with this number: its gates are another file. (Another user's cannot be looked at.) */
	r = proc_maps_each(pid, gates_of_owner, &g);
	return r == -ESRCH || (!r && !g.found);
}

struct restore { /* what a place gets back */
	u64 addr;
	u64 hop; /* where its short jump leads: from there a thread goes back to addr; 0 = it is a long jump */
	u8 len, bytes[PATCH_FAR_MAX], jump[PATCH_FAR_MAX];
};

struct restores {
	struct restore *r;
	u32 n, cap;
};

static int restores_add(struct restores *rs, const struct nt_ledger_site *l, u64 hop, const u8 *now)
{
	if (rs->n == rs->cap) {
		u32 cap = rs->cap ? rs->cap * 2 : 256;
		struct restore *more = realloc(rs->r, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		rs->r = more;
		rs->cap = cap;
	}
	rs->r[rs->n] = (struct restore){ .addr = l->addr, .hop = hop, .len = l->len };
	memcpy(rs->r[rs->n].jump, now, l->len);
	memcpy(rs->r[rs->n++].bytes, l->orig, l->len);
	return 0;
}

static bool jumps_into(const u8 now[5], u64 at, const struct nt_region *r)
{
	s32 rel;

	memcpy(&rel, now + 1, 4);
	return now[0] == 0xe9 && at + 5 + (u64)(s64)rel - r->base < r->size;
}

/* Only what is our jump into this region; the site may have moved on to another one, or be somebody else's by now. */
static int restore_place(struct process *p, const struct nt_region *r, const struct nt_ledger_site *l,
			 struct restores *rs)
{
	u8 now[PATCH_FAR_MAX], far[5];
	u64 hop;

	if (!l->addr || l->len > sizeof(now) || l->len < 2 || inject_read(&p->target, l->addr, now, l->len))
		return 0;
	if (l->len != 2)
		return jumps_into(now, l->addr, r) ? restores_add(rs, l, 0, now) : 0;
	hop = l->addr + 2 + (u64)(s64)(s8)now[1];
	if (now[0] != 0xeb || inject_read(&p->target, hop, far, sizeof(far)) || !jumps_into(far, hop, r))
		return 0;
	return restores_add(rs, l, hop, now);
}

static int find_restores(struct process *p, const struct nt_state *state, struct restores *rs)
{
	int r = 0;

	for (u32 i = 0; i < state->nregions && !r; i++) {
		struct nt_ledger_site *ledger free_auto = NULL;

		if (state->region[i].state != NT_REGION_LIVE)
			continue;
		ledger = read_ledger(p, &state->region[i]);
		for (u32 j = 0; ledger && j < state->region[i].nsites && !r; j++)
			r = restore_place(p, &state->region[i], &ledger[j], rs);
	}
	return r;
}

/* A thread between two jumps goes back to the first. */
static void leave_hops(struct process *p, const struct restores *rs)
{
	struct inject_target *t = &p->target;

	for (u32 i = 0; i < t->nthreads; i++)
		for (u32 j = 0; j < rs->n && t->thread[i].stopped && !inject_regs(t, i); j++)
			if (rs->r[j].hop && rs->r[j].hop == t->thread[i].regs.rip)
				inject_set_pc(t, i, rs->r[j].addr);
}

/* Another broker may have been here since we looked, and have attached anew. */
static int restore(struct process *p, const struct restore *rs)
{
	u8 now[PATCH_FAR_MAX];
	int r = inject_read(&p->target, rs->addr, now, rs->len);

	if (r || memcmp(now, rs->jump, rs->len))
		return r;
	return inject_write(&p->target, rs->addr, rs->bytes, rs->len);
}

static int bury(struct process *p, struct nt_state *state)
{
	struct restores rs = { .n = 0 };
	int r = find_restores(p, state, &rs);

	if (!r)
		r = inject_stop(&p->target, STOP_TIMEOUT_MS);
	if (!r) {
		leave_hops(p, &rs);
		r = inject_settle_pcs(&p->target);
		for (u32 i = 0; i < rs.n && !r; i++)
			r = restore(p, &rs.r[i]);
		state->magic = 0;
		if (!r)
			r = inject_write(&p->target, p->state, &state->magic, sizeof(state->magic));
		process_resume(p);
	}
	free(rs.r);
	log_info("pid %d (%s): took out %u jumps that an earlier broker left%s%s", p->pid, p->comm, rs.n, r ? ": " : "",
		 r ? strerror(-r) : "");
	return r;
}

int attach_adopt(struct process *p, u64 gates_addr, u64 gates_ino, bool others)
{
	struct nt_state *state free_auto = malloc(sizeof(*state));
	bool ours = gates_ino == p->engine->shared.ino;
	int r;

	if (!state)
		return -ENOMEM;
	if (!p->opened) {
		r = inject_open(p->pid, &p->target);
		if (r)
			return r;
		p->opened = true;
		p->target.seccomp_ok = sandbox_allows(p->engine->broker, p->pid);
	}
	process_use_block(p, process_block_from_gates(gates_addr));
	r = process_read_state(p, p->state, state);
	if (r == -EBADMSG || (!r && !ours && !is_for_us(p, gates_addr, gates_ino, others)))
		return 0; /* dead already, another version's, or not for us to touch */
	if (r)
		return r;
	r = ours ? take_child(p, state) : bury(p, state);
	return r < 0 ? r : 1;
}
