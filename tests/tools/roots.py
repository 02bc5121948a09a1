# SPDX-License-Identifier: MIT
"""
Newer Debian releases: made by debootstrap, kept between runs. notrap itself is the host's build.

Everything that the network is needed for has a time limit, and a mirror that does not answer is not asked twice: what
cannot be had is a reason to skip a case, not to wait.
"""
import functools, os, shutil, subprocess, sys

import limit
from headers import CACHE, MIRROR, reachable, run

BINDS = ("/tmp", "/proc", "/sys", "/dev")
MAKE, INSTALL = 240, 300  # s at most


def quietly(argv, seconds):
    """Did it work, in this time and before the whole run's end?"""
    return limit.run(argv, seconds, env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))[0] == 0


@functools.lru_cache(None)
def folder(suite):
    """Its root folder, or None: it cannot be had."""
    there = os.path.join(CACHE, suite)
    if os.path.isdir(there):
        return there
    if os.geteuid() or not shutil.which("debootstrap") or not reachable():
        return None
    os.makedirs(CACHE, exist_ok=True)
    shutil.rmtree(there + ".new", ignore_errors=True)
    print(f"# making a {suite} root, which takes a minute or two", flush=True)
    if not quietly(["debootstrap", "--variant=minbase", "--include=bpftrace", suite, there + ".new", MIRROR], MAKE):
        shutil.rmtree(there + ".new", ignore_errors=True)
        return None
    os.rename(there + ".new", there)
    return there


@functools.lru_cache(None)
def install(suite, packages):
    """packages: a tuple. Why they are not there, or None. An installation that was broken off is taken up again."""
    root = folder(suite)
    if not root:
        return f"no {suite} root: it takes root, debootstrap and a mirror"
    if all(version(suite, p) for p in packages):
        return None
    if os.geteuid() or not reachable():
        return f"{', '.join(packages)} of {suite} cannot be had"
    print(f"# installing {' '.join(packages)} in the {suite} root", flush=True)
    apt = ["chroot", root, "apt-get", "-qq", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"]
    quietly(["chroot", root, "dpkg", "--configure", "-a"], INSTALL)
    ok = quietly([*apt, "update"], INSTALL) and quietly([*apt, "install", "-y", "--no-install-recommends", *packages], INSTALL)
    version.cache_clear()
    return None if ok else f"{', '.join(packages)} of {suite} cannot be installed in {INSTALL} s"


def enter_namespace():
    """Mounts are made in a mount namespace of this test run's own."""
    if os.geteuid() == 0 and os.environ.get("NOTRAP_TOOLS_NS") != "1":
        os.environ["NOTRAP_TOOLS_NS"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


@functools.lru_cache(None)
def mounted(suite, build, here):
    """The root with everything in it that a case needs; or None."""
    root = folder(suite)
    if not root:
        return None
    os.makedirs(os.path.join(CACHE, "rust"), exist_ok=True)
    more = [p for p in (os.path.join(CACHE, "headers"), os.path.join(CACHE, "rust")) if os.path.isdir(p)]
    for path in dict.fromkeys((*BINDS, build, here, *more)):
        if path.startswith("/tmp/") and path not in BINDS:
            continue
        os.makedirs(root + path, exist_ok=True)
        if subprocess.run(["mount", "--rbind", path, root + path]).returncode:
            return None
    for line in run(["ldd", os.path.join(build, "notrapd"), os.path.join(build, "notrap")]).splitlines():
        words = line.split()
        if len(words) > 2 and words[1] == "=>" and ("Zydis" in words[0] or "jansson" in words[0] or "Zycore" in words[0]):
            shutil.copy(words[2], os.path.join(root, "usr/local/lib"))
    subprocess.run(["chroot", root, "ldconfig"])
    return root


@functools.lru_cache(None)
def version(suite, package):
    root = folder(suite)
    said = run(["chroot", root, "dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package]).split() if root else []
    return said[1] if len(said) == 2 and said[0] == "installed" else ""
