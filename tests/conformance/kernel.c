/* SPDX-License-Identifier: MIT */
/*
 * The same rules in the kernel (raw tracepoint programs, BPF_PROG_TEST_RUN): are the numbers in the files true? A test
 * run shows 32 bits of R0, so each case is a function that is called twice: once for either half. Arguments: the files.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "case.h"
#include "tap.h"

enum { FRONT = 3 };

static int load(const struct bpf_insn *x, u32 n)
{
	static const char license[] = "GPL";
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
	attr.insns = (u64)(uintptr_t)x;
	attr.insn_cnt = n;
	attr.license = (u64)(uintptr_t)license;
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static int run(int fd, const u64 *ctx, u32 *ret)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (u32)fd;
	attr.test.ctx_in = (u64)(uintptr_t)ctx;
	attr.test.ctx_size_in = CASE_CTX * 8;
	if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)))
		return -errno;
	*ret = attr.test.retval;
	return 0;
}

/* One half of R0. */
static int half(const struct conf_case *c, bool upper, u32 *ret)
{
	struct bpf_insn x[FRONT + ASM_MAX] = {
		{.code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_CALL, .imm = FRONT - 1},
		{.code = BPF_ALU64 | BPF_RSH | BPF_K, .imm = upper ? 32 : 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd, r;

	memcpy(x + FRONT, c->prog.insn, c->prog.n * sizeof(*x));
	fd = load(x, FRONT + c->prog.n);
	if (fd < 0)
		return -errno;
	r = run(fd, c->ctx, ret);
	close(fd);
	return r;
}

static bool kernel_agrees(const struct conf_case *c)
{
	u32 low = 0, high = 0;
	int r = half(c, false, &low);

	if (c->refused)
		return r == -EINVAL || r == -EACCES;
	if (!r)
		r = half(c, true, &high);
	if (!r && ((u64)high << 32 | low) == c->want)
		return true;
	printf("# the kernel: %d, %#x%08x, want %#llx\n", r, high, low, (unsigned long long)c->want);
	return false;
}

/* What this kernel is too old for. */
static bool knows(struct bpf_insn a, struct bpf_insn b)
{
	const struct bpf_insn x[] = {{.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = 10, .off = -8},
				     {.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = 1}, a, b, {.code = BPF_JMP | BPF_EXIT}};
	int fd = load(x, bits_count(x));

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static const struct bpf_insn nop = {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1};
static bool has_v4, has_may_goto, has_acquire;

static bool too_new(const struct conf_case *c)
{
	for (u32 i = 0; i < c->prog.n; i++) {
		const struct bpf_insn *x = &c->prog.insn[i];
		u8 class = BPF_CLASS(x->code), op = BPF_OP(x->code);

		if (ebpf_insn_is_ld64(x))
			i++;
		else if (ebpf_insn_is_may_goto(x) && !has_may_goto)
			return true;
		else if (ebpf_insn_is_atomic(x) && x->imm >= EBPF_LOAD_ACQ && x->imm <= EBPF_STORE_REL && !has_acquire)
			return true;
		else if (!has_v4 && (((class == BPF_ALU || class == BPF_ALU64) && (x->off || (class == BPF_ALU64 && op == BPF_END))) ||
				     x->code == (BPF_JMP32 | BPF_JA) || (class == BPF_LDX && BPF_MODE(x->code) == BPF_MEMSX)))
			return true;
	}
	return false;
}

static void rule(const char *path)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	u32 line = 0, n = 0, failed = 0, skipped = 0;
	static struct conf_case c;
	FILE *f = fopen(path, "r");

	while (f && case_next(f, name, &line, &c)) {
		if (c.no_kernel || too_new(&c)) {
			skipped++;
			continue;
		}
		n++;
		if (!c.bad && kernel_agrees(&c))
			continue;
		failed++;
		printf("# %s:%u: fails\n", name, c.line);
	}
	if (f)
		fclose(f);
	if (!n && skipped)
		tap_skip("the kernel is not asked or too old", "%s: %u cases", name, skipped);
	else
		tap_ok(n && !failed, "%s: %u cases, %u left out", name, n, skipped);
}

int main(int argc, char **argv)
{
	u32 ret;
	int r;

	if (!knows(nop, nop))
		tap_skip_all(errno == EPERM ? "no permission to load BPF programs" : "this kernel loads no BPF programs");
	r = half(&(struct conf_case){.prog = {.insn = {nop, {.code = BPF_ALU64 | BPF_MOV}, {.code = BPF_JMP | BPF_EXIT}}, .n = 3}}, false, &ret);
	if (r)
		tap_skip_all("this kernel has no test runs of raw tracepoint programs");
	has_v4 = knows((struct bpf_insn){.code = BPF_ALU64 | BPF_END, .imm = 16}, nop);
	has_may_goto = knows((struct bpf_insn){.code = BPF_JMP | EBPF_JCOND, .off = 1}, nop);
	has_acquire = knows((struct bpf_insn){.code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = 1, .src_reg = 10, .off = -8,
					      .imm = EBPF_LOAD_ACQ}, nop);
	for (int i = 1; i < argc; i++)
		rule(argv[i]);
	return tap_done();
}
