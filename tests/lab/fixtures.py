"""The lab as pytest fixtures. The shared ones are for tests which leave the daemon as they found it."""

import os
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from tests.lab.daemon import Daemon, short_root
from tests.lab.exporter import Exporter
from tests.lab.guests import Guests
from tests.lab.hosts import Host, Hosts
from tests.lab.newer import newer_libvirt_or_skip, newer_programs
from tests.lab.private import PrivateDaemon
from tests.lab.programs import HOST, Programs
from tests.lab.session import SessionDaemon
from tests.lab.witness import Witness


@pytest.fixture(scope="session", autouse=True)
def _libvirt_raises_and_does_not_print() -> None:
    libvirt.registerErrorHandler(lambda _context, _error: None, None)


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Which libvirt the lab's daemons are: the machine's own, or with LAB_LIBVIRT=newer another."""
    if os.environ.get("LAB_LIBVIRT") != "newer":
        return HOST
    newer_libvirt_or_skip()
    return newer_programs()


@pytest.fixture(scope="session")
def lab_root() -> Iterator[Path]:
    with short_root() as root:
        yield root


@pytest.fixture(scope="session")
def guests(lab_root: Path, programs: Programs) -> Guests:
    return Guests(lab_root / "guests", programs)


@pytest.fixture(scope="session")
def session_daemon(lab_root: Path, programs: Programs) -> Iterator[Daemon]:
    with SessionDaemon(lab_root / "session", programs) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def witness(session_daemon: Daemon) -> Iterator[Witness]:
    with Witness(session_daemon.uri) as witness:
        yield witness


@pytest.fixture(scope="session")
def exporter(session_daemon: Daemon, witness: Witness, lab_root: Path) -> Iterator[Exporter]:
    del witness  # it is there first, and so it has seen all that the exporter counts
    with Exporter(lab_root, [session_daemon.uri]) as exporter:
        yield exporter


@pytest.fixture(scope="session")
def driver_witness(session_daemon: Daemon) -> Iterator[Witness]:
    """Of the test driver in the daemon."""
    with Witness(session_daemon.test_uri) as witness:
        yield witness


@pytest.fixture(scope="session")
def driver_exporter(session_daemon: Daemon, driver_witness: Witness, lab_root: Path) -> Iterator[Exporter]:
    del driver_witness  # as above
    with Exporter(lab_root, [session_daemon.test_uri]) as exporter:
        yield exporter


@pytest.fixture
def own_daemon(programs: Programs) -> Iterator[Daemon]:
    """One that the test may stop, kill and freeze."""
    with short_root() as root, SessionDaemon(root / "own", programs) as daemon:
        yield daemon


@pytest.fixture
def own_witness(own_daemon: Daemon) -> Iterator[Witness]:
    with Witness(own_daemon.uri) as witness:
        yield witness


@pytest.fixture
def own_driver_witness(own_daemon: Daemon) -> Iterator[Witness]:
    with Witness(own_daemon.test_uri) as witness:
        yield witness


@pytest.fixture(scope="session")
def hosts(lab_root: Path, programs: Programs) -> Iterator[Hosts]:
    """Two libvirts that migrate, privileged ones for root, each with a witness; one exporter on both."""
    kind = PrivateDaemon if os.getuid() == 0 else SessionDaemon
    with (
        kind(lab_root / "here", programs, hostname="here") as here,
        kind(lab_root / "there", programs, hostname="there") as there,
        Witness(here.uri) as seen_here,
        Witness(there.uri) as seen_there,
        Exporter(lab_root, [f"here={here.uri}", f"there={there.uri}"]) as exporter,
    ):
        yield Hosts(Host("here", here, seen_here), Host("there", there, seen_there), exporter)
