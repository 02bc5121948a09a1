/* SPDX-License-Identifier: MIT */
/* Bodies of the kernel functions of ebpf/kfuncs.h, called as helpers are. */
#pragma once

#include "payload/payload.h"

#pragma GCC visibility push(hidden)
helper_fn kfunc_iter_num_new, kfunc_iter_num_next, kfunc_iter_num_destroy;
helper_fn kfunc_iter_bits_new, kfunc_iter_bits_next, kfunc_iter_bits_destroy;
helper_fn kfunc_strcmp, kfunc_strcasecmp, kfunc_strchr, kfunc_strchrnul, kfunc_strnchr, kfunc_strrchr;
helper_fn kfunc_strlen, kfunc_strnlen, kfunc_strspn, kfunc_strcspn, kfunc_strstr, kfunc_strnstr;
helper_fn kfunc_dynptr_adjust, kfunc_dynptr_clone, kfunc_dynptr_copy, kfunc_dynptr_is_null, kfunc_dynptr_is_rdonly,
    kfunc_dynptr_memset, kfunc_dynptr_size, kfunc_dynptr_slice, kfunc_dynptr_slice_rdwr;
helper_fn kfunc_probe_read_dynptr, kfunc_probe_read_str_dynptr;
helper_fn kfunc_arena_alloc_pages, kfunc_arena_reserve_pages, kfunc_arena_free_pages;
#pragma GCC visibility pop
