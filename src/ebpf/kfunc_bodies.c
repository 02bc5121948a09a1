/* SPDX-License-Identifier: MIT */
/* Which kernel functions can be executed: in the payload, or as code of the compiler's. Add the
 * number here with the body. */
#include "ebpf/kfuncs.h"

bool ebpf_kfunc_implemented(u32 id)
{
	switch (id) {
	case EBPF_KFUNC_SESSION_IS_RETURN:
	case EBPF_KFUNC_SESSION_COOKIE:
	case EBPF_KFUNC_RCU_READ_LOCK:
	case EBPF_KFUNC_RCU_READ_UNLOCK:
	case EBPF_KFUNC_PREEMPT_DISABLE:
	case EBPF_KFUNC_PREEMPT_ENABLE:
	case EBPF_KFUNC_CAST_TO_KERN_CTX: return true;
	default: return false;
	}
}
