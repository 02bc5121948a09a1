#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""corpus.py pack FILE FOLDER | unpack FILE FOLDER

A corpus of a fuzz target is one file: each input as its length (4 bytes, little endian) and its bytes, by rising
length, so that a thousand small inputs are one entry of the tree. tests/fuzz/driver.c replays it as it is."""
import hashlib
import os
import struct
import sys


def pack(path, folder):
    inputs = set()
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as f:
            inputs.add(f.read())
    with open(path, "wb") as f:
        for data in sorted(inputs, key=lambda d: (len(d), d)):
            f.write(struct.pack("<I", len(data)) + data)
    print(f"{path}: {len(inputs)} inputs, {os.path.getsize(path)} bytes")


def unpack(path, folder):
    os.makedirs(folder, exist_ok=True)
    with open(path, "rb") as f:
        while head := f.read(4):
            data = f.read(struct.unpack("<I", head)[0])
            with open(os.path.join(folder, hashlib.sha1(data).hexdigest()), "wb") as out:
                out.write(data)


if len(sys.argv) != 4 or sys.argv[1] not in ("pack", "unpack"):
    sys.exit(__doc__)
(pack if sys.argv[1] == "pack" else unpack)(sys.argv[2], sys.argv[3])
