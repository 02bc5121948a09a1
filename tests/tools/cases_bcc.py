# SPDX-License-Identifier: MIT
"""BCC's tools: Python, compiled by clang at run time, against any 6.x kernel's headers (headers.sh)."""
import re

import headers
from case import Case


def table(text):
    """Lines of figures, one space between words."""
    lines = [" ".join(line.replace("b'", "'").replace("'", "").split()) for line in text.splitlines()]
    return "\n".join(sorted(line for line in lines if line and not re.match(r"Tracing|Detaching|FUNC|PID TID|\[", line)))


def total(text):
    return "\n".join(re.findall(r"count: \d+$", text, re.M))


def c(name, argv, want, **more):
    more.setdefault("normalise", table)
    more.setdefault("settle", 1.0)
    return Case("bcc: " + name, "bcc", argv, want, package="bpfcc-tools", env={"BCC_KERNEL_SOURCE": headers.folder() or "/none"},
                needs=lambda: None if headers.folder() else "no kernel headers can be had", **more)


CASES = [
    c("funccount", ["funccount-bpfcc", "-p", "{pid}", "{exe}:work"], "work 12"),
    c("funccount, pattern", ["funccount-bpfcc", "-p", "{pid}", "{exe}:*e*r"], "outer 12", watch=("outer",)),
    c("trace", ["trace-bpfcc", "-p", "{pid}", '{exe}:work "%d %s", arg1, arg2'],
      "\n".join(sorted("PID PID victim work " + w for w in ("0 even", "1 odd", "2 even", "3 odd"))), rounds=(4,), mask_pid=True, status=(0, 1)),
    c("trace, return", ["trace-bpfcc", "-p", "{pid}", 'r:{exe}:work "%d", retval'],
      "\n".join(f"PID PID victim work {v}" for v in (0, 10, 20, 30)), rounds=(4,), mask_pid=True, status=(0, 1)),
    c("argdist", ["argdist-bpfcc", "-n", "1", "-i", "6", "-p", "{pid}", "-C", "p:{exe}:work(int a):int:a"],
      "\n".join(["3 a = 0", "3 a = 1", "3 a = 2", "3 a = 3", "COUNT EVENT", "p:EXE:work(int a):int:a"]), stop="exit"),
    c("funclatency", ["funclatency-bpfcc", "-p", "{pid}", "{exe}:work"], "count: 12", normalise=total),
    c("stackcount", ["stackcount-bpfcc", "-p", "{pid}", "{exe}:leaf"], "12\nleaf\nmain\nouter\nrounds", watch=("leaf",),
      normalise=lambda t: "\n".join(sorted(set(re.findall(r"^ +(leaf|outer|rounds|main|\d+)$", t, re.M))))),
]
