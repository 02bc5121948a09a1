/* SPDX-License-Identifier: MIT */
/* A loader made of a light skeleton: its objects are made by a system call program that BPF_PROG_TEST_RUN runs. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "light.lskel.h"

int main(void)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	struct light *s = light__open();
	int r = s ? light__load(s) : -ENOMEM;
	__u64 value = 0;
	__u32 key = 1;

	printf("load: %d\n", r);
	if (r)
		return 1;
	r = bpf_prog_test_run_opts(s->progs.count.prog_fd, &opts);
	printf("run: %d, %u, %llu hits\n", r, opts.retval, (unsigned long long)s->bss->hits);
	r = bpf_map_lookup_elem(s->maps.values.map_fd, &key, &value);
	printf("look-up: %d, %llu\n", r, (unsigned long long)value);
	light__destroy(s);
	return 0;
}
