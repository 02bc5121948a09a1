# SPDX-License-Identifier: MIT
"""All cases. A round of the target is described in victim.c."""
import case
import cases_bcc
import cases_bpftrace
import cases_other
import cases_rust
import roots


def all_cases():
    """The machine's own release first: when time is short, that is what is not left out."""
    own = cases_bpftrace.cases() + cases_bcc.CASES + cases_other.CASES
    return own + cases_bpftrace.cases("trixie") + cases_bpftrace.cases("sid") + cases_other.NEWER + cases_bcc.of("trixie") + cases_rust.CASES


def versions():
    """Of the package of a tool's first case: others may need more than the tool."""
    first = {c.tool: c for c in reversed(all_cases())}
    return {tool: (roots.version(c.root, c.package) if c.root else case.version(c.package)) or "" for tool, c in first.items()}
