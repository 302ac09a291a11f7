"""A transition waits for its message, and never changes after it was sent."""

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


def add_message(harness: ExportHarness, text: str) -> None:
    effects = ChangeBatch()
    effects.messages.append((HERE, "uuid-web", time.time() - 60, text))
    harness.journal.append(effects)


def in_journal(harness: ExportHarness) -> list[str]:
    with closing(sqlite3.connect(harness.path)) as database:
        return [row[0] for row in database.execute("SELECT message FROM transitions ORDER BY seq")]


def test_crash_waits_for_its_message_and_others_do_not(tmp_path: Path, stub: ReceiverStub) -> None:
    now = time.time()  # constant, so that the result does not depend on the speed of the machine
    with ExportHarness(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}, clock=lambda: now) as harness:
        harness.send([event(CRASH, at=now), event(name="other", at=now), event(at=now)])
        for signal in ("traces", "logs"):
            stub.wait(lambda signal=signal: 2 in stub.numbers(signal), "the other domain's")  # type: ignore[misc]
            # In the order of the domain: the transition after the crash waits, too.
            assert stub.numbers(signal) == [2]
        add_message(harness, "killed")
        for signal in ("traces", "logs"):
            stub.wait(lambda signal=signal: len(stub.accepted(signal)) == 3, "the crash")  # type: ignore[misc]
            assert stub.numbers(signal) == [2, 1, 3]
            assert message(stub.accepted(signal)[1]) == "killed"


def test_late_message_is_in_the_journal_only(tmp_path: Path, stub: ReceiverStub) -> None:
    """The item was sent without a message and refused; the retry is identical."""
    stub.respond = lambda _: StubResponse(503)
    with ExportHarness(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}) as harness:
        harness.send([event(CRASH)])
        stub.wait(
            lambda: len({request.path for request in stub.requests}) == 2, "attempts", 3 * EVIDENCE_WAIT
        )
        add_message(harness, "killed")
        until(lambda: in_journal(harness) == ["killed"], 5, "the message in the journal")
        stub.respond = lambda _: OK
        stub.wait(lambda: stub.accepted("traces") and stub.accepted("logs"), "delivery of both")
        for signal in ("traces", "logs"):
            sent = [
                request.items[0].SerializeToString() for request in stub.requests if signal in request.path
            ]
            assert len(sent) > 1
            assert len(set(sent)) == 1
            assert message(stub.accepted(signal)[0]) == ""


def test_stop_does_not_wait_for_messages(tmp_path: Path, stub: ReceiverStub) -> None:
    """No message can arrive after the stop."""
    with ExportHarness(tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}) as harness:
        harness.send([event(name="other"), event(CRASH)])
        stub.wait(lambda: stub.accepted("traces") and stub.accepted("logs"), "the other domain's")
    assert stub.numbers("logs") == stub.numbers("traces") == [1, 2]
