/* SPDX-License-Identifier: MIT */
/*
 * The same random programs in the kernel (socket filter, BPF_PROG_TEST_RUN) and in compiled code:
 * the same result? Neither side saw the other's source, so a misread specification shows here.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gen.h"
#include "tap.h"

static struct jt t;

static int load(struct jt *p, char *log, u32 log_size)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insns = (u64)(uintptr_t)p->insn;
	attr.insn_cnt = p->n;
	attr.license = (u64)(uintptr_t) "GPL";
	attr.log_buf = (u64)(uintptr_t)log;
	attr.log_size = log_size;
	attr.log_level = log ? 1 : 0;
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static int run(int fd, u32 *ret)
{
	static u8 packet[64];
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = (u32)fd;
	attr.test.data_in = (u64)(uintptr_t)packet;
	attr.test.data_size_in = sizeof(packet);
	if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)))
		return -errno;
	*ret = attr.test.retval;
	return 0;
}

/* What of the instruction set this kernel has: the newer ones are tried, not asked for. */
static u32 kernel_flags(void)
{
	const struct bpf_insn plain[] = {MOV64I(0, 0), EXIT()};
	const struct bpf_insn v4[] = {MOV64I(0, 8), I(BPF_ALU64 | BPF_END, 0, 0, 0, 16), EXIT()};
	const struct bpf_insn acq[] = {ST(BPF_DW, 10, -8, 1), ATOMIC(BPF_DW, 0x100, 0, -8, 10),
				       EXIT()};
	u32 flags = GEN_KERNEL;
	int fd;

	jt_init(&t, plain, 2);
	fd = load(&t, NULL, 0);
	if (fd < 0)
		tap_skip_all(errno == EPERM ? "no permission to load BPF programs"
					    : "this kernel loads no BPF programs");
	close(fd);
	jt_init(&t, v4, 3);
	fd = load(&t, NULL, 0);
	flags |= fd < 0 ? 0u : GEN_V4;
	close(fd);
	jt_init(&t, acq, 3);
	fd = load(&t, NULL, 0);
	flags |= fd < 0 ? 0u : GEN_ACQ_REL;
	close(fd);
	return flags;
}

static bool same(u64 seed, u32 flags, u32 *taken)
{
	static char log[1 << 16];
	struct gen g;
	u32 kernel = 0, bad;
	u64 jit, interp = 0;
	int fd, r;

	gen_init(&g, &t, NULL, 0, seed * 0x9e3779b97f4a7c15ull, flags);
	gen_program(&g, 1 + gen_below(&g, 60));
	fd = load(&t, NULL, 0);
	if (fd < 0) {
		load(&t, log, sizeof(log));
		printf("# seed %" PRIu64 " is refused: %.900s\n", seed,
		       strlen(log) > 900 ? log + strlen(log) - 900 : log);
		return true;
	}
	r = run(fd, &kernel);
	close(fd);
	if (r) {
		printf("# seed %" PRIu64 " does not run: %d\n", seed, r);
		return true;
	}
	++*taken;
	if (jt_compile(&t))
		return false;
	jit = jt_run(&t, &bad);
	r = jt_interp(&t, &interp);
	jt_deinit(&t);
	if ((u32)jit == kernel && !bad && !r && interp == jit)
		return true;
	printf("# seed %" PRIu64 ": kernel %#x, compiled %#" PRIx64 ", interpreter %#" PRIx64 "\n",
	       seed, kernel, jit, interp);
	return false;
}

int main(int argc, char **argv)
{
	u64 seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 4711,
	    runs = argc > 2 ? strtoull(argv[2], NULL, 0) : 400, k;
	u32 flags = kernel_flags(), taken = 0;

	for (k = 0; k < runs && same(seed + k, flags, &taken); k++)
		;
	tap_eq(k, runs, "kernel, compiled code and interpreter agree, seed %" PRIu64, seed);
	tap_ok(taken * 10 >= runs * 9, "the kernel takes nearly all of them: %u of %" PRIu64, taken,
	       runs);
	return tap_done();
}
