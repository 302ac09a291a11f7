"""The journal is the queue: what is to be delivered stays until it is, whatever happens to the history."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.span_operations import LIMIT
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
from libvirt_lifecycle_exporter.otel.responses import ACCEPTED, Answer
from tests.lab.exporter import free_port
from tests.lab.waiting import until
from tests.otel.export_harness import HERE, ExportHarness, event
from tests.otel.stub import WELL, Reply, Stub

NOBODY = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
DAY = 86_400.0


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as stub:
        yield stub


def to(stub: Stub) -> dict[str, str]:
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}


def numbers(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT seq FROM transitions ORDER BY seq")]


def keeper(sender: ExportHarness, **limits: float) -> JournalMaintenance:
    given = {"oldest": 10 * DAY, "largest": 0, **limits}
    return JournalMaintenance(
        sender.journal, max_age=given["oldest"], max_bytes=int(given["largest"]), signals=SIGNALS
    )


@pytest.mark.parametrize("limits", [{}, {"largest": 1}], ids=["by age", "by size"])
def test_history_that_is_still_to_be_delivered_stays(
    tmp_path: Path, stub: Stub, limits: dict[str, float]
) -> None:
    old = time.time() - 20 * DAY
    with ExportHarness(tmp_path, NOBODY, max_age=0) as sender:
        sender.send(event(at=old) for _ in range(2500))
        keeper(sender, **limits).run_once(time.time())
        assert len(numbers(sender.path)) == 2500
    with ExportHarness(tmp_path, to(stub), max_age=0) as sender:
        until(lambda: not sender.pending(LOGS) + sender.pending(TRACES), 30, "all to be delivered")
        keeper(sender, **limits).run_once(time.time())
        assert len(numbers(sender.path)) < 2500
        assert sorted(stub.numbers("logs")) == list(range(1, 2501))


def test_an_operation_under_way_holds_its_own_rows(tmp_path: Path, stub: Stub) -> None:
    with ExportHarness(tmp_path, to(stub)) as sender:
        sender.send([event("shutdown/guest"), *(event(name="other") for _ in range(3))])
        stub.wait(lambda: stub.numbers("traces") == [2, 3, 4], "the other domain's spans")
        assert sender.outbox.expire(time.time()) == 0
        assert sender.outbox.expire(time.time() + LIMIT) == 1
        stub.wait(lambda: stub.numbers("traces") == [2, 3, 4, 1], "the one that did not end")
        (late,) = (span for span in stub.taken("traces") if span.name == "shut down domain")
        assert late.end_time_unix_nano - late.start_time_unix_nano == pytest.approx(LIMIT * 1e9)


def test_history_that_went_while_nothing_was_sent_is_counted(tmp_path: Path, stub: Stub) -> None:
    with ExportHarness(tmp_path, NOBODY) as sender:
        sender.send(event() for _ in range(4))
    with closing(sqlite3.connect(sender.path)) as database:
        database.execute("DELETE FROM transitions WHERE seq = 2")
        database.commit()
    with ExportHarness(tmp_path, to(stub)) as sender:
        until(lambda: not sender.pending(LOGS) + sender.pending(TRACES), 20, "the queue to be empty")
        for signal in (TRACES, LOGS):
            assert stub.numbers(signal) == [1, 3, 4]
            assert sender.sender(signal).dropped["history_gone"] == 1


def test_a_file_of_an_older_release_is_taken_over_and_its_history_is_not_sent(
    tmp_path: Path, stub: Stub
) -> None:
    old = connect(tmp_path / "journal.sqlite")
    old.executescript(f"BEGIN;{schema._V1};PRAGMA user_version = 1;COMMIT;")  # noqa: SLF001 - as it was
    change = event()
    columns = ", ".join(change._fields)
    marks = ", ".join("?" * len(change))
    old.execute(f"INSERT INTO transitions ({columns}) VALUES ({marks})", change)
    old.close()
    with ExportHarness(tmp_path, to(stub)) as sender:
        sender.send([event()])
        stub.wait(lambda: stub.taken("logs") and stub.taken("traces"), "what is new")
        assert stub.numbers("logs") == stub.numbers("traces") == [2]
        assert len(numbers(sender.path)) == 2


def test_what_was_kept_in_memory_is_sent_once_it_is_written(tmp_path: Path, stub: Stub) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with ExportHarness(folder, to(stub)) as sender:
        sender.send([event()])
        stub.wait(lambda: stub.taken("logs"), "the first")
        moved = folder / "moved"
        sender.path.rename(moved)
        sender.tend()
        sender.send([event()])
        sender.tend()
        # Another file, with an identity of its own, so that the ids differ although the number is the same.
        stub.wait(lambda: stub.numbers("logs") == [1, 1], "the second")
        first, second = stub.taken("logs")
        assert first.trace_id != second.trace_id


def test_what_was_delivered_out_of_one_journal_is_not_taken_out_of_another(
    tmp_path: Path, stub: Stub
) -> None:
    """The journal is replaced while a batch is on its way; the new one's numbers begin anew."""
    moved = tmp_path / "moved"

    def replies(_: list[object]) -> Reply:
        if not moved.exists():
            sender.path.rename(moved)
        return WELL

    stub.replies = replies
    with ExportHarness(tmp_path, to(stub), signals=("logs",)) as sender:
        sender.send(event(name="before") for _ in range(5))
        stub.wait(lambda: stub.numbers("logs") == [1, 2, 3, 4, 5], "what was there before")
        sender.tend()
        sender.send(event(name="after") for _ in range(3))
        sender.tend()
        stub.wait(lambda: stub.numbers("logs") == [1, 2, 3, 4, 5, 1, 2, 3], "what came after")


class Unmarked:
    """An outbox that cannot be written for a while."""

    def __init__(self) -> None:
        self.is_full = True
        self.marked: list[int] = []

    def done(self, _: str, places: list[int]) -> None:
        if self.is_full:
            raise UnavailableError("the disk is full")
        self.marked += places


class Willing:
    def send(self, parcels: list[ExportItem]) -> Answer:
        assert parcels
        return ACCEPTED


def test_what_was_delivered_and_could_not_be_marked_is_remembered() -> None:
    outbox = Unmarked()
    shipping = BatchDelivery(LOGS, outbox, Willing(), lambda _cause, _count: None)  # type: ignore[arg-type] # small fakes
    with pytest.raises(UnavailableError):
        shipping.ship([ExportItem(7, HERE, "u", None, ())])
    assert (shipping.done, shipping.exported) == ({7}, 1)
    outbox.is_full = False
    shipping.mark()
    assert (shipping.done, outbox.marked) == (set(), [7])


@pytest.mark.parametrize("jump", [40 * DAY, -7200.0])
def test_open_operation_follows_a_clock_jump(jump: float, tmp_path: Path, stub: Stub) -> None:
    with ExportHarness(tmp_path, to(stub)) as sender:
        now = time.time()
        sender.send([event("shutdown/guest", at=now)])
        jumped = ChangeBatch()
        jumped.clock_jump = jump
        jumped.count(event("stopped/shutdown", at=now + jump + 2))
        sender.journal.append(jumped)
        stub.wait(lambda: stub.numbers("traces") == [1, 2], "the span")
        (span,) = stub.taken("traces")
        assert span.end_time_unix_nano - span.start_time_unix_nano == pytest.approx(2e9, abs=1e6)


def test_give_up_ignores_a_clock_that_is_ahead(tmp_path: Path) -> None:
    with ExportHarness(tmp_path, NOBODY) as sender:
        sender.send(event() for _ in range(4))
        assert sender.outbox.give_up(LOGS, time.time() - 60) == 0
        sender.send([event(at=time.time() - 40 * DAY)])
        assert sender.outbox.give_up(LOGS, time.time() - DAY) == 0, "its clock was behind"
        assert sender.pending(LOGS) == 5
