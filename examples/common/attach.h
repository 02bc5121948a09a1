/* SPDX-License-Identifier: MIT */
/* Attaching one program to all functions of a target, and what to say when it fails. */
#pragma once

#include <bpf/libbpf.h>
#include <stdbool.h>

#include "target.h"

/*
 * Attaches prog to every function of the target through one link; a function's cookie is its index
 * in target->functions. at_return: when the functions return instead of when they are entered.
 * Returns 0 or a negative errno; destroy the link with bpf_link__destroy().
 */
int attach_functions(const struct bpf_program *prog, const struct target *t, bool at_return,
		     struct bpf_link **ret);

/* Says on stderr what failed and, where a user can do something about it, what. */
void attach_explain(const char *tool, const char *what, int err);
