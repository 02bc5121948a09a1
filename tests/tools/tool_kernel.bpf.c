/* SPDX-License-Identifier: MIT */
/* A program that only the kernel can run. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("fentry/do_nanosleep") int of_the_kernel(void *ctx)
{
	return 0;
}

char kernel_license[] SEC("license") = "GPL";
