# SPDX-License-Identifier: MIT
"""The whole run's time limit: NOTRAP_TOOLS_END, in seconds since 1970; none without it."""
import os, signal, subprocess, sys, time


def left():
    end = os.environ.get("NOTRAP_TOOLS_END")
    return float(end) - time.time() if end else float("inf")


def at_most(seconds):
    return max(1, min(seconds, left()))


def run(argv, seconds, output=subprocess.DEVNULL, **more):
    """Runs a command, in this time and before the whole run's end. (exit status or None, what it said); nothing of it is left."""
    p = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, text=True, **more)
    try:
        said = p.communicate(timeout=at_most(seconds))[0]
        return p.returncode, said or ""
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGKILL)
            p.communicate()


def end_in_order():
    """When somebody ends us, everything that we have started ends, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
