/* SPDX-License-Identifier: MIT */
/*
 * Where loaders pin objects. Paths below NT_BPFFS_PATH mean a directory of the broker (broker/object/pin.h), whoever may
 * look at the real one.
 */
#pragma once

#include "abi/types.h"

#define BPFFS_PATH_MAX 4096

/* path, or what it means: then written to buf. NULL stays NULL. */
const char *bpffs_path(const char *path, char buf[BPFFS_PATH_MAX]);
