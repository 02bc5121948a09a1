/* SPDX-License-Identifier: MIT */
#pragma once

#include "abi/types.h"

/* struct dl_find_object of glibc 2.35 and later (manual, "Dynamic Linker Introspection"); own name
 * so that hosted code can include <dlfcn.h> too. */
struct unwind_object {
	u64 flags;
	u64 map_start, map_end; /* addresses [start, end) that the answer is good for */
	u64 link_map;		/* 0: not of the dynamic linker's making */
	u64 eh_frame;		/* address of .eh_frame_hdr */
	u64 reserved[7];
};
