/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <errno.h>
#include <fnmatch.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine.h"

/* Is base the file that the user called name? "libc.so.6", "libc.so", "libc" and "c" are all
 * libc.so.6. */
static bool is_called(const char *base, const char *name)
{
	size_t n = strlen(name);

	if (!strncmp(base, name, n) &&
	    (!base[n] || base[n] == '.' || (base[n] == '-' && strstr(base, ".so"))))
		return true;
	return !strncmp(base, "lib", 3) && strncmp(name, "lib", 3) && !strncmp(base + 3, name, n) &&
	       (!strncmp(base + 3 + n, ".so", 3) || base[3 + n] == '-');
}

/* A path of another process as we can open it: its root folder may not be ours. */
static void path_from_here(int pid, const char *path, char *ret)
{
	struct stat there, here;
	char via_root[PATH_MAX];

	if (snprintf(via_root, sizeof(via_root), "/proc/%d/root%s", pid, path) <
		(int)sizeof(via_root) &&
	    !stat(via_root, &there) &&
	    (stat(path, &here) || here.st_ino != there.st_ino || here.st_dev != there.st_dev))
		path = via_root;
	snprintf(ret, PATH_MAX, "%s", path);
}

/* Looks through the executable mappings of pid. */
static int find_mapped(int pid, const char *name, char *ret)
{
	char file[64], line[PATH_MAX + 128], perms[8], *path, *base;
	int err = -ENOENT;
	FILE *f;

	snprintf(file, sizeof(file), "/proc/%d/maps", pid);
	f = fopen(file, "re");
	if (!f)
		return -errno;
	while (err && fgets(line, sizeof(line), f)) {
		path = strchr(line, '/');
		if (!path || sscanf(line, "%*s %7s", perms) != 1 || !strchr(perms, 'x'))
			continue;
		path[strcspn(path, "\n")] = '\0';
		base = strrchr(path, '/') + 1;
		if (!is_called(base, name))
			continue;
		path_from_here(pid, path, ret);
		err = 0;
	}
	/* An empty or unreadable file is a process that is not ours to look at. */
	if (err && ferror(f))
		err = -EACCES;
	fclose(f);
	return err;
}

static int find_in_dirs(const char *dirs, const char *name, char *ret)
{
	static const struct {
		const char *before, *after;
	} forms[] = {{"", ""}, {"", ".so.6"}, {"lib", ".so.6"}, {"lib", ".so"}};
	const char *dir, *end;
	size_t i;

	for (i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
		for (dir = dirs; dir && *dir; dir = *end ? end + 1 : end) {
			struct stat st;

			end = strchrnul(dir, ':');
			snprintf(ret, PATH_MAX, "%.*s/%s%s%s", (int)(end - dir), dir,
				 forms[i].before, name, forms[i].after);
			if (!stat(ret, &st) && S_ISREG(st.st_mode) && !access(ret, R_OK))
				return 0;
		}
	}
	return -ENOENT;
}

static int find_file(struct target *t, const char *tool, const char *name)
{
	char deleted[PATH_MAX];
	int err;

	if (!*name) {
		snprintf(deleted, sizeof(deleted), "/proc/%d/exe", t->pid);
		return realpath(deleted, t->path) ? 0 : -errno;
	}
	if (strchr(name, '/')) {
		snprintf(t->path, sizeof(t->path), "%s", name);
		return 0;
	}
	if (t->pid > 0) {
		err = find_mapped(t->pid, name, t->path);
		if (err == -ENOENT)
			fprintf(stderr, "%s: process %d has no file called %s mapped\n", tool,
				t->pid, name);
		else if (err)
			fprintf(stderr, "%s: cannot look into process %d: %s\n", tool, t->pid,
				strerror(-err));
		return err;
	}
	if (!find_in_dirs(LIBRARY_DIRS, name, t->path) ||
	    !find_in_dirs(getenv("PATH"), name, t->path))
		return 0;
	fprintf(stderr, "%s: no library or program called %s; please give its path\n", tool, name);
	return -ENOENT;
}

static bool matches_glob(const char *name, void *pattern)
{
	return !fnmatch(pattern, name, 0);
}

static bool matches_regex(const char *name, void *compiled)
{
	return !regexec(compiled, name, 0, NULL, 0);
}

static int find_functions(struct target *t, const char *tool, bool regex)
{
	regex_t compiled;
	char why[128];
	int err;

	if (!regex)
		return functions_find(t->path, matches_glob, t->pattern, &t->functions);
	err = regcomp(&compiled, t->pattern, REG_EXTENDED | REG_NOSUB);
	if (err) {
		regerror(err, &compiled, why, sizeof(why));
		fprintf(stderr, "%s: %s: %s\n", tool, t->pattern, why);
		return -EINVAL;
	}
	err = functions_find(t->path, matches_regex, &compiled, &t->functions);
	regfree(&compiled);
	return err;
}

static void explain(const struct target *t, const char *tool, int err)
{
	if (err == -ENOEXEC)
		fprintf(stderr, "%s: %s is not an ELF file\n", tool, t->path);
	else if (err == -ENODATA)
		fprintf(stderr, "%s: %s has no function symbols (stripped)\n", tool, t->path);
	else if (err == -ENOENT && !access(t->path, F_OK))
		fprintf(stderr, "%s: no function of %s matches '%s'\n", tool, t->path, t->pattern);
	else if (strstr(t->path, " (deleted)"))
		fprintf(stderr, "%s: the file that process %d runs was deleted or replaced: %s\n",
			tool, t->pid, t->path);
	else if (err != -EINVAL)
		fprintf(stderr, "%s: %s: %s\n", tool, t->path, strerror(-err));
}

int target_init(struct target *t, const char *tool, int pid, const char *spec, bool regex)
{
	const char *colon = strrchr(spec, ':');
	char name[PATH_MAX] = "";
	int err;

	*t = (struct target){.pid = pid};
	if (pid > 0 && kill(pid, 0) && errno == ESRCH) {
		fprintf(stderr, "%s: there is no process %d\n", tool, pid);
		return -ESRCH;
	}
	if (!colon && pid < 0) {
		fprintf(stderr, "%s: '%s': functions of which file? Say FILE:PATTERN, or -p PID\n",
			tool, spec);
		return -EINVAL;
	}
	if (colon)
		snprintf(name, sizeof(name), "%.*s", (int)(colon - spec), spec);
	err = find_file(t, tool, name);
	if (err && !*name)
		fprintf(stderr, "%s: cannot look into process %d: %s\n", tool, pid, strerror(-err));
	if (err)
		return err;
	t->pattern = strdup(colon ? colon + 1 : spec);
	if (!t->pattern)
		return -ENOMEM;
	err = find_functions(t, tool, regex);
	if (err) {
		explain(t, tool, err);
		target_deinit(t);
	}
	return err;
}

void target_deinit(struct target *t)
{
	functions_free(&t->functions);
	free(t->pattern);
	t->pattern = NULL;
}
