/* SPDX-License-Identifier: MIT */
#include "broker/link/site.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utlist.h>

#include "base/bits.h"
#include "broker/link/process.h"
#include "util/elf.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

struct site_chunk { /* sites are allocated by the batch and never move */
	struct site_chunk *next;
	struct site site[];
};

/* --- binaries --- */

static void binary_free(struct binary *b)
{
	if (!b)
		return;
	while (b->chunks) {
		struct site_chunk *next = b->chunks->next;

		free(b->chunks);
		b->chunks = next;
	}
	patch_binary_free(b->analysis);
	util_elf_close(b->elf);
	free(b->image);
	free(b->site);
	free(b->taken);
	free(b->path);
	fd_closep(&b->fd);
	free(b);
}

void binary_free_all(struct engine *e)
{
	struct binary *b, *tmp;

	HASH_ITER(hh, e->binaries, b, tmp) {
		HASH_DEL(e->binaries, b);
		binary_free(b);
	}
}

/* Some file systems show another device in /proc/PID/maps than in stat(2): ask by mapping the file ourselves. */
static u64 device_in_maps(int fd, u64 fallback)
{
	void *page = mmap(NULL, NT_PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	struct proc_map map;
	u64 dev = fallback;

	if (page == MAP_FAILED)
		return fallback;
	if (!proc_map_at(getpid(), (u64)page, &map) && map.dev)
		dev = map.dev;
	munmap(page, NT_PAGE);
	return dev;
}

/* A copy, not a mapping: a file that is truncated meanwhile must not kill the broker. */
static int binary_load(struct binary *b, int path_fd)
{
	char proc[32], name[512];
	int fd fd_auto = -1;
	ssize_t n;
	int r;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", path_fd);
	n = readlink(proc, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = '\0';
	b->path = strdup(name);
	fd = open(proc, O_RDONLY | O_CLOEXEC);
	if (!b->path || fd < 0)
		return b->path ? -errno : -ENOMEM;
	b->map_dev = device_in_maps(fd, b->key.dev);
	b->image = malloc(b->size + 1);
	if (!b->image)
		return -ENOMEM;
	r = fd_pread_all(fd, b->image, b->size, 0);
	if (r)
		return r;
	r = util_elf_open_mem(b->image, b->size, &b->elf);
	if (r == -ENOEXEC || r == -ENOTSUP)
		return 0; /* not code: links on it are allowed, like in the kernel, and nothing will ever be hit */
	if (r)
		return r;
	return patch_binary_new(util_elf_desc(b->elf), &b->analysis);
}

int binary_get(struct engine *e, int path_fd, struct binary **ret)
{
	u64 begin = engine_now_ns();
	struct binary_key key;
	struct binary *b;
	struct stat st;
	s64 mtime;
	int r;

	if (fstat(path_fd, &st) < 0)
		return -errno;
	memset(&key, 0, sizeof(key));
	key.dev = st.st_dev;
	key.ino = st.st_ino;
	mtime = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
	HASH_FIND(hh, e->binaries, &key, sizeof(key), b);
	if (b && b->size == (u64)st.st_size && b->mtime_ns == mtime) {
		if (b->fd < 0)
			b->fd = fcntl(path_fd, F_DUPFD_CLOEXEC, 3);
		*ret = b;
		return 0;
	}
	if (b) { /* written over in place: what is known of it is void, but links may still hold it */
		struct link *l;

		DL_FOREACH(e->links, l)
			if (l->binary == b)
				return -ETXTBSY;
		for (struct process *p = e->processes; p; p = p->hh.next)
			process_drop_binary(p, b);
		HASH_DEL(e->binaries, b);
		binary_free(b);
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->key = key;
	b->fd = fcntl(path_fd, F_DUPFD_CLOEXEC, 3);
	b->size = (u64)st.st_size;
	b->mtime_ns = mtime;
	r = binary_load(b, path_fd);
	if (r) {
		binary_free(b);
		return r;
	}
	HASH_ADD(hh, e->binaries, key, sizeof(key), b);
	log_info("analysed %s: %.3f ms", b->path, (double)(engine_now_ns() - begin) / 1e6);
	*ret = b;
	return 0;
}

int binary_vaddr(const struct binary *b, u64 off, u64 *ret)
{
	const struct patch_binary_desc *d = b->elf ? util_elf_desc(b->elf) : NULL;

	for (u32 i = 0; d && i < d->nseg; i++) {
		u64 first = d->seg[i].off & ~(u64)(NT_PAGE - 1);

		if (off >= first && off < d->seg[i].off + d->seg[i].size) {
			*ret = d->seg[i].vaddr + off - d->seg[i].off;
			return 0;
		}
	}
	return -ENOENT;
}

int binary_map_vaddr(const struct binary *b, u64 off, u64 size, u64 *ret)
{
	const struct patch_binary_desc *d = b->elf ? util_elf_desc(b->elf) : NULL;

	if (!binary_vaddr(b, off, ret))
		return 0;
	for (u32 i = 0; d && i < d->nseg; i++)
		if (d->seg[i].off >= off && d->seg[i].off - off < size) {
			*ret = d->seg[i].vaddr - (d->seg[i].off - off);
			return 0;
		}
	return -ENOENT;
}

/* --- sites --- */

struct wanted { /* an offset that a link asks for */
	u64 off;
	u32 index;
};

static int compare_wanted(const void *x, const void *y)
{
	const struct wanted *a = x, *b = y;

	if (a->off != b->off)
		return a->off < b->off ? -1 : 1;
	return a->index < b->index ? -1 : a->index > b->index;
}

static struct wanted *sort_wanted(const u64 *offsets, u32 n)
{
	struct wanted *w = malloc((n + 1ull) * sizeof(*w));
	bool sorted = true;

	if (!w)
		return NULL;
	for (u32 i = 0; i < n; i++) {
		w[i] = (struct wanted){ .off = offsets[i], .index = i };
		sorted &= !i || w[i - 1].off <= w[i].off;
	}
	if (!sorted)
		qsort(w, n, sizeof(*w), compare_wanted);
	return w;
}

static void range_take(struct binary *b, struct patch_range r)
{
	struct patch_range *more = realloc(b->taken, (b->ntaken + 1) * sizeof(*more));
	u32 i = b->ntaken;

	if (!more)
		return; /* a second site may plan for it: the attach finds the conflict and leaves one out */
	b->taken = more;
	b->ntaken++;
	for (; i && b->taken[i - 1].lo > r.lo; i--)
		b->taken[i] = b->taken[i - 1];
	b->taken[i] = r;
}

static void site_plan(struct binary *b, struct site *s, const struct site *before, const u64 *all, u32 nall)
{
	struct patch_range takes[2];
	u64 vaddr;
	u32 n;

	if (binary_vaddr(b, s->off, &vaddr)) {
		s->plan = (struct patch_plan){ .form = PATCH_REFUSED, .reason = PATCH_R_NOT_CODE };
		return;
	}
	patch_plan_site_avoiding(b->analysis, vaddr, all, nall, b->taken, b->ntaken, &s->plan);
	if (before && s->plan.form != PATCH_REFUSED && before->plan.form != PATCH_REFUSED &&
	    patch_plan_at(&s->plan) < patch_plan_at(&before->plan) + before->plan.wlen)
		s->plan = (struct patch_plan){ .vaddr = vaddr, .form = PATCH_REFUSED, .reason = PATCH_R_OVERLAP };
	n = patch_plan_takes(&s->plan, takes);
	while (n--)
		range_take(b, takes[n]);
}

/* Merges the sorted w into b->site; sites that did not exist come from chunk, *ret_new counts them. */
static int merge_sites(struct binary *b, const struct wanted *w, u32 n, struct site_chunk *chunk, struct site **ret,
		       u32 *ret_new)
{
	struct site **merged = malloc((b->nsites + (u64)n + 1) * sizeof(*merged));
	u32 old = 0, total = 0, made = 0;

	if (!merged)
		return -ENOMEM;
	for (u32 i = 0; i < n; i++) {
		while (old < b->nsites && b->site[old]->off < w[i].off)
			merged[total++] = b->site[old++];
		if (old < b->nsites && b->site[old]->off == w[i].off) {
			ret[w[i].index] = b->site[old];
			continue;
		}
		if (!total || merged[total - 1]->off != w[i].off) {
			struct site *s = &chunk->site[made++];

			s->off = w[i].off;
			s->id = b->next_id++;
			merged[total++] = s;
		}
		ret[w[i].index] = merged[total - 1];
	}
	while (old < b->nsites)
		merged[total++] = b->site[old++];
	free(b->site);
	b->site = merged;
	b->nsites = total;
	*ret_new = made;
	return 0;
}

static int plan_new(struct binary *b, u32 first_new_id)
{
	u64 *all = malloc((b->nsites + 1ull) * sizeof(*all));
	u32 nall = 0;

	if (!all)
		return -ENOMEM;
	for (u32 i = 0; i < b->nsites; i++)
		if (!binary_vaddr(b, b->site[i]->off, &all[nall]))
			nall++;
	for (u32 i = 0; i < b->nsites; i++)
		if (b->site[i]->id >= first_new_id)
			site_plan(b, b->site[i], i ? b->site[i - 1] : NULL, all, nall);
	free(all);
	return 0;
}

int binary_sites(struct binary *b, const u64 *offsets, u32 n, struct site **ret)
{
	struct site_chunk *chunk = calloc(1, sizeof(*chunk) + n * sizeof(chunk->site[0]));
	struct wanted *w = sort_wanted(offsets, n);
	u32 first_new = b->next_id, made = 0;
	int r = chunk && w ? merge_sites(b, w, n, chunk, ret, &made) : -ENOMEM;

	free(w);
	if (!made) {
		free(chunk);
		return r;
	}
	chunk->next = b->chunks;
	b->chunks = chunk;
	return plan_new(b, first_new);
}

void site_add_consumer(struct site *s, struct consumer *c)
{
	c->next = s->first;
	s->first = c;
}

void site_remove_consumer(struct site *s, struct consumer *c)
{
	struct consumer **at = &s->first;

	while (*at && *at != c)
		at = &(*at)->next;
	if (*at)
		*at = c->next;
	s->round += !s->first;
}
