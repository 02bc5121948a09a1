/* SPDX-License-Identifier: MIT */
/* Life and death of objects: who keeps what alive, and that a close is seen. */
#include "broker/object/object.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>

#include "broker/object/link.h"
#include "broker/object/map.h"
#include "broker/object/prog.h"
#include "rig.h"

static int map_create(struct rig *r, u32 flags)
{
	struct attr_map_create a = {.type = BPF_MAP_TYPE_ARRAY,
				    .key_size = 4,
				    .value_size = 8,
				    .max_entries = 1,
				    .flags = flags};

	return (int)rig_bpf(r, BPF_MAP_CREATE, &a, sizeof(a));
}

static int prog_load(struct rig *r, int map)
{
	const struct bpf_insn insns[] = {
	    {.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = 1, .src_reg = 1, .imm = map},
	    {},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K},
	    {.code = BPF_JMP | BPF_EXIT}};
	struct attr_prog_load a = {.type = BPF_PROG_TYPE_KPROBE,
				   .insn_cnt = 4,
				   .insns = (u64)insns,
				   .license = (u64) "GPL",
				   .expected_attach_type = NT_BPF_TRACE_UPROBE_MULTI};

	return (int)rig_bpf(r, BPF_PROG_LOAD, &a, sizeof(a));
}

static int link_create(struct rig *r, int prog, const char *path)
{
	const u64 offset = 0x40;
	struct nt_link_create_uprobe_multi a = {.prog_fd = (u32)prog,
						.attach_type = NT_BPF_TRACE_UPROBE_MULTI,
						.path = (u64)path,
						.offsets = (u64)&offset,
						.cnt = 1};

	return (int)rig_bpf(r, BPF_LINK_CREATE, &a, sizeof(a));
}

static void test_map(struct rig *r)
{
	int fd = map_create(r, BPF_F_MMAPABLE), other;
	struct object *o = NULL;
	void *p;

	tap_ok(fd >= 0, "a map");
	tap_eq(object_by_fd(&r->self, fd, OBJECT_MAP, &o), 0, "is found by its descriptor");
	tap_ok(o && o->refs == 1 && object_by_id(&r->b, OBJECT_MAP, o->id) == o, "and by its id");
	tap_eq(object_by_fd(&r->self, fd, OBJECT_PROG, &o), -EINVAL, "not as a program");
	tap_eq(object_by_fd(&r->self, 9999, OBJECT_MAP, &o), -EBADF, "a number that is not open");
	tap_eq(object_by_fd(&r->self, 0, OBJECT_MAP, &o), -EINVAL, "a descriptor that is not ours");
	other = memfd_create("bpf-map", MFD_CLOEXEC);
	tap_eq(object_by_fd(&r->self, other, OBJECT_MAP, &o), -EINVAL, "a memfd of the same name");
	close(other);
	object_reap(&r->b);
	tap_eq(rig_count(r, OBJECT_MAP), 1, "an open map stays");
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	object_reap(&r->b);
	tap_eq(rig_count(r, OBJECT_MAP), 1, "a mapped one too");
	munmap(p, 4096);
	object_reap(&r->b);
	tap_eq(rig_count(r, OBJECT_MAP), 0, "then it goes");
}

static void test_seals(struct rig *r)
{
	int fd = map_create(r, 0);

	tap_ok(ftruncate(fd, 0) == -1 && errno == EPERM,
	       "a loader cannot shrink a map under its readers");
	tap_ok(ftruncate(fd, 1 << 20) == -1 && errno == EPERM, "nor grow it");
	close(fd);
	object_reap(&r->b);
}

static void test_chain(struct rig *r)
{
	int map = map_create(r, 0), prog = prog_load(r, map),
	    link = link_create(r, prog, "/proc/self/exe");

	tap_ok(prog >= 0 && link >= 0, "a map, a program and a link");
	close(map);
	close(prog);
	object_reap(&r->b);
	tap_ok(rig_count(r, OBJECT_MAP) == 1 && rig_count(r, OBJECT_PROG) == 1,
	       "the link keeps the program, that the map");
	tap_ok(engine_busy(r->b.engine), "attached");
	close(link);
	object_reap(&r->b);
	tap_ok(!engine_busy(r->b.engine), "closing the link detaches");
	tap_eq(rig_count(r, OBJECT_PROG), 0, "the program goes with it");
	object_reap(&r->b);
	tap_eq(rig_count(r, OBJECT_MAP), 0, "and so does the map");
}

static void test_by_id(struct rig *r)
{
	int prog = prog_load(r, map_create(r, 0)), again;
	struct object *first = object_next(&r->b, OBJECT_PROG, 0), *o = NULL;
	struct attr_get_id a = {.start_id = first ? first->id : 0};

	again = (int)rig_bpf(r, BPF_PROG_GET_FD_BY_ID, &a, sizeof(a));
	tap_ok(again >= 0 && object_by_fd(&r->self, again, OBJECT_PROG, &o) == 0 && o == first,
	       "a second descriptor by id");
	close(prog);
	object_reap(&r->b);
	tap_eq(rig_count(r, OBJECT_PROG), 1, "keeps the program alive");
	close(again);
	object_reap(&r->b);
	tap_eq(rig_count(r, OBJECT_PROG), 0, "until it is closed too");
	tap_ok(!object_next(&r->b, OBJECT_PROG, 0), "no id is left");
}

/* The loop sees a hang-up by itself, without anybody asking. */
static void test_hangup(struct rig *r)
{
	int prog = prog_load(r, map_create(r, 0));

	close(prog);
	for (int i = 0; i < 10 && rig_count(r, OBJECT_PROG); i++)
		loop_turn(r->b.loop, 100);
	tap_eq(rig_count(r, OBJECT_PROG), 0, "the event loop notices the last close");
}

/* Whatever is left is taken down in an order that works (checked by the sanitizers). */
static void test_leftovers(struct rig *r)
{
	int map = map_create(r, 0), prog = prog_load(r, map);

	link_create(r, prog, "/proc/self/exe");
	link_create(r, prog, "/proc/self/exe");
	tap_eq(broker_leave(&r->b, false), 2, "two links are in the way of leaving");
	tap_eq(broker_leave(&r->b, true), 0, "unless told to");
	tap_ok(!engine_busy(r->b.engine), "nothing is attached then");
}

int main(void)
{
	struct rig r;

	rig_init(&r);
	test_map(&r);
	test_seals(&r);
	test_chain(&r);
	test_by_id(&r);
	test_hangup(&r);
	test_leftovers(&r);
	rig_deinit(&r);
	return tap_done();
}
