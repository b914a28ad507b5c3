#!/usr/bin/env python3
"""Becomes another user, or root without CAP_SYS_ADMIN, and starts a command."""

import ctypes
import os
import sys

CAP_SYS_ADMIN = 21
PR_CAPBSET_DROP = 24
VERSION_3 = 0x20080522


def drop_sys_admin():
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits
    steps = [
        lambda: libc.prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0),
        lambda: libc.capget(header, sets),
        lambda: libc.capset(header, (ctypes.c_uint32 * 6)(*masked(sets))),
    ]
    for step in steps:
        if step() != 0:
            raise OSError(ctypes.get_errno(), "CAP_SYS_ADMIN cannot be given up")


def masked(sets):
    return [word & ~(1 << CAP_SYS_ADMIN) if place < 3 else word for place, word in enumerate(sets)]


who, command = sys.argv[1], sys.argv[2:]
if who == "root-without-sys-admin":
    drop_sys_admin()
else:
    os.setgroups([])
    os.setresgid(int(who), int(who), int(who))
    os.setresuid(int(who), int(who), int(who))
os.execvp(command[0], command)
