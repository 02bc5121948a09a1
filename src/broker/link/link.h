/* SPDX-License-Identifier: MIT */
/*
 * Links and the engine behind them: sites, processes, patches. What the command side (broker/cmd) needs of it.
 */
#pragma once

#include <jansson.h>

#include "abi/bpf.h"
#include "broker/broker.h"
#include "broker/client.h"
#include "broker/object/perf.h"
#include "broker/object/prog.h"

struct link;
struct engine;

int engine_new(struct broker *b, struct engine **ret);
void engine_free(struct engine *e); /* detaches everything */
/* True while a process is instrumented: the broker must not leave. */
bool engine_busy(const struct engine *e);

/*
 * One program on many functions. The caller has checked attr up to cnt (reference: uprobe_multi.md 1.2, steps 1 to 8);
 * path and arrays are still in the client's memory. notice: what the user should know although it worked (refused
 * sites), NUL-terminated. The link holds its own reference on prog.
 */
int link_create_uprobe_multi(struct broker *b, struct client *c, struct object_prog *prog,
			     const struct nt_link_create_uprobe_multi *attr, char *notice, size_t notice_len,
			     struct link **ret);
/* One target: what perf names. perf outlives the link. */
int link_create_perf(struct broker *b, struct client *c, struct object_perf *perf, struct object_prog *prog,
		     u64 cookie, struct link **ret);
/* Synchronous detach: when it returns the program runs nowhere. */
void link_close(struct broker *b, struct link *l);

/* The id under which loaders see the link; a perf event's own link (ioctl) has none and shows 0. */
void link_set_id(struct link *l, u32 id);

/*
 * struct bpf_link_info from byte 16 on (the caller fills type, id, prog_id). info comes with what the client put
 * there (buffer addresses and counts); arrays and paths are written to the client's memory.
 * 0, -EINVAL, -EFAULT, -ENOSPC, -ENAMETOOLONG.
 */
int link_fill_info(struct link *l, struct client *c, u8 info[64]);

/* {"links": [...], "processes": [...]} for `notrap ps`. */
json_t *link_ps_json(struct broker *b);
