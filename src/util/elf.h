/* SPDX-License-Identifier: MIT */
/*
 * One x86-64 ELF file, read for patching: what is code, where functions begin, what points into
 * code. The file stays mapped (private, read-only) and everything handed out points into it or into
 * memory owned by the struct, so it must outlive the struct patch_binary made from its description.
 * Like every mapping of a file it must not be truncated meanwhile. Formats: System V ABI with its
 * AMD64 supplement; unwind tables as in the Linux Standard Base, core 5.0.
 */
#pragma once

#include "patch/plan.h"

#define UTIL_ELF_BUILD_ID_MAX 32u

struct util_elf; /* immutable */

/* 0 or -errno: what open(2) says, -ENOEXEC not an ELF file or cut off, -ENOTSUP ELF but not x86-64
 * Linux code (32-bit, other machine, no executable segment), -ENOMEM. The _fd form reads the file
 * anew from offset 0 and leaves fd open. */
int util_elf_open(const char *path, struct util_elf **ret);
int util_elf_open_fd(int fd, struct util_elf **ret);
/* The same for an image in memory, which must outlive the struct. */
int util_elf_open_mem(const void *image, size_t size, struct util_elf **ret);
void util_elf_close(struct util_elf *e); /* NULL is fine */

const struct patch_binary_desc *util_elf_desc(const struct util_elf *e);

/* Between file offsets, which loaders pass, and virtual addresses, over all loadable segments.
 * -ENOENT: not loaded. */
int util_elf_vaddr(const struct util_elf *e, u64 off, u64 *ret_vaddr);
int util_elf_offset(const struct util_elf *e, u64 vaddr, u64 *ret_off);

/* The address of a named symbol of any kind among those for the dynamic linker (.dynsym). -ENOENT. */
int util_elf_symbol(const struct util_elf *e, const char *name, u64 *ret_vaddr);

/* No .symtab: functions come from .dynsym and unwind tables only. */
bool util_elf_is_stripped(const struct util_elf *e);
/* Number of bytes of the build id, 0 = the file has none. */
u32 util_elf_build_id(const struct util_elf *e, u8 ret[UTIL_ELF_BUILD_ID_MAX]);
