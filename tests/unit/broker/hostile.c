/* SPDX-License-Identifier: MIT */
/* What a broken or malicious client can send: memory, BTF, logs, trace records, packets. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "broker/cmd/btf_check.h"
#include "broker/cmd/vlog.h"
#include "broker/trace.h"
#include "ipc/ipc.h"
#include "rig.h"

static void test_memory(struct client *c)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
	     buf[8192];

	mprotect(p + 4096, 4096, PROT_NONE);
	memset(p, 'a', 4096);
	tap_eq(client_read(c, (u64)p, buf, 4096), 0, "memory up to a hole");
	tap_eq(client_read(c, (u64)p, buf, 4097), -EFAULT, "one byte more");
	tap_eq(client_read(c, 0, buf, 0), 0, "nothing from nowhere");
	tap_eq(client_read(c, 8, buf, 1), -EFAULT, "something from nowhere");
	tap_eq(client_write(c, (u64)p + 4096, buf, 1), -EFAULT, "writing into the hole");
	p[4095] = 0;
	tap_eq(client_read_str(c, (u64)p + 4000, buf, sizeof(buf)), 95,
	       "a string that ends at the hole");
	tap_eq(client_read_str(c, (u64)p + 4000, buf, 96), 95, "in a buffer that just fits");
	tap_eq(client_read_str(c, (u64)p + 4000, buf, 95), -ENAMETOOLONG, "in one that does not");
	p[4095] = 'a';
	tap_eq(client_read_str(c, (u64)p + 4000, buf, sizeof(buf)), -EFAULT,
	       "a string that runs into the hole");
	munmap(p, 8192);
}

static void test_paths(struct client *c)
{
	int fd = client_open_path(c, "/proc/self/exe");
	char name[64], target[256] = "", own[256] = "";

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	tap_ok(fd >= 0 && readlink(name, target, sizeof(target) - 1) > 0 &&
		   readlink("/proc/self/exe", own, sizeof(own) - 1) > 0 && !strcmp(target, own),
	       "/proc/self is the client");
	close(fd);
	tap_eq(client_open_path(c, "/proc/selfish"), -ENOENT, "but not every name that begins so");
	tap_eq(client_open_path(c, ""), -ENOENT, "an empty path");
	if (!chdir("/etc")) {
		fd = client_open_path(c, "passwd");
		tap_ok(fd >= 0, "a relative path is the client's");
		close(fd);
	}
	tap_eq(client_get_fd(c, -1), -EBADF, "descriptor -1");
	tap_eq(client_get_fd(c, 1 << 20), -EBADF, "a descriptor that is not open");
}

static void test_log(struct client *c)
{
	char text[] = "0123456789", buf[16];
	struct verifier_log log = {.level = 1, .buf = text, .len = 10};
	struct vlog_user u = {.level = 1, .size = 16, .buf = (u64)buf};
	u32 need = 0;

	tap_eq(vlog_copy_out(c, &u, &log, &need), 0, "a log that fits");
	tap_ok(!strcmp(buf, text) && need == 11, "is all there");
	u.size = 11;
	tap_eq(vlog_copy_out(c, &u, &log, &need), 0, "one that just fits");
	u.size = 10;
	tap_eq(vlog_copy_out(c, &u, &log, &need), -ENOSPC, "one that does not");
	tap_ok(!strcmp(buf, "123456789"), "keeps its end");
	u.level = 1 | 8;
	vlog_copy_out(c, &u, &log, &need);
	tap_ok(!strcmp(buf, "012345678"), "or its beginning, when fixed");
	u.size = 1;
	tap_eq(vlog_copy_out(c, &u, &log, &need), -ENOSPC, "one byte of room");
	tap_ok(!buf[0], "holds the NUL");
	u = (struct vlog_user){.level = 1};
	tap_eq(vlog_copy_out(c, &u, &log, &need), 0, "no buffer");
	tap_eq(need, 11, "still says what it needs");
}

/* A valid blob with bytes changed at random: any answer but a crash. */
static void test_btf(void)
{
	const struct btf_header h = {.magic = BTF_MAGIC,
				     .version = 1,
				     .hdr_len = 24,
				     .type_len = 16,
				     .str_off = 16,
				     .str_len = 5};
	const u32 types[] = {1, BTF_KIND_INT << 24, 4, 0x01000020};
	u8 good[64], bad[64];
	struct verifier_log log = {};
	unsigned int seed = 42, accepted = 0;

	memcpy(good, &h, 24);
	memcpy(good + 24, types, 16);
	memcpy(good + 40, "\0int", 5);
	tap_eq(btf_check(good, 45, &log), 0, "good BTF");
	for (u32 n = 0; n < 45; n++)
		if (btf_check(good, n, &log) == 0)
			accepted++;
	tap_eq(accepted, 0, "no prefix of it is good");
	memcpy(bad, good, sizeof(bad));
	bad[24] = 5; /* the first type's name */
	tap_eq(btf_check(bad, 45, &log), -EINVAL, "a name behind the strings");
	bad[24] = 4;
	tap_eq(btf_check(bad, 45, &log), 0, "the last NUL is a name");
	for (int i = 0; i < 200000; i++) {
		memcpy(bad, good, sizeof(bad));
		for (int k = 0; k < 3; k++)
			bad[rand_r(&seed) % 45] = (u8)rand_r(&seed);
		accepted += btf_check(bad, 45, &log) == 0;
	}
	tap_ok(accepted > 0 && accepted < 200000,
	       "random changes, seed 42: some pass, some do not");
}

static void test_trace(struct rig *r)
{
	static u8 file[2 * 4096 + 2 * 4096 + 4096] __attribute__((aligned(4096)));
	struct nt_map_view v = {.base = file,
				.size = sizeof(file),
				.max_entries = 4096,
				.data_off = 8192,
				.ctl_off = 16384};
	u64 *cons = (u64 *)file, *prod = (u64 *)(file + 4096);
	struct nt_trace_rec rec = {
	    .ts = 1234567890123ull, .tid = 77, .cpu = 1, .len = 5, .comm = "worker"};
	unsigned int seed = 43;
	char line[512] = "";
	int fd;

	*(u32 *)(file + 8192) = sizeof(rec) + 5;
	memcpy(file + 8192 + 8, &rec, sizeof(rec));
	memcpy(file + 8192 + 8 + sizeof(rec), "hello", 5);
	*prod = (8 + sizeof(rec) + 5 + 7) & ~7ull;
	trace_drain(r->b.trace, &v);
	tap_eq(*cons, *prod, "a record is taken");
	tap_eq(((struct nt_ring_ctl *)(file + 16384))->armed, 1, "and the doorbell armed");
	fd = trace_subscribe(r->b.trace);
	tap_ok(read(fd, line, sizeof(line) - 1) > 0, "a reader gets what came before");
	tap_ok(strstr(line, "          worker-77      [001] ") == line &&
		   strstr(line, " 1234.567890: bpf_trace_printk: hello\n"),
	       "in the format of trace_pipe");
	printf("# %s", line);
	for (int i = 0; i < 20000; i++) {
		for (int k = 0; k < 64; k++)
			file[8192 + rand_r(&seed) % 8192] = (u8)rand_r(&seed);
		*prod = *cons + ((u64)rand_r(&seed) << (i % 3 ? 0 : 20));
		*cons += i % 5 ? 0 : (u64)rand_r(&seed);
		trace_drain(r->b.trace, &v);
		while (recv(fd, line, sizeof(line), MSG_DONTWAIT) > 0)
			;
	}
	tap_ok(true, "20000 rings full of nonsense, seed 43");
	close(fd);
	loop_turn(r->b.loop, 100);
}

static s64 ask(struct rig *r, int sock, const void *q, size_t n)
{
	struct nt_reply rep = {.ret = -1};
	int fd = -1;
	long got;

	ipc_send(sock, q, n, -1);
	for (int i = 0; i < 5; i++)
		loop_turn(r->b.loop, 20);
	got = ipc_recv(sock, &rep, sizeof(rep), &fd);
	if (fd >= 0)
		close(fd);
	return got <= 0 ? -ECONNRESET : rep.ret;
}

static int greet(struct rig *r, u64 version, s64 *ret)
{
	struct nt_request q = {.op = NT_OP_HELLO, .arg = {version, NT_ROLE_SHIM}};
	int sock = ipc_connect(r->dir);

	*ret = ask(r, sock, &q, sizeof(q));
	return sock;
}

static void test_packets(struct rig *r)
{
	struct nt_request q = {.op = NT_OP_BPF};
	s64 ret;
	int sock = ipc_connect(r->dir);

	tap_eq(ask(r, sock, &q, sizeof(q)), -EPROTO, "a request before the greeting");
	tap_eq(ask(r, sock, "short", 5), -ECONNRESET, "half a request ends the connection");
	close(sock);
	sock = greet(r, NT_WIRE_VERSION + 1, &ret);
	tap_eq(ret, -EPROTO, "a greeting in another version");
	close(sock);
	sock = greet(r, NT_WIRE_VERSION, &ret);
	tap_eq(ret, NT_WIRE_VERSION, "a good greeting");
	q.op = 9999;
	tap_eq(ask(r, sock, &q, sizeof(q)), -EPROTO, "an unknown request");
	q.op = NT_OP_BPF;
	q.arg[0] = ~0ull;
	q.arg[1] = ~0ull;
	q.arg[2] = 64;
	tap_eq(ask(r, sock, &q, sizeof(q)), -EFAULT, "an attr outside of every address space");
	close(sock);
	for (int i = 0; i < 5; i++)
		loop_turn(r->b.loop, 20);
	tap_ok(!r->b.clients, "all clients are gone");
}

/* Out of descriptors: who comes is turned away, and those who come later are served again. */
static void test_full(struct rig *r)
{
	struct rlimit old, none;
	int sock[2] = {ipc_connect(r->dir), ipc_connect(r->dir)}, lowest = dup(sock[0]);
	char c;
	s64 ret;

	getrlimit(RLIMIT_NOFILE, &old);
	close(lowest);
	none = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	loop_turn(r->b.loop, 20);
	loop_turn(r->b.loop, 20);
	setrlimit(RLIMIT_NOFILE, &old);
	for (int i = 0; i < 2; i++) {
		tap_eq(recv(sock[i], &c, 1, MSG_DONTWAIT), 0, "client %d is turned away", i);
		close(sock[i]);
	}
	sock[0] = greet(r, NT_WIRE_VERSION, &ret);
	tap_eq(ret, NT_WIRE_VERSION, "afterwards clients are served");
	close(sock[0]);
	for (int i = 0; i < 5; i++)
		loop_turn(r->b.loop, 20);
}

int main(void)
{
	struct rig r;

	rig_init(&r);
	test_memory(&r.self);
	test_paths(&r.self);
	test_log(&r.self);
	test_btf();
	test_trace(&r);
	test_packets(&r);
	test_full(&r);
	rig_deinit(&r);
	return tap_done();
}
