# SPDX-License-Identifier: MIT
"""Newer Debian releases: made by debootstrap, kept between runs. notrap itself is the host's build."""
import functools, os, shutil, subprocess, sys

from headers import CACHE, run

MIRROR = "http://deb.debian.org/debian"
BINDS = ("/tmp", "/proc", "/sys", "/dev")


@functools.lru_cache(None)
def folder(suite):
    """Its root folder, or None: it cannot be had."""
    there = os.path.join(CACHE, suite)
    if os.path.isdir(there):
        return there
    if os.geteuid() or not shutil.which("debootstrap"):
        return None
    os.makedirs(CACHE, exist_ok=True)
    shutil.rmtree(there + ".new", ignore_errors=True)
    print(f"# making a {suite} root, which takes a minute or two", flush=True)
    done = subprocess.run(["debootstrap", "--variant=minbase", "--include=bpftrace", suite, there + ".new", MIRROR],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    if done.returncode:
        return None
    os.rename(there + ".new", there)
    return there


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
    for path in dict.fromkeys((*BINDS, build, here)):
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
    return run(["chroot", root, "dpkg-query", "-W", "-f", "${Version}", package]) if root else ""
