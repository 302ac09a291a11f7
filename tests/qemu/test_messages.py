"""Why, in words: what the emulator, libvirt and the guest themselves said of it, in the journal."""

import re
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.lab.daemon import Daemon
from tests.lab.domain_xml import Hardware
from tests.lab.event_recorder import EventRecorder
from tests.lab.guests import IDLE, Guest, Guests
from tests.lab.journal_reader import Row
from tests.qemu import disks
from tests.qemu.blindness import OFTEN, Mortal
from tests.qemu.plays import boot_and_wait, emulator_gets
from tests.qemu.scenario import Play
from tests.qemu.stage import Stage, on_stage
from tests.qemu.unseen import HOLDABLE, boot_and_hold, let_go

WRITER = Guest("write")
TOLD_WITHIN = 5.0
REMEMBERS_IO_ERRORS = 11_001_000
"""The libvirt from which on virDomainGetMessages tells of them."""


@pytest.fixture(scope="module")
def reader(session_daemon: Daemon, recorder: EventRecorder, lab_root: Path) -> Iterator[Mortal]:
    """An exporter that knows where this daemon's emulators write their logs."""
    del recorder  # as for the shared exporter
    logs = session_daemon.root / "cache/libvirt/qemu/log"
    with Mortal(
        lab_root, [session_daemon.uri], extra_args=(*OFTEN, "--libvirt.log-dir", str(logs))
    ) as exporter:
        yield exporter


class Teller:
    """Plays, and tells what the journal says of it."""

    def __init__(
        self, name: str, daemon: Daemon, guests: Guests, recorder: EventRecorder, reader: Mortal
    ) -> None:
        self._name = name
        self._daemon = daemon
        self._guests = guests
        self._witness = recorder
        self._reader = reader
        connection = daemon.connect()
        self.libvirt = connection.getLibVersion()
        connection.close()

    def row(self, play: Play, pair: str, guest: Guest = IDLE, *, has_words: bool = True) -> Row:
        """The row of that pair, once it has a message; the domain is left as it is meanwhile."""
        with self._stage(guest) as stage:
            play(stage)
            return self._told(pair, has_words=has_words)

    def row_unseen(self, make: disks.MakeDisk, pair: str, guest: Guest) -> Row:
        """The same, of a guest that is held until the exporter is gone, and acts before it is back."""
        with self._stage(guest) as stage:
            boot_and_hold(stage, second_disk=make(stage, "stop"))
            self._reader.wait_until(lambda: self._reader.lifecycle_counts(self._name)["started", "booted"])
            self._reader.end(signal.SIGKILL)
            let_go(stage)
            stage.sees(pair)
            self._reader.begin()
            return self._told(pair, has_words=self.libvirt >= REMEMBERS_IO_ERRORS)

    def log(self) -> str:
        """The emulator's log of this domain, as libvirt keeps it."""
        return (self._daemon.root / f"cache/libvirt/qemu/log/{self._name}.log").read_text()

    def _stage(self, guest: Guest) -> AbstractContextManager[Stage]:
        return on_stage(Stage(self._name, guest, self._daemon, self._guests, self._witness))

    def _told(self, pair: str, *, has_words: bool) -> Row:
        event, reason = pair.split("/")

        def found() -> Row | None:
            rows = [
                row
                for row in self._reader.journal.rows(self._name)
                if (row.event, row.reason) == (event, reason)
            ]
            return next((row for row in rows if row.message or not has_words), None)

        self._reader.wait_until(found, TOLD_WITHIN, f"{self._name}: words for {pair}")
        row = found()
        assert row is not None
        print(f"{self._name}: {pair}: {row.message}")
        assert row.message.isprintable()
        return row


@pytest.fixture
def teller(
    request: pytest.FixtureRequest,
    session_daemon: Daemon,
    guests: Guests,
    recorder: EventRecorder,
    reader: Mortal,
) -> Teller:
    name = request.node.name.removeprefix("test_").replace("_", "-")
    return Teller(name, session_daemon, guests, recorder, reader)


def test_message_names_sigterm_and_its_sender(teller: Teller) -> None:
    row = teller.row(emulator_gets(signal.SIGTERM, "stopped/shutdown"), "stopped/quit")
    assert re.search(r"terminating on signal 15 from pid \d+", row.message)


def test_killed_emulator_without_output_has_no_message(teller: Teller) -> None:
    row = teller.row(emulator_gets(signal.SIGKILL, "stopped/failed"), "stopped/crashed", has_words=False)
    assert row.message == ""


def test_start_up_output_is_not_the_reason_of_a_crash(teller: Teller) -> None:
    """An unsupported CPU model and a pty, as virt-install configures them, produce output at every start."""
    noisy = Guest(hardware=Hardware(commandline=("-cpu", "Skylake-Server", "-chardev", "pty,id=console")))
    row = teller.row(
        emulator_gets(signal.SIGKILL, "stopped/failed"), "stopped/crashed", noisy, has_words=False
    )
    log = teller.log()
    for noise in ("warning: TCG doesn't support", "char device redirected", "shutting down, reason=crashed"):
        assert noise in log
    assert row.message == ""


def test_panic_that_stops_a_domain_has_no_false_message(teller: Teller) -> None:
    """libvirt may end the emulator with SIGTERM or SIGKILL; only SIGTERM leaves a line."""
    panicking = Guest("panic", hardware=Hardware(panic=True, on_crash="destroy"))
    row = teller.row(boot_and_wait("stopped/crashed"), "stopped/crashed", panicking, has_words=False)
    assert "shutting down, reason=crashed" in teller.log()
    assert re.fullmatch(r"(\S+: terminating on signal 15 from pid \d+.*)?", row.message)


def test_message_names_path_and_reason_of_a_full_disk(teller: Teller) -> None:
    images: list[str] = []

    def play(stage: Stage) -> None:
        disk = disks.full(stage, "stop")
        images.append(str(disk.path))
        stage.boot(second_disk=disk)
        stage.sees("suspended/ioerror")

    row = teller.row(play, "io_error/enospc", WRITER)
    assert images[0] in row.message
    assert "enospc" in row.message


def test_message_names_the_path_of_a_broken_image(teller: Teller) -> None:
    images: list[str] = []

    def play(stage: Stage) -> None:
        disk = disks.corrupt(stage, "stop")
        images.append(str(disk.path))
        stage.boot(second_disk=disk)
        stage.sees("suspended/ioerror")

    row = teller.row(play, "io_error/other", WRITER)
    assert images[0] in row.message


def test_message_of_a_watchdog_stop_names_the_watchdog(teller: Teller) -> None:
    unfed = Guest("watchdog", hardware=Hardware(watchdog="poweroff"))
    row = teller.row(boot_and_wait("stopped/failed"), "stopped/hung", unfed)
    assert "the guest's watchdog ran out; its action is poweroff" in row.message
    assert "shutting down" not in row.message


def test_message_of_a_pause_names_the_full_disk_and_error(teller: Teller) -> None:
    row = teller.row(disks.writes_to(disks.full, "stop", "suspended/ioerror"), "suspended/ioerror", WRITER)
    assert "blank.qcow2: enospc" in row.message


def test_message_of_a_pause_names_the_broken_image(teller: Teller) -> None:
    row = teller.row(disks.writes_to(disks.corrupt, "stop", "suspended/ioerror"), "suspended/ioerror", WRITER)
    assert "blank.qcow2" in row.message


def test_message_of_a_pause_by_a_lost_network_disk(teller: Teller) -> None:
    """Before 11.1 nothing names the disk, neither an event nor the log; then nothing is made up."""
    knows = teller.libvirt >= REMEMBERS_IO_ERRORS
    row = teller.row(disks.server_of_the_disk_dies, "suspended/ioerror", WRITER, has_words=knows)
    assert ("disk='hdb'" in row.message) == knows


def test_message_of_a_pause_that_was_not_observed(teller: Teller) -> None:
    row = teller.row_unseen(disks.full, "suspended/ioerror", Guest("write", HOLDABLE))
    assert row.source == "reconcile"
    assert ("blank.qcow2" in row.message) == (teller.libvirt >= REMEMBERS_IO_ERRORS)


def test_message_of_a_watchdog_pause_names_the_watchdog(teller: Teller) -> None:
    unfed = Guest("watchdog", hardware=Hardware(watchdog="pause"))
    row = teller.row(boot_and_wait("suspended/watchdog"), "suspended/watchdog", unfed)
    assert "watchdog ran out; its action is pause" in row.message


def test_message_of_a_watchdog_event_names_its_action(teller: Teller) -> None:
    unfed = Guest("watchdog", hardware=Hardware(watchdog="pause"))
    row = teller.row(boot_and_wait("watchdog/pause"), "watchdog/pause", unfed)
    assert "pause" in row.message
