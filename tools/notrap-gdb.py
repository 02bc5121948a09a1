# SPDX-License-Identifier: MIT
"""Backtraces of gdb through return probes.

    (gdb) source tools/notrap-gdb.py

A function that is probed at its return has been called by a thunk of notrap's, a few bytes in memory that no file
describes, so gdb would end there, or guess. The thunk's caller is known all the same: rbx, which the function keeps for
its caller, points to the call's record (struct nt_ret_entry in src/abi/payload.h), where the real return address is. What
is not such a record is left to gdb. The thunks' own frames are not shown; "bt -no-filters" shows them.
"""
import struct

import gdb
from gdb.unwinder import Unwinder

ENTRY = struct.Struct('<QQQQQQ')  # ra, rbx, next, slot, sp, thunk
CALL_LEN, CALL, JUMP = 5, b'\xe8', b'\xff\x25'


def read(at, n):
    try:
        return gdb.selected_inferior().read_memory(at, n).tobytes()
    except (gdb.MemoryError, OverflowError):
        return b''


def entry_of(pc, rsp, rbx):
    """The real return address and the caller's rbx, if pc is where a thunk's call returns to."""
    code = read(pc - CALL_LEN, CALL_LEN + len(JUMP))
    if code[:1] != CALL or code[CALL_LEN:] != JUMP:
        return None
    words = read(rbx, ENTRY.size)
    if len(words) != ENTRY.size:
        return None
    ra, caller_rbx, _, _, sp, thunk = ENTRY.unpack(words)
    return (ra, caller_rbx) if thunk == pc and sp == rsp - 8 else None


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


def number(value):
    return int(value) & (1 << 64) - 1


class ReturnProbes(Unwinder):
    def __init__(self):
        super().__init__('notrap')

    def __call__(self, frame):
        pc, rsp, rbx = (number(frame.read_register(r)) for r in ('rip', 'rsp', 'rbx'))
        entry = entry_of(pc, rsp, rbx)
        if not entry:
            return None
        info = frame.create_unwind_info(FrameId(frame.read_register('rsp'), frame.read_register('rip')))
        for name, value in ('rip', entry[0]), ('rbx', entry[1]):
            info.add_saved_register(name, gdb.Value(value).cast(frame.read_register(name).type))
        # Both stand where the stack is as before the call.
        for name in 'rsp', 'rbp', 'r12', 'r13', 'r14', 'r15':
            info.add_saved_register(name, frame.read_register(name))
        return info


def is_thunk(frame):
    """Of a frame as filters see it."""
    f = frame.inferior_frame()
    return f.name() is None and entry_of(*(number(f.read_register(r)) for r in ('rip', 'rsp', 'rbx'))) is not None


class Hide:
    name, enabled, priority = 'notrap', True, 100

    def filter(self, frames):
        return (f for f in frames if not is_thunk(f))


gdb.unwinder.register_unwinder(None, ReturnProbes(), replace=True)
gdb.frame_filters[Hide.name] = Hide()
