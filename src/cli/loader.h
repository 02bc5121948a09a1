/* SPDX-License-Identifier: MIT */
/* What kind of program a loader is: can the shim be preloaded into it? */
#pragma once

#include "abi/types.h"

/* Finds name as execvp() would. 0, -ENOENT, -EACCES, -ENAMETOOLONG. */
int loader_find(const char *name, char *ret_path, size_t n);
enum loader_kind {
	LOADER_PRELOAD, /* the shim can be preloaded, or nobody can tell: exec will say it better */
	LOADER_FILTER,	/* statically linked: its system calls are answered from outside */
	LOADER_REFUSED,
};

/* Scripts are judged by their interpreter. *ret_why: the reason of a refusal, static text. */
enum loader_kind loader_kind(const char *path, const char **ret_why);
