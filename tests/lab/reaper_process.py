"""The child sub-reaper: starts processes on request, collects every orphan at once, leaves nothing behind.

Run as a script. Why it exists: libvirtd daemonizes QEMU, so an emulator is re-parented to PID 1; where
PID 1 reaps late, libvirt takes the zombie for alive and each domain stop costs one to two seconds. And
when the test run itself is killed, its end of our stdin closes, which is the order to kill everything.

One JSON object a line. In:  {"argv": [...], "env": {...}, "cwd": ..., "log": path}
Out: {"started": pid} or {"refused": why} in answer, and {"exited": pid, "status": n} whenever it happens.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36


def tell(**message: object) -> None:
    with contextlib.suppress(BrokenPipeError):  # nobody listens any more: the end of stdin will say so
        os.write(1, json.dumps(message).encode() + b"\n")


def children() -> list[int]:
    """Direct children only: when these die, theirs become ours."""
    mine = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == os.getpid():
                mine.append(int(entry.name))
    return mine


def spawn(order: dict[str, Any]) -> None:
    with Path(order["log"]).open("ab") as log:
        try:
            child = subprocess.Popen(
                order["argv"],
                env=order["env"],
                cwd=order["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            tell(refused=f"{order['argv'][0]}: {error}")
            return
    child.returncode = 0  # collected by reap(), not by subprocess
    tell(started=child.pid)


def reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        tell(exited=pid, status=os.waitstatus_to_exitcode(status))


def serve() -> None:
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    orders = b""
    while True:
        ready, _, _ = select.select([0, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            reap()
        if 0 in ready:
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *lines, orders = (orders + chunk).split(b"\n")
            for line in lines:
                spawn(json.loads(line))


def clear() -> None:
    """One at a time: with each that dies, orphans of its own may have come to us."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while orphans := children():
        for pid in orphans:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(-1, 0)


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(0))
    try:
        serve()
    finally:
        clear()
        sys.exit(0)
