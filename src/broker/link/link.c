/* SPDX-License-Identifier: MIT */
#include "broker/link/link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <utlist.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "broker/client.h"
#include "broker/link/detach.h"
#include "broker/link/exits.h"
#include "broker/link/gate.h"
#include "broker/link/in_kernel.h"
#include "broker/link/link_notice.h"
#include "broker/link/mixed.h"
#include "broker/link/steady.h"
#include "broker/object/perf.h"
#include "broker/object/twin.h"
#include "util/fd.h"
#include "util/log.h"
#include "util/proc.h"

/* --- life --- */

static void link_free(struct link *l)
{
	if (!l)
		return;
	if (l->prog)
		object_unref(&l->prog->obj);
	free(l->path);
	free(l->name);
	fd_closep(&l->path_fd);
	fd_closep(&l->file_fd);
	fd_closep(&l->kernel_fd);
	free(l->offsets);
	free(l->cookies);
	free(l->ref_ctrs);
	free(l->consumer);
	free(l->site);
	free(l);
}

static void withdraw_steadily(void *arg)
{
	struct link *l = arg;

	l->engine->watching->find_children(l->engine->watch);
	l->engine->seq++;
	detach_link(l);
}

void link_leave(struct link *l)
{
	struct engine *e = l->engine;

	l->closing = true;
	at_store_rel(&e->shared.gates[l->gate], 0);
	steady_run(e, withdraw_steadily, l);
	for (u32 i = 0; i < l->n; i++)
		site_remove_consumer(l->site[i], &l->consumer[i]);
	exits_leave(l);
	DL_DELETE(e->links, l);
	gate_release(e, l->gate);
	e->watching->links_changed(e->watch);
}

/* The way back from link_open(): afterwards the program runs nowhere and nobody knows the link. */
static void link_withdraw(struct engine *e, struct link *l)
{
	if (l->in_kernel) {
		in_kernel_close(l);
		DL_DELETE(e->kernel_links, l);
	} else {
		link_leave(l);
	}
	log_info("link %llu: closed", (unsigned long long)l->id);
}

/* Puts the consumers on their sites' lists. -EINVAL: another one there has another reference counter. */
static int link_join(struct link *l)
{
	for (u32 i = 0; i < l->n; i++) {
		u64 ref_ctr = l->ref_ctrs ? l->ref_ctrs[i] : 0;
		struct site *s = l->site[i];

		site_prefetch(l->site, i, l->n);
		if (s->first && s->ref_ctr != ref_ctr) {
			while (i--)
				site_remove_consumer(l->site[i], &l->consumer[i]);
			return -EINVAL;
		}
		s->ref_ctr = ref_ctr;
		l->consumer[i] = (struct consumer){ .link = l, .index = i };
		site_add_consumer(s, &l->consumer[i]);
	}
	return 0;
}

/* Entries, and sessions, which need a word per call. */
static void count_refused(struct link *l)
{
	for (u32 i = 0; i < l->n; i++) {
		const struct patch_plan *plan = &l->site[i]->plan;
		u8 reason = plan->form == PATCH_REFUSED ? plan->reason
			    : l->session && (!plan->entry || plan->ret_reason)
				    ? (plan->ret_reason ? plan->ret_reason : PATCH_R_NO_RETURN_PROBE)
				    : PATCH_OK;

		l->refused += reason != PATCH_OK;
		l->reason[reason]++;
	}
}

static int link_join_exits(struct link *l)
{
	u8 *reason = calloc(l->n, 1);
	int r = reason ? exits_join(l, false, reason) : -ENOMEM;

	if (!r && l->binary->rets_too)
		r = exits_join(l, true, NULL);
	for (u32 i = 0; i < l->n && !r; i++) {
		l->refused += reason[i] != PATCH_OK;
		l->reason[reason[i]]++;
	}
	free(reason);
	if (r)
		exits_leave(l);
	return r;
}

/* bpf_override_return(): where a function begins, and its return address is on top of the stack. */
static bool link_can_override(const struct link *l)
{
	for (u32 i = 0; i < l->n; i++)
		if (!l->site[i]->plan.entry || l->site[i]->plan.go)
			return false;
	return !l->at_return && !l->session;
}

static int link_open_in_kernel(struct engine *e, struct link *l, char *notice, size_t notice_len)
{
	u64 begin = engine_now_ns();
	int r;

	l->id = object_coming_id(e->broker, OBJECT_LINK);
	r = mixed_settle(e->broker, l, notice, notice_len);
	if (r && l->in_kernel) {
		l->in_kernel = false;
		DL_DELETE(e->kernel_links, l);
	}
	l->attach_ns = engine_now_ns() - begin;
	return r;
}

static int link_identify(struct link *l, int path_fd)
{
	struct stat st;

	if (fstat(path_fd, &st) < 0)
		return -errno;
	l->file_dev = st.st_dev;
	l->file_ino = st.st_ino;
	l->file_fd = l->prog->twin ? fcntl(path_fd, F_DUPFD_CLOEXEC, 0) : -1;
	return l->prog->twin && l->file_fd < 0 ? -errno : 0;
}

/* Takes over the arrays of l, finds the sites, puts the consumers on their lists and attaches everywhere. */
static int link_open(struct engine *e, struct link *l, int path_fd, char *notice, size_t notice_len)
{
	u64 begin = engine_now_ns();
	int r = link_identify(l, path_fd);

	l->engine = e;
	if (!r && mixed_is_kernels(l))
		return link_open_in_kernel(e, l, notice, notice_len);
	if (!r)
		r = binary_get(e, path_fd, &l->binary);
	if (r)
		return r;
	l->site = calloc(l->n, sizeof(*l->site));
	l->consumer = calloc(l->n, sizeof(*l->consumer));
	if (!l->site || !l->consumer)
		return -ENOMEM;
	l->nsites = l->n;
	r = binary_sites(l->binary, l->offsets, l->n, l->site);
	if (!r && l->prog && object_prog_overrides(l->prog) && !link_can_override(l))
		r = -EINVAL;
	if (!r)
		r = gate_alloc(e, &l->gate);
	if (r)
		return r;
	r = link_join(l);
	if (!r && l->at_return) {
		r = link_join_exits(l);
		for (u32 i = 0; i < l->n && r; i++)
			site_remove_consumer(l->site[i], &l->consumer[i]);
	}
	if (r) {
		gate_release(e, l->gate);
		return r;
	}
	if (!l->at_return)
		count_refused(l);
	e->seq++;
	l->id = object_coming_id(e->broker, OBJECT_LINK); /* as bpf(2) will show it */
	DL_APPEND(e->links, l);
	at_store_rel(&e->shared.gates[l->gate], 1);
	r = e->watching->link_opened(e->watch, l);
	l->attach_ns = engine_now_ns() - begin;
	log_info("link %llu: %u targets in %s, %u refused, %.3f ms%s%s", (unsigned long long)l->id, l->n, l->path, l->refused,
		 (double)l->attach_ns / 1e6, r ? ": " : "", r ? strerror(-r) : "");
	if (r)
		link_withdraw(e, l);
	else
		mixed_give_up(l, notice, notice_len);
	return r;
}

void link_close(struct broker *b, struct link *l)
{
	if (!l)
		return;
	link_withdraw(b->engine, l);
	link_free(l);
}

/* --- BPF_LINK_CREATE --- */

/* The file as the caller names it. The kernel wants a regular file and says EBADF for anything else. */
static int open_target(struct client *c, u64 user_path, char path[PATH_MAX], int *ret_fd)
{
	struct stat st;
	long len = client_read_str(c, user_path, path, PATH_MAX);
	int fd fd_auto = -1;

	if (len == -ENAMETOOLONG)
		return -EINVAL;
	if (len < 0)
		return (int)len;
	if (!*path)
		return -EBADF;
	fd = client_open_path(c, path);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	*ret_fd = fd_steal(&fd);
	return 0;
}

/* *ret_there: how many of the n can be read; all of them if there is no array. */
static int read_array(struct client *c, u64 addr, u32 n, u64 **ret, u32 *ret_there)
{
	u32 there = 0;
	u64 *a;

	*ret_there = n;
	if (!addr)
		return 0;
	a = malloc(n * sizeof(*a));
	if (!a)
		return -ENOMEM;
	if (client_read(c, addr, a, n * sizeof(*a))) {
		for (u32 step = n; step; step /= 2)
			while (there + step <= n && !client_read(c, addr + 8ull * there, a + there, step * sizeof(*a)))
				there += step;
		*ret_there = there;
	}
	*ret = a;
	return 0;
}

/* Steps 14 and 15 of the kernel's order, as far as they do not depend on a process. */
static int check_targets(const struct link *l, u64 file_size)
{
	for (u32 i = 0; i < l->n; i++) {
		if (l->offsets[i] > file_size)
			return -EINVAL;
		if (l->ref_ctrs && l->ref_ctrs[i] & 1)
			return -EINVAL;
	}
	return 0;
}

static int check_pid(pid_t pid)
{
	u64 start;

	if (!pid)
		return 0;
	if (proc_start_time(pid, &start) || !proc_is_leader(pid))
		return -ESRCH;
	return 0;
}

static int link_fill(struct link *l, struct client *c, const struct nt_link_create_uprobe_multi *a, int path_fd)
{
	struct stat st;
	u32 offsets, refs, cookies;
	struct statfs fs;
	int r = read_array(c, a->offsets, a->cnt, &l->offsets, &offsets);

	if (!r)
		r = read_array(c, a->ref_ctr_offsets, a->cnt, &l->ref_ctrs, &refs);
	if (!r)
		r = read_array(c, a->cookies, a->cnt, &l->cookies, &cookies);
	if (r)
		return r;
	for (u32 i = 0; i < a->cnt; i++) { /* the kernel reads them together, target by target */
		if (i == offsets)
			return -EFAULT;
		if ((s64)l->offsets[i] < 0)
			return -EINVAL;
		if (i == refs || i == cookies)
			return -EFAULT;
	}
	l->n = a->cnt;
	if (fstat(path_fd, &st) < 0 || fstatfs(path_fd, &fs) < 0)
		return -errno;
	if (fs.f_type == PROC_SUPER_MAGIC)
		return -EIO; /* its files have no pages */
	return check_targets(l, (u64)st.st_size);
}

int link_create_uprobe_multi(struct broker *b, struct client *c, struct object_prog *prog,
			     const struct nt_link_create_uprobe_multi *a, char *notice, size_t notice_len,
			     struct link **ret)
{
	char path[PATH_MAX];
	int path_fd fd_auto = -1;
	struct link *l;
	pid_t pid;
	int r;

	if (a->multi_flags & ~NT_BPF_F_UPROBE_MULTI_RETURN)
		return -EINVAL;
	if (!a->path || !a->offsets || !a->cnt || (s32)a->pid < 0)
		return -EINVAL;
	if (a->cnt > NT_MAX_UPROBE_MULTI_CNT)
		return -E2BIG;
	r = open_target(c, a->path, path, &path_fd);
	if (!r)
		r = client_pid_here(c, (pid_t)a->pid, &pid);
	if (!r)
		r = check_pid(pid);
	if (r)
		return r;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	*notice = '\0';
	l->file_fd = l->kernel_fd = -1;
	l->path_fd = fcntl(path_fd, F_DUPFD_CLOEXEC, 0);
	l->multi = true;
	l->flags = a->multi_flags;
	l->at_return = a->multi_flags & NT_BPF_F_UPROBE_MULTI_RETURN;
	/* Measured: with the flag a session program runs at return only, without a cookie. */
	l->session = prog->expected_attach == NT_BPF_TRACE_UPROBE_SESSION && !l->at_return;
	l->pid = pid;
	l->path = strdup(path);
	r = l->path ? link_fill(l, c, a, path_fd) : -ENOMEM;
	if (!r) {
		object_ref(&prog->obj);
		l->prog = prog;
		r = link_open(b->engine, l, path_fd, notice, notice_len);
	}
	if (r) {
		if (!*notice)
			link_notice_failed(l, r, notice, notice_len);
		link_free(l);
		return r;
	}
	link_notice_refused(l, notice, notice_len);
	*ret = l;
	return 0;
}

int link_create_perf(struct broker *b, struct client *c, struct object_perf *perf, struct object_prog *prog, u64 cookie,
		     char *notice, size_t notice_len, struct link **ret)
{
	struct link *l = calloc(1, sizeof(*l));
	int r = -ENOMEM;

	if (!l)
		return -ENOMEM;
	*notice = '\0';
	l->path_fd = l->file_fd = l->kernel_fd = -1;
	l->at_return = perf->retprobe;
	l->pid = perf->pid > 0 ? perf->pid : 0;
	l->n = 1;
	l->path = strdup(perf->raw_path);
	l->offsets = malloc(sizeof(u64));
	l->cookies = malloc(sizeof(u64));
	l->ref_ctrs = malloc(sizeof(u64));
	if (l->path && l->offsets && l->cookies && l->ref_ctrs) {
		*l->offsets = perf->offset;
		*l->cookies = cookie;
		*l->ref_ctrs = perf->ref_ctr;
		object_ref(&prog->obj);
		l->prog = prog;
		r = link_open(b->engine, l, perf->path_fd, notice, notice_len);
	}
	if (r) {
		if (!*notice)
			link_notice_failed(l, r, notice, notice_len);
		link_free(l);
		return r;
	}
	link_notice_refused(l, notice, notice_len);
	*ret = l;
	return 0;
}

/* The file's name as d_path() has it now: renamed, and with " (deleted)" behind it where that is so. */
static const char *link_path_now(struct link *l)
{
	char proc[32], name[PATH_MAX];
	ssize_t n;

	if (l->path_fd < 0)
		return l->path;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", l->path_fd);
	n = readlink(proc, name, sizeof(name) - 1);
	if (n < 0)
		return l->path;
	name[n] = '\0';
	free(l->name);
	l->name = strdup(name);
	return l->name ? l->name : l->path;
}

void link_describe(struct link *l, struct link_desc *ret)
{
	u64 start;

	*ret = (struct link_desc){ .multi = l->multi, .prog = l->prog, .path = link_path_now(l), .count = l->n,
				   .offsets = l->offsets, .cookies = l->cookies, .ref_ctr_offsets = l->ref_ctrs,
				   .flags = l->flags, .pid = l->pid && !proc_start_time(l->pid, &start) ? l->pid : 0 };
}
