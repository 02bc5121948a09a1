/* SPDX-License-Identifier: MIT */
/* The payload's image, embedded in the broker by the build. Starts with struct nt_payload_hdr. */
#pragma once

#include "abi/payload.h"

extern const u8 nt_payload_blob[], nt_payload_blob_end[];
