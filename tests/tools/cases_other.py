# SPDX-License-Identifier: MIT
"""libbpf-tools, bpftool, a Go program that is statically linked, and Python with nothing but ctypes."""
import os, re, shutil, sys

import limit
from case import Case
from cases_bcc import leaks

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = 180  # s at most


def hist_total(text):
    """The sum of a histogram's middle column."""
    return "calls: %d" % sum(int(n) for n in re.findall(r": (\d+) +\|", text))


def columns(*which):
    def pick(text):
        rows = (line.split() for line in text.splitlines())
        return "\n".join(sorted(" ".join(r[i] for i in which) for r in rows if len(r) > max(which)))
    return pick


def go_tool(name):
    """Builds it once. None: cannot be had."""
    def prepare(build):
        out = os.path.join(build, "tests/tools", name)
        source = os.path.join(HERE, name + ".go")
        if shutil.which("go") and (not os.path.exists(out) or os.path.getmtime(out) < os.path.getmtime(source)):
            env = dict(os.environ, GOPATH="/usr/share/gocode", GO111MODULE="off", CGO_ENABLED="0",
                       GOCACHE=os.path.join(build, "tests/tools/go-cache"))
            limit.run(["go", "build", "-o", out, source], BUILD, env=env)
        return os.path.exists(out)
    return prepare


def go(name, tool, want):
    return Case("go: " + name, "cilium/ebpf (Go)", ["{build}/tests/tools/" + tool, "{exe}", "work"], want,
                package="golang-github-cilium-ebpf-dev", prepare=go_tool(tool),
                skip={"sandbox": "the sandbox answers bpf(2) before the seccomp front end can"})


def java_driver(build):
    """Compiles it once."""
    out = os.path.join(build, "tests/tools")
    if not os.path.exists(os.path.join(out, "GcDriver.class")) and shutil.which("javac"):
        limit.run(["javac", "-d", out, os.path.join(HERE, "GcDriver.java")], BUILD)
    return os.path.exists(os.path.join(out, "GcDriver.class"))


JAVA = dict(exe_from="/usr/bin/java", driver=("/usr/bin/java", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xmx64m", "-cp",
            "{build}/tests/tools", "GcDriver"), prepare=java_driver, package="default-jdk-headless")


def events(text):
    return "%d times" % len(re.findall(r"^\d\d:\d\d:\d\d +\d", text, re.M))


def l(name, argv, want, **more):
    tool = "libbpf-tools, " + more["root"] if "root" in more else "libbpf-tools"
    return Case(f"{tool}: {name}", tool, argv, want, **{"package": "libbpf-tools", **more})


PIN = "/sys/fs/bpf/notrap_tools"
LOAD = "bpftool prog load {build}/tests/tools/tool.bpf.o " + PIN + " && trap 'rm " + PIN + "' EXIT && "
MAP = "map=$(bpftool -j prog show pinned " + PIN + " | sed 's/.*\"map_ids\":.\\([0-9]*\\).*/\\1/') && "


LINES = ("stdbuf", "-oL")  # so that it can be seen when all has been told


def same(text):
    return text.strip()


def bpftool(name, script, want, **more):
    more.setdefault("normalise", same)
    tool = "bpftool, " + more["root"] if "root" in more else "bpftool"
    return Case(f"{tool}: {name}", tool, ["sh", "-c", script], want, target=False, stop="exit", package="bpftool",
                prepare=lambda build: os.path.exists(os.path.join(build, "tests/tools/tool.bpf.o")), **more)


CASES = [
    l("funclatency", ["/usr/sbin/funclatency", "{exe}:work"], "calls: 12", normalise=hist_total),
    # The shell waits in its first readline() when the tool comes: that call is not seen.
    l("bashreadline", [*LINES, "/usr/sbin/bashreadline", "-s", "{exe}"], ["echo 1", "echo 2"], exe_from="/bin/bash",
      driver=("/usr/bin/python3", "{here}/bash_driver.py", "{exe}"), watch=("readline",), rounds=(3,), live=True, normalise=columns(2, 3)),
    l("gethostlatency", [*LINES, "/usr/sbin/gethostlatency", "-p", "{pid}"], "victim localhost\n" * 2 + "victim localhost",
      normalise=lambda t: columns(2, 4)("\n".join(x for x in t.splitlines() if "victim" in x)), watch=("libc.so.6:getaddrinfo",),
      settle=1.0, rounds=("h3",), live=True),
    l("javagc", [*LINES, "/usr/sbin/javagc", "-p", "{pid}", "-t", "1"], "5 times", normalise=events, watch=("libjvm.so:usdt:mem__pool__gc__begin",
      "libjvm.so:usdt:mem__pool__gc__end"), rounds=(5,), live=True, **JAVA),
    bpftool("prog load, show", LOAD + "bpftool prog show pinned " + PIN + " | grep -o 'kprobe  name count_calls'",
            "kprobe  name count_calls", quick=("root", "user")),
    bpftool("prog dump xlated", LOAD + "bpftool prog dump xlated pinned " + PIN + " | grep -e '^int' -e exit | sed 's/.*(95)/(95)/'",
            "int count_calls(void * ctx):\n(95) exit"),
    bpftool("map update, lookup, dump", LOAD + MAP + "bpftool map update id $map key 1 0 0 0 value 7 0 0 0 0 0 0 0 && "
            "bpftool -j map lookup id $map key 1 0 0 0 | grep -o 'formatted.*' && bpftool -j map dump id $map | grep -o '\"value\":[0-9][0-9]*'",
            'formatted":{"key":1,"value":7}}\n"value":0\n"value":7'),
    bpftool("map show", LOAD + MAP + "bpftool map show id $map | head -2 | sed 's/^[0-9]*: //; s/  memlock.*//'",
            "array  name tool_counts  flags 0x0\n\tkey 4B  value 8B  max_entries 2"),
    bpftool("btf dump", LOAD + "id=$(bpftool -j prog show pinned " + PIN + " | sed 's/.*\"btf_id\":\\([0-9]*\\).*/\\1/') && "
            "bpftool btf dump id $id | grep -o \"FUNC 'count_calls'\"", "FUNC 'count_calls'"),
    # A name of its own: on the kernel it sees those of the cases that run at the same time, too.
    bpftool("sees what others have", "bpftrace -q -e 'uprobe:{exe}:middle {{ @ = count(); }}' >/dev/null 2>&1 & "
            "until bpftool prog show | grep -o 'kprobe  name middle'; do sleep 0.1; done; kill -KILL $!; wait", "kprobe  name middle"),
    bpftool("link, perf, map show of others", "bpftrace -q -e 'uprobe:{exe}:work {{ @[arg0] = count(); }}' >/dev/null 2>&1 & "
            "until bpftool perf show | grep -o 'uprobe  filename {exe}'; do sleep 0.1; done; bpftool map show | grep -om1 'name AT_'; kill -KILL $!; wait",
            "uprobe  filename EXE\nname AT_"),
    # Debian builds it without.
    bpftool("prog profile", LOAD + "bpftool prog profile pinned " + PIN + " duration 1 cycles 2>&1 | grep -o 'prog profile command is not supported'",
            "prog profile command is not supported"),
    bpftool("prog load, of the kernel's own", "bpftool prog load {build}/tests/tools/tool_kernel.bpf.o " + PIN + " 2>&1 | "
            "grep -o 'this program is for .*: only the kernel can run'",
            "this program is for a function of the kernel or another program (fentry, fexit, iterators): only the kernel can run",
            skip={"kernel": "the kernel runs it"}),
    bpftool("cgroup attach, in words", LOAD + "bpftool cgroup attach /sys/fs/cgroup egress pinned " + PIN + " 2>&1 | grep -o 'cannot be attached .*there'",
            "cannot be attached to a control group, a socket or a network device: only the kernel can run a program there", skip={"kernel": "the kernel says: Invalid argument"}),
    go("cilium/ebpf, static", "go_loader", "count 12\nready"),
    go("perf buffer", "go_perf", "ready\nsamples 12 sum 18"),
    Case("go: static in a sandbox, in words", "cilium/ebpf (Go)", ["{build}/tests/tools/go_loader", "{exe}", "work"],
         "cannot run BUILD/tests/tools/go_loader: it is statically linked, and a sandbox around it answers bpf(2) before notrap can: "
         "Operation not permitted", package="golang-github-cilium-ebpf-dev", prepare=go_tool("go_loader"), with_errors=True, status=(1,),
         target=False, stop="exit", in_table=False, normalise=lambda t: re.sub(r"^notrap: run: |/\S*(?=/tests/tools/)", lambda m: "BUILD" if m[0][0] == "/" else "", t.strip()),
         skip={mode: "it works there" for mode in ("kernel", "root", "user")}),
    Case("python: ctypes", "python3 (ctypes)", [sys.executable if sys.executable.startswith("/usr") else "/usr/bin/python3",
         "{here}/ctypes_loader.py", "{exe}", "work"], "count 12", package="python3", quick=("user", "sandbox")),
]

AUTO = ("sed 's|/tmp/notrap-tools-XXXXXXXX|{dir}|g' {build}/tests/tools/tool_auto.bpf.o >{dir}/auto.o && bpftool prog loadall {dir}/auto.o "
        f"{PIN}_auto pinmaps {PIN}_maps autoattach && trap 'rm -r {PIN}_auto {PIN}_maps' EXIT && ")
COUNTS = f"bpftool -j map dump pinned {PIN}_maps/auto_counts | grep -o '\"value\":[0-9][0-9]*'"

NEWER = [
    l("funclatency", ["/usr/sbin/funclatency-libbpf", "{exe}:work"], "calls: 12", normalise=hist_total, root="trixie"),
    l("memleak", [*LINES, "/usr/sbin/memleak-libbpf", "-p", "{pid}", "1"], "700 bytes in 7 allocations from stack\ngrab\nleak\nmain",
      watch=("libc.so.6:free",), settle=1.0, rounds=("m7",), normalise=leaks, live=True, root="trixie",
      target_in_root=True),
    l("gethostlatency", [*LINES, "/usr/sbin/gethostlatency-libbpf", "-p", "{pid}"], "victim localhost\n" * 2 + "victim localhost",
      normalise=lambda t: columns(2, 4)("\n".join(x for x in t.splitlines() if "victim" in x)), watch=("libc.so.6:getaddrinfo",),
      settle=1.0, rounds=("h3",), live=True, root="trixie", target_in_root=True),
    # It looks at a function that the call which waited makes at its end.
    l("bashreadline", [*LINES, "/usr/sbin/bashreadline-libbpf", "-s", "{exe}"], ["echo 0", "echo 1", "echo 2"], exe_from="/bin/bash",
      driver=("/usr/bin/python3", "{here}/bash_driver.py", "{exe}"), watch=("readline_internal_teardown",), rounds=(3,), live=True, normalise=columns(2, 3),
      root="trixie"),
    bpftool("loadall autoattach", AUTO + f"ls {PIN}_auto && {{exe}} 12 && " + COUNTS, 'auto_entry\nauto_return\n"value":12\n"value":12', root="trixie"),
    # As long as its name is there a link works; where a map's name is does not matter.
    bpftool("pinned links and maps", AUTO + f"bpftool link show pinned {PIN}_auto/auto_return | grep -o 'perf_event  prog\\|uretprobe {{exe}}' && "
            f"{{exe}} 5 && rm {PIN}_auto/auto_entry && {{exe}} 4 && mv {PIN}_maps/auto_counts {PIN}_maps/c && mv {PIN}_maps/c {PIN}_maps/auto_counts && " + COUNTS +
            f" && bpftool link detach pinned {PIN}_auto/auto_return 2>&1 | grep -o 'failed.*'; rm {PIN}_auto/auto_return && {{exe}} 3 && " + COUNTS,
            'perf_event  prog\nuretprobe EXE\n"value":5\n"value":9\nfailed link detach: Operation not supported\n"value":5\n"value":9',
            root="trixie"),
]
