# SPDX-License-Identifier: MIT
"""gc_driver.py: for every line "N" it is given N garbage collections, and 100 times N calls of a function."""
import gc, sys

gc.disable()


def callee():
    pass


def turn(n):
    for _ in range(n):
        gc.collect()
        for _ in range(100):
            callee()


print("ready", flush=True)
for line in sys.stdin:
    turn(int(line))
    print("done", flush=True)
