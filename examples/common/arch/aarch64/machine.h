/* SPDX-License-Identifier: MIT */
/* What differs between architectures. */
#pragma once

/* Where distributions keep libraries, as in PATH. */
#define LIBRARY_DIRS                                                                               \
	"/lib/aarch64-linux-gnu:/usr/lib/aarch64-linux-gnu:/lib64:/usr/lib64:"                     \
	"/lib:/usr/lib:/usr/local/lib"

/* Some registers that functions save at their beginning. */
#define SAVED_REGISTERS "x19", "x20", "x21"
