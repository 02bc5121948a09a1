/* SPDX-License-Identifier: MIT */
/* What lies where in a process: /proc/PID/maps. Header only. */
#pragma once

#include <stdio.h>
#include <sys/types.h>

/* The offset of an address in the file that is mapped there; 0: in none. */
__attribute__((unused)) static unsigned long mapped_offset(pid_t pid, unsigned long addr)
{
	unsigned long start, end, off, found = 0;
	char path[64], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &off) == 3 && addr >= start && addr < end)
			found = addr - start + off;
	if (f)
		fclose(f);
	return found;
}
