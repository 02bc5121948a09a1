# SPDX-License-Identifier: MIT
"""All cases. A round of the target is described in victim.c."""
import case
import cases_bpftrace


def all_cases():
    return cases_bpftrace.CASES


def versions():
    return {c.tool: (case.version(c.package) or "") for c in all_cases()}
