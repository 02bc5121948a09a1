/* SPDX-License-Identifier: MIT */
/*
 * BTF from a stranger: the check of BPF_BTF_LOAD and the reader. What the check lets through the
 * reader must open; every type it then shows, with what follows by its kind, and every name must lie
 * inside the data (the driver gives exactly as many bytes, a sanitizer sees the rest).
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/cmd/btf_check.h"
#include "ebpf/btf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static u64 sum; /* so that nothing that is read is left out */

static void read_bytes(const void *p, s64 n)
{
	const volatile u8 *b = p;

	for (s64 i = 0; i < n; i++)
		sum += b[i];
}

static void walk(const struct ebpf_btf *b)
{
	for (u32 i = 0; i <= b->n; i++) {
		const struct btf_type *t = ebpf_btf_type(b, i);

		if (!t) {
			if (i && i < b->n)
				abort();
			continue;
		}
		if (ebpf_btf_tail(t->info) < 0)
			abort();
		read_bytes(t, (s64)sizeof(*t) + ebpf_btf_tail(t->info));
		sum += strlen(ebpf_btf_name(b, t->name_off));
	}
	sum += strlen(ebpf_btf_name(b, UINT32_MAX)) + strlen(ebpf_btf_name(b, b->strings_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verifier_log log = {.level = 1};
	struct ebpf_btf b;
	int checked = btf_check(data, (u32)size, &log), opened;

	if (checked && checked != -E2BIG && !log.len) {
		fprintf(stderr, "refused without a word (%d)\n", checked);
		abort();
	}
	free(log.buf);
	opened = ebpf_btf_open(data, size, &b);
	if (!opened) {
		walk(&b);
		ebpf_btf_close(&b);
	} else if (!checked && opened != -ENOMEM) {
		fprintf(stderr, "checked, and cannot be read (%d)\n", opened);
		abort();
	}
	return 0;
}
