/* SPDX-License-Identifier: MIT */
/* What files say, /proc's above all: of the victims, and of the broker's processes. */
#include "stage.h"

#include <dirent.h>
#include <fcntl.h>

bool file_says(const char *path, const char *text)
{
	bool found = false;
	char line[1024];
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		found |= strstr(line, text) != NULL;
	if (f)
		fclose(f);
	return found;
}

bool process_exists(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	return !access(path, F_OK);
}

void show_threads(pid_t pid)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "cd /proc/%d/task && for t in *; do echo \"# $t $(cut -d' ' -f3 $t/stat) $(cat $t/comm $t/syscall $t/wchan | "
		 "tr '\\n' ' ')$(grep -E '^(TracerPid|SigPnd|ShdPnd|SigBlk)' $t/status | tr '\\n\\t' '  ')\"; done", (int)pid);
	fflush(stdout);
	if (system(command))
		printf("# no threads\n");
}

static bool is_broker_of_ours(const char *pid)
{
	char path[300], text[16384];
	ssize_t n;
	int fd;

	/* The guardian renames itself, so look at the program. */
	snprintf(path, sizeof(path), "/proc/%s/exe", pid);
	n = readlink(path, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	if (!strstr(text, "/notrapd"))
		return false;
	snprintf(path, sizeof(path), "/proc/%s/environ", pid);
	fd = open(path, O_RDONLY);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	for (ssize_t i = 0; i < n; i += (ssize_t)strlen(text + i) + 1) {
		text[n] = '\0';
		if (!strncmp(text + i, "NOTRAP_DIR=", 11) && !strcmp(text + i + 11, stage_dir()))
			return true;
	}
	return false;
}

int broker_processes(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		if (*e->d_name >= '1' && *e->d_name <= '9')
			n += is_broker_of_ours(e->d_name);
	if (d)
		closedir(d);
	return n;
}

static bool none_left(void *arg)
{
	return broker_processes() == 0;
}

bool brokers_end(unsigned ms)
{
	return within(ms, none_left, NULL);
}

static long differing(int mem, unsigned long from, unsigned long to, const char *file, unsigned long off, pid_t pid)
{
	int fd = open(file, O_RDONLY);
	char a[4096], b[4096];
	long n = 0;

	if (fd < 0)
		return 0; /* not ours to read */
	for (; from < to; from += sizeof(a), off += sizeof(a)) {
		ssize_t want = pread(fd, b, sizeof(b), (off_t)off);

		if (want <= 0 || pread(mem, a, sizeof(a), (off_t)from) != (ssize_t)sizeof(a))
			break;
		for (ssize_t i = 0; i < want; i++) {
			if (a[i] == b[i])
				continue;
			if (!n++)
				printf("# pid %d: %s at %#lx: %02x, in the file %02x\n", (int)pid, file,
				       off + (unsigned long)i, a[i] & 0xff, b[i] & 0xff);
		}
	}
	close(fd);
	return n;
}

long code_differs(pid_t pid)
{
	char path[64], line[1024], perms[8], file[512];
	unsigned long from, to, off;
	long n = 0;
	FILE *maps;
	int mem;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "r");
	if (mem < 0 || !maps)
		n = -1;
	while (n >= 0 && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %511s", &from, &to, perms, &off, file) == 5 && perms[2] == 'x' &&
		    perms[3] == 'p' && *file == '/')
			n += differing(mem, from, to, file, off, pid);
	if (maps)
		fclose(maps);
	if (mem >= 0)
		close(mem);
	return n;
}
