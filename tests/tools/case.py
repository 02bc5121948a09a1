# SPDX-License-Identifier: MIT
"""What a case is (run.py runs it), and the usual ways to bring a tool's output into one order."""
import functools, subprocess

import roots


def sorted_lines(text):
    """Tools walk hash maps in any order; empty lines and bpftrace's greeting say nothing."""
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(sorted(line for line in lines if line and not line.startswith(("Attaching ", "Attached "))))


def same_lines(text):
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(line for line in lines if line and not line.startswith(("Attaching ", "Attached ")))


class Case:
    def __init__(self, name, tool, argv, want, **more):
        self.name, self.tool, self.argv = name, tool, argv
        self.want = "\n".join(want) if isinstance(want, (list, tuple)) else want
        self.normalise = sorted_lines
        self.rounds = (12,)        # lines the target is given, one after another
        self.again = False         # wait until it is attached again after each of them
        self.pause = 0.1           # s after each
        self.watch = ("work",)     # what has changed when the tool is attached: functions, also LIBRARY:FUNCTION, [LIBRARY:]usdt:PROBE
        self.settle = 0.3          # s that the tool is idle then before it is taken to be ready
        self.live = False          # it tells events as they happen: it is stopped when it has told all
        self.alone = False         # it looks at every process of the machine
        self.patience = 30         # s at most for one step
        self.target = True         # a running target; else the tool starts one itself
        self.stop = "int"          # how the tool ends: "int" by Ctrl-C, "exit" by itself
        self.status = (0,)
        self.with_errors = False   # stderr is part of the output
        self.better = None         # what notrap's output is where it is better than the kernel's on purpose
        self.as_kernel = False     # its output on the kernel, whatever that is here, is what notrap's should be; only without a target
        self.options = ()          # of `notrap run`
        self.skip = {}             # mode: why not
        self.mask_pid = False      # the target's pid and tid at the start of lines are shown as PID
        self.in_table = True       # False: it is about what does not work
        self.quick = ()            # modes that `make test` runs
        self.before = ()           # commands to run first
        self.env = {}
        self.package = tool
        self.target_in_root = False  # the target is started there, too: it has that release's C library
        self.with_packages = ()    # and these, if it is another release's
        self.exe_from = None       # another program than victim.c is looked at: a copy of this one
        self.exe_name = None       # and this is the copy's name
        self.beside = {}           # name: file of the build folder's tests/tools that is copied beside it
        self.driver = ()           # what starts the target, if not its own name; says "ready PID"
        self.root = None           # the tool is that of another release (roots.py)
        self.needs = lambda: None  # why it cannot run, or None
        self.prepare = lambda build: True
        for key, value in more.items():
            assert hasattr(self, key), key
            setattr(self, key, value)
        if self.normalise is sorted_lines:
            self.want = "\n".join(sorted(self.want.splitlines()))

    def missing(self):
        if self.root:
            return roots.install(self.root, (self.package, *self.with_packages)) or self.needs()
        return self.needs() if installed(self.package) else f"{self.package} is not installed"


@functools.lru_cache(None)
def version(package):
    out = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, text=True).stdout.split()
    return out[1] if len(out) == 2 and out[0] == "installed" else None


def installed(package):
    return version(package) is not None
