#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
loaders.py [--modes root,user] BUILD_FOLDER: more than one loader at once. Prints TAP.

    together     real tools on the same function, coming and going: each counts exactly what happened while it was there
    seen         bpftool lists what loaders of every kind have, who were started without it and each by itself
    family       a static loader's children: a target, a loader, another static one
    nested       a loader started by a loader, by `notrap run` in `notrap run`, and one whose own functions are probed
    killed       SIGKILL of a loader at any moment of its life: the target goes on, the other loader counts everything,
                 the function is as it was when all are gone
"""
import argparse, json, os, random, re, shutil, signal, subprocess, sys, time

import cases_other
import run
from case import Case, installed

ROUNDS = 20
KILLS = 24


class Loader:
    """A tool that is running."""

    def __init__(self, several, name, argv, expect):
        self.name, self.expect = name, expect
        self.out = open(os.path.join(several.dir, f"out.{len(several.all)}"), "w+b")
        self.pid = subprocess.Popen(several.become() + several.notrap("run", "--") + [several.fill(a) for a in argv],
                                    stdin=subprocess.DEVNULL, stdout=self.out, stderr=subprocess.STDOUT, env=several.env)
        several.all.append(self)

    def text(self):
        self.out.seek(0)
        return self.out.read().decode(errors="replace")

    def end(self):
        """Ctrl-C; what it has printed."""
        for _ in range(5):
            self.pid.send_signal(signal.SIGINT)
            try:
                self.pid.wait(4)
                return self.text()
            except subprocess.TimeoutExpired:
                pass  # bpftrace 0.17 loses one now and then
        raise run.Failed(f"{self.name} does not end")

    def kill(self):
        self.pid.kill()
        self.pid.wait()


class Several(run.Run):
    def __init__(self, build, mode):
        super().__init__(build, Case("loaders", "loaders", [], ""), mode)
        self.all = []
        self.start_target()
        self.site, = self.sites()
        self.original = run.code_at(self.pid, self.site)

    def rounds(self, n):
        self.target.stdin.write(b"%d\n" % n)
        self.target.stdin.flush()
        if self.answers.next(20) != "done":
            raise run.Failed("the target went wrong")

    def await_code(self, wanted, what):
        end = time.time() + 30
        while not wanted(run.code_at(self.pid, self.site)):
            if time.time() > end:
                raise run.Failed(what)
            time.sleep(0.02)

    def end(self):
        for loader in self.all:
            if loader.pid.poll() is None:
                loader.kill()
        super().end()


def bpftrace(script, value):
    return ["bpftrace", "-e", script], lambda text, n: (sum(int(v) for v in re.findall(value, text)), n)


TOOLS = {
    "bpftrace, entry": ("bpftrace", *bpftrace("uprobe:{exe}:work {{ @[arg0] = count(); }}", r"@\[\d\]: (\d+)")),
    "bpftrace, return": ("bpftrace", *bpftrace("uretprobe:{exe}:work {{ @[retval] = count(); }}", r"@\[\d+\]: (\d+)")),
    "bpftrace, both": ("bpftrace", *bpftrace("uprobe:{exe}:work {{ @a = count(); }} uretprobe:{exe}:work {{ @b = count(); }}",
                                             r"@a: (\d+)")),
    "funclatency": ("libbpf-tools", ["/usr/sbin/funclatency", "{exe}:work"],
                    lambda text, n: (sum(int(v) for v in re.findall(r": (\d+) +\|", text)), n)),
}


def ps(several):
    out = subprocess.run(several.become() + [os.path.join(several.build, "notrap"), "ps", "--json"], env=several.env,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return json.loads(out) if out.strip() else {}


def await_links(several, n, loader=None):
    """Until the broker has n links, all attached to the target."""
    end = time.time() + 30
    while True:
        links = ps(several).get("links", [])
        if len(links) == n and all(link["attached"] for link in links):
            return
        if loader and loader.pid.poll() is not None:
            raise run.Failed(f"{loader.name} ended with status {loader.pid.returncode}: {loader.text()[-500:]}")
        if time.time() > end:
            raise run.Failed(f"{len(links)} links and not {n}: {links}")
        time.sleep(0.02)


def exact(loader, n):
    got, want = loader.expect(loader.end(), n)
    if got != want:
        raise run.Failed(f"{loader.name} has counted {got} of {want}:\n{loader.text()[-800:]}")


def together(several, rng):
    running, links, done = [], 0, 0
    for name, (package, argv, expect) in TOOLS.items():
        if not installed(package):
            continue
        loader = Loader(several, name, argv, expect)
        links += 2 if name in ("bpftrace, both", "funclatency") else 1
        await_links(several, links, loader)
        time.sleep(0.3)
        running.append((loader, done))
        several.rounds(ROUNDS)
        done += ROUNDS
    rng.shuffle(running)
    for loader, before in running:
        several.rounds(ROUNDS)
        done += ROUNDS
        exact(loader, done - before)


def counted(text, n):
    return (sum(int(v) for v in re.findall(r"^count (\d+)$", text, re.M)), n)


def listed(several, what):
    out = subprocess.run(several.become() + several.notrap("run", "--", "bpftool", "-j", what, "show"), env=several.env,
                         stdout=subprocess.PIPE, text=True, timeout=60).stdout
    return json.loads(out or "[]")


def seen(several, _):
    loaders = [Loader(several, "bpftrace", *TOOLS["bpftrace, entry"][1:]),
               Loader(several, "ctypes", ["/usr/bin/python3", "{here}/ctypes_loader.py", "{exe}", "work"], counted)]
    if installed("golang-github-cilium-ebpf-dev") and cases_other.go_tool("go_loader")(several.build):
        loaders.append(Loader(several, "Go", ["{build}/tests/tools/go_loader", "{exe}", "work"], counted))
    await_links(several, len(loaders), loaders[-1])
    progs, maps, events = (listed(several, what) for what in ("prog", "map", "perf"))
    if sorted(e["pid"] for e in events) != sorted(loader.pid.pid for loader in loaders):
        raise run.Failed(f"bpftool perf show: {events}")
    if not {e["prog_id"] for e in events} <= {p["id"] for p in progs if p["type"] == "kprobe" and p["map_ids"]}:
        raise run.Failed(f"bpftool prog show: {progs} for {events}")
    if not {i for p in progs for i in p["map_ids"]} <= {m["id"] for m in maps}:
        raise run.Failed(f"bpftool map show: {maps} for {progs}")
    several.rounds(ROUNDS)
    for loader in loaders:
        exact(loader, ROUNDS)
    left = [o for what in ("prog", "map", "perf") for o in listed(several, what)]
    if left:
        raise run.Failed(f"when all are gone there is {left}")


# A seccomp filter of its own, which allows everything; then it becomes the program that it is told.
FILTERED = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
code = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0x7fff0000))
prog = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", 1, ctypes.addressof(code)))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, prog, 0, 0):
    sys.exit(1)
os.execv(sys.argv[1], sys.argv[1:])
"""


def stepchild(several):
    """A child that a static loader had before it became one has a filter of its own: nobody may touch it."""
    was = several.exe, several.pid
    several.exe += "2"  # nobody else runs it
    shutil.copy(os.path.join(several.build, "tests/tools/tool_victim"), several.exe)
    script = 'exec 3<&0; "$1" -c "$2" "$3" <&3 & exec "$4" run -- "$5" sleep 60'
    p = subprocess.Popen(several.become() + ["sh", "-c", script, "sh", "/usr/bin/python3", FILTERED, several.exe, os.path.join(several.build, "notrap"),
                                             os.path.join(several.build, "tests/tools/tool_starter")],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=several.env, start_new_session=True)
    try:
        if run.Lines(p.stdout).next(10) != "ready":
            raise run.Failed("the child did not start")
        with open(f"/proc/{p.pid}/task/{p.pid}/children") as f:
            several.pid, = (int(c) for c in f.read().split() if os.readlink(f"/proc/{c}/exe") == several.exe)
        site, = several.sites()
        before = run.code_at(several.pid, site)
        loader = Loader(several, "bpftrace", *TOOLS["bpftrace, entry"][1:])
        end = time.time() + 30
        while len(ps(several).get("links", [])) != 1:
            if time.time() > end:
                raise run.Failed("no link: " + loader.text())
            time.sleep(0.02)
        time.sleep(0.5)
        if run.code_at(several.pid, site) != before or several.pid in (o["pid"] for o in ps(several)["processes"]):
            raise run.Failed("a child with a filter of its own was changed")
        loader.end()
    finally:
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        several.exe, several.pid = was


def family(several, _):
    """They have the filter of the static loader that has started them, one that starts what it is told here."""
    notrap, starter = os.path.join(several.build, "notrap"), os.path.join(several.build, "tests/tools/tool_starter")
    several.target.stdin.close()
    several.target.wait(10)
    several.target = subprocess.Popen(several.become() + [notrap, "run", "--", starter, several.exe], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, env=several.env, start_new_session=True)
    several.answers = run.Lines(several.target.stdout)
    if several.answers.next(10) != "ready":
        raise run.Failed("the target did not start")
    with open(f"/proc/{several.target.pid}/task/{several.target.pid}/children") as f:
        several.pid = int(f.read().split()[0])
    several.site, = several.sites()
    loader = Loader(several, "bpftrace", *TOOLS["bpftrace, entry"][1:])
    await_links(several, 1, loader)
    time.sleep(0.3)
    several.rounds(ROUNDS)
    exact(loader, ROUNDS)
    ctypes = ["/usr/bin/python3", "{here}/ctypes_loader.py", "{exe}", "work"]
    for name, argv in (("a loader of a static loader's", [starter, *ctypes]), ("with notrap run between", [starter, notrap, "run", "--", *ctypes]),
                       ("a static loader's static loader's", [starter, notrap, "run", "--", starter, *ctypes])):
        loader = Loader(several, name, argv, counted)
        await_links(several, 1, loader)
        several.rounds(ROUNDS)
        exact(loader, ROUNDS)
    if several.mode == "user":  # root has filters not looked at for a moment
        stepchild(several)


def nested(several, _):
    loader = Loader(several, "bpftrace under notrap under notrap",
                    [os.path.join(several.build, "notrap"), "run", "--", *TOOLS["bpftrace, entry"][1]], TOOLS["bpftrace, entry"][2])
    await_links(several, 1, loader)
    time.sleep(0.3)
    several.rounds(ROUNDS)
    exact(loader, ROUNDS)
    # The inner one is the outer one's child, and target.
    inner = os.path.join(several.dir, "inner")
    shutil.copy(os.path.join(several.build, "examples/funccount"), inner)
    script = f"uprobe:{inner}:main {{{{ @main = count(); }}}} uretprobe:{inner}:main {{{{ @returned[retval] = count(); }}}}"
    loader = Loader(several, "bpftrace of a loader", ["bpftrace", "-e", script, "-c", f"{inner} -d 2 -p {{pid}} {{exe}}:work"], None)
    await_links(several, 3, loader)
    several.rounds(ROUNDS)
    loader.pid.wait(20)
    text = loader.text()
    if "@main: 1" not in text or "@returned[0]: 1" not in text:
        raise run.Failed("the outer loader did not see the inner one: " + text)
    if not re.search(rf"^ *{ROUNDS} .* work$", text, re.M):
        raise run.Failed("the inner loader has not counted: " + text)


def killed(several, rng):
    steady = Loader(several, "bpftrace that stays", *TOOLS["bpftrace, entry"][1:])
    await_links(several, 1, steady)
    time.sleep(0.3)
    started, done = time.time(), 0
    other = Loader(several, "bpftrace to be killed", *TOOLS["bpftrace, both"][1:])
    await_links(several, 3, other)
    life = time.time() - started
    other.kill()
    for i in range(KILLS):
        which = rng.choice(("bpftrace, both", "bpftrace, return"))
        other = Loader(several, "bpftrace to be killed", *TOOLS[which][1:])
        if i % 4 == 3:  # while it detaches
            await_links(several, 3 if which == "bpftrace, both" else 2, other)
            other.pid.send_signal(signal.SIGINT)
            time.sleep(rng.uniform(0, 0.05))
        else:
            time.sleep(rng.uniform(0, life * 1.2))
        other.kill()
        several.rounds(ROUNDS)
        done += ROUNDS
    await_links(several, 1)
    exact(steady, done)


def main():
    run.limit.end_in_order()
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("--modes", default="root,user")
    p.add_argument("--only", default="")
    p.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    o = p.parse_args()
    build, number, failed = os.path.abspath(o.build), 0, 0
    print(f"# seed {o.seed}")
    for mode in o.modes.split(","):
        for test in (together, seen, family, nested, killed):
            if not test.__name__.startswith(o.only):
                continue
            number += 1
            name = f"loaders: {test.__name__} ({run.TITLES[mode]})"
            why = run.why_not(Case(name, "bpftrace", [], ""), mode, build)
            if test == seen and not installed("bpftool"):
                why = "bpftool is not installed"
            if why:
                print(f"ok {number} - {name} # SKIP {why}")
                continue
            several, error = Several(build, mode), None
            try:
                test(several, random.Random(o.seed))
                several.await_code(lambda code: code == several.original, "the function is not as it was")
                several.rounds(1)
                if several.target.poll() is not None:
                    raise run.Failed("the target has died")
            except (run.Failed, subprocess.TimeoutExpired) as e:
                error = str(e)
            finally:
                several.end()
            print(f"{'not ' if error else ''}ok {number} - {name}", flush=True)
            if error:
                failed += 1
                print("".join(f"# {line}\n" for line in error.splitlines()), end="", flush=True)
    print(f"1..{number}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
