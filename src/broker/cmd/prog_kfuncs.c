/* SPDX-License-Identifier: MIT */
/*
 * A loader finds a kernel function in /sys/kernel/btf/vmlinux and calls it by its number there. The
 * file is the same for us: it says which name the number stands for. It is read anew for every
 * program that has such a call; they are few, and reading takes a millisecond.
 */
#include "broker/cmd/prog_kfuncs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/cmd/vlog.h"
#include "ebpf/btf.h"
#include "ebpf/kfuncs.h"
#include "util/fd.h"

#define VMLINUX_BTF "/sys/kernel/btf/vmlinux"
#define VMLINUX_MAX (64u << 20)

struct vmlinux {
	u8 *data;
	size_t size;
	struct ebpf_btf btf;
};

static void vmlinux_close(struct vmlinux *v)
{
	ebpf_btf_close(&v->btf);
	free(v->data);
}

/* The file cannot be mapped on every kernel. */
static int vmlinux_open(struct vmlinux *ret)
{
	int fd fd_auto = open(VMLINUX_BTF, O_RDONLY | O_CLOEXEC);
	struct vmlinux v = {0};
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (st.st_size <= 0 || st.st_size > VMLINUX_MAX)
		return -EINVAL;
	v.data = malloc((size_t)st.st_size);
	if (!v.data)
		return -ENOMEM;
	while (v.size < (size_t)st.st_size) {
		ssize_t n = read(fd, v.data + v.size, (size_t)st.st_size - v.size);

		if (n <= 0)
			break;
		v.size += (size_t)n;
	}
	r = ebpf_btf_open(v.data, v.size, &v.btf);
	if (r < 0) {
		free(v.data);
		return r;
	}
	*ret = v;
	return 0;
}

static int kfuncs_note_unknown(struct prog_kfuncs *k, const char *name, s32 *ret_imm)
{
	char **grown;

	for (u32 i = 0; i < k->n; i++) {
		if (!strcmp(k->name[i], name)) {
			*ret_imm = (s32)(EBPF_KFUNC_N + i);
			return 0;
		}
	}
	grown = realloc(k->name, (k->n + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	k->name = grown;
	k->name[k->n] = strdup(name);
	if (!k->name[k->n])
		return -ENOMEM;
	*ret_imm = (s32)(EBPF_KFUNC_N + k->n++);
	return 0;
}

static int kfuncs_one(const struct vmlinux *v, struct bpf_insn *in, struct verifier_log *log, struct prog_kfuncs *k)
{
	const struct btf_type *t = ebpf_btf_type(&v->btf, (u32)in->imm);
	const char *name;
	u32 id;

	if (!t || BTF_INFO_KIND(t->info) != BTF_KIND_FUNC) {
		vlog_printf(log, "kernel btf_id %d is not a function\n", in->imm);
		return -EINVAL;
	}
	name = ebpf_btf_name(&v->btf, t->name_off);
	id = ebpf_kfunc_by_name(name);
	if (id == EBPF_KFUNC_NONE)
		return kfuncs_note_unknown(k, name, &in->imm);
	in->imm = (s32)id;
	return 0;
}

/*
 * The address of a kernel function: programs ask whether it is NULL before they call it
 * (bpf_ksym_exists()). What cannot be called here is not there.
 */
static int kfuncs_address(const struct vmlinux *v, struct bpf_insn *in, struct verifier_log *log)
{
	const struct btf_type *t = ebpf_btf_type(&v->btf, (u32)in->imm);

	if (!t || in[1].imm) {
		vlog_printf(log, "ldimm64 insn specifies invalid btf_id %d.\n", in->imm);
		return -ENOENT;
	}
	if (BTF_INFO_KIND(t->info) != BTF_KIND_FUNC) {
		vlog_printf(log, "pseudo btf_id %d in ldimm64 isn't KIND_FUNC: there are no kernel variables in user space\n",
			    in->imm);
		return -EINVAL;
	}
	in->src_reg = 0;
	in->imm = ebpf_kfunc_implemented(ebpf_kfunc_by_name(ebpf_btf_name(&v->btf, t->name_off)));
	in[1].imm = 0;
	return 0;
}

static bool is_address(const struct object_prog *p, u32 i)
{
	return ebpf_insn_is_ld64(&p->insns[i]) && p->insns[i].src_reg == BPF_PSEUDO_BTF_ID && i + 1 < p->n;
}

static bool is_kfunc_call(const struct bpf_insn *in)
{
	return in->code == (BPF_JMP | BPF_CALL) && in->src_reg == BPF_PSEUDO_KFUNC_CALL;
}

static int kfuncs_check_first(const struct object_prog *p, const struct bpf_insn *in, struct verifier_log *log)
{
	if (!p->gpl) {
		vlog_printf(log, "cannot call kernel function from non-GPL compatible program\n");
		return -EINVAL;
	}
	if (in->off) {
		/* a function of a kernel module: there is none that makes sense in user space */
		vlog_printf(log, "kfunc offset > 0 without fd_array is invalid\n"
				 "failed to find BTF for kernel function\n");
		return -EPROTO;
	}
	return 0;
}

int prog_kfuncs_resolve(struct object_prog *p, struct verifier_log *log, struct prog_kfuncs *ret)
{
	struct vmlinux v = {0};
	int r = 0;

	*ret = (struct prog_kfuncs){0};
	for (u32 i = 0; !r && i < p->n; i++) {
		struct bpf_insn *in = &p->insns[i];
		bool call = is_kfunc_call(in) && (in->imm || in->off);

		if (!call && !is_address(p, i))
			continue;
		if (call)
			r = kfuncs_check_first(p, in, log);
		if (!r && !v.data) {
			r = vmlinux_open(&v);
			if (r < 0) {
				vlog_printf(log, "calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF\n");
				r = -NT_ENOTSUPP;
			}
		}
		if (!r)
			r = call ? kfuncs_one(&v, in, log, ret) : kfuncs_address(&v, in, log);
	}
	vmlinux_close(&v);
	return r;
}

void prog_kfuncs_deinit(struct prog_kfuncs *k)
{
	for (u32 i = 0; i < k->n; i++)
		free(k->name[i]);
	free(k->name);
}
