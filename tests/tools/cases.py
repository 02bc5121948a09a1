# SPDX-License-Identifier: MIT
"""All cases. A round of the target is described in victim.c."""
import case
import cases_bcc
import cases_bpftrace
import cases_other


def all_cases():
    return cases_bpftrace.CASES + cases_bcc.CASES + cases_other.CASES


def versions():
    return {c.tool: (case.version(c.package) or "") for c in all_cases()}
