/* SPDX-License-Identifier: MIT */
/*
 * A table lives in a memfd as long as the broker; a process that has mapped it keeps it mapped, also when the module is
 * gone (dlclose): a thread may be walking by it. nt_state.unwind is the truth about what a process knows, so it is read
 * back each time; a forked child has its parent's and needs no more.
 */
#include "broker/link/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "broker/link/remote.h"
#include "util/build_id.h"
#include "util/ehrows.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

#define FILE_MAX (1ull << 30)

struct table_key { /* the same file, unchanged */
	u64 dev, ino, size, mtime_s, mtime_ns;
};

struct table {
	struct table_key key;
	int fd; /* -1: the file has none */
	struct util_ehrows rows;
	u64 size; /* bytes of the memfd */
	u8 build_id[NT_BUILD_ID_SIZE];
	bool has_build_id;
	UT_hash_handle hh;
};

struct want {
	u64 lo, hi, off, ino;
	char *path;
};

struct wants {
	struct want want[NT_MAX_UNWIND];
	u32 n;
};

bool tables_wanted(const struct object_prog *prog)
{
	static const u32 ids[] = { BPF_FUNC_get_stack, BPF_FUNC_get_stackid, BPF_FUNC_get_task_stack };

	for (u32 i = 0; i < bits_count(ids); i++)
		if (prog->facts.helpers[ids[i] / 32] >> (ids[i] % 32) & 1)
			return true;
	return false;
}

static void table_make(struct table *t, int file)
{
	u8 *bytes = mmap(NULL, t->key.size, PROT_READ, MAP_PRIVATE, file, 0);
	size_t len;

	if (bytes == MAP_FAILED)
		return;
	t->has_build_id = util_build_id(bytes, t->key.size, t->build_id);
	if (!util_ehrows_make(bytes, t->key.size, &t->rows) && t->rows.n) {
		len = t->rows.n * sizeof(*t->rows.row);
		t->size = bits_round_up((u64)len, (u64)NT_PAGE);
		t->fd = memfd_create("notrap-unwind", MFD_CLOEXEC);
		if (t->fd >= 0 && (ftruncate(t->fd, (off_t)t->size) || pwrite(t->fd, t->rows.row, len, 0) != (ssize_t)len)) {
			close(t->fd);
			t->fd = -1;
		}
	}
	free(t->rows.row);
	t->rows.row = NULL; /* they are in the file now */
	munmap(bytes, t->key.size);
}

/* NULL: cannot be had. */
static struct table *table_get(struct engine *e, pid_t pid, const struct want *want)
{
	struct table_key key;
	struct table *t;
	struct stat st;
	char path[4200];
	int fd fd_auto = -1;

	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, want->path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_ino != want->ino || !st.st_size ||
	    (u64)st.st_size > FILE_MAX)
		return NULL;
	memset(&key, 0, sizeof(key));
	key = (struct table_key){ st.st_dev, st.st_ino, (u64)st.st_size, (u64)st.st_mtim.tv_sec, (u64)st.st_mtim.tv_nsec };
	HASH_FIND(hh, e->tables, &key, sizeof(key), t);
	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->key = key;
	t->fd = -1;
	table_make(t, fd);
	HASH_ADD(hh, e->tables, key, sizeof(t->key), t);
	return t;
}

void tables_free_all(struct engine *e)
{
	struct table *t, *tmp;

	HASH_ITER(hh, e->tables, t, tmp) {
		HASH_DEL(e->tables, t);
		if (t->fd >= 0)
			close(t->fd);
		free(t);
	}
}

static bool want_visit(const struct proc_map *map, void *arg)
{
	struct wants *w = arg;
	struct want *want;

	if (!(map->prot & PROT_EXEC) || !map->ino || map->path[0] != '/' || w->n == NT_MAX_UNWIND)
		return false;
	want = &w->want[w->n];
	*want = (struct want){ map->start, map->end, map->off, map->ino, strdup(map->path) };
	w->n += !!want->path;
	return false;
}

static void wants_free(struct wants *w)
{
	for (u32 i = 0; w && i < w->n; i++)
		free(w->want[i].path);
	free(w);
}

/* What a reader finds between the two odd numbers it does not believe. */
static int publish(struct process *p, u32 i, struct nt_unwind_module *m)
{
	u64 at = p->state + offsetof(struct nt_state, unwind) + i * sizeof(*m);
	u32 seq = m->seq | 1;
	int r = inject_write(&p->target, at + offsetof(struct nt_unwind_module, seq), &seq, sizeof(seq));

	m->seq = seq;
	if (!r)
		r = inject_write(&p->target, at, m, sizeof(*m));
	m->seq = seq + 1;
	if (!r)
		r = inject_write(&p->target, at + offsetof(struct nt_unwind_module, seq), &m->seq, sizeof(m->seq));
	return r;
}

static int module_add(struct process *p, const struct want *want, struct nt_unwind_module *list, u32 *n)
{
	struct table *t = table_get(p->engine, p->pid, want);
	struct nt_unwind_module m = { .lo = want->lo, .hi = want->hi, .ino = want->ino, .off = want->off };
	u64 pc;
	u32 i = 0;
	s64 at;

	while (i < *n && list[i].lo != list[i].hi)
		i++;
	if (i == NT_MAX_UNWIND)
		return -ENOSPC;
	m.seq = i < *n ? list[i].seq : 0;
	if (t && t->has_build_id) {
		memcpy(m.build_id, t->build_id, sizeof(m.build_id));
		m.has_build_id = true;
	}
	if (t && t->fd >= 0 && util_ehrows_pc(&t->rows, want->off, &pc)) {
		at = remote_map_file(p, t->fd, 0, t->size, PROT_READ);
		if (remote_failed(at))
			return (int)at;
		m.rows = (u64)at;
		m.nrows = t->rows.n;
		m.bias = want->lo - pc;
	}
	list[i] = m;
	if (i == *n)
		++*n;
	return publish(p, i, &list[i]);
}

static bool is_wanted(const struct wants *w, const struct nt_unwind_module *m)
{
	for (u32 i = 0; i < w->n; i++)
		if (w->want[i].lo == m->lo && w->want[i].hi == m->hi && w->want[i].ino == m->ino)
			return true;
	return false;
}

static bool is_known(const struct nt_unwind_module *list, u32 n, const struct want *want)
{
	for (u32 i = 0; i < n; i++)
		if (want->lo == list[i].lo && want->hi == list[i].hi && want->ino == list[i].ino)
			return true;
	return false;
}

/* Modules that are gone make room first: another one may stand at the same address. */
static int update_list(struct process *p, const struct wants *w, struct nt_unwind_module *list, u32 *n)
{
	u32 before = *n;
	int r = 0;

	for (u32 i = 0; i < *n && !r; i++) {
		if (list[i].lo == list[i].hi || is_wanted(w, &list[i]))
			continue;
		list[i].lo = list[i].hi = 0;
		r = publish(p, i, &list[i]);
	}
	for (u32 i = 0; i < w->n && !r; i++)
		if (!is_known(list, *n, &w->want[i]))
			r = module_add(p, &w->want[i], list, n);
	if (!r && *n != before)
		r = inject_write(&p->target, p->state + offsetof(struct nt_state, nunwind), n, sizeof(*n));
	return r;
}

/* Is there anything to do? Asked often, so without stopping anybody. */
static bool is_stale(const struct wants *w, const struct nt_unwind_module *list, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (list[i].lo != list[i].hi && !is_wanted(w, &list[i]))
			return true;
	for (u32 i = 0; i < w->n; i++)
		if (!is_known(list, n, &w->want[i]))
			return true;
	return false;
}

static bool process_walks(const struct process *p)
{
	for (const struct process_prog *pp = p->progs; pp; pp = pp->hh.next)
		if (tables_wanted(pp->prog))
			return true;
	return false;
}

void tables_update(struct process *p)
{
	struct nt_unwind_module *list free_auto = calloc(NT_MAX_UNWIND, sizeof(*list));
	struct wants *w = NULL;
	u32 n = 0;
	int r;

	if (!list || !p->injected || !process_walks(p))
		return;
	w = calloc(1, sizeof(*w));
	if (!w || proc_maps_each(p->pid, want_visit, w) ||
	    inject_read(&p->target, p->state + offsetof(struct nt_state, nunwind), &n, sizeof(n)) || n > NT_MAX_UNWIND ||
	    inject_read(&p->target, p->state + offsetof(struct nt_state, unwind), list, n * sizeof(*list))) {
		wants_free(w);
		return;
	}
	if (is_stale(w, list, n) && !process_borrow(p)) {
		r = update_list(p, w, list, &n);
		process_give_back(p);
		if (r)
			log_info("pid %d (%s): unwind tables: %s", p->pid, p->comm, strerror(-r));
	}
	wants_free(w);
}
