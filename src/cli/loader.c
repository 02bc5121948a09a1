/* SPDX-License-Identifier: MIT */
#include "cli/loader.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/fd.h"

#define MAX_SCRIPTS 4 /* as the kernel: an interpreter that is a script that ... */

int loader_find(const char *name, char *ret_path, size_t n)
{
	const char *dirs = getenv("PATH");
	int err = -ENOENT;

	if (strchr(name, '/')) {
		if (snprintf(ret_path, n, "%s", name) >= (int)n)
			return -ENAMETOOLONG;
		return access(name, X_OK) ? -errno : 0;
	}
	if (!dirs)
		dirs = "/bin:/usr/bin";
	for (const char *p = dirs; p; p = strchr(p, ':') ? strchr(p, ':') + 1 : NULL) {
		int len = (int)strcspn(p, ":");
		struct stat st;

		if (snprintf(ret_path, n, "%.*s%s%s", len, p, len ? "/" : "", name) >= (int)n)
			continue;
		if (access(ret_path, X_OK) == 0 && stat(ret_path, &st) == 0 && S_ISREG(st.st_mode))
			return 0;
		if (errno == EACCES)
			err = -EACCES;
	}
	return err;
}

static enum loader_kind elf_kind(int fd, const Elf64_Ehdr *eh, const char **ret_why)
{
	if (eh->e_ident[EI_CLASS] != ELFCLASS64) {
		*ret_why = "it is a 32-bit program";
		return LOADER_REFUSED;
	}
	for (u32 i = 0; i < eh->e_phnum; i++) {
		Elf64_Phdr ph;

		if (fd_pread_all(fd, &ph, sizeof(ph), eh->e_phoff + (u64)i * eh->e_phentsize) < 0)
			return LOADER_PRELOAD;
		if (ph.p_type == PT_INTERP)
			return LOADER_PRELOAD;
	}
	return LOADER_FILTER;
}

/* "#! /usr/bin/env python3 -x": env hides the interpreter that matters, which is then found in
 * PATH. */
static bool script_interpreter(char *line, char *ret_path, size_t n)
{
	char *save, *word;

	line[strcspn(line, "\n")] = 0;
	word = strtok_r(line + 2, " \t", &save);
	if (!word)
		return false;
	if (!strcmp(word, "/usr/bin/env") || !strcmp(word, "/bin/env")) {
		do {
			word = strtok_r(NULL, " \t", &save);
		} while (word && (word[0] == '-' || strchr(word, '=')));
	}
	return word && loader_find(word, ret_path, n) == 0;
}

enum loader_kind loader_kind(const char *path, const char **ret_why)
{
	char name[PATH_MAX], next[PATH_MAX];

	snprintf(name, sizeof(name), "%s", path);
	for (int depth = 0; depth < MAX_SCRIPTS; depth++) {
		union {
			Elf64_Ehdr eh;
			char line[256];
		} head = {};
		int fd fd_auto = open(name, O_RDONLY | O_CLOEXEC);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0 || pread(fd, &head, sizeof(head) - 1, 0) < 2)
			return LOADER_PRELOAD;
		if (st.st_mode & (S_ISUID | S_ISGID) && geteuid()) {
			*ret_why = "it is a set-user-ID or set-group-ID program, which ignores "
				   "LD_PRELOAD";
			return LOADER_REFUSED;
		}
		if (!memcmp(head.eh.e_ident, ELFMAG, SELFMAG))
			return elf_kind(fd, &head.eh, ret_why);
		if (memcmp(head.line, "#!", 2) ||
		    !script_interpreter(head.line, next, sizeof(next)))
			return LOADER_PRELOAD;
		memcpy(name, next, sizeof(name));
	}
	return LOADER_PRELOAD;
}
