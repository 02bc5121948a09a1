/* SPDX-License-Identifier: MIT */
#include "ebpf/kfuncs.h"

#include <stddef.h>
#include <string.h>

#define RET(x) EBPF_KRET_##x
#define A(x) EBPF_KARG_##x

static const struct ebpf_kfunc_proto protos[EBPF_KFUNC_N] = {
    [EBPF_KFUNC_SESSION_IS_RETURN] = {"bpf_session_is_return", RET(BOOL), {0}, EBPF_KFUNC_SESSION, 0},
    [EBPF_KFUNC_SESSION_COOKIE] = {"bpf_session_cookie", RET(WORD), {0}, EBPF_KFUNC_SESSION, 0},
    [EBPF_KFUNC_ITER_NUM_NEW] = {"bpf_iter_num_new", RET(INT), {A(ITER_NEW), A(SCALAR), A(SCALAR)}, 0, 8},
    [EBPF_KFUNC_ITER_NUM_NEXT] = {"bpf_iter_num_next", RET(NEXT), {A(ITER)}, 0, 8},
    [EBPF_KFUNC_ITER_NUM_DESTROY] = {"bpf_iter_num_destroy", RET(VOID), {A(ITER)}, 0, 8},
    [EBPF_KFUNC_ITER_BITS_NEW] = {"bpf_iter_bits_new", RET(INT), {A(ITER_NEW), A(ANY), A(SCALAR)}, 0, 16},
    [EBPF_KFUNC_ITER_BITS_NEXT] = {"bpf_iter_bits_next", RET(NEXT), {A(ITER)}, 0, 16},
    [EBPF_KFUNC_ITER_BITS_DESTROY] = {"bpf_iter_bits_destroy", RET(VOID), {A(ITER)}, 0, 16},
    [EBPF_KFUNC_RCU_READ_LOCK] = {"bpf_rcu_read_lock", RET(VOID), {0}, 0, 0},
    [EBPF_KFUNC_RCU_READ_UNLOCK] = {"bpf_rcu_read_unlock", RET(VOID), {0}, 0, 0},
    [EBPF_KFUNC_PREEMPT_DISABLE] = {"bpf_preempt_disable", RET(VOID), {0}, 0, 0},
    [EBPF_KFUNC_PREEMPT_ENABLE] = {"bpf_preempt_enable", RET(VOID), {0}, 0, 0},
    [EBPF_KFUNC_CAST_TO_KERN_CTX] = {"bpf_cast_to_kern_ctx", RET(REGS), {A(CTX)}, 0, 0},
    [EBPF_KFUNC_RDONLY_CAST] = {"bpf_rdonly_cast", RET(OBJECT), {A(ANY), A(CONST)}, 0, 0},
    [EBPF_KFUNC_STRCMP] = {"bpf_strcmp", RET(INT), {A(ANY), A(ANY)}, 0, 0},
    [EBPF_KFUNC_STRCASECMP] = {"bpf_strcasecmp", RET(INT), {A(ANY), A(ANY)}, 0, 0},
    [EBPF_KFUNC_STRCHR] = {"bpf_strchr", RET(INT), {A(ANY), A(SCALAR)}, 0, 0},
    [EBPF_KFUNC_STRCHRNUL] = {"bpf_strchrnul", RET(INT), {A(ANY), A(SCALAR)}, 0, 0},
    [EBPF_KFUNC_STRNCHR] = {"bpf_strnchr", RET(INT), {A(ANY), A(SCALAR), A(SCALAR)}, 0, 0},
    [EBPF_KFUNC_STRRCHR] = {"bpf_strrchr", RET(INT), {A(ANY), A(SCALAR)}, 0, 0},
    [EBPF_KFUNC_STRLEN] = {"bpf_strlen", RET(INT), {A(ANY)}, 0, 0},
    [EBPF_KFUNC_STRNLEN] = {"bpf_strnlen", RET(INT), {A(ANY), A(SCALAR)}, 0, 0},
    [EBPF_KFUNC_STRSPN] = {"bpf_strspn", RET(INT), {A(ANY), A(ANY)}, 0, 0},
    [EBPF_KFUNC_STRCSPN] = {"bpf_strcspn", RET(INT), {A(ANY), A(ANY)}, 0, 0},
    [EBPF_KFUNC_STRSTR] = {"bpf_strstr", RET(INT), {A(ANY), A(ANY)}, 0, 0},
    [EBPF_KFUNC_STRNSTR] = {"bpf_strnstr", RET(INT), {A(ANY), A(ANY), A(SCALAR)}, 0, 0},
    [EBPF_KFUNC_DYNPTR_ADJUST] = {"bpf_dynptr_adjust", RET(INT), {A(DYNPTR), A(SCALAR), A(SCALAR)}, 0, 0},
    [EBPF_KFUNC_DYNPTR_CLONE] = {"bpf_dynptr_clone", RET(INT), {A(DYNPTR), A(DYNPTR_NEW)}, 0, 0},
    [EBPF_KFUNC_DYNPTR_COPY] = {"bpf_dynptr_copy", RET(INT), {A(DYNPTR), A(SCALAR), A(DYNPTR), A(SCALAR), A(SCALAR)},
				0, 0},
    [EBPF_KFUNC_DYNPTR_IS_NULL] = {"bpf_dynptr_is_null", RET(BOOL), {A(DYNPTR)}, 0, 0},
    [EBPF_KFUNC_DYNPTR_IS_RDONLY] = {"bpf_dynptr_is_rdonly", RET(BOOL), {A(DYNPTR)}, 0, 0},
    [EBPF_KFUNC_DYNPTR_MEMSET] = {"bpf_dynptr_memset", RET(INT), {A(DYNPTR), A(SCALAR), A(SCALAR), A(SCALAR)}, 0, 0},
    [EBPF_KFUNC_DYNPTR_SIZE] = {"bpf_dynptr_size", RET(INT), {A(DYNPTR)}, 0, 0},
    [EBPF_KFUNC_DYNPTR_SLICE] = {"bpf_dynptr_slice", RET(SLICE),
				 {A(DYNPTR), A(SCALAR), A(BUFFER_NULL), A(SIZE_CONST)}, 0, 0},
    [EBPF_KFUNC_DYNPTR_SLICE_RDWR] = {"bpf_dynptr_slice_rdwr", RET(SLICE),
				      {A(DYNPTR), A(SCALAR), A(BUFFER_NULL), A(SIZE_CONST)}, 0, 0},
    [EBPF_KFUNC_PROBE_READ_USER_DYNPTR] = {"bpf_probe_read_user_dynptr", RET(INT),
					   {A(DYNPTR), A(SCALAR), A(SCALAR), A(ANY)}, 0, 0},
    [EBPF_KFUNC_PROBE_READ_KERNEL_DYNPTR] = {"bpf_probe_read_kernel_dynptr", RET(INT),
					     {A(DYNPTR), A(SCALAR), A(SCALAR), A(ANY)}, 0, 0},
    [EBPF_KFUNC_PROBE_READ_USER_STR_DYNPTR] = {"bpf_probe_read_user_str_dynptr", RET(INT),
					       {A(DYNPTR), A(SCALAR), A(SCALAR), A(ANY)}, 0, 0},
    [EBPF_KFUNC_PROBE_READ_KERNEL_STR_DYNPTR] = {"bpf_probe_read_kernel_str_dynptr", RET(INT),
						 {A(DYNPTR), A(SCALAR), A(SCALAR), A(ANY)}, 0, 0},
    [EBPF_KFUNC_COPY_FROM_USER_STR] = {"bpf_copy_from_user_str", RET(INT), {A(OUT), A(SIZE), A(ANY), A(SCALAR)},
				       EBPF_KFUNC_SLEEPS, 0},
    [EBPF_KFUNC_ARENA_ALLOC_PAGES] = {"bpf_arena_alloc_pages", RET(LONG), {A(MAP), A(ANY), A(SCALAR), A(SCALAR), A(SCALAR)},
				      EBPF_KFUNC_SLEEPS, 0},
    [EBPF_KFUNC_ARENA_RESERVE_PAGES] = {"bpf_arena_reserve_pages", RET(INT), {A(MAP), A(ANY), A(SCALAR)}, EBPF_KFUNC_SLEEPS, 0},
    [EBPF_KFUNC_ARENA_FREE_PAGES] = {"bpf_arena_free_pages", RET(VOID), {A(MAP), A(ANY), A(SCALAR)}, EBPF_KFUNC_SLEEPS, 0},
    [EBPF_KFUNC_MAP_SUM_ELEM_COUNT] = {"bpf_map_sum_elem_count", RET(LONG), {A(MAP)}, 0, 0},
};

const struct ebpf_kfunc_proto *ebpf_kfunc_get(u32 id)
{
	return id && id < EBPF_KFUNC_N ? &protos[id] : NULL;
}

u32 ebpf_kfunc_by_name(const char *name)
{
	for (u32 id = 1; id < EBPF_KFUNC_N; id++)
		if (!strcmp(protos[id].name, name))
			return id;
	return EBPF_KFUNC_NONE;
}
