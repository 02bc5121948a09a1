# SPDX-License-Identifier: MIT
"""The whole run's time limit: NOTRAP_TOOLS_END, in seconds since 1970; none without it."""
import os, time


def left():
    end = os.environ.get("NOTRAP_TOOLS_END")
    return float(end) - time.time() if end else float("inf")


def at_most(seconds):
    return max(1, min(seconds, left()))
