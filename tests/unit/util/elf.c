/* SPDX-License-Identifier: MIT */
/* This very program as a file: what is known of it is compared with what util/elf finds. */
#include "util/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tap.h"

#define SELF "/proc/self/exe"

int elf_test_known(int x);

__attribute__((noinline, used)) int elf_test_known(int x)
{
	return x * 3 + getpid();
}

__attribute__((noinline, used)) static int elf_test_static(int x)
{
	return x * 5 + getppid();
}

static int (*const volatile pointers[])(int) = { elf_test_static, elf_test_known };

extern __typeof__(elf_test_known) elf_test_alias __attribute__((alias("elf_test_known")));

static int impl(int x)
{
	return x;
}

static int (*resolve(void))(int)
{
	return impl;
}

int elf_test_ifunc(int x) __attribute__((ifunc("resolve")));

extern const char elf_test_push[], elf_test_pad[], elf_test_pad_rbp[]; /* pieces.S */

static u64 load_base(void)
{
	extern const char __ehdr_start[] __attribute__((visibility("hidden")));

	return (u64)__ehdr_start;
}

static const struct patch_func *find(const struct patch_binary_desc *d, const char *name)
{
	for (u32 i = 0; i < d->nfunc; i++)
		if (d->func[i].name && !strcmp(d->func[i].name, name))
			return &d->func[i];
	return NULL;
}

static const struct patch_func *find_at(const struct patch_binary_desc *d, u64 vaddr)
{
	for (u32 i = 0; i < d->nfunc; i++)
		if (d->func[i].vaddr == vaddr)
			return &d->func[i];
	return NULL;
}

static bool has_ptr(const struct patch_binary_desc *d, u64 vaddr)
{
	for (u32 i = 0; i < d->ncode_ptr; i++)
		if (d->code_ptr[i] == vaddr)
			return true;
	return false;
}

static bool sorted(const struct patch_binary_desc *d)
{
	for (u32 i = 1; i < d->nfunc; i++)
		if (d->func[i - 1].vaddr > d->func[i].vaddr)
			return false;
	return true;
}

static void test_self(u64 base)
{
	u64 known = (u64)elf_test_known - base, off = 0, back = 0, start = (u64)pointers[0] - base;
	struct util_elf *e = NULL;
	const struct patch_binary_desc *d;
	const struct patch_func *f, *alias, *ifunc;
	u8 id[UTIL_ELF_BUILD_ID_MAX];

	if (!tap_eq(util_elf_open(SELF, &e), 0, "open"))
		return;
	d = util_elf_desc(e);
	f = find(d, "elf_test_known");
	tap_ok(f && f->vaddr == known && f->size && !f->fragment && !f->ifunc, "a global function");
	f = find(d, "_start");
	tap_ok(f && f->fragment && d->entry == f->vaddr, "the program's first function, which is not called");
	f = find(d, "elf_test_known");
	alias = find(d, "elf_test_alias");
	tap_ok(alias && f && alias->vaddr == f->vaddr, "its alias");
	f = find(d, "elf_test_static");
	tap_ok(f && f->vaddr == start, "a static function");
	ifunc = find(d, "elf_test_ifunc");
	tap_ok(ifunc && ifunc->ifunc && ifunc->vaddr == (u64)resolve - base,
	       "an ifunc: the resolver's address");
	tap_ok(sorted(d), "functions are sorted");
	tap_ok(has_ptr(d, start) && has_ptr(d, known), "pointers in a table are found");
	tap_ok(!d->is_go && !util_elf_is_stripped(e) && d->nseg && d->ndata, "the rest");
	tap_eq(util_elf_offset(e, known, &off), 0, "offset of an address");
	tap_ok(!util_elf_vaddr(e, off, &back) && back == known, "and back");
	tap_eq(util_elf_offset(e, 1ull << 40, &off), -ENOENT, "an address that is not loaded");
	tap_eq(util_elf_vaddr(e, 1ull << 40, &off), -ENOENT, "an offset that is not loaded");
	tap_ok(util_elf_build_id(e, id) <= sizeof(id), "build id");
	util_elf_close(e);
	util_elf_close(NULL);
}

static u8 *read_self(size_t *ret_n)
{
	struct stat st;
	int fd = open(SELF, O_RDONLY | O_CLOEXEC);
	u8 *p = NULL;

	if (fd >= 0 && !fstat(fd, &st) && (p = malloc((size_t)st.st_size)))
		*ret_n = (size_t)read(fd, p, (size_t)st.st_size);
	close(fd);
	return p;
}

static void test_pieces(const struct patch_binary_desc *d, u64 base)
{
	const struct patch_func *push = find_at(d, (u64)elf_test_push - base), *pad = find_at(d, (u64)elf_test_pad - base),
				*pad_rbp = find_at(d, (u64)elf_test_pad_rbp - base);

	tap_ok(push && !push->fragment, "a function that begins with a push");
	tap_ok(pad && pad->fragment, "a piece that begins with a nop before its landing pad is no function");
	tap_ok(pad_rbp && pad_rbp->fragment, "neither with a frame pointer");
}

/* Without section headers only the unwind table is left. */
static void test_sectionless(u8 *image, size_t n, u64 base)
{
	u64 known = (u64)elf_test_known - base;
	Elf64_Ehdr *eh = (Elf64_Ehdr *)image, saved = *eh;
	struct util_elf *e = NULL;
	const struct patch_func *f;

	eh->e_shoff = 0;
	eh->e_shnum = eh->e_shstrndx = 0;
	if (tap_eq(util_elf_open_mem(image, n, &e), 0, "no section headers: opens")) {
		f = find_at(util_elf_desc(e), known);
		tap_ok(f && !f->name && f->size && !f->fragment,
		       "functions come from the unwind table");
		test_pieces(util_elf_desc(e), base);
		tap_ok(util_elf_is_stripped(e), "counts as stripped");
		util_elf_close(e);
	}
	*eh = saved;
}

static void test_refusals(u8 *image, size_t n)
{
	Elf64_Ehdr *eh = (Elf64_Ehdr *)image, saved = *eh;
	struct util_elf *e = NULL;

	eh->e_ident[EI_CLASS] = ELFCLASS32;
	tap_ok(util_elf_open_mem(image, n, &e) < 0, "32-bit header");
	*eh = saved;
	eh->e_machine = EM_AARCH64;
	tap_eq(util_elf_open_mem(image, n, &e), -ENOTSUP, "another machine");
	*eh = saved;
	eh->e_type = ET_REL;
	tap_eq(util_elf_open_mem(image, n, &e), -ENOTSUP, "an object file");
	*eh = saved;
	tap_eq(util_elf_open_mem(image, 4096, &e), -ENOEXEC, "cut off behind the headers");
	tap_eq(util_elf_open_mem(image, 4, &e), -ENOEXEC, "four bytes");
	image[0] = 0;
	tap_eq(util_elf_open_mem(image, n, &e), -ENOEXEC, "no magic");
	image[0] = 0x7f;
	tap_eq(util_elf_open("/nonexistent/file", &e), -ENOENT, "no such file");
	tap_eq(util_elf_open("/", &e), -EISDIR, "a directory");
	tap_eq(util_elf_open("/dev/null", &e), -ENOEXEC, "not a regular file");
	tap_eq(util_elf_open("/proc/self/status", &e), -ENOEXEC, "an empty-looking text file");
	tap_ok(!e, "nothing is returned on failure");
}

int main(void)
{
	u64 base = load_base();
	size_t n = 0;
	u8 *image;

	if (pointers[0](1) == elf_test_ifunc(-1)) /* keeps both alive */
		printf("# unlikely\n");
	test_self(base);
	image = read_self(&n);
	if (tap_ok(image && n, "read self")) {
		test_sectionless(image, n, base);
		test_refusals(image, n);
	}
	free(image);
	return tap_done();
}
