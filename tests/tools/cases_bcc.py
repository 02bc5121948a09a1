# SPDX-License-Identifier: MIT
"""BCC's tools: Python, compiled by clang at run time, against any 6.x kernel's headers (headers.py)."""
import re

import headers
from case import Case


def table(text):
    """Lines of figures, one space between words."""
    lines = [" ".join(line.replace("b'", "'").replace("'", "").split()) for line in text.splitlines()]
    return "\n".join(sorted(line for line in lines if line and not re.match(r"Tracing|Detaching|FUNC|PID TID|\[", line)))


def last_table(text):
    """Of those that come every second."""
    return table(re.split(r"^\[[\d:]+\]$", text, flags=re.M)[-1])


def total(text):
    return "\n".join(re.findall(r"count: \d+$", text, re.M))


def c(name, argv, want, **more):
    tool = "bcc, " + more["root"] if "root" in more else "bcc"
    more.setdefault("normalise", table)
    more.setdefault("settle", 1.0)
    more.setdefault("patience", 60)  # it compiles the kernel's headers
    env = {"BCC_KERNEL_SOURCE": headers.folder() or "/none", "PYTHONUNBUFFERED": "1"}
    return Case(f"{tool}: {name}", tool, argv, want, package="bpfcc-tools", env=env,
                needs=lambda: None if headers.folder() else "no kernel headers can be had", **more)


def leaks(text):
    """The stacks of 7 blocks in all reports, without addresses: what is the target's own. One that a Ctrl-C has cut off does not count."""
    stacks = set()
    for block in re.split(r"^(?=[ \t]*\d+ bytes in \d+ allocations|\[)", text, flags=re.M):
        lines = [re.sub(r"^\s*(0x[0-9a-f]+\s+|\d+ \[<[0-9a-f]+>\] )?|\+0x[0-9a-f]+ .*", "", line) for line in block.splitlines()]
        if re.match(r"\d+ bytes in 7 allocations", lines[0] if lines else ""):
            stacks.add("\n".join(line for line in lines if re.match(r"(\d+ bytes|plugin_|use_|grab|leak|main)", line)))
    return "\n".join(sorted(s for s in stacks if not any(t.startswith(s + "\n") for t in stacks)))


def collections(text):
    """A line each; 0.26 describes Python's as "None"."""
    return "%d collections" % len(re.findall(r"^\d+\.\d+ +\d+\.\d+ +", text, re.M))


def rates(text):
    return "\n".join(" ".join(w[-6:]) for w in (line.split() for line in text.splitlines()) if w and w[0].isdigit() and len(w) > 7)


def conversation(text):
    """Direction, process and length of each record, and what it was; those of one processor may come behind later ones of another."""
    heads = re.findall(r"^(READ/RECV|WRITE/SEND) +-?[\d.]+ +(\S+) +\d+ +(\d+)", text, re.M)
    data = re.findall(r"^----- DATA -----\n(.*?)\n*----- END DATA", text, re.M | re.S)
    return "\n".join(sorted(" ".join(h) + " " + d.strip() for h, d in zip(heads, data)))


def memleak(name="", want="700 bytes in 7 allocations from stack\ngrab\nleak\nmain", **more):
    # A Ctrl-C may find it anywhere.
    return c("memleak" + name, ["memleak-bpfcc", "-p", "{pid}", "1"], want,
             **{"rounds": ("m7",), **more, "watch": ("libc.so.6:munmap",), "normalise": leaks, "live": True, "status": (0, 1, -2)})


PYTHON = dict(exe_from="/usr/bin/python3", exe_name="python", driver=("{exe}", "{here}/gc_driver.py"))

def of(root):
    """Of another release."""
    return [
        c("funccount", ["funccount-bpfcc", "-p", "{pid}", "{exe}:work"], "work 12", root=root),
        c("trace", ["trace-bpfcc", "-p", "{pid}", '{exe}:work "%d %s", arg1, arg2'],
          "\n".join(sorted("PID PID victim work " + w for w in ("0 even", "1 odd", "2 even", "3 odd"))), rounds=(4,), mask_pid=True,
          status=(0, 1), live=True, root=root),
        c("argdist", ["argdist-bpfcc", "-c", "-p", "{pid}", "-C", "p:{exe}:work(int a):int:a"],
          "\n".join(["3 a = 0", "3 a = 1", "3 a = 2", "3 a = 3", "COUNT EVENT", "p:EXE:work(int a):int:a"]), normalise=last_table, live=True, root=root),
        c("funclatency", ["funclatency-bpfcc", "-p", "{pid}", "{exe}:work"], "count: 12", normalise=total, root=root),
        memleak(root=root, target_in_root=True),
    ]


CASES = [
    c("funccount", ["funccount-bpfcc", "-p", "{pid}", "{exe}:work"], "work 12"),
    c("funccount, pattern", ["funccount-bpfcc", "-p", "{pid}", "{exe}:*e*r"], "outer 12", watch=("outer",)),
    c("trace", ["trace-bpfcc", "-p", "{pid}", '{exe}:work "%d %s", arg1, arg2'],
      "\n".join(sorted("PID PID victim work " + w for w in ("0 even", "1 odd", "2 even", "3 odd"))), rounds=(4,), mask_pid=True, status=(0, 1), live=True),
    c("trace, return", ["trace-bpfcc", "-p", "{pid}", 'r:{exe}:work "%d", retval'],
      "\n".join(f"PID PID victim work {v}" for v in (0, 10, 20, 30)), rounds=(4,), mask_pid=True, status=(0, 1), live=True),
    c("argdist", ["argdist-bpfcc", "-c", "-p", "{pid}", "-C", "p:{exe}:work(int a):int:a"],
      "\n".join(["3 a = 0", "3 a = 1", "3 a = 2", "3 a = 3", "COUNT EVENT", "p:EXE:work(int a):int:a"]), normalise=last_table, live=True),
    c("funclatency", ["funclatency-bpfcc", "-p", "{pid}", "{exe}:work"], "count: 12", normalise=total),
    c("stackcount", ["stackcount-bpfcc", "-p", "{pid}", "{exe}:leaf"], "12\nleaf\nmain\nouter\nrounds", watch=("leaf",),
      normalise=lambda t: "\n".join(sorted(set(re.findall(r"^ +(leaf|outer|rounds|main|\d+)$", t, re.M))))),
    memleak(),
    memleak(", symbols of a forked process", driver=("{exe}", "-F")),
    memleak(", symbols after exec", rounds=("x0", "m7"), again=True),
    memleak(", symbols of a library that is loaded later", "2100 bytes in 7 allocations from stack\nplugin_grab\nplugin_rounds\nuse_plugin\nmain",
            rounds=("p7",), beside={"plugin.so": "tool_plugin.so"}),
    c("gethostlatency", ["gethostlatency-bpfcc", "-p", "{pid}"], "victim localhost\n" * 2 + "victim localhost",
      normalise=lambda t: "\n".join(f"{w[2]} {w[4]}" for w in map(str.split, t.splitlines()) if w[2:3] == ["victim"]),
      watch=("libc.so.6:getaddrinfo",), rounds=("h3",), live=True),
    # The target's own machinery, through USDT probes with semaphores.
    c("ugc (python)", ["/usr/sbin/ugc", "-l", "python", "{pid}"], "5 collections", rounds=(5,), normalise=collections,
      watch=("usdt:gc__start", "usdt:gc__done"), live=True, **PYTHON),
    c("ustat (python)", ["/usr/sbin/ustat", "-l", "python", "-C", "5", "1"], "0 10 0 0 0 0", rounds=(50,), normalise=rates, stop="exit",
      watch=("usdt:gc__start",), alone=True, **PYTHON),
    c("sslsniff", ["sslsniff-bpfcc", "--no-gnutls", "--no-nss", "-p", "{pid}"],
      "\n".join(f"WRITE/SEND openssl 9 secret {i}" for i in range(3)), exe_from="/usr/bin/openssl",
      driver=("/usr/bin/python3", "{here}/tls_driver.py", "{exe}", "{dir}"), watch=("libssl.so.3:SSL_read",), rounds=(3,),
      live=True, normalise=conversation),
]
