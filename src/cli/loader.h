/* SPDX-License-Identifier: MIT */
/* What kind of program a loader is: can the shim be preloaded into it? */
#pragma once

#include "abi/types.h"

/* Finds name as execvp() would. 0, -ENOENT, -EACCES, -ENAMETOOLONG. */
int loader_find(const char *name, char *ret_path, size_t n);
/* NULL: it can be preloaded. Else the reason, static text. Scripts are judged by their interpreter.
 */
const char *loader_refusal(const char *path);
