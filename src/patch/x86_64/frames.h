/* SPDX-License-Identifier: MIT */
/* Call frame information for the thunks of return probes (DWARF 5 section 6.4, LSB .eh_frame and .eh_frame_hdr). */
#pragma once

#include "abi/types.h"

#define FRAMES_SIZE 128u /* bytes that frames_write() fills: header table first, then CIE, FDE, terminator */

/* Describes the thunks at run-time addresses [lo, hi); at = run-time address of out. -ERANGE: out of reach. */
int frames_write(u64 lo, u64 hi, u64 at, u8 out[FRAMES_SIZE]);
