"""pytest fixtures of the lab. Tests that use a shared (session) fixture leave the daemon as they found it."""

import os
from collections.abc import Iterator
from pathlib import Path

import libvirt
import pytest

from tests.lab.daemon import Daemon, short_root
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.guests import Guests
from tests.lab.hosts import Host, Hosts
from tests.lab.newer_libvirt import newer_libvirt_or_skip, newer_programs
from tests.lab.programs import HOST, Programs
from tests.lab.session_daemon import SessionDaemon
from tests.lab.system_daemon import SystemDaemon


@pytest.fixture(scope="session", autouse=True)
def _libvirt_raises_and_does_not_print() -> None:
    libvirt.registerErrorHandler(lambda _context, _error: None, None)


@pytest.fixture(scope="session")
def programs() -> Programs:
    """The libvirt of the daemons: the installed one, or a newer one with LAB_LIBVIRT=newer."""
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
def recorder(session_daemon: Daemon) -> Iterator[EventRecorder]:
    with EventRecorder(session_daemon.uri) as recorder:
        yield recorder


@pytest.fixture(scope="session")
def exporter(session_daemon: Daemon, recorder: EventRecorder, lab_root: Path) -> Iterator[Exporter]:
    del recorder  # starts first, and so it has recorded all that the exporter counts
    with Exporter(lab_root, [session_daemon.uri]) as exporter:
        yield exporter


@pytest.fixture(scope="session")
def driver_recorder(session_daemon: Daemon) -> Iterator[EventRecorder]:
    """Recorder of the test driver in the daemon."""
    with EventRecorder(session_daemon.test_uri) as recorder:
        yield recorder


@pytest.fixture(scope="session")
def driver_exporter(
    session_daemon: Daemon, driver_recorder: EventRecorder, lab_root: Path
) -> Iterator[Exporter]:
    del driver_recorder  # as above
    with Exporter(lab_root, [session_daemon.test_uri]) as exporter:
        yield exporter


@pytest.fixture
def own_daemon(programs: Programs) -> Iterator[Daemon]:
    """A daemon that the test may stop, kill and freeze."""
    with short_root() as root, SessionDaemon(root / "own", programs) as daemon:
        yield daemon


@pytest.fixture
def own_recorder(own_daemon: Daemon) -> Iterator[EventRecorder]:
    with EventRecorder(own_daemon.uri) as recorder:
        yield recorder


@pytest.fixture
def own_driver_recorder(own_daemon: Daemon) -> Iterator[EventRecorder]:
    with EventRecorder(own_daemon.test_uri) as recorder:
        yield recorder


@pytest.fixture(scope="session")
def hosts(lab_root: Path, programs: Programs) -> Iterator[Hosts]:
    """Two libvirts that migrate to each other (privileged ones for root), their recorders, and one
    exporter.
    """
    kind = SystemDaemon if os.getuid() == 0 else SessionDaemon
    with (
        kind(lab_root / "here", programs, hostname="here") as here,
        kind(lab_root / "there", programs, hostname="there") as there,
        EventRecorder(here.uri) as recorder_here,
        EventRecorder(there.uri) as recorder_there,
        Exporter(lab_root, [f"here={here.uri}", f"there={there.uri}"]) as exporter,
    ):
        yield Hosts(Host("here", here, recorder_here), Host("there", there, recorder_there), exporter)
