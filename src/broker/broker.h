/* SPDX-License-Identifier: MIT */
/*
 * The broker plays the kernel for loaders: it owns every object and all policy. One process per
 * user, one thread, one event loop. This is the struct that everything hangs on; each part below
 * keeps its own state behind a pointer.
 */
#pragma once

#include "abi/map.h"
#include "abi/types.h"
#include "broker/object/object.h"
#include "util/loop.h"

struct client;
struct engine; /* links, sites, processes: broker/link/link.h */
struct server; /* the socket: broker/server.h */
struct output_arena; /* perf buffers: broker/object/output.h */
struct pins;
struct trace;  /* bpf_trace_printk: broker/trace.h */

struct broker {
	struct loop *loop;
	char dir[512]; /* runtime directory: socket, lock, log */
	struct object_table objects;
	struct server *server;
	struct client *clients; /* utlist DL, member prev/next */
	struct engine *engine;
	struct trace *trace;
	struct kernel_prog *kernel_progs; /* loaded into the kernel for loaders: object/kernel.h */
	struct pins *pins; /* object/pin.h; NULL: there can be none */
	struct {
		int fd;
		u64 *counter; /* NULL: nobody asked for it (object_map_news()) */
	} news;
	struct output_arena *outputs; /* NULL: nobody has any */
	struct nt_caller caller; /* us, as a caller of the maps library */
	pid_t held_caller;	 /* a filtered process whose call we are making (notify.c): it cannot be stopped; 0 = none */
	u32 ncpus;		 /* possible CPUs: per-CPU maps have one value for each */
	bool has_bmi2, has_rdpid; /* of this machine: asking is slow where a hypervisor answers */
	s32 uprobe_type; /* type of the uprobe PMU for perf_event_open, -1: the kernel has none */
	struct loop_source *reap_timer; /* maps nobody has open any more */
	struct loop_source *idle_timer;
	bool was_idle; /* at the last look */
	bool kernel;   /* there are, or were, loaders that may have things in the kernel (`notrap run --kernel`) */
	bool leaving;  /* quit as soon as no link is left */
};

/* Everything but the engine, which main() adds (tests use a double). dir is an existing runtime
 * directory. */
int broker_init(struct broker *b, const char *dir);
void broker_deinit(struct broker *b); /* detaches everything, frees the engine too */
/* `notrap stop`: quit when no link is left; now: close all links first. Number of links that are
 * left. */
s64 broker_leave(struct broker *b, bool now);
