/* SPDX-License-Identifier: MIT */
/*
 * BPF_PROG_TEST_RUN: makes the context, calls the program, hands out what it left. Follows net/bpf/test_run.c of the
 * kernel in checks, their order and what is written when something fails. The caller's memory is copied by a system
 * call: a bad address is an errno as it is from the kernel.
 */
#include "shim/test_run.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>

#include "base/bits.h"
#include "base/mem.h"
#include "base/syscall.h"
#include "shim/run.h"

#define NS_PER_S 1000000000ull
#define CTX_MIN (NT_PT_REGS_SIZE + 64u) /* helpers may take a context for registers */
#define PAGE 4096u

static s64 copy(long nr, u64 ours, u64 theirs, u64 n)
{
	struct iovec local = {(void *)ours, n}, remote = {(void *)theirs, n};
	u64 pid = (u64)sys_call3(__NR_getpid, 0, 0, 0);

	if (!n)
		return 0;
	return sys_call6(nr, pid, (u64)&local, 1, (u64)&remote, 1, 0) == (s64)n ? 0 : -EFAULT;
}

s64 test_run_read(u64 from, void *to, u64 n)
{
	return copy(__NR_process_vm_readv, (u64)to, from, n);
}

s64 test_run_write(u64 to, const void *from, u64 n)
{
	return copy(__NR_process_vm_writev, (u64)from, to, n);
}

s64 test_run_write_attr(const struct test_run *t, u32 off, const void *from, u32 n)
{
	return off + n > t->attr_size ? 0 : test_run_write(t->attr_at + off, from, n);
}

s64 test_run_make(struct test_run *t, u64 ctx_size, u64 more)
{
	u64 size = bits_round_up(sizeof(struct nt_run) + bits_max(ctx_size, (u64)CTX_MIN), (u64)PAGE) + more;
	s64 at = sys_call6(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, (u64)-1, 0);

	if (at < 0)
		return -ENOMEM;
	t->memory = (u8 *)at;
	t->memory_size = size;
	return 0;
}

u8 *test_run_ctx(const struct test_run *t)
{
	return t->memory + sizeof(struct nt_run);
}

static u64 now_ns(void)
{
	struct timespec ts = {};

	sys_call3(__NR_clock_gettime, CLOCK_MONOTONIC, (u64)&ts, 0);
	return (u64)ts.tv_sec * NS_PER_S + (u64)ts.tv_nsec;
}

void test_run_call(struct test_run *t)
{
	u64 (*prog)(void *) = (u64(*)(void *))t->order->entry;
	u32 rounds = bits_max(t->attr.test.repeat, 1u);
	void *ctx = test_run_ctx(t);
	cpu_set_t before = {};
	u64 begin, ns;

	run_bind_cpu(t->order->cpu, &before);
	begin = now_ns();
	for (u32 i = 0; i < rounds; i++)
		t->retval = (u32)prog(ctx);
	ns = (now_ns() - begin) / rounds;
	t->duration = (u32)bits_min(ns, (u64)UINT32_MAX);
	if (t->order->cpu >= 0)
		sys_call3(__NR_sched_setaffinity, 0, sizeof(before), (u64)&before);
}

#define TEST_FIELD(field) (u32)offsetof(union bpf_attr, test.field)

static s64 write_retval(const struct test_run *t)
{
	return test_run_write_attr(t, TEST_FIELD(retval), &t->retval, sizeof(t->retval));
}

/* The arguments, all of which are there. */
static s64 run_raw_tp(struct test_run *t)
{
	s64 r = test_run_make(t, 0, 0);

	if (!r)
		r = test_run_read(t->attr.test.ctx_in, test_run_ctx(t), bits_min(t->attr.test.ctx_size_in, CTX_MIN) & ~7u);
	if (r)
		return r;
	test_run_call(t);
	return write_retval(t);
}

/* The context is memory that the program may change, or NULL. */
static s64 run_syscall(struct test_run *t)
{
	u32 n = t->attr.test.ctx_size_in;
	s64 r = test_run_make(t, n, 0), w;

	if (!r)
		r = test_run_read(t->attr.test.ctx_in, test_run_ctx(t), n);
	if (r)
		return r;
	test_run_call(t);
	r = write_retval(t);
	w = test_run_write(t->attr.test.ctx_in, test_run_ctx(t), n);
	return w ? w : r;
}

static s64 run_type(struct test_run *t)
{
	switch (t->order->prog_type) {
	case BPF_PROG_TYPE_RAW_TRACEPOINT: return run_raw_tp(t);
	case BPF_PROG_TYPE_SYSCALL: return run_syscall(t);
	case BPF_PROG_TYPE_SOCKET_FILTER: return test_run_skb(t);
	case BPF_PROG_TYPE_XDP: return test_run_xdp(t);
	default: return -EPROTO; /* the broker let it pass */
	}
}

s64 run_once(const struct nt_run_order *o, u64 attr, u64 attr_size)
{
	struct test_run t = {.order = o, .attr_at = attr, .attr_size = attr_size};
	s64 r = test_run_read(attr, &t.attr, bits_min(attr_size, sizeof(t.attr)));

	if (!r)
		r = run_type(&t);
	if (t.memory)
		sys_call3(__NR_munmap, (u64)t.memory, t.memory_size, 0);
	return r;
}
