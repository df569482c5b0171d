"""Runs a command that must open no connection: the kernel kills it at the first `connect`.

`python no_connections.py COMMAND ...`; the end is by SIGSYS if any of its threads, in whatever
language, connects a socket or sends to an address, as a look-up of a name does.
Needs no privileges: seccomp(2) with a filter on the numbers of system calls, Linux 3.17 or later.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

CALLS = {"x86_64": (42, 44), "aarch64": (203, 206)}  # the numbers of connect and sendto
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # of classic BPF
_SENDTO_ADDRESS = 16 + 4 * 8  # lower half of the fifth argument, in seccomp_data
_KILL_PROCESS, _ALLOW = 0x80000000, 0x7FFF0000


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def forbid(connect: int, sendto: int) -> None:
    """Have the kernel kill this process, and what it becomes, when it connects or sends to."""
    steps = [
        (_LOAD, 0, 0, 0),  # the number of the call
        (_JUMP_IF_EQUAL, 4, 0, connect),
        (_JUMP_IF_EQUAL, 0, 2, sendto),
        (_LOAD, 0, 0, _SENDTO_ADDRESS),
        (_JUMP_IF_EQUAL, 0, 1, 0),  # none: `send` on a socket that is connected already
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _KILL_PROCESS),
    ]
    content = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = _Program(len(steps), content)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program)
    ):
        raise OSError(ctypes.get_errno(), "seccomp is not available")


if __name__ == "__main__":
    forbid(*CALLS[platform.machine()])
    os.execvp(sys.argv[1], sys.argv[1:])
