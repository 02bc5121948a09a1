/* SPDX-License-Identifier: MIT */
#include "broker/link/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "broker/link/payload_blob.h"

#define RUN_GAP (2u * NT_PAGE) /* changes nearer than this are written in one go */

bool batch_consumer_wanted(const struct process *p, const struct site *s, const struct consumer *c)
{
	const struct link *l = c->link;

	if (l->closing || (l->pid && l->pid != p->pid) || s->plan.form == PATCH_REFUSED)
		return false;
	if (c->exit)
		return !c->spare || p->no_returns;
	return (!l->at_return && !l->session) || (!p->no_returns && s->plan.entry && s->plan.ret_reason == PATCH_OK);
}

static int grow(void *array, u32 *cap, u32 need, size_t item)
{
	u32 n = *cap ? *cap : 8;
	void *p;

	if (need <= *cap)
		return 0;
	while (n < need)
		n *= 2;
	p = realloc(*(void **)array, n * item);
	if (!p)
		return -ENOMEM;
	*(void **)array = p;
	*cap = n;
	return 0;
}

/* --- consumer lists --- */

static bool shape_is(const struct batch *b, const struct batch_shape *d, const struct site *s)
{
	u32 i = 0;

	for (const struct consumer *c = s->first; c; c = c->next) {
		if (!batch_consumer_wanted(b->p, s, c))
			continue;
		if (i == d->n || b->links[d->first + i].link != c->link || b->links[d->first + i].exit != c->exit)
			return false;
		i++;
	}
	return i == d->n;
}

/* The number of this site's list among the batch's shapes; a new one is added. *ret_hint: the last answer. */
static int shape_of(struct batch *b, const struct site *s, u32 *hint)
{
	struct batch_shape d = { .first = b->nlinks };

	if (*hint < b->nshapes && shape_is(b, &b->shape_def[*hint], s))
		return 0;
	for (u32 i = 0; i < b->nshapes; i++)
		if (shape_is(b, &b->shape_def[i], s)) {
			*hint = i;
			return 0;
		}
	for (const struct consumer *c = s->first; c; c = c->next) {
		if (!batch_consumer_wanted(b->p, s, c))
			continue;
		if (grow(&b->links, &b->cap_links, b->nlinks + 1, sizeof(*b->links)))
			return -ENOMEM;
		b->links[b->nlinks++] = (struct batch_consumer){ c->link, c->exit };
		d.n++;
	}
	if (grow(&b->shape_def, &b->cap_shapes, b->nshapes + 1, sizeof(*b->shape_def)))
		return -ENOMEM;
	b->shape_def[b->nshapes] = d;
	*hint = b->nshapes++;
	return 0;
}

/* nth: how often l is on this list already. Sessions find their part of a call by the key, also after the list changed. */
static int fill_consumer(struct process *p, const struct batch_consumer *bc, u32 nth, struct region_consumer *c)
{
	const struct link *l = bc->link;
	const struct jit_image *img = l->prog ? &l->prog->image : NULL;
	struct process_prog *pp;
	u32 counter;
	int r;

	*c = (struct region_consumer){ .gate = p->gates + 4ull * l->gate, .at_return = l->at_return && !bc->exit,
					.at_ret = bc->exit, .session = l->session, .key = l->id << 32 | nth };
	if (l->pid) {
		r = process_open_gate(p, l->gate, 1);
		if (r)
			return r;
		c->local_gate = p->local + offsetof(struct nt_local, gate) + 4ull * l->gate;
	}
	if (!img) { /* our own probe in the dynamic linker */
		c->entry = p->image + ((const struct nt_payload_hdr *)nt_payload_blob)->fn_r_brk;
		c->clobbers = ~0u;
		return 0;
	}
	r = process_map_prog(p, l->prog, &pp);
	if (r)
		return r;
	c->entry = pp->entry;
	c->ctx_read = l->prog->facts.ctx_read;
	c->clobbers = img->clobbers;
	c->needs_ctx = c->ctx_read || img->calls || img->uses_cookie || img->uses_func_ip;
	c->uses_cookie = img->uses_cookie || img->calls;
	c->uses_func_ip = img->uses_func_ip || img->calls;
	c->uses_session = l->prog->expected_attach == NT_BPF_TRACE_UPROBE_SESSION;
	c->needs_ctx |= c->uses_session;
	c->overrides = object_prog_overrides(l->prog);
	c->inlined = pp->inlined.len && !c->uses_session ? &pp->inlined : NULL;
	if (p->engine->stats_on && !stats_index(p->engine, l->prog, &counter)) {
		c->stats = p->stats + sizeof(struct nt_prog_stats) * counter;
		c->needs_ctx = true;
		c->clobbers = ~0u;
		c->inlined = NULL;
	}
	return 0;
}

int batch_consumers(struct batch *b)
{
	b->shape = calloc(b->nshapes ? b->nshapes : 1, sizeof(*b->shape));
	b->consumers = calloc(b->nlinks ? b->nlinks : 1, sizeof(*b->consumers));
	if (!b->shape || !b->consumers)
		return -ENOMEM;
	for (u32 i = 0; i < b->nshapes; i++) {
		const struct batch_shape *d = &b->shape_def[i];

		for (u32 j = d->first; j < d->first + d->n; j++) {
			u32 nth = 1;
			int r;

			for (u32 k = d->first; k < j; k++)
				nth += b->links[k].link == b->links[j].link;
			r = fill_consumer(b->p, &b->links[j], nth, &b->consumers[j]);
			if (r)
				return r;
		}
		b->shape[i] = (struct region_shape){ .consumer = b->consumers + d->first, .n = d->n };
	}
	return 0;
}

/* --- what changes --- */

static int add_cookie(struct batch *b, u64 cookie)
{
	if (b->ncookies == b->cap_cookies) {
		u64 cap = b->cap_cookies * 2;
		u64 *more = realloc(b->cookies, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		b->cookies = more;
		b->cap_cookies = cap;
	}
	b->cookies[b->ncookies++] = cookie;
	return 0;
}

/* As struct region_site has them: cookies, then the addresses of the functions whose exit this is. */
static int add_cookies(struct batch *b, const struct site *s)
{
	int r = 0;

	b->cookie_at[b->nplaced] = b->ncookies;
	for (const struct consumer *c = s->first; c && !r; c = c->next)
		if (batch_consumer_wanted(b->p, s, c))
			r = add_cookie(b, link_cookie(c->link, c->index));
	for (const struct consumer *c = s->first; c && !r; c = c->next)
		if (c->exit && batch_consumer_wanted(b->p, s, c))
			r = add_cookie(b, c->link->site[c->index]->plan.vaddr + b->m->bias);
	return r;
}

bool batch_site_wanted(const struct process *p, const struct site *s)
{
	for (const struct consumer *c = s->first; c; c = c->next)
		if (batch_consumer_wanted(p, s, c))
			return true;
	return false;
}

static int add_site(struct batch *b, struct site *s, u32 *hint)
{
	int r;

	if (b->m->patch[s->id].region)
		b->left[b->nleft++] = s;
	if (!batch_site_wanted(b->p, s))
		return 0;
	r = shape_of(b, s, hint);
	if (r)
		return r;
	r = add_cookies(b, s);
	if (r)
		return r;
	b->placed[b->nplaced] = (struct region_site){ .plan = &s->plan, .addr = s->plan.vaddr + b->m->bias, .shape = *hint };
	b->placed_site[b->nplaced++] = s;
	b->go |= s->plan.go;
	return 0;
}

static int compare_sites(const void *x, const void *y)
{
	const struct site *a = *(struct site *const *)x, *b = *(struct site *const *)y;

	return a->plan.vaddr < b->plan.vaddr ? -1 : a->plan.vaddr > b->plan.vaddr;
}

static int batch_alloc(struct batch *b, u32 n)
{
	b->placed = calloc(n + 1, sizeof(*b->placed));
	b->placed_site = calloc(n + 1, sizeof(*b->placed_site));
	b->left = calloc(n + 1, sizeof(*b->left));
	b->cookie_at = calloc(n + 1, sizeof(*b->cookie_at));
	b->cap_cookies = n + 8;
	b->cookies = calloc(b->cap_cookies, sizeof(*b->cookies));
	return b->placed && b->placed_site && b->left && b->cookie_at && b->cookies ? 0 : -ENOMEM;
}

static int module_room(struct module *m, u32 n)
{
	struct module_patch *more;

	if (n <= m->npatch)
		return 0;
	more = realloc(m->patch, n * sizeof(*more));
	if (!more)
		return -ENOMEM;
	memset(more + m->npatch, 0, (n - m->npatch) * sizeof(*more));
	m->patch = more;
	m->npatch = n;
	return 0;
}

int batch_init(struct batch *b, struct process *p, struct module *m, struct site *const *site, u32 n)
{
	struct site **sorted;
	u32 hint = 0;
	int r;

	*b = (struct batch){ .p = p, .m = m };
	r = module_room(m, m->binary->next_id);
	if (!r)
		r = batch_alloc(b, n);
	sorted = malloc((n + 1) * sizeof(*sorted));
	if (r || !sorted) {
		free(sorted);
		return -ENOMEM;
	}
	memcpy(sorted, site, n * sizeof(*sorted));
	for (u32 i = 1; i < n; i++)
		if (compare_sites(&sorted[i - 1], &sorted[i]) > 0) {
			qsort(sorted, n, sizeof(*sorted), compare_sites);
			break;
		}
	for (u32 i = 0; i < n && !r; i++)
		if (!i || sorted[i] != sorted[i - 1]) /* a link may name a site twice */
			r = add_site(b, sorted[i], &hint);
	free(sorted);
	for (u32 i = 0; i < b->nplaced; i++)
		b->placed[i].cookie = b->cookies + b->cookie_at[i];
	return r;
}

void batch_deinit(struct batch *b)
{
	free(b->shape_def);
	free(b->links);
	free(b->shape);
	free(b->consumers);
	free(b->placed);
	free(b->placed_site);
	free(b->left);
	free(b->cookies);
	free(b->cookie_at);
	free(b->write);
	free(b->run);
	free(b->before);
	free(b->after);
	free(b->check);
}

/* --- bytes --- */

struct site_bytes {
	u8 at[5], far[PATCH_FAR_MAX];
};

static struct site_bytes original_bytes(const struct site *s)
{
	struct site_bytes b;

	memcpy(b.at, s->plan.orig, sizeof(b.at));
	memcpy(b.far, s->plan.island_orig, sizeof(b.far));
	return b;
}

/* The bytes of a site that has its slot there, in a region at base. */
static int jump_bytes(const struct batch *b, const struct site *s, u64 base, u32 jump_off, u32 victim_off,
		      struct site_bytes *ret)
{
	struct region_site rs = { .plan = &s->plan, .addr = s->plan.vaddr + b->m->bias, .jump_off = jump_off,
				  .victim_off = victim_off };

	return region_site_bytes(&rs, base, s->plan.island + b->m->bias, ret->at, ret->far);
}

static void add_write(struct batch *b, const struct site *s, bool far, const struct site_bytes *old,
		      const struct site_bytes *new, u32 placed)
{
	struct batch_write *w = &b->write[b->nwrites++];

	*w = (struct batch_write){ .addr = (far ? s->plan.island : patch_plan_at(&s->plan)) + b->m->bias,
				   .len = far ? s->plan.far_len : s->plan.patch_len, .placed = placed, .id = s->id, .site = s, .far = far };
	memcpy(w->old, far ? old->far : old->at, w->len);
	memcpy(w->new, far ? new->far : new->at, w->len);
}

static int write_for(struct batch *b, const struct site *s, const struct region_site *to, u32 placed)
{
	const struct module_patch *mp = &b->m->patch[s->id];
	struct site_bytes old = original_bytes(s), new = old;
	int r = 0;

	if (mp->region)
		r = jump_bytes(b, s, mp->region->base, mp->jump_off, mp->victim_off, &old);
	if (!r && to)
		r = jump_bytes(b, s, b->region.base, to->jump_off, to->victim_off, &new);
	if (r)
		return r;
	add_write(b, s, false, &old, &new, placed);
	if (s->plan.far_len)
		add_write(b, s, true, &old, &new, placed);
	return 0;
}

static int compare_writes(const void *x, const void *y)
{
	const struct batch_write *a = x, *b = y;

	return a->addr < b->addr ? -1 : a->addr > b->addr;
}

static int collect_writes(struct batch *b)
{
	u32 p = 0;

	b->nwrites = 0;
	if (!b->write)
		b->write = calloc(2ull * (b->nplaced + b->nleft) + 1, sizeof(*b->write));
	if (!b->write)
		return -ENOMEM;
	for (u32 i = 0; i < b->nplaced; i++) {
		int r;

		if (b->placed[i].error)
			continue;
		r = write_for(b, b->placed_site[i], &b->placed[i], i);
		if (r == -ERANGE)
			b->placed[i].error = r;
		else if (r)
			return r;
	}
	for (u32 i = 0; i < b->nleft; i++) { /* both lists are in address order */
		int r;

		while (p < b->nplaced && b->placed_site[p]->plan.vaddr < b->left[i]->plan.vaddr)
			p++;
		if (p < b->nplaced && b->placed_site[p] == b->left[i] && !b->placed[p].error)
			continue;
		r = write_for(b, b->left[i], NULL, ~0u);
		if (r)
			return r;
	}
	/* Both lists came in this order; only what lies elsewhere (islands), or one list behind the other, disturbs it. */
	for (u32 i = 1; i < b->nwrites; i++)
		if (compare_writes(&b->write[i - 1], &b->write[i]) > 0) {
			qsort(b->write, b->nwrites, sizeof(*b->write), compare_writes);
			break;
		}
	return 0;
}

static int collect_runs(struct batch *b)
{
	u64 bytes = 0, longest = 0;

	free(b->run);
	free(b->before);
	free(b->after);
	free(b->check);
	b->before = b->after = b->check = NULL;
	b->nruns = 0;
	b->run = calloc(b->nwrites + 1, sizeof(*b->run));
	if (!b->run)
		return -ENOMEM;
	for (u32 i = 0; i < b->nwrites; i++) {
		const struct batch_write *w = &b->write[i];
		struct batch_run *r = b->nruns ? &b->run[b->nruns - 1] : NULL;

		if (!r || w->addr > r->hi + RUN_GAP)
			b->run[b->nruns++] = (struct batch_run){ .lo = w->addr, .hi = w->addr + w->len };
		else
			r->hi = bits_max(r->hi, w->addr + w->len);
	}
	for (u32 i = 0; i < b->nruns; i++) {
		b->run[i].at = bytes;
		bytes += b->run[i].hi - b->run[i].lo;
		longest = bits_max(longest, b->run[i].hi - b->run[i].lo);
	}
	b->before = malloc(bytes + 1);
	b->after = malloc(bytes + 1);
	b->check = malloc(longest + 1);
	return b->before && b->after && b->check ? 0 : -ENOMEM;
}

/* Somebody else's bytes where ours should be, or two sites that want the same island. */
static void find_conflicts(struct batch *b)
{
	u32 r = 0;

	for (u32 i = 0; i < b->nwrites; i++) {
		struct batch_write *w = &b->write[i];
		bool taken = i && w->addr < b->write[i - 1].addr + b->write[i - 1].len;

		while (w->addr >= b->run[r].hi)
			r++;
		if (!taken && !memcmp(b->before + b->run[r].at + (w->addr - b->run[r].lo), w->old, w->len))
			continue;
		if (w->placed != ~0u)
			b->placed[w->placed].error = -EBUSY;
		if (b->m->patch[w->id].region)
			b->m->patch[w->id].busy = true;
	}
}

static void apply_writes(struct batch *b)
{
	u32 r = 0;

	for (u32 i = 0; i < b->nwrites; i++) {
		const struct batch_write *w = &b->write[i];

		while (w->addr >= b->run[r].hi)
			r++;
		if (!b->m->patch[w->id].busy && (w->placed == ~0u || !b->placed[w->placed].error))
			memcpy(b->after + b->run[r].at + (w->addr - b->run[r].lo), w->new, w->len);
	}
}

int batch_prepare_runs(struct batch *b)
{
	u64 bytes;
	int err = collect_writes(b);

	if (!err)
		err = collect_runs(b);
	for (u32 i = 0; i < b->nruns && !err; i++)
		err = inject_read(&b->p->target, b->run[i].lo, b->before + b->run[i].at, b->run[i].hi - b->run[i].lo);
	if (err || !b->nruns)
		return err;
	bytes = b->run[b->nruns - 1].at + b->run[b->nruns - 1].hi - b->run[b->nruns - 1].lo;
	memcpy(b->after, b->before, bytes);
	for (u32 i = 0; i < b->nwrites; i++)
		b->m->patch[b->write[i].id].busy = false;
	find_conflicts(b);
	apply_writes(b);
	return 0;
}
