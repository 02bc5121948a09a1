/* SPDX-License-Identifier: MIT */
#include "broker/link/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "broker/link/payload_blob.h"

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
	u32 id = s->id | (s->plan.far_len ? BATCH_FAR : 0);
	int r;

	b->counts |= s->ref_ctr != 0;
	if (b->m->patch[s->id].region) {
		b->left_id[b->nleft] = id;
		b->left[b->nleft++] = s;
	}
	if (!batch_site_wanted(b->p, s))
		return 0;
	r = shape_of(b, s, hint);
	if (r)
		return r;
	r = add_cookies(b, s);
	if (r)
		return r;
	b->placed[b->nplaced] = (struct region_site){ .plan = &s->plan, .addr = s->plan.vaddr + b->m->bias, .shape = *hint };
	b->placed_id[b->nplaced] = id;
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
	b->placed_id = calloc(n + 1, sizeof(*b->placed_id));
	b->left_id = calloc(n + 1, sizeof(*b->left_id));
	b->cookie_at = calloc(n + 1, sizeof(*b->cookie_at));
	b->cap_cookies = n + 8;
	b->cookies = calloc(b->cap_cookies, sizeof(*b->cookies));
	return b->placed && b->placed_site && b->left && b->placed_id && b->left_id && b->cookie_at && b->cookies ? 0 : -ENOMEM;
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
	for (u32 i = 0; i < n && !r; i++) {
		site_prefetch(sorted, i, n);
		if (!i || sorted[i] != sorted[i - 1]) /* a link may name a site twice */
			r = add_site(b, sorted[i], &hint);
	}
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
	free(b->placed_id);
	free(b->left_id);
	free(b->cookies);
	free(b->cookie_at);
	free(b->write);
	free(b->run);
	free(b->before);
	free(b->after);
	free(b->check);
}
