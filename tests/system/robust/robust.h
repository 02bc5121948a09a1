/* SPDX-License-Identifier: MIT */
/* What the programs and their loader share. */
#pragma once

#define ROBUST_SLOTS 64
