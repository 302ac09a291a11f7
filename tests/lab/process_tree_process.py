"""Child subreaper: starts processes on request, reaps every orphan at once, and kills all at the end.

Run as a script. libvirtd daemonizes QEMU, so the parent of an emulator becomes PID 1. If PID 1 reaps late,
libvirt takes the zombie for a running process, and each stop of a domain takes one to two seconds longer.
If the test run is killed, stdin is closed, and this script kills all processes.

One JSON object per line. In: {"argv": [...], "env": {...}, "cwd": ..., "log": path}
Out: {"started": pid} or {"refused": reason} in answer, and {"exited": pid, "status": n} when a process ends.
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


def send(**message: object) -> None:
    with contextlib.suppress(BrokenPipeError):  # the reader has ended: stdin will end, too
        os.write(1, json.dumps(message).encode() + b"\n")


def children() -> list[int]:
    """Return the pids of direct children; if one ends, its children become ours."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == os.getpid():
                pids.append(int(entry.name))
    return pids


def spawn(request: dict[str, Any]) -> None:
    with Path(request["log"]).open("ab") as log:
        try:
            child = subprocess.Popen(
                request["argv"],
                env=request["env"],
                cwd=request["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            send(refused=f"{request['argv'][0]}: {error}")
            return
    child.returncode = 0  # reaped by reap(), not by subprocess
    send(started=child.pid)


def reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        send(exited=pid, status=os.waitstatus_to_exitcode(status))


def serve() -> None:
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
    requests = b""
    while True:
        ready, _, _ = select.select([0, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            reap()
        if 0 in ready:
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *lines, requests = (requests + chunk).split(b"\n")
            for line in lines:
                spawn(json.loads(line))


def kill_children() -> None:
    """Kill one round after the other: the orphans of a killed process become our children."""
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
        kill_children()
        sys.exit(0)
