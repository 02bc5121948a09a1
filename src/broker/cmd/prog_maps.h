/* SPDX-License-Identifier: MIT */
/* Map references of a program: descriptors in LD_IMM64 become indexes into the program's own table.
 */
#pragma once

#include "broker/cmd/cmd.h"
#include "broker/cmd/vlog.h"
#include "broker/object/prog.h"

/*
 * Rewrites p->insns and fills p->maps (references taken; on failure they stay in p for its owner to
 * drop). Errors and phrases as resolve_pseudo_ldimm64() in kernel/bpf/verifier.c.
 */
int prog_maps_resolve(struct call *k, u64 fd_array, struct object_prog *p,
		      struct verifier_log *log);
