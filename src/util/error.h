/* SPDX-License-Identifier: MIT */
/* Names of errors, for logs and tests. */
#pragma once

/* "ENOENT" for 2 or -2, "ENOTSUPP" for 524, "E?" for what has no name. Static text. */
const char *error_name(int err);
