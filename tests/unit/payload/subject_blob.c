/* SPDX-License-Identifier: MIT */
/* Maps the image as a broker does: code read and execute, state and local behind it read and write.
 */
#include "subject.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"

extern const u8 nt_payload_blob[], nt_payload_blob_end[];

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(99);
}

void subject_load(struct subject *s)
{
	const struct nt_payload_hdr *h = (const void *)nt_payload_blob;
	size_t size = (size_t)(nt_payload_blob_end - nt_payload_blob);
	size_t state_size = bits_round_up(sizeof(struct nt_state), (size_t)NT_PAGE);
	u8 *at;

	need(h->magic == NT_PAYLOAD_MAGIC && h->version == NT_PAYLOAD_VERSION, "header");
	need(h->image_size == size && size % NT_PAGE == 0, "image size");
	at = mmap(NULL, size + state_size + sizeof(struct nt_local), PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(at != MAP_FAILED, "mmap");
	memcpy(at, nt_payload_blob, size);
	need(!mprotect(at, size, PROT_READ | PROT_EXEC), "mprotect");
	s->state = (void *)(at + size);
	s->local = (void *)(at + size + state_size);
	need(!madvise(s->local, sizeof(*s->local), MADV_WIPEONFORK), "madvise");
	s->wiped_on_fork = true;
	for (u32 i = 0; i < NT_HELPER_MAX; i++) {
		need(h->helper[i] < size, "helper offset");
		if (h->helper[i])
			s->helper[i] = (void *)(at + h->helper[i]);
	}
	need(h->fn_ret_slow && h->fn_row_slow && h->fn_dl_find_object && h->fn_r_brk, "functions");
	s->ret_slow = (void *)(at + h->fn_ret_slow);
	s->ret_deep = (void *)(at + h->fn_ret_deep);
	s->session_open = (void *)(at + h->fn_session_open);
	s->session_keep = (void *)(at + h->fn_session_keep);
	s->session_at = (void *)(at + h->fn_session_at);
	s->session_more = (void *)(at + h->fn_session_more);
	s->row_slow = (void *)(at + h->fn_row_slow);
	s->dl_find_object = (void *)(at + h->fn_dl_find_object);
	s->r_brk = (void *)(at + h->fn_r_brk);
	s->hold = (void *)(at + h->fn_hold);
}
