#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""update-readme.py NAME: puts standard input between the lines <!-- NAME --> and <!-- /NAME --> of README.md."""
import re, sys

name = sys.argv[1]
with open("README.md") as f:
    text = f.read()
pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
if not pattern.search(text):
    sys.exit(f"README.md has no place for {name}")
new = pattern.sub(lambda m: m.group(1) + sys.stdin.read() + m.group(2), text)
if new != text:
    with open("README.md", "w") as f:
        f.write(new)
