# SPDX-License-Identifier: MIT
"""All cases. A round of the target is described in victim.c."""
import case
import cases_bcc
import cases_bpftrace
import cases_other
import roots


def all_cases():
    return cases_bpftrace.cases() + cases_bpftrace.cases("trixie") + cases_bcc.CASES + cases_other.CASES


def versions():
    return {c.tool: (roots.version(c.root, c.package) if c.root else case.version(c.package)) or "" for c in all_cases()}
