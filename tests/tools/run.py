#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
run.py [options] BUILD_FOLDER: real tools, as Debian packages them, on a target whose every number is known.

Each case runs one command in up to four ways: on the kernel as root (the reference), and under `notrap run` as root, as
user 1000, and as user 1000 in a sandbox (a seccomp filter that answers EPERM to bpf(2) and perf_event_open(2), own pid
and mount namespace). In each of them its output must be exactly what the case says. Prints TAP.

  --quick        only cases marked quick, only under notrap
  --only TEXT    only cases whose name begins so
  --modes LIST   of kernel,root,user,sandbox
  --jobs N       so many at once; on the kernel always one alone
  --table FILE   writes the results as a table for README.md

No case takes longer than some minutes, whatever the tool does, and none leaves a process behind.
"""
import argparse, concurrent.futures, functools, os, re, select, shutil, signal, subprocess, sys, tempfile, threading, time

import cases
import limit
import roots

HERE = os.path.dirname(os.path.abspath(__file__))
UID = 1000
MODES = ("kernel", "root", "user", "sandbox")
TITLES = {"kernel": "kernel, root", "root": "notrap, root", "user": "notrap, user", "sandbox": "notrap, in sandbox"}


LATE = "the time limit of this run is over"


class Failed(Exception):
    pass


def symbols(exe):
    table = {}
    for options in (["-D"], []):
        out = subprocess.run(["nm", *options, exe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        table.update({w[2].split("@")[0]: int(w[0], 16) for w in (line.split() for line in out.splitlines()) if len(w) == 3})
    return table


def usdt(exe):
    """Addresses of each USDT probe by its name."""
    out = subprocess.run(["readelf", "-nW", exe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    table = {}
    for name, addr in re.findall(r"^ +Name: (\S+)\n +Location: (0x[0-9a-f]+)", out, re.M):
        table.setdefault(name, []).append(int(addr, 16))
    return table


def is_movable(exe):
    with open(exe, "rb") as f:
        return f.read(18)[16] == 3  # ET_DYN


def processes():
    """(pid, command, state, session) of all."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as f:
                text = f.read()
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        yield int(pid), text.partition("(")[2].rpartition(")")[0], fields[0], int(fields[3])


def has_in_environment(pid, text):
    try:
        with open(f"/proc/{pid}/environ", "rb") as f:
            return text.encode() in f.read().split(b"\0")
    except OSError:
        return False


def code_at(pid, addr):
    with open(f"/proc/{pid}/mem", "rb") as mem:
        mem.seek(addr)
        return mem.read(5)


class Lines:
    """Reads a pipe line by line, with a time limit."""

    def __init__(self, stream):
        self.fd, self.data = stream.fileno(), b""

    def next(self, seconds):
        end = time.time() + seconds
        while b"\n" not in self.data:
            if not select.select([self.fd], [], [], max(0, end - time.time()))[0]:
                raise Failed("the target does not answer")
            more = os.read(self.fd, 65536)
            if not more:
                raise Failed("the target has ended")
            self.data += more
        line, self.data = self.data.split(b"\n", 1)
        return line.decode()


class Run:
    """One case in one mode: a folder of its own, with its own copy of the target and its own broker."""

    def __init__(self, build, case, mode):
        self.build, self.case, self.mode = build, case, mode
        self.dir = tempfile.mkdtemp(prefix="notrap-tools-")
        self.exe = os.path.join(self.dir, case.exe_name or os.path.basename(case.exe_from or "victim"))
        # A file that we wrote ourselves could not be run while a process that another thread forks has it open.
        subprocess.run(["cp", case.exe_from or os.path.join(build, "tests/tools/tool_victim"), self.exe], check=True)
        for name, source in case.beside.items():
            subprocess.run(["cp", os.path.join(build, "tests/tools", source), os.path.join(self.dir, name)], check=True)
        self.nt = os.path.join(self.dir, "nt")
        os.mkdir(self.nt, 0o700)
        if mode in ("user", "sandbox"):
            os.chmod(self.dir, 0o755)
            os.chown(self.dir, UID, UID)
            os.chown(self.nt, UID, UID)
        self.env = dict(os.environ, NOTRAP_DIR=self.nt, HOME=self.dir, TZ="UTC", LC_ALL="C", **case.env)
        self.env.pop("XDG_RUNTIME_DIR", None)
        self.target = self.tool = self.holder = None

    def become(self, tool=True):
        into = ["chroot", roots.mounted(self.case.root, self.build, HERE)] if self.case.root and (tool or self.case.target_in_root) else []
        if self.mode == "user":
            return into + ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all"]
        if self.mode == "sandbox":
            return ["nsenter", f"--target={self.inside}", "--pid", "--mount", *into,
                    os.path.join(self.build, "tests/tools/tool_sandbox"), "join"]
        return into

    def notrap(self, *args):
        return [] if self.mode == "kernel" else [os.path.join(self.build, "notrap"), *args]

    def fill(self, text):
        pid = getattr(self, "pid_inside", 0)
        return text.format(exe=self.exe, pid=pid, dir=self.dir, here=HERE, build=self.build)

    def start_sandbox(self):
        root = [roots.mounted(self.case.root, self.build, HERE)] if self.case.root else []
        self.holder = subprocess.Popen([os.path.join(self.build, "tests/tools/tool_sandbox"), "hold", *root],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.inside = int(Lines(self.holder.stdout).next(10))

    def start_target(self):
        command = [self.fill(word) for word in self.case.driver] or [self.exe]
        self.target = subprocess.Popen(self.become(tool=False) + command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       env=self.env, start_new_session=True)
        self.answers = Lines(self.target.stdout)
        said = self.answers.next(10).split()
        if said[0] != "ready":
            raise Failed("the target did not start")
        self.pid = self.pid_inside = int(said[1]) if len(said) > 1 else self.target.pid
        if self.mode == "sandbox":
            self.pid = self.pid_outside(int(said[1]) if len(said) > 1 else None)
            with open(f"/proc/{self.pid}/status") as f:
                self.pid_inside = int(re.search(r"NSpid:.*\t(\d+)", f.read()).group(1))

    def pid_outside(self, inside):
        """Of the process that has this pid in the sandbox; None: of what nsenter has become the parent of."""
        if inside is None:
            with open(f"/proc/{self.target.pid}/task/{self.target.pid}/children") as f:
                return int(f.read().split()[0])
        namespace = os.readlink(f"/proc/{self.inside}/ns/pid")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/status") as f:
                    here = re.search(rf"NSpid:.*\t{inside}$", f.read(), re.M)
                if here and os.readlink(f"/proc/{pid}/ns/pid") == namespace:
                    return int(pid)
            except OSError:
                pass
        raise Failed(f"no process {inside} in the sandbox")

    def sites(self):
        """Addresses of case.watch: functions of the target itself, LIBRARY:FUNCTION, or [LIBRARY:]usdt:PROBE."""
        with open(f"/proc/{self.pid}/maps") as f:
            lines = [line.split() for line in f]

        def addresses(name):
            *library, function = name.split(":")
            is_usdt = library[-1:] == ["usdt"]
            library = "".join(library[:-1] if is_usdt else library)
            of = [line for line in lines if len(line) > 5 and (line[5].endswith("/" + library) if library else line[5] == self.exe)]
            if not of:
                raise Failed(f"the target has no {library or self.exe}")
            path = of[0][5]
            base = min(int(line[0].split("-")[0], 16) for line in of) if is_movable(path) else 0
            return [base + a for a in (usdt(path)[function] if is_usdt else [symbols(path)[function]])]
        return [a for name in self.case.watch for a in addresses(name)]

    def await_attached(self, sites, before):
        end = time.time() + self.case.patience
        while time.time() < end:
            if self.tool.poll() is not None:
                raise Failed(f"the tool ended before it was attached, with status {self.tool.returncode}")
            if all(code_at(self.pid, s) != b for s, b in zip(sites, before)):
                return self.await_idle()
            time.sleep(0.02)
        raise Failed("the tool does not attach")

    def await_idle(self):
        """It may have more to attach: until neither the tool nor its broker has wanted a processor for some time, however
        slow the machine is."""
        brokers = {p for p, command, *_ in processes() if command == "notrapd" and has_in_environment(p, "NOTRAP_DIR=" + self.nt)}
        begin = idle_since = time.time()
        while time.time() < min(idle_since + self.case.settle, begin + 10):
            if any(state not in "SZ" and (session == self.tool.pid or pid in brokers) for pid, _, state, session in processes()):
                idle_since = time.time()
            time.sleep(0.04)

    def stop_tool(self):
        if self.case.stop == "int":
            pid = self.tool.pid
            if self.mode == "sandbox":
                with open(f"/proc/{pid}/task/{pid}/children") as f:
                    pid = int(f.read().split()[0])
            os.kill(pid, signal.SIGINT)
        end = time.time() + self.case.patience
        while time.time() < end:
            try:
                return self.tool.wait(3)
            except subprocess.TimeoutExpired:
                if self.case.stop == "int":  # bpftrace 0.17 loses one now and then, also on the kernel
                    os.kill(pid, signal.SIGINT)
        raise Failed("the tool does not end")

    def body(self):
        case = self.case
        if self.mode == "sandbox":
            self.start_sandbox()
        if case.target:
            self.start_target()
            sites = self.sites()
            before = [code_at(self.pid, s) for s in sites]
        out = open(os.path.join(self.dir, "out"), "w+b")
        err = open(os.path.join(self.dir, "err"), "w+b")
        self.files = (out, err)
        for command in case.before:
            done = subprocess.run(self.become() + self.notrap("run", "--") + [self.fill(a) for a in command], env=self.env,
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=case.patience)
            if done.returncode:
                raise Failed(f"{command[0]}: status {done.returncode}")
        self.tool = subprocess.Popen(self.become() + self.notrap("run", *case.options, "--") + [self.fill(a) for a in case.argv],
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.env, start_new_session=True)
        if case.target and sites:
            self.await_attached(sites, before)
        elif case.target:
            time.sleep(case.settle)
        for n in case.rounds if case.target else ():
            self.target.stdin.write(b"%s\n" % str(n).encode())
            self.target.stdin.flush()
            if self.answers.next(10) != "done":
                raise Failed("the target went wrong")
            if case.again:
                self.await_attached(self.sites(), before)
            time.sleep(case.pause)
        if case.live:
            self.await_output()
        self.stop_tool()
        if case.target and self.target.poll() is not None:
            raise Failed("the target has died")
        if self.tool.returncode not in case.status:
            raise Failed(f"the tool's exit status is {self.tool.returncode}")
        got, want = self.got(), self.want()
        if got != want:
            raise Failed("the output is\n" + got + "\nand should be\n" + want)

    def want(self):
        if self.case.as_kernel:
            return on_kernel(self.case, self.build, self.exe)
        return "\n".join(self.case.better) if self.case.better and self.mode != "kernel" else self.case.want

    def got(self):
        texts = []
        for f in self.files:
            with open(f.name, "rb") as again:  # a position of its own: the tool writes at f's
                texts.append(again.read().decode(errors="replace"))
        return self.case.normalise(self.fill_back("".join(texts if self.case.with_errors else texts[:1])))

    def await_output(self):
        end = time.time() + self.case.patience / 3
        while self.got() != self.want() and time.time() < end and self.tool.poll() is None:
            time.sleep(0.05)

    def fill_back(self, text):
        text = text.replace(self.exe, "EXE").replace(self.dir, "DIR")
        if not self.target or not self.case.mask_pid:
            return text
        return re.sub(rf"^{self.pid_inside}(\s+){self.pid_inside}\b", r"PID\1PID", text, flags=re.M)

    def end(self):
        for p in (self.tool, self.target, self.holder):
            if p and p.poll() is None:
                p.terminate()
                try:
                    p.wait(3)
                except subprocess.TimeoutExpired:
                    p.kill()
                    p.wait()
            if p and p != self.holder:  # what it has started
                try:
                    os.killpg(p.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if self.mode in ("root", "user"):
            try:
                subprocess.run(self.become() + self.notrap("stop", "-a"), env=self.env, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, timeout=30)
            except subprocess.TimeoutExpired:
                print("# the broker does not end", flush=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self):
        try:
            self.body()
            return None
        except (Failed, subprocess.TimeoutExpired, BrokenPipeError) as e:
            text = str(e)
            for f in getattr(self, "files", ()):
                f.seek(0)
                said = f.read().decode(errors="replace").strip()
                if said:
                    text += "\n" + os.path.basename(f.name) + ": " + said[-1500:]
            return text
        finally:
            self.end()


@functools.lru_cache(None)
def user_reads(build):
    return subprocess.run(["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "test", "-r",
                           os.path.join(build, "notrap-shim.so"), "-a", "-r", os.path.join(HERE, "ctypes_loader.py")],
                          stderr=subprocess.DEVNULL).returncode == 0


def why_not(case, mode, build):
    if os.geteuid():
        return "only root can try all modes"
    if limit.left() <= 0:
        return LATE
    if mode in case.skip:
        return case.skip[mode]
    if mode in ("user", "sandbox") and not user_reads(build):
        return "user 1000 cannot read the build folder"
    why = case.missing()
    if why:
        return why
    if case.root and not roots.mounted(case.root, build, HERE):
        return f"the {case.root} root cannot be used"
    return None if case.prepare(build) else f"{case.tool} cannot be built here"


def table(results, versions):
    rows = ["| tool | version | " + " | ".join(TITLES[m] for m in MODES) + " |", "|---|---|" + "---:|" * len(MODES)]
    for tool in dict.fromkeys(t for t, _ in results):
        cells = []
        for mode in MODES:
            r = results.get((tool, mode), [0, 0])
            cells.append(f"{r[0]} of {r[1]}" if r[1] else "-")
        rows.append(f"| {tool} | {versions.get(tool, '')} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


ON_KERNEL = threading.Lock()  # kernel-wide names: pins, lists of all programs
SAID = {}


def on_kernel(case, build, exe):
    """What a case without a target says there; of this copy of the target, whose name is left out."""
    if case.name not in SAID:
        into = ["chroot", roots.mounted(case.root, build, HERE)] if case.root else []
        argv = [word.format(exe=exe, build=build) for word in case.argv]
        done = subprocess.run(into + argv, env=dict(os.environ, LC_ALL="C"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, timeout=case.patience)
        SAID[case.name] = case.normalise(done.stdout.replace(exe, "EXE"))
        if not SAID[case.name]:
            raise Failed("the kernel says nothing")
    return SAID[case.name]


def run_case(build, case, mode):
    """(error or None, seconds)"""
    if limit.left() <= 0:
        return LATE, 0
    begin = time.time()
    if mode != "kernel":
        return Run(build, case, mode).run(), time.time() - begin
    with ON_KERNEL:
        begin = time.time()
        return Run(build, case, mode).run(), time.time() - begin


class Report:
    def __init__(self):
        self.count = self.failed = 0
        self.results = {}

    def skipped(self, case, mode, why):
        self.count += 1
        print(f"ok {self.count} - {case.name} ({TITLES[mode]}) # SKIP {why}", flush=True)

    def ran(self, case, mode, error, seconds):
        if error == LATE:
            return self.skipped(case, mode, LATE)
        self.count += 1
        self.failed += bool(error)
        print(f"{'not ' if error else ''}ok {self.count} - {case.name} ({TITLES[mode]})\n# {seconds:.1f} s", flush=True)
        if error:
            print("".join(f"# {line}\n" for line in error.splitlines()), end="", flush=True)
        if not case.in_table:
            return
        cell = self.results.setdefault((case.tool, mode), [0, 0])
        cell[0] += not error
        cell[1] += 1


def run_all(report, jobs, build, wanted):
    """wanted: (case, mode). What a case needs is installed and built here, one after another."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = []

        def settle(n):
            while len(running) > n or running and running[0][2].done():
                case, mode, future = running.pop(0)
                report.ran(case, mode, *future.result())
        for case, mode in wanted:
            why = why_not(case, mode, build)
            if why:
                settle(0)
                report.skipped(case, mode, why)
                continue
            if case.alone:
                settle(0)
            running.append((case, mode, pool.submit(run_case, build, case, mode)))
            settle(0 if case.alone else 2 * jobs - 1)
        settle(0)


def main():
    roots.enter_namespace()
    limit.end_in_order()
    signal.signal(signal.SIGINT, signal.default_int_handler) # what is started in the background ignores it, and so would the tools
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--only", default="")
    p.add_argument("--modes", default="")
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--table")
    o = p.parse_args()
    build = os.path.abspath(o.build)
    modes = [m for m in MODES if m in (o.modes.split(",") if o.modes else MODES) and not (o.quick and m == "kernel")]
    report = Report()
    wanted = [(c, m) for c in cases.all_cases() if c.name.startswith(o.only) for m in modes if not o.quick or m in c.quick]
    run_all(report, o.jobs, build, wanted)
    print(f"1..{report.count}" + ("" if report.count else " # SKIP no case"))
    if o.table:
        with open(o.table, "w") as f:
            f.write(table(report.results, cases.versions()))
    sys.exit(report.failed > 0)


if __name__ == "__main__":
    main()
