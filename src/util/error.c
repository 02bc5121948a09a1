/* SPDX-License-Identifier: MIT */
#include "util/error.h"

#include <string.h>

#include "abi/types.h"

const char *error_name(int err)
{
	const char *name;

	if (err < 0)
		err = -err;
	if (!err)
		return "0";
	if (err == NT_ENOTSUPP)
		return "ENOTSUPP";
	name = strerrorname_np(err);
	return name ? name : "E?";
}
