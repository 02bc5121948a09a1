/* SPDX-License-Identifier: MIT */
/* The instruction model: struct bpf_insn and opcode names of <linux/bpf.h>, plus what 6.1's header lacks (RFC 9669). */
#pragma once

#include <linux/bpf.h>

#include "abi/types.h"

#ifndef BPF_MEMSX
#define BPF_MEMSX 0x80
#endif
#ifndef BPF_PSEUDO_MAP_FD
#define BPF_PSEUDO_MAP_FD 1
#endif
#ifndef BPF_JMP32
#define BPF_JMP32 0x06
#endif
#define EBPF_MAX_STACK 512
#define EBPF_MAX_INSNS 1000000
#define EBPF_MAX_FRAMES 8
