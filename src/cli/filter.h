/* SPDX-License-Identifier: MIT */
/* The front end of loaders that nothing can be preloaded into: a seccomp filter that asks the broker. */
#pragma once

/*
 * Filters this process and all its children, and gives the listener to the broker at the other end of sock. Cannot be
 * undone. 0 or -errno, and *ret_why says in words what failed.
 */
int filter_install(int sock, const char **ret_why);
