/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

uint64_t l_add(uint64_t a, uint64_t b);
uint64_t l_fact(uint64_t n);
uint64_t l_apply(uint64_t (*fn)(uint64_t), uint64_t x);
