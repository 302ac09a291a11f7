"""Applies the restrictions of the unit file to the current process, then runs the command.

    sandbox_process.py REQUEST COMMAND...       REQUEST: JSON

The order is that of exec_child() in systemd: user, capabilities, no new privileges, system call filters.
"""

import ctypes
import json
import os
import sys
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
SECCOMP = ctypes.CDLL("libseccomp.so.2", use_errno=True)
SECCOMP.seccomp_init.restype = ctypes.c_void_p

PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = 24, 38, 65
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
EQ, MASKED_EQ = 4, 7
WRITE, EXEC = 2, 4
CLONE_NEWUSER = 0x10000000
NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)


class Comparison(ctypes.Structure):
    """The struct scmp_arg_cmp of libseccomp."""

    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def prctl(option: int, value: int) -> bool:
    return int(LIBC.prctl(option, value, 0, 0, 0)) == 0


def rule(context: ctypes.c_void_p, action: int, name: str, *comparisons: Comparison) -> None:
    number = SECCOMP.seccomp_syscall_resolve_name(name.encode())
    if number == -1:
        return  # this processor does not have the system call
    all_of_them = (Comparison * len(comparisons))(*comparisons)
    SECCOMP.seccomp_rule_add_array(
        context, ctypes.c_uint32(action), number, ctypes.c_uint(len(comparisons)), all_of_them
    )


def load(context: ctypes.c_void_p) -> None:
    if SECCOMP.seccomp_load(context) != 0:
        raise OSError("the filter was not taken")


def deny_by_argument(families: list[int]) -> None:
    """Apply RestrictAddressFamilies, MemoryDenyWriteExecute, RestrictNamespaces and LockPersonality."""
    context = ctypes.c_void_p(SECCOMP.seccomp_init(ctypes.c_uint32(ALLOW)))
    eafnosupport = 0x00050000 | 97
    for family in range(64):
        if family not in families:
            rule(context, eafnosupport, "socket", Comparison(0, EQ, family, 0))
    for call in ("mmap", "mmap2"):
        rule(context, EPERM, call, Comparison(2, MASKED_EQ, WRITE | EXEC, WRITE | EXEC))
    for call in ("mprotect", "pkey_mprotect"):
        rule(context, EPERM, call, Comparison(2, MASKED_EQ, EXEC, EXEC))
    for flag in NAMESPACES:
        rule(context, EPERM, "clone", Comparison(0, MASKED_EQ, flag, flag))
    rule(context, ENOSYS, "clone3")
    for call in ("unshare", "setns", "personality"):
        rule(context, EPERM, call)
    load(context)


def allow_only(calls: list[str]) -> None:
    context = ctypes.c_void_p(SECCOMP.seccomp_init(ctypes.c_uint32(EPERM)))
    for name in calls:
        rule(context, ALLOW, name)
    load(context)


def private_users(uid: int) -> None:
    """Apply PrivateUsers: map only root and the user. A process outside the namespace must write the map."""
    read_end, write_end = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(write_end)
        os.read(read_end, 1)
        for kind in ("uid", "gid"):
            with open(f"/proc/{os.getppid()}/{kind}_map", "w") as mapped:  # noqa: PTH123 - no further imports after fork
                mapped.write("".join(f"{number} {number} 1\n" for number in (0, uid)))
        os._exit(0)
    if LIBC.unshare(CLONE_NEWUSER) != 0:
        raise OSError("no user namespace")
    os.close(write_end)
    if os.waitpid(helper, 0)[1] != 0:
        raise OSError("the users could not be mapped")


def main(request: dict[str, Any], command: list[str]) -> None:
    os.umask(request["umask"])
    if os.getuid() == 0 and request["uid"]:
        os.setgroups([])
        if request["private_users"]:
            private_users(request["uid"])
        for capability in range(64):
            prctl(PR_CAPBSET_DROP, capability)
        os.setresgid(*[request["uid"]] * 3)
        os.setresuid(*[request["uid"]] * 3)
    if not prctl(PR_SET_NO_NEW_PRIVS, 1):
        raise OSError("no new privileges: not taken")
    # Kernels before 6.3 have only the filter.
    prctl(PR_SET_MDWE, 1)
    deny_by_argument(request["families"])
    allow_only(request["calls"])
    os.execve(command[0], command, request["environment"])  # noqa: S606 - a command of the test


main(json.loads(sys.argv[1]), sys.argv[2:])
