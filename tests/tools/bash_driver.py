# SPDX-License-Identifier: MIT
"""bash_driver.py BASH: an interactive shell that somebody types into: for every line "N" it is given N commands."""
import os, pty, select, sys

PROMPT = b"tool> "


def until_prompt(fd):
    seen = b""
    while not seen.endswith(PROMPT):
        if not select.select([fd], [], [], 10)[0]:
            sys.exit("no prompt")
        seen += os.read(fd, 4096)


pid, fd = pty.fork()
if not pid:
    os.environ.update(PS1=PROMPT.decode(), TERM="dumb")
    os.execv(sys.argv[1], [sys.argv[1], "--norc", "--noprofile", "-i"])
until_prompt(fd)
print(f"ready {pid}", flush=True)
for line in sys.stdin:
    for i in range(int(line)):
        os.write(fd, b"echo %d\n" % i)
        until_prompt(fd)
    print("done", flush=True)
