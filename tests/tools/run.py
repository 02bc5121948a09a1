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
  --table FILE   writes the results as a table for README.md
"""
import argparse, functools, os, re, select, shutil, signal, subprocess, sys, tempfile, time

import cases
import limit
import roots

HERE = os.path.dirname(os.path.abspath(__file__))
UID = 1000
MODES = ("kernel", "root", "user", "sandbox")
TITLES = {"kernel": "kernel, root", "root": "notrap, root", "user": "notrap, user", "sandbox": "notrap, in sandbox"}


class Failed(Exception):
    pass


def symbols(exe):
    table = {}
    for options in (["-D"], []):
        out = subprocess.run(["nm", *options, exe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        table.update({w[2].split("@")[0]: int(w[0], 16) for w in (line.split() for line in out.splitlines()) if len(w) == 3})
    return table


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
        shutil.copy(case.exe_from or os.path.join(build, "tests/tools/tool_victim"), self.exe)
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
                                       env=self.env)
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
        """Addresses of case.watch: functions of the target itself, or LIBRARY:FUNCTION."""
        with open(f"/proc/{self.pid}/maps") as f:
            lines = [line.split() for line in f]

        def address(name):
            library, _, function = name.rpartition(":")
            of = [line for line in lines if len(line) > 5 and (line[5].endswith("/" + library) if library else line[5] == self.exe)]
            if not of:
                raise Failed(f"the target has no {library or self.exe}")
            return min(int(line[0].split("-")[0], 16) for line in of) + symbols(of[0][5])[function]
        return [address(name) for name in self.case.watch]

    def await_attached(self, sites, before):
        end = time.time() + self.case.patience
        while time.time() < end:
            if self.tool.poll() is not None:
                raise Failed(f"the tool ended before it was attached, with status {self.tool.returncode}")
            if all(code_at(self.pid, s) != b for s, b in zip(sites, before)):
                return time.sleep(self.case.settle)
            time.sleep(0.02)
        raise Failed("the tool does not attach")

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
                                  stdin=subprocess.DEVNULL, stdout=out, stderr=err)
            if done.returncode:
                raise Failed(f"{command[0]}: status {done.returncode}")
        self.tool = subprocess.Popen(self.become() + self.notrap("run", "--") + [self.fill(a) for a in case.argv],
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.env)
        if case.target and sites:
            self.await_attached(sites, before)
        elif case.target:
            time.sleep(case.settle)
        for n in case.rounds if case.target else ():
            self.target.stdin.write(b"%s\n" % str(n).encode())
            self.target.stdin.flush()
            if self.answers.next(10) != "done":
                raise Failed("the target went wrong")
            time.sleep(case.pause)
        self.stop_tool()
        if case.target and self.target.poll() is not None:
            raise Failed("the target has died")
        if self.tool.returncode not in case.status:
            raise Failed(f"the tool's exit status is {self.tool.returncode}")
        out.seek(0)
        err.seek(0)
        text, errors = out.read().decode(errors="replace"), err.read().decode(errors="replace")
        got = case.normalise(self.fill_back(text + (errors if case.with_errors else "")))
        want = "\n".join(case.better) if case.better and self.mode != "kernel" else case.want
        if got != want:
            raise Failed("the output is\n" + got + "\nand should be\n" + want)

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
        if self.mode != "kernel":
            if self.mode != "sandbox":
                subprocess.run(self.become() + self.notrap("stop", "-a"), env=self.env, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self):
        try:
            self.body()
            return None
        except Failed as e:
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
        return "the time limit of this run is over"
    if mode in case.skip:
        return case.skip[mode]
    if mode in ("user", "sandbox") and not user_reads(build):
        return "user 1000 cannot read the build folder"
    why = case.missing()
    return why if why or case.prepare(build) else f"{case.tool} cannot be built here"


def table(results, versions):
    rows = ["| tool | version | " + " | ".join(TITLES[m] for m in MODES) + " |", "|---|---|" + "---:|" * len(MODES)]
    for tool in dict.fromkeys(t for t, _ in results):
        cells = []
        for mode in MODES:
            r = results.get((tool, mode), [0, 0])
            cells.append(f"{r[0]} of {r[1]}" if r[1] else "-")
        rows.append(f"| {tool} | {versions.get(tool, '')} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def main():
    roots.enter_namespace()
    p = argparse.ArgumentParser()
    p.add_argument("build")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--only", default="")
    p.add_argument("--modes", default="")
    p.add_argument("--table")
    o = p.parse_args()
    build = os.path.abspath(o.build)
    modes = [m for m in MODES if m in (o.modes.split(",") if o.modes else MODES) and not (o.quick and m == "kernel")]
    count = failed = 0
    results = {}
    for case in cases.all_cases():
        if not case.name.startswith(o.only) or (o.quick and not case.quick):
            continue
        for mode in modes:
            if o.quick and mode not in case.quick:
                continue
            count += 1
            why = why_not(case, mode, build)
            if why:
                print(f"ok {count} - {case.name} ({TITLES[mode]}) # SKIP {why}", flush=True)
                continue
            begin = time.time()
            error = Run(build, case, mode).run()
            print(f"{'not ' if error else ''}ok {count} - {case.name} ({TITLES[mode]})", flush=True)
            print(f"# {time.time() - begin:.1f} s")
            if error:
                failed += 1
                print("".join(f"# {line}\n" for line in error.splitlines()), end="", flush=True)
            cell = results.setdefault((case.tool, mode), [0, 0])
            cell[0] += not error
            cell[1] += 1
    print(f"1..{count}" + ("" if count else " # SKIP no case"))
    if o.table:
        with open(o.table, "w") as f:
            f.write(table(results, cases.versions()))
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
