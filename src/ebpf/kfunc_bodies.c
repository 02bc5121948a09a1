/* SPDX-License-Identifier: MIT */
/* Which kernel functions can be executed: in the payload, or as code of the compiler's. Add the
 * number here with the body. */
#include <stddef.h>

#include "ebpf/kfuncs.h"

bool ebpf_kfunc_implemented(u32 id)
{
	(void)id;
	return false;
}
