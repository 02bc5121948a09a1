#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""bench-docs.py BENCH.json SENTENCE: puts the figures of `make bench` into README.md and docs/benchmarks.md, between the
lines <!-- NAME --> and <!-- /NAME -->; a table none of whose cases was run stays as it is. SENTENCE says when and where: "Debian 12; 2026-01-01, a quiet machine"."""
import json, re, sys

README_HITS = [
    ("hit/entry/empty/push", "entry, empty program"),
    ("hit/entry/array/push", "entry, counter in an array"),
    ("hit/entry/percpu/push", "entry, per-CPU counter"),
    ("hit/entry/hash/push", "entry, hash look-up and add"),
    ("hit/entry/ringbuf/push", "entry, 16-byte ring buffer record, read on the other CPU"),
    ("hit/return/array/push", "return, counter in an array"),
    ("hit/return/array/endbr64", "the same on a function that begins with endbr64"),
]
COUNTS = (1, 100, 1000, 10000, 50000)
CONTENDERS = ("none", "notrap", "kernel")


def human(value, unit):
    if unit == "per 1000":
        return f"{value:.2f} {unit}"
    if unit != "ns":
        return f"{value:,.1f} {unit}" if value < 100 else f"{value:,.0f} {unit}"
    for scale, name in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if value >= scale:
            return f"{value / scale:.1f} {name}"
    return f"{value:.1f} ns" if value < 100 else f"{value:.0f} ns"


def load(path):
    table = {}
    with open(path) as f:
        for row in json.load(f):
            table.setdefault(row["case"], {})[row["contender"]] = row
    return table


def cell(table, case, contender):
    row = table.get(case, {}).get(contender)
    return human(row["median"], row["unit"]) if row and row.get("median") is not None else "-"


def markdown(head, align, rows):
    return "\n".join([head, align] + ["| " + " | ".join(r) + " |" for r in rows]) + "\n"


def readme_hits(table):
    rows = [[text] + [cell(table, case, c) for c in CONTENDERS] for case, text in README_HITS]
    return markdown("| one call, hit included | no probe | notrap | kernel |", "|---|---:|---:|---:|", rows)


def readme_attach(table):
    rows = [[f"{n:,}"] + [cell(table, f"{what}/{n}", c) for what in ("attach", "detach") for c in ("notrap", "kernel")] +
            [cell(table, f"pause/{n}", "notrap")] for n in COUNTS]
    return markdown("| functions by one link | attach | kernel | detach | kernel | target stood still |",
                    "|---:|---:|---:|---:|---:|---:|", rows)


def all_cases(table, hits):
    rows = [[case] + [cell(table, case, c) for c in CONTENDERS] for case in table
            if not case.startswith("engine/") and case.startswith("hit") == hits]
    return markdown(f"| {'per call, the call included' if hits else ''} | no probe | notrap | kernel |",
                    "|---|---:|---:|---:|", rows)


def ratio(row, other="kernel"):
    pair = [row.get(c, {}) for c in (other, "notrap")]
    if any(p.get("unit") != "ns" or not p.get("median") for p in pair):
        return "-"
    times = pair[0]["median"] / pair[1]["median"]
    return f"{times:.2f}x" if other == "llvm" else f"{times:.1f}x" if times < 10 else f"{times:.0f}x"


def engine(table):
    rows = [[case] + [cell(table, case, c) for c in ("notrap", "kernel")] + [ratio(row)]
            for case, row in table.items() if case.startswith("engine/") and not case.startswith("engine/llvm/")]
    return markdown("| per operation | notrap | kernel | faster |", "|---|---:|---:|---:|", rows)


def llvm(table):
    rows = [[case] + [cell(table, case, c) for c in ("notrap", "llvm")] + [ratio(row, "llvm")]
            for case, row in table.items() if case.startswith("engine/llvm/")]
    return markdown("| per operation | our code | LLVM's | faster |", "|---|---:|---:|---:|", rows)


def put(path, parts):
    with open(path) as f:
        text = f.read()
    for name, body in parts.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        if not pattern.search(text):
            sys.exit(f"{path} has no place for {name}")
        text = pattern.sub(lambda m: m.group(1) + body + m.group(2), text)
    with open(path, "w") as f:
        f.write(text)


table = load(sys.argv[1])
where = sys.argv[2] + "\n"
if any(case.startswith("hit") for case in table):
    put("README.md", {"bench where": where, "bench hits": readme_hits(table), "bench attach": readme_attach(table)})
    put("docs/benchmarks.md", {"bench where": where, "bench hits": all_cases(table, True),
                               "bench others": all_cases(table, False)})
if any(case.startswith("engine/llvm/") and "llvm" in row for case, row in table.items()):
    put("docs/benchmarks.md", {"bench llvm where": where, "bench llvm": llvm(table)})
if any(case.startswith("engine/") and not case.startswith("engine/llvm/") for case in table):
    put("docs/benchmarks.md", {"bench engine where": where, "bench engine": engine(table)})
