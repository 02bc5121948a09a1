#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real programs at real work, with a probe on the entry and the return of every function of the program and of all its
libraries, from before their first instruction to their end. They must do what they do without probes.

    soak.py BUILD_FOLDER LOADER [NAME...]

The programs run from private copies of their files, so that nobody else on the machine is probed. Each workload says in
words (and checksums) what it has done; that is compared with what it says without probes. NT_SOAK=1 in the environment:
the long form; 0.1: a tenth of its work. What is not installed is skipped by name. Output is TAP.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

import workloads

LONG = float(os.environ.get('NT_SOAK') or 0)
count = failed = 0


def tap(ok, text):
    global count, failed
    count += 1
    failed += not ok
    print(f"{'' if ok else 'not '}ok {count} - {text}", flush=True)
    return ok


def skip(text, why):
    global count
    count += 1
    print(f'ok {count} - {text} # SKIP {why}', flush=True)


def note(text):
    for line in str(text).splitlines():
        print(f'# {line}', flush=True)


def libraries_of(path):
    """All files that the dynamic linker maps for it, without the linker itself."""
    said = subprocess.run(['ldd', path], capture_output=True, text=True).stdout
    return [w[2] for w in (line.split() for line in said.splitlines()) if len(w) > 3 and w[1] == '=>' and w[2].startswith('/')]


class Place:
    """A folder with copies of programs and their libraries."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='notrap-soak-', dir='/tmp')
        os.chmod(self.dir, 0o755)
        self.lib = os.path.join(self.dir, 'lib')
        os.mkdir(self.lib)
        self.files = []

    def path(self, name):
        return os.path.join(self.dir, name)

    def add(self, source, name):
        """A copy at `name`, to be probed; links are followed."""
        to = self.path(name)
        os.makedirs(os.path.dirname(to), exist_ok=True)
        if not os.path.exists(to):
            shutil.copy(os.path.realpath(source), to)
            self.files.append(to)
        return to

    def program(self, source, name):
        for lib in libraries_of(source):
            self.add(lib, os.path.join('lib', os.path.basename(lib)))
        return self.add(source, name)

    def env(self, **more):
        e = {'PATH': os.environ['PATH'], 'HOME': self.dir, 'LC_ALL': 'C', 'LD_LIBRARY_PATH': self.lib, 'TMPDIR': self.dir}
        e.update(more)
        return e

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class Probes:
    def __init__(self, build, loader, place, with_helpers):
        self.build = build
        self.place = place
        self.env = dict(os.environ, NOTRAP_DIR=tempfile.mkdtemp(prefix='notrap-soak-', dir='/tmp'))
        self.env.pop('LD_LIBRARY_PATH', None)
        self.env['NT_SOAK_HASH'] = str(int(with_helpers))
        self.p = subprocess.Popen([f'{build}/notrap', 'run', '-v', '--', loader, *place.files], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, env=self.env)
        self.functions = self.expect('ready')

    def expect(self, word):
        for line in self.p.stdout:
            if line.split()[:1] == [word]:
                return [int(n) for n in line.split()[1:]]
            note(line)
        return None

    def end(self):
        self.p.stdin.close()
        self.reads = self.expect('reads')
        hits = self.expect('hits')
        self.p.wait()
        subprocess.run([f'{self.build}/notrap', 'stop'], env=self.env, capture_output=True)
        with open(os.path.join(self.env['NOTRAP_DIR'], 'log'), errors='replace') as f:
            log = f.read().splitlines()
        shutil.rmtree(self.env['NOTRAP_DIR'], ignore_errors=True)
        return hits, [line for line in log if ' error: ' in line or 'not caught' in line]


def soak(build, loader, w):
    why = w.missing()
    if why:
        skip(w.name, why)
        return
    place = Place()
    try:
        w.prepare(place)
        begin = time.monotonic()
        want = w.run(place)
        middle = time.monotonic()
        probes = Probes(build, loader, place, w.helpers)
        if not tap(probes.functions, f'{w.name}: probes on {probes.functions and probes.functions[0]} functions of {len(place.files)} files'):
            probes.end()
            return
        ready = time.monotonic()
        got = w.run(place)
        end = time.monotonic()
        hits, errors = probes.end()
        if not tap(want is not None and got == want, f'{w.name}: {w.what}: the same'):
            note(f'without probes:\n{want}\nwith:\n{got}')
        note(f'{hits} entries and returns; {end - ready:.1f} s instead of {middle - begin:.1f} s')
        note('\n'.join(errors[:20]))
        tap(probes.reads == [1], f'{w.name}: no read of its memory was wrong')
        tap(hits and hits[0] > w.least and hits[0] * w.returns < hits[1] <= hits[0] * 1.01, f'{w.name}: its functions were seen')
    finally:
        place.remove()


def main():
    build, loader = sys.argv[1], os.path.abspath(sys.argv[2])
    if os.geteuid():
        print('1..0 # SKIP needs root: programs are caught before they begin')
        return 0
    for w in workloads.all_of(LONG):
        if (not sys.argv[3:] and (LONG or w.short)) or w.name in sys.argv[3:]:
            soak(os.path.abspath(build), loader, w)
    print(f'1..{count}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
