/* SPDX-License-Identifier: MIT */
#include "broker/broker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "broker/arch/cpu.h"
#include "broker/link/link.h"
#include "broker/object/btf.h"
#include "broker/object/map.h"
#include "broker/object/output.h"
#include "broker/object/perf.h"
#include "broker/object/pin.h"
#include "broker/query_kernel.h"
#include "broker/server.h"
#include "broker/trace.h"
#include "util/fd.h"
#include "util/log.h"

#define REAP_MS 500
#define IDLE_MS 5000

/* "0-3" or "0,2-5": the number behind the last separator is the highest CPU. */
static u32 possible_cpus(void)
{
	char text[256];
	const char *p, *last = text;
	long n = fd_read_text("/sys/devices/system/cpu/possible", text, sizeof(text));

	if (n <= 0)
		return (u32)sysconf(_SC_NPROCESSORS_CONF);
	for (p = text; *p; p++)
		if (*p == '-' || *p == ',')
			last = p + 1;
	return (u32)strtoul(last, NULL, 10) + 1;
}

static s32 uprobe_pmu_type(void)
{
	char text[32];

	if (fd_read_text("/sys/bus/event_source/devices/uprobe/type", text, sizeof(text)) <= 0)
		return -1;
	return (s32)strtol(text, NULL, 10);
}

static bool broker_has_links(struct broker *b)
{
	kernel_progs_forget(b, false);
	if (b->objects.by_id[OBJECT_LINK] || b->kernel_progs)
		return true;
	for (struct object *o = b->objects.by_id[OBJECT_PERF]; o; o = o->hh.next)
		if (object_to_perf(o)->link || object_to_perf(o)->clock.run)
			return true;
	return false;
}

/* What we hold for ourselves, the kernel's BTF, is nobody's. */
static bool broker_is_idle(const struct broker *b)
{
	for (u32 kind = 0; kind < OBJECT_NKINDS; kind++)
		for (struct object *o = b->objects.by_id[kind]; o; o = o->hh.next)
			if (kind != OBJECT_BTF || o->refs > 1 || !object_btf_is_kernel(object_to_btf(o)))
				return false;
	return !b->clients && !(b->engine && engine_busy(b->engine));
}

static void broker_reap(struct loop_source *s, u32 events, void *arg)
{
	struct broker *b = arg;

	if (b->objects.by_id[OBJECT_MAP])
		object_map_reap(b);
	pins_reap(b->pins);
	if (b->leaving && !broker_has_links(b))
		loop_quit(b->loop);
}

/* Two looks in a row must find nothing: the broker leaves between 5 and 10 seconds after its last
 * use. */
static void broker_idle(struct loop_source *s, u32 events, void *arg)
{
	struct broker *b = arg;
	bool idle = broker_is_idle(b);

	if (idle && b->was_idle)
		loop_quit(b->loop);
	b->was_idle = idle;
}

s64 broker_leave(struct broker *b, bool now)
{
	struct object_handle *h, *tmp;
	s64 links = HASH_COUNT(b->objects.by_id[OBJECT_LINK]);

	b->leaving = true;
	if (!now && broker_has_links(b))
		return bits_max(links, 1);
	HASH_ITER(hh, b->objects.by_ino, h, tmp)
	object_handle_free(h);
	loop_quit(b->loop); /* after the answer is sent */
	return 0;
}

int broker_init(struct broker *b, const char *dir)
{
	int r;

	*b = (struct broker){.ncpus = possible_cpus(),
			     .has_bmi2 = cpu_has_bmi2(),
			     .has_rdpid = cpu_has_rdpid(),
			     .uprobe_type = uprobe_pmu_type()};
	b->caller.tid = (u32)gettid();
	if (snprintf(b->dir, sizeof(b->dir), "%s", dir) >= (int)sizeof(b->dir))
		return -ENAMETOOLONG;
	r = loop_new(&b->loop);
	if (!r)
		r = trace_new(b, &b->trace);
	if (!r)
		object_btf_kernel(b); /* the kernel need not have any */
	if (!r)
		r = pins_new(b, &b->pins);
	if (!r)
		r = server_new(b, &b->server);
	if (!r)
		r = loop_add_timer(b->loop, REAP_MS, broker_reap, b, &b->reap_timer);
	if (!r)
		r = loop_add_timer(b->loop, IDLE_MS, broker_idle, b, &b->idle_timer);
	if (r < 0)
		broker_deinit(b);
	return r;
}

void broker_deinit(struct broker *b)
{
	struct object_handle *h, *tmp;
	struct object *o, *otmp;

	server_free(b->server);
	b->server = NULL;
	HASH_ITER(hh, b->objects.by_ino, h, tmp)
	object_handle_free(h);
	pins_free(b->pins);
	b->pins = NULL;
	/* What is left are maps that loaders still have open: their memory outlives us. */
	HASH_ITER(hh, b->objects.by_id[OBJECT_MAP], o, otmp)
	object_unref(o);
	HASH_ITER(hh, b->objects.by_id[OBJECT_OUTPUT], o, otmp)
	object_unref(o);
	HASH_ITER(hh, b->objects.by_id[OBJECT_BTF], o, otmp)
	object_unref(o);
	kernel_progs_forget(b, true);
	output_arena_free(b);
	object_map_news_free(b);
	engine_free(b->engine);
	b->engine = NULL;
	trace_free(b->trace);
	b->trace = NULL;
	loop_free(b->loop);
	b->loop = NULL;
}
