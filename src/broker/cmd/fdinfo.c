/* SPDX-License-Identifier: MIT */
/*
 * What /proc/PID/fdinfo/FD says of our descriptors: the lines that every file has, as the kernel wrote them, then those of
 * the object (bpf_map_show_fdinfo(), bpf_prog_show_fdinfo(), bpf_link_show_fdinfo() in kernel/bpf/syscall.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/bpf.h"
#include "base/bits.h"
#include "broker/cmd/cmd.h"
#include "broker/link/link.h"
#include "broker/object/link.h"
#include "broker/object/map.h"
#include "broker/object/prog.h"
#include "util/fd.h"

static void tag_print(FILE *f, const struct object_prog *p)
{
	for (int i = 0; i < PROG_TAG_LEN; i++)
		fprintf(f, "%02x", p->tag[i]);
	fputc('\n', f);
}

static void fdinfo_map(FILE *f, const struct object_map *m)
{
	const struct nt_map_view *v = &m->view;

	fprintf(f, "map_type:\t%u\nkey_size:\t%u\nvalue_size:\t%u\nmax_entries:\t%u\nmap_flags:\t%#x\nmap_extra:\t0x%llx\n",
		v->type, v->key_size, v->value_size, v->max_entries, v->flags, (unsigned long long)m->map_extra);
	fprintf(f, "memlock:\t%llu\nmap_id:\t%u\nfrozen:\t%u\n", (unsigned long long)v->size, m->obj.id, m->frozen);
}

static void fdinfo_prog(struct call *k, FILE *f, const struct object_prog *p)
{
	struct link_stats stats;

	link_prog_stats(k->b, p, &stats);
	fprintf(f, "prog_type:\t%u\nprog_jited:\t%u\nprog_tag:\t", p->type, p->compiled);
	tag_print(f, p);
	fprintf(f, "memlock:\t%llu\nprog_id:\t%u\nrun_time_ns:\t%llu\nrun_cnt:\t%llu\nrecursion_misses:\t0\nverified_insns:\t%u\n",
		(unsigned long long)bits_round_up(sizeof(*p) + 8ull * p->n, (u64)NT_PAGE), p->obj.id,
		(unsigned long long)stats.run_time_ns, (unsigned long long)stats.run_cnt, p->n);
}

static void fdinfo_multi(struct call *k, FILE *f, const struct link_desc *d)
{
	fprintf(f, "uprobe_cnt:\t%u\npid:\t%d\npath:\t%s\ncookie\t offset\t ref_ctr_offset\n", d->count,
		client_pid_there(k->c, d->pid), d->path);
	for (u32 i = 0; i < d->count; i++)
		fprintf(f, "%llu\t 0x%llx\t 0x%llx\n", d->cookies ? (unsigned long long)d->cookies[i] : 0,
			(unsigned long long)d->offsets[i],
			d->ref_ctr_offsets ? (unsigned long long)d->ref_ctr_offsets[i] : 0);
}

static void fdinfo_perf(FILE *f, const struct object_perf *p, const struct link_desc *d)
{
	fprintf(f, "name:\t%s\noffset:\t0x%llx\nref_ctr_offset:\t0x%llx\nevent_type:\t%s\ncookie:\t%llu\n", p->raw_path,
		(unsigned long long)p->offset, (unsigned long long)p->ref_ctr, p->retprobe ? "uretprobe" : "uprobe",
		d->cookies ? (unsigned long long)d->cookies[0] : 0);
}

static void fdinfo_link(struct call *k, FILE *f, const struct object_link *l)
{
	struct link_desc d;

	link_describe(l->link, &d);
	fprintf(f, "link_type:\t%s\nlink_id:\t%u\nprog_tag:\t",
		l->perf ? "perf" : d.flags & NT_BPF_F_UPROBE_MULTI_RETURN ? "uretprobe_multi" : "uprobe_multi", l->obj.id);
	tag_print(f, l->prog);
	fprintf(f, "prog_id:\t%u\n", l->prog->obj.id);
	if (l->perf)
		fdinfo_perf(f, l->perf, &d);
	else
		fdinfo_multi(k, f, &d);
}

/* pos, flags, mnt_id, ino. What comes after is the stand-in's, not the object's, and so are its flags but for one. */
static void fdinfo_common(struct call *k, int fd, const struct object *o, FILE *f)
{
	char name[64], text[512], *flags;
	u64 bits = 0, access = o->kind == OBJECT_PROG ? O_RDWR : O_RDONLY;
	int lines = 0;

	snprintf(name, sizeof(name), "/proc/%d/fdinfo/%d", k->c->pid, fd);
	if (fd_read_text(name, text, sizeof(text)) <= 0)
		return;
	flags = strstr(text, "flags:\t");
	if (flags)
		bits = strtoull(flags + 7, NULL, 8);
	if (o->kind == OBJECT_MAP)
		access = bits & O_ACCMODE;
	fprintf(f, "pos:\t0\nflags:\t0%llo\n", (unsigned long long)(access | (bits & O_CLOEXEC)));
	for (const char *p = strstr(text, "mnt_id:"); p && *p && lines < 2; p++) {
		fputc(*p, f);
		lines += *p == '\n';
	}
	if (lines == 1)
		fputc('\n', f); /* the reader took the last one off */
}

static int memfd_of(const char *text, size_t n)
{
	int fd = memfd_create("bpf-fdinfo", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, text, n) != (ssize_t)n || lseek(fd, 0, SEEK_SET) < 0) {
		close(fd);
		return -ENOMEM;
	}
	return fd;
}

s64 cmd_fdinfo(struct call *k, int fd)
{
	char *text free_auto = NULL;
	struct object *o;
	size_t n = 0;
	FILE *f;
	int r = object_by_fd(k->c, fd, OBJECT_NKINDS, &o);

	if (r < 0 || o->kind == OBJECT_PERF) {
		k->native = true;
		return 0;
	}
	f = open_memstream(&text, &n);
	if (!f)
		return -ENOMEM;
	fdinfo_common(k, fd, o, f);
	switch (o->kind) {
	case OBJECT_MAP: fdinfo_map(f, object_to_map(o)); break;
	case OBJECT_PROG: fdinfo_prog(k, f, object_to_prog(o)); break;
	case OBJECT_BTF: fprintf(f, "btf_id:\t%u\n", o->id); break;
	case OBJECT_LINK: fdinfo_link(k, f, object_to_link(o)); break;
	}
	fclose(f);
	r = memfd_of(text, n);
	if (r < 0)
		return r;
	k->ret_fd = r;
	return 0;
}
