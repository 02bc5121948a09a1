# SPDX-License-Identifier: MIT
"""Kernel headers for BCC, which does not care whose 6.x they are: from Debian's packages, unpacked, not installed."""
import functools, glob, os, re, subprocess, tempfile, urllib.request

import limit

MIRROR = "http://deb.debian.org/debian"
CACHE = os.environ.get("NOTRAP_TOOLS_CACHE", "/var/tmp/notrap-tools")


def run(argv, **more):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, **more).stdout or ""


@functools.lru_cache(None)
def reachable():
    """Does the mirror answer at all?"""
    try:
        with urllib.request.urlopen(MIRROR + "/dists/stable/InRelease", timeout=limit.at_most(15)) as f:
            return bool(f.read(64))
    except OSError:
        return False


def plain_min(there):
    """BCC's compiler takes the check that newer headers have in min() for a call of a function (sslsniff-bpfcc)."""
    path = os.path.join(there, "include/linux/minmax.h")
    with open(path) as f:
        text = f.read()
    plain = re.sub(r"#define min\(x, y\)\s+__careful_cmp\(.*", "#define min(x, y) ((x) < (y) ? (x) : (y))", text)
    if plain != text:
        with open(path, "w") as f:
            f.write(plain)


@functools.lru_cache(None)
def folder():
    """The folder for BCC_KERNEL_SOURCE, or None."""
    there = os.path.join(CACHE, "headers")
    if os.path.isdir(there):
        if os.access(there, os.W_OK):
            plain_min(there)
        return there
    if not reachable():
        return None
    names = re.findall(r"Depends: (linux-headers-\S+)", run(["apt-cache", "depends", "linux-headers-amd64"]))
    names += re.findall(r"Depends: (linux-headers-\S+-common)", run(["apt-cache", "depends", *names[:1]]))
    if len(names) != 2:
        return None
    os.makedirs(CACHE, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as tmp:
        try:
            run(["apt-get", "-q", "download", *names], cwd=tmp, timeout=limit.at_most(120))
        except subprocess.TimeoutExpired:
            return None
        for deb in glob.glob(os.path.join(tmp, "*.deb")):
            run(["dpkg", "-x", deb, os.path.join(tmp, "x")])
        parts = sorted(glob.glob(os.path.join(tmp, "x/usr/src/linux-headers-*")), key=lambda p: not p.endswith("-common"))
        if len(parts) != 2:
            return None
        for part in parts:
            run(["cp", "-a", part + "/.", os.path.join(tmp, "all")])
        run(["chmod", "-R", "a+rX", os.path.join(tmp, "all")])
        plain_min(os.path.join(tmp, "all"))
        os.rename(os.path.join(tmp, "all"), there)
    return there
