/* SPDX-License-Identifier: MIT */
#include "harness.h"

#include "abi/bpf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "ebpf/kfuncs.h"
#include "machine.h"

void jt_init(struct jt *t, const struct bpf_insn *insn, u32 n)
{
	memset(t, 0, sizeof(*t));
	t->n = n;
	if (n)
		memcpy(t->insn, insn, n * sizeof(*insn));
	for (u32 i = 0; i < JT_MAX_INSNS; i++)
		t->fact[i].seen = true;
	for (u32 i = 0; i < n; i++) {
		const struct bpf_insn *x = &insn[i];
		u8 class = BPF_CLASS(x->code);
		u32 base = class == BPF_LDX ? x->src_reg : x->dst_reg;

		if ((class == BPF_LDX || class == BPF_ST || class == BPF_STX) && base == 10) {
			t->fact[i].mem = VMEM_STACK;
			t->fact[0].stack_depth = bits_max(t->fact[0].stack_depth, -x->off);
		}
	}
}

u32 jt_map(struct jt *t, u32 type, u32 value_size, u32 max_entries, u32 ncpus)
{
	struct nt_map_view *v = &t->map[t->nmaps];

	*v = (struct nt_map_view){.type = type,
				  .key_size = 4,
				  .value_size = value_size,
				  .max_entries = max_entries,
				  .ncpus = ncpus,
				  .value_stride = bits_round_up(value_size, 8u),
				  .data_off = 64};
	v->cpu_stride = (u64)v->value_stride * max_entries + (ncpus > 1 ? 64 : 0);
	v->size = JT_MAP_BYTES;
	v->base = calloc(1, JT_MAP_BYTES);
	if (!v->base || v->data_off + v->cpu_stride * ncpus > v->size)
		abort();
	return t->nmaps++;
}

void jt_fact_lookup(struct jt *t, u32 i, u32 map, s64 key)
{
	t->fact[i].map_known = true;
	t->fact[i].map_index = map;
	t->fact[i].key_known = key >= 0;
	t->fact[i].key = key >= 0 ? (u32)key : 0;
}

/* Helpers, called by compiled code. They destroy what a helper may destroy. */
static void *helper_lookup(const struct nt_map_view *v, const void *key)
{
	u32 index, cpu = v->ncpus > 1 ? machine_cpu() : 0;

	memcpy(&index, key, 4);
	if (index >= v->max_entries)
		return NULL;
	return v->base + v->data_off + (cpu < v->ncpus ? cpu : 0) * v->cpu_stride +
	       (u64)index * v->value_stride;
}

static u64 helper_mix(u64 a, u64 b, u64 c, u64 d, u64 e)
{
	return (a ^ b * 3 ^ c * 5 ^ d * 7 ^ e * 11) * 0x9e3779b97f4a7c15ull;
}

static u64 helper_hash(const u8 *p, u64 n)
{
	u64 h = 14695981039346656037ull;

	for (u64 i = 0; i < n && i < 512; i++)
		h = (h ^ p[i]) * 1099511628211ull;
	return h;
}

u64 jt_loop(u64 n, u64 fn, u64 data, u64 keep)
{
	for (u64 i = 0; i < n; i++)
		if (machine_call_back(fn, i, data, keep))
			return i + 1;
	return n;
}

/* The packet: as many bytes as the context's first word says, 0x80, 0x81 ... */
static u64 helper_packet(const u64 *ctx, u64 offset, u64 size)
{
	s64 off = (s32)offset;
	u64 v = 0;

	if (off < 0 || off + (s64)size > (s64)ctx[0])
		return (u64)-EFAULT;
	for (u64 i = 0; i < size; i++)
		v = v << 8 | (u8)(0x80 + (u64)off + i);
	return v;
}

u64 jt_tail_target[JT_TAILS], jt_delivered;

static u64 helper_tail_call(u8 *ctx, u64 map, u32 index)
{
	u32 *count = (u32 *)(void *)(ctx + NT_CTX_TAIL_CALLS);

	if (index >= JT_TAILS || !jt_tail_target[index] || *count >= 33)
		return 0;
	++*count;
	return jt_tail_target[index];
}

static u64 helper_deliver(void)
{
	return ++jt_delivered;
}

static u64 helper_addr(u32 id)
{
	switch (id) {
	case 12: return (u64)(uintptr_t)helper_tail_call;
	case 109: return (u64)(uintptr_t)helper_mix;
	case 181: return (u64)(uintptr_t)machine_loop_stub;
	case NT_HELPER_PACKET_LOAD: return (u64)(uintptr_t)helper_packet;
	case NT_HELPER_DELIVER_SIGNALS: return (u64)(uintptr_t)helper_deliver;
	case NT_HELPER_KFUNC + EBPF_KFUNC_STRLEN: return (u64)(uintptr_t)strlen;
	case 1: return (u64)(uintptr_t)helper_lookup;
	case 5: return (u64)(uintptr_t)helper_mix;
	case 6: return (u64)(uintptr_t)helper_hash;
	case 8: return (u64)(uintptr_t)machine_cpu;
	default: return 0;
	}
}

static int interp_helper(void *arg, u32 id, const u64 a[5], u64 *ret)
{
	const struct jt *t = arg;

	switch (id) {
	case 1:
		*ret =
		    (u64)(uintptr_t)helper_lookup((void *)(uintptr_t)a[0], (void *)(uintptr_t)a[1]);
		return 0;
	case 5: *ret = helper_mix(a[0], a[1], a[2], a[3], a[4]); return 0;
	case 6: *ret = helper_hash((void *)(uintptr_t)a[0], a[1]); return 0;
	case 8: *ret = machine_cpu(); return 0;
	case NT_HELPER_PACKET_LOAD: *ret = helper_packet((void *)(uintptr_t)a[0], a[1], a[2]); return 0;
	case 173: *ret = t->ctx[JT_RUN - 3]; return 0;
	case 174: *ret = t->ctx[JT_RUN - 4]; return 0;
	default: return -EINVAL;
	}
}

static u64 got_value(const struct jt *t, const struct jit_got *g)
{
	switch (g->kind) {
	case JIT_GOT_MAP_VIEW: return (u64)(uintptr_t)&t->map[g->index];
	case JIT_GOT_MAP_DATA:
		return (u64)(uintptr_t)t->map[g->index].base + t->map[g->index].data_off;
	default: return helper_addr(g->index);
	}
}

int jt_compile(struct jt *t)
{
	struct verifier_result facts = {.insn = t->fact};
	struct jit_input in = {.arch = (u8)machine_arch,
			       .insns = t->insn,
			       .n = t->n,
			       .facts = &facts,
			       .maps = t->map,
			       .nmaps = t->nmaps,
			       .has_bmi2 = !t->no_bmi2 && machine_has_bmi2(),
			       .has_rdpid = !t->no_rdpid};
	int r = jit_compile(&in, &t->img);

	if (r)
		return r;
	t->text_size = bits_round_up((size_t)t->img.size, (size_t)NT_PAGE);
	t->text =
	    mmap(NULL, t->text_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->text == MAP_FAILED)
		abort();
	memcpy(t->text, t->img.code, t->img.size);
	for (u32 i = 0; i < t->img.ngot; i++) {
		u64 v = got_value(t, &t->img.got[i]);

		memcpy(t->text + 8 * i, &v, 8);
	}
	mprotect(t->text, t->text_size, PROT_READ | PROT_EXEC);
	__builtin___clear_cache((char *)t->text, (char *)t->text + t->text_size);
	return 0;
}

void jt_deinit(struct jt *t)
{
	if (t->text)
		munmap(t->text, t->text_size);
	jit_image_deinit(&t->img);
	for (u32 i = 0; i < t->nmaps; i++)
		free(t->map[i].base);
	t->text = NULL;
	t->nmaps = 0;
}

u64 jt_run(struct jt *t, u32 *ret_bad)
{
	return machine_run((u64)(uintptr_t)t->text + t->img.entry, (u64)(uintptr_t)&t->ctx[JT_RUN], t->img.clobbers, ret_bad);
}

int jt_interp(struct jt *t, u64 *ret_r0)
{
	struct interp_range range[1 + JT_MAX_MAPS];
	u64 view[JT_MAX_MAPS], data[JT_MAX_MAPS];
	static u8 access[JT_MAX_INSNS];
	struct interp_arena arena = {.access = access};
	struct interp it = {.insns = t->insn,
			    .n = t->n,
			    .range = range,
			    .nranges = 1 + t->nmaps,
			    .map_view = view,
			    .map_data = data,
			    .nmaps = t->nmaps,
			    .helper = interp_helper,
			    .arg = t};

	for (u32 i = 0; i < t->n; i++)
		access[i] = t->fact[i].mem == VMEM_ARENA;
	range[0] = (struct interp_range){(u64)(uintptr_t)&t->ctx[JT_RUN],
					 (u64)(uintptr_t)&t->ctx[JT_RUN] + JT_CTX_BYTES, false};
	for (u32 i = 0; i < t->nmaps; i++) {
		const struct nt_map_view *v = &t->map[i];

		if (v->type == NT_BPF_MAP_TYPE_ARENA) {
			arena.at = (u64)(uintptr_t)v->base + v->data_off;
			arena.size = v->ctl_off;
			arena.user = v->extra;
			it.arena = &arena;
		}
		view[i] = (u64)(uintptr_t)v;
		data[i] = (u64)(uintptr_t)v->base + v->data_off;
		range[1 + i] =
		    (struct interp_range){data[i], data[i] + v->cpu_stride * v->ncpus, true};
	}
	return interp_run(&it, (u64)(uintptr_t)&t->ctx[JT_RUN], ret_r0);
}

bool jt_agree(struct jt *t, u64 *ret_r0)
{
	static u8 before[JT_MAX_MAPS][JT_MAP_BYTES], after[JT_MAX_MAPS][JT_MAP_BYTES];
	u64 jit, interp = 0;
	u32 bad;
	int r;

	for (u32 m = 0; m < t->nmaps; m++)
		memcpy(before[m], t->map[m].base, JT_MAP_BYTES);
	jit = jt_run(t, &bad);
	for (u32 m = 0; m < t->nmaps; m++) {
		memcpy(after[m], t->map[m].base, JT_MAP_BYTES);
		memcpy(t->map[m].base, before[m], JT_MAP_BYTES);
	}
	r = jt_interp(t, &interp);
	*ret_r0 = jit;
	if (r || bad || jit != interp) {
		printf("# interpreter: %d, %#llx; compiled: %#llx; lost registers %#x\n", r,
		       (unsigned long long)interp, (unsigned long long)jit, bad);
		return false;
	}
	for (u32 m = 0; m < t->nmaps; m++)
		if (memcmp(after[m], t->map[m].base, JT_MAP_BYTES)) {
			printf("# map %u differs\n", m);
			return false;
		}
	return true;
}

const char *jt_hex(const struct jt *t, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = 0;
	for (u32 i = t->img.entry; i < t->img.size && len + 3 < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%02x", t->img.code[i]);
	return buf;
}
