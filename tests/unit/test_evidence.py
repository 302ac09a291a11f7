"""Sources of evidence and their order; hanging sources are abandoned."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from libvirt_lifecycle_exporter.hypervisor.evidence import DISK_EVENTS, EvidenceCollector, LimitedReader
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest
from libvirt_lifecycle_exporter.model.vocabulary import EXPLAINED

URI = "qemu:///system"
LOGGED = "qemu-system-x86_64: terminating on signal 15 from pid 1234"
IO_ERROR = "I/O error: disk='vda', path='/images/web.qcow2', message='No such device'"


class Libvirt:
    """Fake connection with one domain and its I/O errors."""

    def __init__(self, *messages: str) -> None:
        self._messages = list(messages)
        self.calls = 0

    def lookupByUUIDString(self, _uuid: str) -> Any:  # noqa: N802
        return self

    def messages(self, _flags: int) -> list[str]:
        self.calls += 1
        return self._messages


def subject(pair: str, name: str = "web") -> EvidenceRequest:
    event, _, reason = pair.partition("/")
    return EvidenceRequest(name, 7, event, reason, time.time())


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "web.log").write_text(f"{LOGGED}\n")
    return tmp_path


@pytest.mark.parametrize("pair", ["suspended/ioerror", "io_error/other"])
def test_io_errors_of_libvirt_take_precedence(logs: Path, pair: str) -> None:
    assert EvidenceCollector(URI, str(logs)).collect(Libvirt(IO_ERROR), "u-1", subject(pair)) == IO_ERROR


@pytest.mark.parametrize("pair", ["suspended/ioerror", "io_error/other"])
def test_emulator_log_is_used_without_io_errors(logs: Path, pair: str) -> None:
    assert EvidenceCollector(URI, str(logs)).collect(Libvirt(), "u-1", subject(pair)) == LOGGED


@pytest.mark.parametrize(
    "pair", ["stopped/failed", "stopped/quit", "suspended/watchdog", "crashed/panicked", "control_error/x"]
)
def test_io_errors_are_no_evidence_for_other_events(logs: Path, pair: str) -> None:
    virt = Libvirt(IO_ERROR)
    assert EvidenceCollector(URI, str(logs)).collect(virt, "u-1", subject(pair)) == LOGGED
    assert virt.calls == 0


@pytest.mark.parametrize("uri", ["qemu+ssh://other/system", "test:///default", "qemu:///system"])
def test_missing_log_gives_no_evidence(uri: str, tmp_path: Path) -> None:
    assert EvidenceCollector(uri, str(tmp_path)).collect(Libvirt(), "u-1", subject("stopped/crashed")) == ""


def test_reset_allows_another_request(logs: Path) -> None:
    evidence = EvidenceCollector(URI, str(logs))
    request = subject("suspended/ioerror")
    assert evidence.collect(object(), "u-1", request) == LOGGED
    assert evidence.collect(Libvirt(IO_ERROR), "u-1", request) == LOGGED, "messages are unsupported"
    evidence.reset()
    assert evidence.collect(Libvirt(IO_ERROR), "u-1", request) == IO_ERROR


def test_disk_events_are_explained_events() -> None:
    assert DISK_EVENTS <= EXPLAINED


def test_hanging_read_is_abandoned() -> None:
    """A folder on storage that hangs."""
    hangs = threading.Event()

    def hanging_read() -> str:
        hangs.wait()
        return "too late"

    reader = LimitedReader(time_limit=0.05)
    try:
        assert reader.read(hanging_read) == ""
        assert reader.read(lambda: "of another") == "", "one hanging thread, not one per read"
    finally:
        hangs.set()
    while not (result := reader.read(lambda: "again")):
        pass
    assert result == "again"


def test_each_read_returns_its_own_result() -> None:
    reader = LimitedReader(time_limit=30.0)
    assert [reader.read(lambda n=n: str(n)) for n in range(100)] == [str(n) for n in range(100)]  # type: ignore[misc]
