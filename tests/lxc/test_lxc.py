"""libvirt's LXC driver: its events; a reboot changes the id, but is no stop and no start."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from tests.lab.daemon import short_root
from tests.lab.exporter import Exporter
from tests.lab.pairs import Pair
from tests.lab.system_daemon import SystemDaemon
from tests.lab.waiting import until

TIMEOUT = 30.0
SHORT_INTERVALS = ("--libvirt.snapshot-interval", "1s", "--libvirt.reconnect-max-delay", "1s")
XML = """<domain type='lxc'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type>exe</type><init>/bin/sh</init><initarg>-c</initarg><initarg>{script}</initarg></os>
<devices><console type='pty'/></devices></domain>"""
REBOOT = "import ctypes; ctypes.CDLL(None).reboot(0x1234567)"
"""Restart of a container's init: reboot(2) with LINUX_REBOOT_CMD_RESTART."""

Define = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def daemon() -> Iterator[SystemDaemon]:
    with short_root() as root, SystemDaemon(root / "lxc", hostname="lxc") as daemon:
        yield daemon


@pytest.fixture
def exporter(daemon: SystemDaemon) -> Iterator[Exporter]:
    with Exporter(daemon.root, [daemon.lxc_uri], extra_args=SHORT_INTERVALS) as exporter:
        yield exporter


@pytest.fixture
def define(daemon: SystemDaemon) -> Iterator[Define]:
    """Function that defines a container whose init is a shell script; containers are removed afterwards."""
    connection = libvirt.open(daemon.lxc_uri)
    containers: list[Any] = []

    def define(name: str, script: str) -> Any:
        containers.append(connection.defineXML(XML.format(name=name, script=script)))
        return containers[-1]

    yield define
    for container in containers:
        if container.isActive():
            container.destroy()
        container.undefine()
    containers.clear()
    connection.close()


def wait_counted(exporter: Exporter, name: str, *pairs: Pair) -> None:
    exporter.wait_until(
        lambda: all(exporter.lifecycle_counts(name)[pair] == 1 for pair in pairs),
        TIMEOUT,
        f"{pairs} of {name}",
    )


def init_of(container: Any) -> int:
    """Return the pid of the container's init: the only child of its controller, whose pid is the domain
    id.
    """
    controller = container.ID()
    children = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
    return int(children[0])


def reboot_script(container: str, root: Path) -> str:
    """Return a script that waits for a request, reboots once, and then sleeps."""
    requested, done = root / f"{container}-reboot", root / f"{container}-rebooted"
    return (
        f"[ -e {done} ] &amp;&amp; exec sleep 1000; while [ ! -e {requested} ]; do sleep 0.05; done; "
        f"touch {done}; exec python3 -c '{REBOOT}'".replace("'", "&apos;")
    )


def wait_rebooted(container: Any, before: int) -> None:
    def current_id() -> int:
        """Return the current id: a domain object keeps the id of its lookup."""
        return int(container.connect().lookupByUUIDString(container.UUIDString()).ID())

    until(lambda: current_id() not in (before, -1), TIMEOUT, "the reboot")


@pytest.mark.parametrize(("name", "script"), [("exits", "sleep 1; exit 3"), ("quits", "sleep 1; exit 0")])
def test_init_that_exits_is_a_shutdown(name: str, script: str, exporter: Exporter, define: Define) -> None:
    define(name, script).create()
    wait_counted(exporter, name, ("started", "booted"), ("stopped", "shutdown"))


def test_killed_init_is_a_shutdown(exporter: Exporter, define: Define) -> None:
    container = define("killed", "exec sleep 1000")
    container.create()
    os.kill(init_of(container), signal.SIGKILL)
    wait_counted(exporter, "killed", ("started", "booted"), ("stopped", "shutdown"))


def test_observed_reboot_is_no_stop(daemon: SystemDaemon, exporter: Exporter, define: Define) -> None:
    container = define("reboots", reboot_script("reboots", daemon.root))
    container.create()
    before = container.ID()
    wait_counted(exporter, "reboots", ("started", "booted"))
    (daemon.root / "reboots-reboot").touch()
    wait_rebooted(container, before)
    wait_counted(exporter, "reboots", ("rebooted", "reset"))
    container.destroy()
    wait_counted(exporter, "reboots", ("stopped", "destroyed"))
    requested = [(row.event, row.reason) for row in exporter.journal.rows("reboots")]
    assert requested == [
        ("defined", "added"),
        ("started", "booted"),
        ("rebooted", "reset"),
        ("stopped", "destroyed"),
    ]


def test_missed_reboot_is_no_stop(daemon: SystemDaemon, exporter: Exporter, define: Define) -> None:
    container = define("unseen", reboot_script("unseen", daemon.root))
    container.create()
    before = container.ID()
    wait_counted(exporter, "unseen", ("started", "booted"))
    exporter.kill()
    (daemon.root / "unseen-reboot").touch()
    wait_rebooted(container, before)
    exporter.again()
    container.suspend()
    wait_counted(exporter, "unseen", ("suspended", "paused"))
    container.resume()
    container.destroy()
    wait_counted(exporter, "unseen", ("stopped", "destroyed"))
    assert [row for row in exporter.journal.rows("unseen") if row.source == "reconcile"] == []
