#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns meson's testlog.json (stdin) into lines for run-tests.sh: pass, skip or fail, tab, what.

A TAP program counts by its lines. One that crashed, ran out of time or broke its plan is one
failure more.
What a failing program printed goes to stderr.
"""
import json
import re
import sys

TAP_LINE = re.compile(r"^(not )?ok\b[ \d]*-? ?([^#]*)(?:#\s*(SKIP|TODO)\b\s*(.*))?$", re.I)
TAP_SKIP_ALL = re.compile(r"^1\.\.0\b\s*(?:#\s*SKIP\w*\s*(.*))?$", re.I)


def tell(what, text, count=""):
    print(what, text.replace("\t", " "), count, sep="\t")


def count_tap(name, output):
    """Prints one line per check and returns (checks, failures)."""
    checks = passed = failed = 0
    for line in output.splitlines():
        skipped_all = TAP_SKIP_ALL.match(line)
        if skipped_all:
            tell("skip", f"{name}: {skipped_all[1] or 'no reason given'}")
            return 1, 0
        m = TAP_LINE.match(line)
        if not m:
            continue
        checks += 1
        directive = (m[3] or "").upper()
        if directive == "SKIP":
            tell("skip", f"{name}: {m[2].strip(' -')}: {m[4] or 'no reason given'}")
        elif m[1] and directive != "TODO":
            tell("fail", f"{name}: {m[2].strip()}")
            failed += 1
        else:
            passed += 1
    if passed:
        tell("pass", name, passed)
    return checks, failed


def show(name, test):
    """What somebody needs to see why, and to see it again."""
    command = " ".join(test.get("command", []))
    print(f"-- {name}: {test['result'].lower()}\n-- {command}", file=sys.stderr)
    for stream in "stdout", "stderr":
        lines = [l for l in (test.get(stream) or "").splitlines() if l and not l.startswith("ok ")]
        for line in lines[-60:]:
            print(f"   {line}", file=sys.stderr)


def main():
    heading = sys.argv[1]
    for line in sys.stdin:
        test = json.loads(line)
        name = f"{heading}: {test['name'].split(' / ')[-1]}"
        result = test["result"]
        checks, failures = count_tap(name, test.get("stdout") or "")
        if result in ("OK", "EXPECTEDFAIL") and not checks:
            tell("pass", name)
        elif result == "SKIP" and not checks:
            tell("skip", f"{name}: {(test.get('stdout') or '').strip()[:100] or 'exit code 77'}")
        elif result not in ("OK", "EXPECTEDFAIL", "SKIP"):
            show(name, test)
            if not failures:
                tell("fail", f"{name}: {result.lower()}, exit code {test.get('returncode')}")


main()
