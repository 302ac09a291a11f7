"""While events wait to be counted, delivery takes a small share of the time, but never stops."""

from pathlib import Path

from tests.lab.waiting import until
from tests.otel.export_harness import ExportHarness, event
from tests.otel.receiver_stub import ReceiverStub

EVENTS = 1500


class Worker:
    """Counts how often it is asked whether it is busy, and is busy."""

    def __init__(self) -> None:
        self.asked = 0

    def is_busy(self) -> bool:
        self.asked += 1
        return True


def test_delivery_continues_while_the_worker_is_busy(tmp_path: Path) -> None:
    worker = Worker()
    with (
        ReceiverStub() as stub,
        ExportHarness(
            tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": stub.url}, is_worker_busy=worker.is_busy
        ) as harness,
    ):
        harness.send([event(name=f"web-{number % 50}") for number in range(EVENTS)])
        until(lambda: not harness.pending("logs") + harness.pending("traces"), 60, "delivery of everything")
        assert len(stub.accepted("logs")) == len(stub.accepted("traces")) == EVENTS
    assert worker.asked > 2 * EVENTS // 512
