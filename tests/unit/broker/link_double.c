/* SPDX-License-Identifier: MIT */
/*
 * Stands in for broker/link where only commands and objects are under test: links exist, nothing is
 * attached. What a command hands over is kept in the link, so that a test can ask for it.
 */
#include "broker/link/lend.h"
#include "broker/link/link.h"
#include "broker/link/mixed.h"
#include "broker/link/run.h"
#include "broker/link/sandbox.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/client.h"
#include "broker/object/perf.h"
#include "broker/object/prog.h"
#include "util/fd.h"

struct engine {
	u32 nlinks;
};

struct link {
	struct object_prog *prog;
	bool multi;
	char path[PATH_MAX];
	u32 n, flags;
	u64 *offsets, *cookies;
	u64 cookie;
};

int mixed_settle(struct broker *b, struct link *joining, char *notice, size_t n)
{
	return 0;
}

bool sandbox_is_ours(struct broker *b, pid_t pid)
{
	return false;
}

s64 lend_mmap(struct broker *b, pid_t pid, u64 addr, u64 size, int prot, int flags, int fd, u64 off)
{
	(void)b, (void)pid, (void)addr, (void)size, (void)prot, (void)flags, (void)fd, (void)off;
	return -ENOSYS;
}

int engine_new(struct broker *b, struct engine **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void engine_free(struct engine *e)
{
	free(e);
}

void link_stats_enable(struct broker *b, bool on)
{
}

void link_prog_stats(struct broker *b, const struct object_prog *p, struct link_stats *ret)
{
	*ret = (struct link_stats){ 0 };
}

bool engine_busy(const struct engine *e)
{
	return e->nlinks > 0;
}

const struct nt_map_view *engine_trace_view(const struct engine *e)
{
	return NULL;
}

void engine_on_trace(struct engine *e, void (*fn)(void *arg), void *arg)
{
}

void link_prog_array_add(struct broker *b, struct object_map *m, struct object_prog *prog)
{
}

static struct link *double_new(struct broker *b, struct object_prog *prog)
{
	struct link *l = calloc(1, sizeof(*l));

	l->prog = prog;
	object_ref(&prog->obj);
	b->engine->nlinks++;
	return l;
}

int link_create_uprobe_multi(struct broker *b, struct client *c, struct object_prog *prog,
			     const struct nt_link_create_uprobe_multi *attr, char *notice,
			     size_t notice_len, struct link **ret)
{
	char path[PATH_MAX];
	int fd fd_auto = -1;
	struct link *l;
	struct stat st;
	long len;

	if (attr->flags || attr->multi_flags & ~NT_BPF_F_UPROBE_MULTI_RETURN)
		return -EINVAL;
	if (!attr->path || !attr->offsets || !attr->cnt || (s32)attr->pid < 0)
		return -EINVAL;
	if (attr->cnt > NT_MAX_UPROBE_MULTI_CNT)
		return -E2BIG;
	len = client_read_str(c, attr->path, path, sizeof(path));
	if (len < 0)
		return len == -ENAMETOOLONG ? -EINVAL : (int)len;
	fd = client_open_path(c, path);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EBADF;
	l = double_new(b, prog);
	l->multi = true;
	strcpy(l->path, path);
	l->n = attr->cnt;
	l->flags = attr->multi_flags;
	l->offsets = calloc(l->n, sizeof(u64));
	l->cookies = calloc(l->n, sizeof(u64));
	if (client_read(c, attr->offsets, l->offsets, l->n * sizeof(u64)) < 0 ||
	    (attr->cookies && client_read(c, attr->cookies, l->cookies, l->n * sizeof(u64)) < 0)) {
		link_close(b, l);
		return -EFAULT;
	}
	snprintf(notice, notice_len, "nothing is attached: this is a test double");
	*ret = l;
	return 0;
}

int link_create_perf(struct broker *b, struct client *c, struct object_perf *perf,
		     struct object_prog *prog, u64 cookie, char *notice, size_t notice_len,
		     struct link **ret)
{
	struct link *l = double_new(b, prog);

	l->n = 1;
	l->cookie = cookie;
	*ret = l;
	return 0;
}

s64 engine_born(struct broker *b, struct client *c, const struct nt_request *q, u32 *ret_seq)
{
	return 0;
}

void link_close(struct broker *b, struct link *l)
{
	b->engine->nlinks--;
	object_unref(&l->prog->obj);
	free(l->offsets);
	free(l->cookies);
	free(l);
}

void link_describe(struct link *l, struct link_desc *ret)
{
	*ret = (struct link_desc){
	    .multi = l->multi,
	    .prog = l->prog,
	    .path = l->path,
	    .count = l->n,
	    .offsets = l->offsets,
	    .cookies = l->multi ? l->cookies : &l->cookie,
	    .flags = l->flags,
	};
}

struct json_t *link_ps_json(struct broker *b)
{
	return json_pack("{s:[], s:[]}", "processes", "links");
}

int run_open(struct broker *b, pid_t pid, struct object_prog *prog, u64 loader_call, struct run **ret)
{
	return -ESRCH;
}

void run_set(struct run *r, u32 value)
{
}

void run_close(struct run *r, bool left)
{
}

void run_left(struct broker *b, pid_t pid, u64 token)
{
}

u64 run_token(const struct run *r)
{
	return 0;
}

u64 run_entry(const struct run *r)
{
	return 0;
}

u64 run_gate(const struct run *r)
{
	return 0;
}

void link_inner_map_add(struct broker *b, struct object_map *outer, struct object_map *inner)
{
}
