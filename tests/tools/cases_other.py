# SPDX-License-Identifier: MIT
"""libbpf-tools, bpftool, a Go program that is statically linked, and Python with nothing but ctypes."""
import os, re, shutil, subprocess, sys

from case import Case

HERE = os.path.dirname(os.path.abspath(__file__))


def hist_total(text):
    """The sum of a histogram's middle column."""
    return "calls: %d" % sum(int(n) for n in re.findall(r": (\d+) +\|", text))


def columns(*which):
    def pick(text):
        rows = (line.split() for line in text.splitlines())
        return "\n".join(sorted(" ".join(r[i] for i in which) for r in rows if len(r) > max(which)))
    return pick


def go_tool(build):
    """Builds it once. None: cannot be had."""
    out = os.path.join(build, "tests/tools/go_loader")
    if not os.path.exists(out) and shutil.which("go"):
        env = dict(os.environ, GOPATH="/usr/share/gocode", GO111MODULE="off", CGO_ENABLED="0",
                   GOCACHE=os.path.join(build, "tests/tools/go-cache"))
        subprocess.run(["go", "build", "-o", out, os.path.join(HERE, "go_loader.go")], env=env, stderr=subprocess.DEVNULL)
    return os.path.exists(out)


def l(name, argv, want, **more):
    return Case("libbpf-tools: " + name, "libbpf-tools", argv, want, **more)


def bpftool(name, argv, want, **more):
    return Case("bpftool: " + name, "bpftool", argv, want, target=False, stop="exit", **more)


CASES = [
    l("funclatency", ["/usr/sbin/funclatency", "{exe}:work"], "calls: 12", normalise=hist_total),
    l("gethostlatency", ["/usr/sbin/gethostlatency", "-p", "{pid}"], "victim localhost\n" * 2 + "victim localhost",
      normalise=lambda t: columns(2, 4)("\n".join(x for x in t.splitlines() if "victim" in x)), watch=(), settle=2.0,
      rounds=("h3",)),
    Case("go: cilium/ebpf, static", "cilium/ebpf (Go)", ["{build}/tests/tools/go_loader", "{exe}", "work"], "count 12\nready",
         package="golang-github-cilium-ebpf-dev", prepare=go_tool,
         skip={"sandbox": "the sandbox answers bpf(2) before the seccomp front end can"}),
    Case("python: ctypes", "python3 (ctypes)", [sys.executable if sys.executable.startswith("/usr") else "/usr/bin/python3",
         "{here}/ctypes_loader.py", "{exe}", "work"], "count 12", package="python3"),
]
