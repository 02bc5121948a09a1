/* SPDX-License-Identifier: MIT */
/* The shape of BTF: header, sections, and that every type record lies inside and has a known kind.
 * Pure. */
#pragma once

#include "abi/types.h"
#include "broker/cmd/vlog.h"

/* 0, -EINVAL, -E2BIG (a longer header than ours with content) and phrases as btf_parse_hdr() in
 * kernel/bpf/btf.c. */
int btf_check(const u8 *data, u32 size, struct verifier_log *log);
