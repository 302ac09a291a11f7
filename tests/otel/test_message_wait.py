"""Evidence comes a little later than the fact: it is waited for, and what was sent never changes."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.journal.export_items import EVIDENCE_WAIT
from tests.lab.waiting import until
from tests.otel.export_harness import HERE, ExportHarness, event
from tests.otel.receiver_stub import OK, ReceiverStub, StubResponse

CRASH = "stopped/crashed"


@pytest.fixture
def stub() -> Iterator[ReceiverStub]:
    with ReceiverStub() as stub:
        yield stub


def message(item: Any) -> str:
    told = item.events[0] if hasattr(item, "events") else item
    return next((a.value.string_value for a in told.attributes if a.key == "libvirt.domain.message"), "")


def explain(harness: ExportHarness, words: str) -> None:
    effects = ChangeBatch()
    effects.messages.append((HERE, "uuid-web", time.time() - 60, words))
    harness.journal.append(effects)


def in_journal(harness: ExportHarness) -> list[str]:
    with closing(sqlite3.connect(harness.path)) as database:
        return [row[0] for row in database.execute("SELECT message FROM transitions ORDER BY seq")]


def test_a_crash_waits_for_its_evidence_and_nobody_else_does(tmp_path: Path, stub: ReceiverStub) -> None:
    now = time.time()  # and it stands still: how slow the machine is, is nobody's business
    with ExportHarness(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}, clock=lambda: now) as harness:
        harness.send([event(CRASH, at=now), event(name="other", at=now), event(at=now)])
        for signal in ("traces", "logs"):
            stub.wait(lambda signal=signal: 2 in stub.numbers(signal), "the other domain's")  # type: ignore[misc]
            # In the order of each domain: what comes after the crash waits with it.
            assert stub.numbers(signal) == [2]
        explain(harness, "killed")
        for signal in ("traces", "logs"):
            stub.wait(lambda signal=signal: len(stub.accepted(signal)) == 3, "the crash")  # type: ignore[misc]
            assert stub.numbers(signal) == [2, 1, 3]
            assert message(stub.accepted(signal)[1]) == "killed"


def test_evidence_that_comes_too_late_is_in_the_journal_alone(tmp_path: Path, stub: ReceiverStub) -> None:
    """Sent without, and answered with nothing that counts: what is sent again is the same."""
    stub.respond = lambda _: StubResponse(503)
    with ExportHarness(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}) as harness:
        harness.send([event(CRASH)])
        stub.wait(
            lambda: len({request.path for request in stub.requests}) == 2, "attempts", 3 * EVIDENCE_WAIT
        )
        explain(harness, "killed")
        until(lambda: in_journal(harness) == ["killed"], 5, "the journal to know")
        stub.respond = lambda _: OK
        stub.wait(lambda: stub.accepted("traces") and stub.accepted("logs"), "both to be taken")
        for signal in ("traces", "logs"):
            sent = [
                request.items[0].SerializeToString() for request in stub.requests if signal in request.path
            ]
            assert len(sent) > 1
            assert len(set(sent)) == 1
            assert message(stub.accepted(signal)[0]) == ""


def test_at_the_end_nothing_is_waited_for(tmp_path: Path, stub: ReceiverStub) -> None:
    """There will be no more evidence."""
    with ExportHarness(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}) as harness:
        harness.send([event(name="other"), event(CRASH)])
        stub.wait(lambda: stub.accepted("traces") and stub.accepted("logs"), "the other domain's")
    assert stub.numbers("logs") == stub.numbers("traces") == [1, 2]
