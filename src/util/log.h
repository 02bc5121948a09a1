/* SPDX-License-Identifier: MIT */
/*
 * One line per event on standard error, which the broker points at its log file. Text carries the
 * time and the process id; a line is one write(2), so lines of several processes do not mix.
 */
#pragma once

__attribute__((format(printf, 1, 2))) void log_info(const char *fmt, ...);
__attribute__((format(printf, 1, 2))) void log_error(const char *fmt, ...);
