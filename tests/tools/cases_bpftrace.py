# SPDX-License-Identifier: MIT
"""bpftrace: one case per thing that its language can do with uprobes."""
import json, os, re

from case import Case, same_lines

NOTRAP = ("root", "user")
SYSCALL_EVENTS = "/sys/kernel/tracing/events/syscalls/sys_enter_nanosleep"


SYMBOLS = "{{ @[ustack(3)] = count(); @u[usym(reg(\"ip\"))] = count(); }}"


def stack(text):
    """Names with offsets that the compiler has chosen."""
    words = (line.strip() for line in text.splitlines())
    return "\n".join(w if w.startswith(("@", "]")) else re.sub(r"\+(?!0$).*", "+*", w) for w in words
                     if w and not w.startswith("Attach"))


def features(text):
    """A line each: "name: yes". Whether there is a module's BTF depends on who is asking just then (0.27, on the kernel)."""
    found = (f"{name}: {value}" for line in text.splitlines() for name, value in re.findall(r"([A-Za-z_]\S*(?: \S+)*?): +(\S+)", line))
    return "\n".join(f for f in found if f.endswith((": yes", ": no", "000")) and not f.startswith("module btf"))


def json_lines(text):
    """Maps in any order."""
    lines = [json.loads(line) for line in text.splitlines() if line.strip()]
    return "\n".join(sorted(json.dumps(line, sort_keys=True) for line in lines))


def cases(root=None):
    """root: the release whose bpftrace it is, None = the machine's own."""
    tool = f"bpftrace, {root}" if root else "bpftrace"
    common = dict(root=root, package="bpftrace")
    newest = root == "sid"  # 0.27: has booleans, other words, and prints what is not zero
    yes = "true" if newest else "1"

    def b(name, script, want, argv=("bpftrace",), **more):
        quick = () if root else more.pop("quick", ())
        more.pop("quick", None)
        return Case(f"{tool}: {name}", tool, [*argv, "-e", script], want, **{**common, **more, "quick": quick})

    def refused(name, probe, want):
        return Case(f"{tool}: {name}", tool, ["bpftrace", "-e", probe + " {{ @ = count(); }}"], want, with_errors=True, status=(255,),
                    target=False, stop="exit", normalise=lambda t: "".join(re.findall(r"^notrap: (.*there)\.", t, re.M)),
                    skip={"kernel": "it works there", "user": "bpftrace sees no tracepoints", "sandbox": "bpftrace sees no tracepoints"},
                    needs=lambda: None if os.path.isdir(SYSCALL_EVENTS) else "this kernel has no such tracepoint", **common)

    return [
        b("count by argument", "uprobe:{exe}:work {{ @[arg0] = count(); }}", ["@[0]: 3", "@[1]: 3", "@[2]: 3", "@[3]: 3"],
          quick=(*NOTRAP, "sandbox")),
        b("return value", "uretprobe:{exe}:work {{ @[retval] = count(); }}",
          ["@[0]: 3", "@[10]: 3", "@[20]: 3", "@[30]: 3"]),
        b("sum, avg, min, max, stats",
          "uprobe:{exe}:work {{ @s = sum(arg0); @a = avg(arg0); @i = min(arg0 + 5); @x = max(arg0); @t = stats(arg0); }}",
          ["@s: 18", "@a: 1", "@i: 5", "@x: 3", 
           "@t: { .count = 12, .average = 1, .total = 18 }" if newest else "@t: count 12, average 1, total 18"]),
        b("hist", "uprobe:{exe}:work {{ @ = hist(arg0); }}",
          ["@:",
           "[0]                    3 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |",
           "[1]                    3 |@@@@@@@@@@@@@@@@@@@@@@@@@@                          |",
           "[2, 4)                 6 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|"], normalise=same_lines),
        b("lhist", "uprobe:{exe}:work {{ @ = lhist(arg0, 0, 3, 1); }}",
          ["@:", *(f"{span:<23}3 |{'@' * 52}|" for span in
                   (("[0]", "[1]", "[2]", "[3, ...)") if newest else ("[0, 1)", "[1, 2)", "[2, 3)", "[3, ...)")))], normalise=same_lines),
        b("printf and strings", 'uprobe:{exe}:work {{ printf("%d %s %s\\n", arg0, str(arg1), comm); }}',
          ["0 even victim", "1 odd victim", "2 even victim", "3 odd victim"], rounds=(4,), normalise=same_lines, quick=NOTRAP),
        b("strings as keys", "uprobe:{exe}:work {{ @[str(arg1), comm] = count(); }}",
          ["@[even, victim]: 6", "@[odd, victim]: 6"]),
        b("str with a length, buf", 'uprobe:{exe}:work {{ printf("%s %r\\n", str(arg1, 3), buf(arg1, 3)); }}',
          ["ev eve", "od odd"] if root else ["eve eve", "odd odd"], rounds=(2,), normalise=same_lines),
        b("filter", "uprobe:{exe}:work /arg0 == 2/ {{ @ = count(); }}", ["@: 3"]),
        b("filter by pid", "uprobe:{exe}:work /pid == {pid}/ {{ @ = count(); }} uprobe:{exe}:work /pid != {pid}/ {{ @no = count(); }}",
          ["@: 12"] if newest else ["@: 12", "@no: 0"], skip={"sandbox": "bpftrace knows the pid of another namespace"}),
        b("pid, tid, uid", "uprobe:{exe}:work {{ @[pid == {pid}, tid == {pid}, uid] = count(); }}", [f"@[{yes}, {yes}, 1000]: 12"],
          skip={"kernel": "the target is root's", "root": "the target is root's"}),
        b("wildcard", "uprobe:{exe}:*e*r,uprobe:{exe}:*eaf,uprobe:{exe}:mid* {{ @[func] = count(); }}",
          ["@[leaf]: 12", "@[middle]: 12", "@[outer]: 12"], watch=("leaf", "middle", "outer"), settle=1.0),
        b("probe name", "uprobe:{exe}:leaf,uprobe:{exe}:outer {{ @[probe] = count(); }}",
          ["@[uprobe:EXE:leaf]: 12", "@[uprobe:EXE:outer]: 12"], watch=("leaf", "outer")),
        b("time between", "uprobe:{exe}:outer {{ @b[tid] = nsecs; }} uretprobe:{exe}:outer /@b[tid]/ {{ @n = count(); "
          "@ok[nsecs > @b[tid], nsecs - @b[tid] < 1000000000] = count(); delete(@b[tid]); }}",
          ["@n: 12", f"@ok[{yes}, {yes}]: 12"], watch=("outer",)),
        b("clear, zero, print", "uprobe:{exe}:work {{ @[arg0] = count(); @z = count(); @c = count(); }} "
          "uprobe:{exe}:leaf {{ @l[(int64)(arg0 == 0)] = 5; delete(@l[0]); @l[7] = 8; @n++; }} "
          "interval:ms:200 /@n == 12/ {{ print(@c); clear(@c); zero(@z); @n = 20; exit(); }}",
          ["@[0]: 3", "@[1]: 3", "@[2]: 3", "@[3]: 3", *([] if newest else ["@c: 0"]), "@c: 12", "@l[7]: 8", "@n: 20", "@z: 0"], stop="exit", watch=("work", "leaf")),
        b("BEGIN, END, exit", 'BEGIN {{ printf("begin\\n"); @x = 7; }} uprobe:{exe}:work {{ @x++; }} END {{ printf("end %d\\n", @x); '
          "clear(@x); }}", ["begin", "end 19"], normalise=same_lines, quick=NOTRAP),
        b("interval", 'uprobe:{exe}:work {{ @++; }} interval:ms:100 /@ == 12 && @i < 5/ {{ @i++; if (@i == 5) {{ exit(); }} }}', ["@: 12", "@i: 5"],
          stop="exit", quick=NOTRAP),
        # Ticks of a fiftieth of a second, of which no slow machine makes more than there are.
        b("profile", "BEGIN {{ @b = nsecs; }} uprobe:{exe}:work {{ @w++; }} profile:hz:50 /@w == 12 && cpu == 0/ "
          "{{ @p++; if (@p == 20) {{ @w = 20; @late = (nsecs - @b) / 1000000 >= 380; clear(@b); exit(); }} }}",
          [f"@late: {yes}", "@p: 20", "@w: 20"], stop="exit"),
        b("struct", "struct point {{ int x; int y; char *label; }} uprobe:{exe}:leaf {{ $p = (struct point *)arg0; "
          "@[$p->x, $p->y, str($p->label)] = count(); }}",
          ["@[0, 5, even]: 2", "@[0, 5, odd]: 2", "@[1, 5, even]: 2", "@[1, 5, odd]: 2", "@[2, 5, even]: 2", "@[2, 5, odd]: 2"],
          watch=("leaf",)),
        # A struct that nobody declares: bpftrace looks for the kernel's types by their BTF's number.
        b("struct of the kernel's", "uprobe:{exe}:leaf {{ @[((struct in_addr *)arg0)->s_addr] = count(); }}", ["@[0]: 4", "@[1]: 4", "@[2]: 4"],
          watch=("leaf",), quick=("user",)),
        b("if, unroll, variables", "uprobe:{exe}:work {{ $s = arg0 - arg0; unroll(3) {{ $s = $s + arg0; }} if ($s > 5) {{ @big = count(); }} "
          "else {{ @small = count(); }} }}", ["@big: 6", "@small: 6"]),
        b("ustack", "uprobe:{exe}:leaf {{ @[ustack(3)] = count(); }}",
          ["@[", "leaf+0", "outer+*", "rounds+*", "]: 12"],
          better=["@[", "leaf+0", "middle+*", "outer+*", "]: 12"], watch=("leaf",),
          normalise=stack),
        b("usym, reg", 'uprobe:{exe}:leaf {{ @[usym(reg("ip"))] = count(); }}', ["@[leaf]: 12"], watch=("leaf",)),
        b("symbols of a forked child", f'uprobe:{{exe}}:leaf /comm == "child"/ {SYMBOLS}',
          ["@[", "leaf+0", "outer+*", "rounds+*", "]: 12", "@u[leaf]: 12"], better=["@[", "leaf+0", "middle+*", "outer+*", "]: 12", "@u[leaf]: 12"],
          watch=("leaf",), rounds=("f12",), normalise=stack),
        b("symbols after exec", f'uprobe:{{exe}}:leaf {SYMBOLS}',
          ["@[", "leaf+0", "outer+*", "rounds+*", "]: 12", "@u[leaf]: 12"], better=["@[", "leaf+0", "middle+*", "outer+*", "]: 12", "@u[leaf]: 12"],
          watch=("leaf",), rounds=("x0", "12"), again=True, normalise=stack),
        b("symbols of a library that is loaded later", f'uprobe:{{exe}}:work {{{{ exit(); }}}} uprobe:{{dir}}/plugin.so:plugin_leaf {SYMBOLS}',
          ["@[", "plugin_leaf+0", "use_plugin+*", "obey+*", "]: 12", "@u[plugin_leaf]: 12"],
          better=["@[", "plugin_leaf+0", "plugin_rounds+*", "use_plugin+*", "]: 12", "@u[plugin_leaf]: 12"],
          rounds=("p12",), beside={"plugin.so": "tool_plugin.so"}, normalise=stack),
        b("kstack is empty", "uprobe:{exe}:leaf {{ @[kstack] = count(); }}", ["@[]: 12"], watch=("leaf",),
          skip={"kernel": "the kernel shows its own functions"},
          normalise=lambda t: "".join(line.strip() for line in t.splitlines() if line.startswith(("@", "]")))),
        b("usdt", 'usdt:{exe}:toolvictim:plain {{ @[arg0, str(arg1)] = count(); }}',
          ["@[0, even]: 3", "@[1, odd]: 3", "@[2, even]: 3", "@[3, odd]: 3"], watch=("usdt:plain",)),
        b("usdt with semaphore", "usdt:{exe}:toolvictim:guarded {{ @[arg0] = count(); }}",
          # 0.27 with -p attaches twice, on the kernel, too.
          [f"@[{i}]: {6 if newest else 3}" for i in range(4)], argv=("bpftrace", "-p", "{pid}"),
          watch=("usdt:guarded",), settle=1.0),
        b("-c", "uprobe:{exe}:work {{ @[arg0] = count(); }}", ["@[0]: 3", "@[1]: 3", "@[2]: 3", "@[3]: 3"],
          argv=("bpftrace", "-c", "{exe} 12"), target=False, stop="exit"),
        # A process is what -c means since 0.20; before, everybody was seen.
        b("-c with children", "uprobe:{exe}:work {{ @ = count(); }}", ["@: 12" if root else "@: 24"],
          argv=("bpftrace", "-c", "{exe} -f 12"), target=False, stop="exit"),
        # The outer one's process is the shell, which becomes the inner one: since 0.20 that one's child is another.
        Case(f"{tool}: -c that is a bpftrace -c", tool, ["sh", "-c", "echo \"exec bpftrace -e 'uprobe:{exe}:work {{ @inner = count(); }}' -c '{exe} 12'\" "
             ">{dir}/inner && bpftrace -e 'uprobe:{exe}:work {{ @outer = count(); }}' -c '/bin/sh {dir}/inner'"],
             ["@inner: 12"] if newest else ["@inner: 12", "@outer: 0" if root else "@outer: 12"], target=False, stop="exit", **common),
        b("-p", "uprobe:{exe}:work {{ @[pid == {pid}] = count(); }}", [f"@[{yes}]: 12"], argv=("bpftrace", "-p", "{pid}"),
          skip={"sandbox": "bpftrace knows the pid of another namespace"}),
        b("json", "uprobe:{exe}:work {{ @[arg0] = count(); }}",
          ['{"count": 1, "data": {"probes": 1}, "type": "attached_probes"}', '{"data": {"@": {"0": 3, "1": 3, "2": 3, "3": 3}}, "type": "map"}']
          if newest else
          ['{"data": {"@": {"0": 3, "1": 3, "2": 3, "3": 3}}, "type": "map"}', '{"data": {"probes": 1}, "type": "attached_probes"}'],
          argv=("bpftrace", "-f", "json"), normalise=json_lines),
        # One map is written by both.
        b("--kernel: a tracepoint and a uprobe", 'tracepoint:syscalls:sys_enter_getppid /pid == {pid}/ {{ @s = count(); @[comm] = count(); }} '
          "uprobe:{exe}:work {{ @w = count(); @[comm] = count(); }} uretprobe:{exe}:work {{ @r = sum(retval); }}",
          ["@[victim]: 17", "@r: 180", "@s: 5", "@w: 12"], rounds=("s5", "12"), options=("--kernel",), settle=1.0,
          skip={"user": "a user has no right to the kernel's events", "sandbox": "a user has no right to the kernel's events"},
          needs=lambda: None if os.path.isdir(SYSCALL_EVENTS) else "this kernel has no such tracepoint"),
        refused("a tracepoint, in words", "tracepoint:syscalls:sys_enter_nanosleep",
                "this is an event of the kernel's own (a kprobe, a tracepoint, a counter): only the kernel can run a program there"),
        *([refused("a raw tracepoint, in words", "rawtracepoint:sched_switch",
                   "a program cannot be attached to a tracepoint of the kernel: only the kernel can run a program there")] if root == "trixie" else []),
        Case(f"{tool}: --info", tool, ["sh", "-c", "bpftrace --info 2>&1"], "", as_kernel=True,
             normalise=features, target=False, stop="exit", **common),
        Case(f"{tool}: -l, each kind", tool, ["sh", "-c", 'for p in "usdt:{exe}:*" "uprobe:libc:get*info" "interval:*" "hardware:*" '
             '"software:*"; do echo "$p:"; bpftrace -l "$p"; done'], "", as_kernel=True, normalise=same_lines, target=False, stop="exit", **common),
        Case(f"{tool}: -l", tool, ["bpftrace", "-l", "uprobe:{exe}:*e*r"], ["uprobe:EXE:outer"], target=False, stop="exit", **common),
    ]
