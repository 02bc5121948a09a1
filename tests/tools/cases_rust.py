# SPDX-License-Identifier: MIT
"""Loaders in Rust: written here, built with the crates of Debian 13 (12 has none), dynamically and statically linked."""
import functools, os, shutil, subprocess

import limit
import roots
from case import Case
from headers import CACHE

HERE = os.path.dirname(os.path.abspath(__file__))
SUITE = "trixie"
PACKAGES = ("rustc", "cargo", "librust-aya-dev", "librust-libbpf-rs-dev")
FOLDER = os.path.join(CACHE, "rust")
BUILD = 420  # s at most: a minute and a half of an idle machine
CARGO = ["cargo", "build", "--quiet", "--offline", "-j2", "--manifest-path", FOLDER + "/source/Cargo.toml",
         "--config", 'source.crates-io.replace-with="debian"', "--config", 'source.debian.directory="/usr/share/cargo/registry"']


@functools.lru_cache(None)
def built(build):
    """Builds them once per state of the sources."""
    names = [os.path.join(FOLDER, "debug", n) for n in ("aya_loader", "libbpf_rs_loader")]
    sources = [os.path.join(HERE, "rust", p) for p in ("Cargo.toml", "src/lib.rs", "src/bin/aya_loader.rs", "src/bin/libbpf_rs_loader.rs")]
    text = "".join(open(p).read() for p in sources)
    stamp = os.path.join(FOLDER, "built")
    if os.path.exists(stamp) and open(stamp).read() == text and all(map(os.path.exists, names)):
        return True
    os.makedirs(FOLDER, exist_ok=True)
    root = roots.mounted(SUITE, build, HERE)
    if not root:
        return False
    print("# building the loaders in Rust", flush=True)
    shutil.rmtree(os.path.join(FOLDER, "source"), ignore_errors=True)
    shutil.copytree(os.path.join(HERE, "rust"), os.path.join(FOLDER, "source"))
    env = dict(os.environ, CARGO_HOME=FOLDER + "/home", CARGO_TARGET_DIR=FOLDER)
    status, said = limit.run(["chroot", root, *CARGO], BUILD, output=subprocess.PIPE, env=env)
    if status != 0:
        print("".join(f"# {line}\n" for line in said.splitlines()[-20:]), flush=True)
        return False
    with open(stamp, "w") as f:
        f.write(text)
    return True


def r(crate, binary):
    return Case(f"rust: {crate}", f"{crate} (Rust)", [f"{FOLDER}/debug/{binary}", "{build}/tests/tools/tool.bpf.o", "{exe}", "work"],
                "count 12\nready", root=SUITE, package=f"librust-{crate}-dev", with_packages=PACKAGES,
                prepare=lambda build: built(build) and os.path.exists(os.path.join(build, "tests/tools/tool.bpf.o")))


CASES = [r("aya", "aya_loader"), r("libbpf-rs", "libbpf_rs_loader")]
