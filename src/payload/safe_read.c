/* SPDX-License-Identifier: MIT */
/*
 * A payload that must not own SIGSEGV cannot try a load and see. The kernel can:
 * process_vm_readv(2) on oneself copies what is readable and says so, for a microsecond. Most reads
 * of a program are of its own stack or of ctx, which lie above us on the stack of this thread. From
 * our frame to the end of the page that holds our return address memory is there for certain, so
 * such a read is a plain copy. Farther up it is one where the thread's stack is known (stack_sure.h).
 *
 * Addresses of the upper half belong to the kernel: no process can read them. The first page is
 * never mapped.
 */
#include "payload/safe_read.h"

#include "base/atomic.h"
#include "base/bits.h"
#include "base/mem.h"
#include "payload/kernel.h"
#include "payload/stack_sure.h"
#include "payload/thread.h"

#define CHUNK 256u
#define STACK_MAX (16u << 20)
#define RETURN_ADDRESS_END 16u /* [frame] = saved frame pointer, [frame + 8] = return address */

static bool addr_is_hopeless(u64 addr)
{
	return addr >> 63 || addr < NT_PAGE;
}

/* Bytes from addr, of the n that are wanted, that can be read without asking, when a function's frame is at `frame`. */
static u64 certain_bytes(u64 addr, u64 n, u64 frame)
{
	u64 end = bits_round_up(frame + RETURN_ADDRESS_END, (u64)NT_PAGE);

	if (addr < frame)
		return 0;
	if (addr < end && end - addr >= n)
		return n;
	if (addr - frame < STACK_MAX)
		end = bits_max(end, stack_sure_end(frame));
	return addr < end ? bits_min(end - addr, n) : 0;
}

/* These two read other functions' frames, which a memory checker does not like. */
__attribute__((no_sanitize("address"))) static void stack_copy(char *dst, u64 src, u32 n)
{
	const char *s = (const char *)src;

	for (; n >= 8; n -= 8, dst += 8, s += 8)
		*(mem_word *)dst = *(const mem_word *)s;
	for (; n; n--)
		*dst++ = *s++;
}

__attribute__((no_sanitize("address"))) static u32 text_len(u64 text, u32 max)
{
	const char *s = (const char *)text;
	u32 n = 0;

	while (n < max && s[n])
		n++;
	return n;
}

s64 safe_read_ranges(void *dst, const struct safe_range *src, u32 n)
{
	struct safe_range local = {(u64)dst, 0};
	u32 tgid = thread_tgid();
	s64 r;

	if (!tgid)
		return -EPERM;
	for (u32 i = 0; i < n; i++)
		local.len += src[i].len;
	r = kernel_call6(__NR_process_vm_readv, tgid, (u64)&local, 1, (u64)src, n, 0);
	if (r == -ESRCH) /* we share memory with a process that has gone since */
		r = kernel_call6(__NR_process_vm_readv, thread_tgid_from_kernel(), (u64)&local, 1,
				 (u64)src, n, 0);
	return r;
}

int safe_read(void *dst, u64 src, u32 n)
{
	struct safe_range range = {src, n};

	if (src >> 63)
		return -EFAULT;
	if (!n)
		return 0;
	if (certain_bytes(src, n, (u64)__builtin_frame_address(0)) == n) {
		stack_copy(dst, src, n);
		return 0;
	}
	if (addr_is_hopeless(src))
		return -EFAULT;
	return safe_read_ranges(dst, &range, 1) == n ? 0 : -EFAULT;
}

/* Up to n bytes that start at src and perhaps go on in the next page; at least one, or -EFAULT. */
static s64 read_ahead(char *dst, u64 src, u32 n)
{
	u32 in_page = NT_PAGE - (u32)(src % NT_PAGE);
	struct safe_range range[2] = {{src, bits_min(n, in_page)}, {src + in_page, 0}};
	s64 r;

	if (addr_is_hopeless(src))
		return -EFAULT;
	range[1].len = n - range[0].len;
	r = safe_read_ranges(dst, range, range[1].len ? 2 : 1);
	return r > 0 ? r : -EFAULT;
}

s64 safe_read_str(char *dst, u64 src, u32 n)
{
	u64 frame = (u64)__builtin_frame_address(0);
	char buf[CHUNK];
	u32 done = 0;

	if (src >> 63)
		return -EFAULT;
	while (done < n) {
		u64 at = src + done, text = at;
		u64 sure = certain_bytes(at, n - done, frame);
		s64 got = bits_min(n - done, sure ? sure : (u64)CHUNK);
		u32 len;

		if (!sure) {
			text = (u64)buf;
			got = read_ahead(buf, at, (u32)got);
			if (got < 0)
				return got;
		}
		/* Not straight into dst: what lies behind the NUL is no part of the string. */
		len = text_len(text, (u32)got);
		if (dst)
			stack_copy(dst + done, text, len);
		done += len;
		if (len < (u32)got) {
			if (dst)
				dst[done] = 0;
			return done + 1;
		}
	}
	if (n && dst)
		dst[n - 1] = 0;
	return n;
}
