"""The export queue: pending items stay in the journal until they are delivered."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.span_operations import OPERATION_LIMIT
from libvirt_lifecycle_exporter.journal import schema
from libvirt_lifecycle_exporter.journal.database_file import connect
from libvirt_lifecycle_exporter.journal.export_items import (
    LOGS,
    SIGNALS,
    TRACES,
    ExportItem,
    UnavailableError,
)
from libvirt_lifecycle_exporter.journal.maintenance import JournalMaintenance
from libvirt_lifecycle_exporter.otel.batch_delivery import BatchDelivery
from libvirt_lifecycle_exporter.otel.responses import ACCEPTED, ExportResult
from tests.lab.exporter import free_port
from tests.lab.waiting import until
from tests.otel.export_harness import HERE, ExportHarness, event
from tests.otel.receiver_stub import OK, ReceiverStub, StubResponse

NO_RECEIVER = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
DAY = 86_400.0


@pytest.fixture
def stub() -> Iterator[ReceiverStub]:
    with ReceiverStub() as stub:
        yield stub


def to(stub: ReceiverStub) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}


def numbers(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT seq FROM transitions ORDER BY seq")]


def keeper(harness: ExportHarness, **limits: float) -> JournalMaintenance:
    given = {"oldest": 10 * DAY, "largest": 0, **limits}
    return JournalMaintenance(
        harness.journal, max_age=given["oldest"], max_bytes=int(given["largest"]), signals=SIGNALS
    )


@pytest.mark.parametrize("limits", [{}, {"largest": 1}], ids=["by age", "by size"])
def test_retention_keeps_pending_items(tmp_path: Path, stub: ReceiverStub, limits: dict[str, float]) -> None:
    old = time.time() - 20 * DAY
    with ExportHarness(tmp_path, NO_RECEIVER, max_age=0) as harness:
        harness.send(event(at=old) for _ in range(2500))
        keeper(harness, **limits).run_once(time.time())
        assert len(numbers(harness.path)) == 2500
    with ExportHarness(tmp_path, to(stub), max_age=0) as harness:
        until(lambda: not harness.pending(LOGS) + harness.pending(TRACES), 30, "delivery of all items")
        keeper(harness, **limits).run_once(time.time())
        assert len(numbers(harness.path)) < 2500
        assert sorted(stub.numbers("logs")) == list(range(1, 2501))


def test_open_operation_delays_only_its_own_transitions(tmp_path: Path, stub: ReceiverStub) -> None:
    with ExportHarness(tmp_path, to(stub)) as harness:
        harness.send([event("shutdown/guest"), *(event(name="other") for _ in range(3))])
        stub.wait(lambda: stub.numbers("traces") == [2, 3, 4], "the other domain's spans")
        assert harness.queue.expire_operations(time.time()) == 0
        assert harness.queue.expire_operations(time.time() + OPERATION_LIMIT) == 1
        stub.wait(lambda: stub.numbers("traces") == [2, 3, 4, 1], "the span of the expired operation")
        (late,) = (span for span in stub.accepted("traces") if span.name == "shut down domain")
        assert late.end_time_unix_nano - late.start_time_unix_nano == pytest.approx(OPERATION_LIMIT * 1e9)


def test_items_removed_by_retention_are_counted(tmp_path: Path, stub: ReceiverStub) -> None:
    with ExportHarness(tmp_path, NO_RECEIVER) as harness:
        harness.send(event() for _ in range(4))
    with closing(sqlite3.connect(harness.path)) as database:
        database.execute("DELETE FROM transitions WHERE seq = 2")
        database.commit()
    with ExportHarness(tmp_path, to(stub)) as harness:
        until(lambda: not harness.pending(LOGS) + harness.pending(TRACES), 20, "an empty queue")
        for signal in (TRACES, LOGS):
            assert stub.numbers(signal) == [1, 3, 4]
            assert harness.sender(signal).dropped["history_gone"] == 1


def test_history_of_an_older_journal_is_not_sent(tmp_path: Path, stub: ReceiverStub) -> None:
    old = connect(tmp_path / "journal.sqlite")
    old.executescript(f"BEGIN;{schema._V1};PRAGMA user_version = 1;COMMIT;")  # noqa: SLF001 - as it was
    change = event()
    columns = ", ".join(change._fields)
    marks = ", ".join("?" * len(change))
    old.execute(f"INSERT INTO transitions ({columns}) VALUES ({marks})", change)
    old.close()
    with ExportHarness(tmp_path, to(stub)) as harness:
        harness.send([event()])
        stub.wait(lambda: stub.accepted("logs") and stub.accepted("traces"), "the new items")
        assert stub.numbers("logs") == stub.numbers("traces") == [2]
        assert len(numbers(harness.path)) == 2


def test_buffered_transitions_are_sent_after_the_write(tmp_path: Path, stub: ReceiverStub) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with ExportHarness(folder, to(stub)) as harness:
        harness.send([event()])
        stub.wait(lambda: stub.accepted("logs"), "the first")
        moved = folder / "moved"
        harness.path.rename(moved)
        harness.tend()
        harness.send([event()])
        harness.tend()
        # The new file has its own identity, so the ids differ although the number is the same.
        stub.wait(lambda: stub.numbers("logs") == [1, 1], "the second")
        first, second = stub.accepted("logs")
        assert first.trace_id != second.trace_id


def test_replaced_journal_keeps_its_own_pending_items(tmp_path: Path, stub: ReceiverStub) -> None:
    """The journal is replaced during a request; the numbers of the new one begin at 1."""
    moved = tmp_path / "moved"

    def respond(_: list[object]) -> StubResponse:
        if not moved.exists():
            harness.path.rename(moved)
        return OK

    stub.respond = respond
    with ExportHarness(tmp_path, to(stub), signals=("logs",)) as harness:
        harness.send(event(name="before") for _ in range(5))
        stub.wait(lambda: stub.numbers("logs") == [1, 2, 3, 4, 5], "items of the first journal")
        harness.tend()
        harness.send(event(name="after") for _ in range(3))
        harness.tend()
        stub.wait(lambda: stub.numbers("logs") == [1, 2, 3, 4, 5, 1, 2, 3], "items of the second journal")


class UnwritableQueue:
    """A queue that cannot be written for a while."""

    def __init__(self) -> None:
        self.is_full = True
        self.removed: list[int] = []

    def remove(self, _: str, positions: list[int]) -> None:
        if self.is_full:
            raise UnavailableError("the disk is full")
        self.removed += positions


class AcceptingExporter:
    def export(self, items: list[ExportItem]) -> ExportResult:
        assert items
        return ACCEPTED


def test_delivered_items_are_marked_once_the_journal_recovers() -> None:
    queue = UnwritableQueue()
    delivery = BatchDelivery(LOGS, queue, AcceptingExporter(), lambda _cause, _count: None)  # type: ignore[arg-type] # small fakes
    with pytest.raises(UnavailableError):
        delivery.deliver([ExportItem(7, HERE, "u", None, ())])
    assert (delivery.unmarked, delivery.exported) == ({7}, 1)
    queue.is_full = False
    delivery.mark_delivered()
    assert (delivery.unmarked, queue.removed) == (set(), [7])


@pytest.mark.parametrize("jump", [40 * DAY, -7200.0])
def test_open_operation_follows_a_clock_jump(jump: float, tmp_path: Path, stub: ReceiverStub) -> None:
    with ExportHarness(tmp_path, to(stub)) as harness:
        now = time.time()
        harness.send([event("shutdown/guest", at=now)])
        jumped = ChangeBatch()
        jumped.clock_jump = jump
        jumped.count_transition(event("stopped/shutdown", at=now + jump + 2), "web")
        harness.journal.append(jumped)
        stub.wait(lambda: stub.numbers("traces") == [1, 2], "the span")
        (span,) = stub.accepted("traces")
        assert span.end_time_unix_nano - span.start_time_unix_nano == pytest.approx(2e9, abs=1e6)


def test_age_limit_ignores_items_after_a_clock_jump(tmp_path: Path) -> None:
    with ExportHarness(tmp_path, NO_RECEIVER) as harness:
        harness.send(event() for _ in range(4))
        assert harness.queue.remove_older(LOGS, time.time() - 60) == 0
        harness.send([event(at=time.time() - 40 * DAY)])
        assert harness.queue.remove_older(LOGS, time.time() - DAY) == 0, "the clock was behind"
        assert harness.pending(LOGS) == 5
