"""Messages in the journal: output of the emulator, and errors of libvirt and the guest."""

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
from tests.qemu.domain_driver import DomainDriver, managed_domain
from tests.qemu.missed_events import FREEZE_DELAY, boot_and_freeze, release
from tests.qemu.operations import boot_and_wait, signal_emulator_and_wait
from tests.qemu.outage import SHORT_INTERVALS, RestartableExporter
from tests.qemu.scenario import Operation

WRITER = Guest("write")
MESSAGE_WITHIN = 5.0
HAS_IO_ERROR_MESSAGES = 11_001_000
"""First libvirt version whose virDomainGetMessages returns I/O errors."""


@pytest.fixture(scope="module")
def exporter(
    session_daemon: Daemon, recorder: EventRecorder, lab_root: Path
) -> Iterator[RestartableExporter]:
    """An exporter that reads the logs of this daemon's emulators."""
    del recorder  # as for the shared exporter
    logs = session_daemon.root / "cache/libvirt/qemu/log"
    with RestartableExporter(
        lab_root, [session_daemon.uri], extra_args=(*SHORT_INTERVALS, "--libvirt.log-dir", str(logs))
    ) as exporter:
        yield exporter


class MessageScenario:
    """Runs an operation, and returns the row of the journal with the message."""

    def __init__(
        self,
        name: str,
        daemon: Daemon,
        guests: Guests,
        recorder: EventRecorder,
        exporter: RestartableExporter,
    ) -> None:
        self._name = name
        self._daemon = daemon
        self._guests = guests
        self._recorder = recorder
        self._exporter = exporter
        connection = daemon.connect()
        self.libvirt = connection.getLibVersion()
        connection.close()

    def row(self, operation: Operation, pair: str, guest: Guest = IDLE, *, has_message: bool = True) -> Row:
        """Return the row of the pair as soon as it has a message; the domain is not changed meanwhile."""
        with self._driver(guest) as driver:
            operation(driver)
            return self._wait_row(pair, has_message=has_message)

    def row_missed(self, make: disks.MakeDisk, pair: str, guest: Guest) -> Row:
        """The same for an event during an outage: the guest acts after the exporter has been killed."""
        with self._driver(guest) as driver:
            boot_and_freeze(driver, second_disk=make(driver, "stop"))
            self._exporter.wait_until(
                lambda: self._exporter.lifecycle_counts(self._name)["started", "booted"]
            )
            self._exporter.end(signal.SIGKILL)
            release(driver)
            driver.wait_event(pair)
            self._exporter.begin()
            return self._wait_row(pair, has_message=self.libvirt >= HAS_IO_ERROR_MESSAGES)

    def log(self) -> str:
        """Return libvirt's log of the emulator of this domain."""
        return (self._daemon.root / f"cache/libvirt/qemu/log/{self._name}.log").read_text()

    def _driver(self, guest: Guest) -> AbstractContextManager[DomainDriver]:
        return managed_domain(DomainDriver(self._name, guest, self._daemon, self._guests, self._recorder))

    def _wait_row(self, pair: str, *, has_message: bool) -> Row:
        event, reason = pair.split("/")

        def found() -> Row | None:
            rows = [
                row
                for row in self._exporter.journal.rows(self._name)
                if (row.event, row.reason) == (event, reason)
            ]
            return next((row for row in rows if row.message or not has_message), None)

        self._exporter.wait_until(found, MESSAGE_WITHIN, f"{self._name}: words for {pair}")
        row = found()
        assert row is not None
        print(f"{self._name}: {pair}: {row.message}")
        assert row.message.isprintable()
        return row


@pytest.fixture
def scenario(
    request: pytest.FixtureRequest,
    session_daemon: Daemon,
    guests: Guests,
    recorder: EventRecorder,
    exporter: RestartableExporter,
) -> MessageScenario:
    name = request.node.name.removeprefix("test_").replace("_", "-")
    return MessageScenario(name, session_daemon, guests, recorder, exporter)


def test_message_names_sigterm_and_its_sender(scenario: MessageScenario) -> None:
    row = scenario.row(signal_emulator_and_wait(signal.SIGTERM, "stopped/shutdown"), "stopped/quit")
    assert re.search(r"terminating on signal 15 from pid \d+", row.message)


def test_killed_emulator_without_output_has_no_message(scenario: MessageScenario) -> None:
    row = scenario.row(
        signal_emulator_and_wait(signal.SIGKILL, "stopped/failed"), "stopped/crashed", has_message=False
    )
    assert row.message == ""


def test_start_up_output_is_not_the_reason_of_a_crash(scenario: MessageScenario) -> None:
    """An unsupported CPU model and a pty, as virt-install configures them, produce output at every start."""
    guest = Guest(hardware=Hardware(commandline=("-cpu", "Skylake-Server", "-chardev", "pty,id=console")))
    row = scenario.row(
        signal_emulator_and_wait(signal.SIGKILL, "stopped/failed"),
        "stopped/crashed",
        guest,
        has_message=False,
    )
    log = scenario.log()
    for noise in ("warning: TCG doesn't support", "char device redirected", "shutting down, reason=crashed"):
        assert noise in log
    assert row.message == ""


def test_panic_that_stops_a_domain_has_no_false_message(scenario: MessageScenario) -> None:
    """libvirt may end the emulator with SIGTERM or SIGKILL; only SIGTERM leaves a line."""
    guest = Guest("panic", hardware=Hardware(panic=True, on_crash="destroy"))
    row = scenario.row(boot_and_wait("stopped/crashed"), "stopped/crashed", guest, has_message=False)
    assert "shutting down, reason=crashed" in scenario.log()
    assert re.fullmatch(r"(\S+: terminating on signal 15 from pid \d+.*)?", row.message)


def test_message_names_path_and_reason_of_a_full_disk(scenario: MessageScenario) -> None:
    images: list[str] = []

    def operation(driver: DomainDriver) -> None:
        disk = disks.full(driver, "stop")
        images.append(str(disk.path))
        driver.boot(second_disk=disk)
        driver.wait_event("suspended/ioerror")

    row = scenario.row(operation, "io_error/enospc", WRITER)
    assert images[0] in row.message
    assert "enospc" in row.message


def test_message_names_the_path_of_a_broken_image(scenario: MessageScenario) -> None:
    images: list[str] = []

    def operation(driver: DomainDriver) -> None:
        disk = disks.corrupt(driver, "stop")
        images.append(str(disk.path))
        driver.boot(second_disk=disk)
        driver.wait_event("suspended/ioerror")

    row = scenario.row(operation, "io_error/other", WRITER)
    assert images[0] in row.message


def test_message_of_a_watchdog_stop_names_the_watchdog(scenario: MessageScenario) -> None:
    guest = Guest("watchdog", hardware=Hardware(watchdog="poweroff"))
    row = scenario.row(boot_and_wait("stopped/failed"), "stopped/hung", guest)
    assert "the guest's watchdog ran out; its action is poweroff" in row.message
    assert "shutting down" not in row.message


def test_message_of_a_pause_names_the_full_disk_and_error(scenario: MessageScenario) -> None:
    row = scenario.row(disks.writes_to(disks.full, "stop", "suspended/ioerror"), "suspended/ioerror", WRITER)
    assert "blank.qcow2: enospc" in row.message


def test_message_of_a_pause_names_the_broken_image(scenario: MessageScenario) -> None:
    row = scenario.row(
        disks.writes_to(disks.corrupt, "stop", "suspended/ioerror"), "suspended/ioerror", WRITER
    )
    assert "blank.qcow2" in row.message


def test_message_of_a_pause_by_a_lost_network_disk(scenario: MessageScenario) -> None:
    """Before 11.1 neither an event nor the log names the disk; then the message is empty."""
    knows = scenario.libvirt >= HAS_IO_ERROR_MESSAGES
    row = scenario.row(disks.server_of_the_disk_dies, "suspended/ioerror", WRITER, has_message=knows)
    assert ("disk='hdb'" in row.message) == knows


def test_message_of_a_pause_that_was_not_observed(scenario: MessageScenario) -> None:
    row = scenario.row_missed(disks.full, "suspended/ioerror", Guest("write", FREEZE_DELAY))
    assert row.source == "reconcile"
    assert ("blank.qcow2" in row.message) == (scenario.libvirt >= HAS_IO_ERROR_MESSAGES)


def test_message_of_a_watchdog_pause_names_the_watchdog(scenario: MessageScenario) -> None:
    guest = Guest("watchdog", hardware=Hardware(watchdog="pause"))
    row = scenario.row(boot_and_wait("suspended/watchdog"), "suspended/watchdog", guest)
    assert "watchdog ran out; its action is pause" in row.message


def test_message_of_a_watchdog_event_names_its_action(scenario: MessageScenario) -> None:
    guest = Guest("watchdog", hardware=Hardware(watchdog="pause"))
    row = scenario.row(boot_and_wait("watchdog/pause"), "watchdog/pause", guest)
    assert "pause" in row.message
