"""Delivery over HTTP to receivers that fail or reject items: nothing is lost or dropped without a count."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.lab.exporter import free_port
from tests.lab.waiting import until
from tests.otel.captured_logs import log_text
from tests.otel.export_harness import ExportHarness, event
from tests.otel.receiver_stub import OK, ReceiverStub, StubResponse, numbers

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
EVENTS = 20


@pytest.fixture
def stub() -> Iterator[ReceiverStub]:
    with ReceiverStub() as stub:
        yield stub


def fail_first(count: int, response: StubResponse) -> Callable[[list[Any]], StubResponse]:
    """Return `response` for the first `count` requests of each signal, then OK."""
    left: Counter[bool] = Counter({True: count, False: count})

    def answer(items: list[Any]) -> StubResponse:
        signal = hasattr(items[0], "events")
        left[signal] -= 1
        return response if left[signal] >= 0 else OK

    return answer


def environment(stub: ReceiverStub, **others: str) -> dict[str, str]:
    return {BASE: stub.url, **{f"OTEL_EXPORTER_OTLP_{name}": value for name, value in others.items()}}


def assert_all_delivered(
    harness: ExportHarness, stub: ReceiverStub, expected: range = range(1, EVENTS + 1)
) -> None:
    """Assert that each number of both signals was accepted once, in order, and that the queue is empty."""
    for signal in ("traces", "logs"):
        stub.wait(lambda signal=signal: set(expected) <= set(stub.numbers(signal)), f"all {signal}")  # type: ignore[misc]
        stub.wait(lambda signal=signal: harness.pending(signal) == 0, f"no {signal} to be pending")  # type: ignore[misc]
        assert stub.numbers(signal) == list(expected)


@pytest.mark.parametrize(
    "response",
    [
        StubResponse(429, headers=(("Retry-After", "1"),)),
        StubResponse(503),
        StubResponse(502),
        StubResponse(500),
        StubResponse(304),
        StubResponse(307, headers=(("Location", "http://127.0.0.1:9/"),)),
        StubResponse(401),
        StubResponse(404),
        StubResponse(200, b"<html>log in first</html>", (("Content-Type", "text/html"),)),
        StubResponse(200, b"\xff\xff garbage", (("Content-Type", "application/x-protobuf"),)),
    ],
    ids=lambda response: f"{response.status}{'-garbage' if response.body else ''}",
)
def test_failed_request_is_retried(tmp_path: Path, stub: ReceiverStub, response: StubResponse) -> None:
    stub.respond = fail_first(1, response)
    with ExportHarness(tmp_path, environment(stub)) as harness:
        harness.send(event() for _ in range(EVENTS))
        stub.wait(lambda: stub.accepted("logs") and stub.accepted("traces"), "a first delivery")
        until(
            lambda: not harness.pending("traces") and not harness.pending("logs"), 20, "delivery of all items"
        )
        for signal in ("traces", "logs"):
            # A garbage response does not count as accepted: the items were sent again.
            twice = EVENTS if response.body else 0
            assert stub.numbers(signal)[twice:] == list(range(1, EVENTS + 1))
            # After a 500, the halves are sent immediately, because one item may be the cause.
            assert harness.sender(signal).failures == (response.status != 500)
        assert not harness.dead_letters()


def test_retry_after_delays_the_retry(tmp_path: Path, stub: ReceiverStub) -> None:
    times: list[float] = []

    def respond(_: list[Any]) -> StubResponse:
        times.append(time.monotonic())
        return StubResponse(429, headers=(("Retry-After", "2"),)) if len(times) == 1 else OK

    stub.respond = respond
    with ExportHarness(tmp_path, environment(stub), signals=("logs",)) as harness:
        harness.send([event()])
        stub.wait(lambda: stub.accepted("logs"), "delivery")
    assert times[1] - times[0] >= 2.0


def test_items_are_delivered_once_a_receiver_starts(tmp_path: Path) -> None:
    no_receiver = f"http://127.0.0.1:{free_port()}"
    with ExportHarness(tmp_path, {BASE: no_receiver}) as harness:
        harness.send(event() for _ in range(EVENTS))
        until(lambda: harness.sender("logs").failures and harness.sender("traces").failures, 20, "attempts")
        assert harness.pending("logs") == harness.pending("traces") == EVENTS
    with ReceiverStub() as stub, ExportHarness(tmp_path, environment(stub)) as harness:
        assert_all_delivered(harness, stub)


def test_partial_success_is_counted_and_not_retried(tmp_path: Path, stub: ReceiverStub) -> None:
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 3
    partial.partial_success.error_message = "too old"
    protobuf = (("Content-Type", "application/x-protobuf"),)
    stub.respond = fail_first(1, StubResponse(200, partial.SerializeToString(), protobuf))
    with ExportHarness(tmp_path, environment(stub), signals=("traces",)) as harness:
        harness.send(event() for _ in range(EVENTS))
        all_of = range(1, EVENTS + 1)
        stub.wait(lambda: stub.numbers("traces") == list(all_of), "all items")
        until(lambda: harness.sender("traces").exported == EVENTS - 3, 10, "the count")
        assert harness.sender("traces").dropped["rejected"] == 3
        assert harness.pending("traces") == 0
        assert not harness.dead_letters()


def test_wholly_rejected_batch_becomes_dead_letters(tmp_path: Path, stub: ReceiverStub) -> None:
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = EVENTS
    protobuf = (("Content-Type", "application/x-protobuf"),)
    stub.respond = fail_first(1, StubResponse(200, partial.SerializeToString(), protobuf))
    with ExportHarness(tmp_path, environment(stub), signals=("traces",)) as harness:
        harness.send(event() for _ in range(EVENTS))
        until(lambda: len(harness.dead_letters()) == EVENTS, 20, "the dead letters")
        assert harness.sender("traces").dropped["rejected"] == EVENTS
        assert harness.sender("traces").exported == 0


@pytest.mark.parametrize(("status", "cause"), [(400, "rejected"), (413, "too_large")])
def test_one_rejected_item_becomes_a_dead_letter(
    tmp_path: Path, stub: ReceiverStub, status: int, cause: str
) -> None:
    stub.respond = lambda items: (
        StubResponse(status) if 7 in [n for item in items for n in numbers(item)] else OK
    )
    with ExportHarness(tmp_path, environment(stub)) as harness:
        harness.send(event() for _ in range(EVENTS))
        until(lambda: len(harness.dead_letters()) == 2, 20, "the dead letters")
        until(
            lambda: not harness.pending("traces") and not harness.pending("logs"),
            20,
            "delivery of the others",
        )
        assert harness.dead_letters() == [("logs", cause), ("traces", cause)]
        for signal in ("traces", "logs"):
            assert stub.numbers(signal) == [n for n in range(1, EVENTS + 1) if n != 7]
            assert harness.sender(signal).dropped[cause] == 1


def test_receiver_that_rejects_everything_costs_no_item(tmp_path: Path, stub: ReceiverStub) -> None:
    """A wrong path or server returns 400 to every request."""
    stub.respond, stub.empty_response = lambda _: StubResponse(400), StubResponse(400)
    with ExportHarness(tmp_path, environment(stub)) as harness:
        harness.send(event() for _ in range(EVENTS))
        until(lambda: harness.sender("traces").failures >= 2, 20, "two attempts")
        until(lambda: harness.sender("logs").failures >= 2, 20, "two attempts")
        assert not harness.dead_letters()
        assert harness.pending("traces") == harness.pending("logs") == EVENTS
        stub.respond = lambda _: OK
        assert_all_delivered(harness, stub)


def test_receiver_that_fails_on_one_item_receives_the_others(tmp_path: Path, stub: ReceiverStub) -> None:
    stub.respond = lambda items: (
        StubResponse(500) if 7 in [n for item in items for n in numbers(item)] else OK
    )
    others = [n for n in range(1, EVENTS + 1) if n != 7]
    with ExportHarness(tmp_path, environment(stub), signals=("logs",)) as harness:
        harness.send(event() for _ in range(EVENTS))
        stub.wait(lambda: stub.numbers("logs") == others, "delivery of the others")
        assert not harness.dead_letters()
        for number in itertools.count(EVENTS + 1):
            # Each success of another item triggers a retry of the failed one, up to a limit.
            harness.send([event()])
            stub.wait(lambda number=number: number in stub.numbers("logs"), "delivery of the new item")  # type: ignore[misc]
            if harness.dead_letters():
                break
        assert harness.dead_letters() == [("logs", "failed")]
        assert 5 < number - EVENTS < 15


def test_receiver_that_fails_on_everything_costs_no_item(tmp_path: Path, stub: ReceiverStub) -> None:
    stub.respond = lambda _: StubResponse(500)
    with ExportHarness(tmp_path, environment(stub), signals=("logs",)) as harness:
        harness.send(event() for _ in range(600))
        until(lambda: harness.sender("logs").failures >= 2, 20, "two attempts")
        assert len(stub.requests) < 200
        assert not harness.dead_letters()
        stub.respond = lambda _: OK
        stub.wait(lambda: set(stub.numbers("logs")) == set(range(1, 601)), "all")


@pytest.mark.parametrize("body", [b"", b" "])
def test_truncated_response_is_no_success(tmp_path: Path, stub: ReceiverStub, body: bytes) -> None:
    stub.respond = fail_first(1, StubResponse(body=body, missing=10))
    with ExportHarness(tmp_path, environment(stub), signals=("logs",)) as harness:
        harness.send([event()])
        until(lambda: not harness.pending("logs"), 20, "delivery")
        assert harness.sender("logs").failures == 1
        assert len(stub.requests) == 2


@pytest.mark.parametrize(
    "response", [StubResponse(hangs=True), StubResponse(endless=True)], ids=["black-hole", "endless"]
)
def test_endless_response_times_out(tmp_path: Path, stub: ReceiverStub, response: StubResponse) -> None:
    stub.respond = fail_first(1, response)
    with ExportHarness(tmp_path, environment(stub, TIMEOUT="500")) as harness:
        harness.send(event() for _ in range(EVENTS))
        until(
            lambda: not harness.pending("traces") and not harness.pending("logs"), 20, "delivery of all items"
        )
        assert harness.sender("traces").failures == harness.sender("logs").failures == 1


@pytest.mark.parametrize(
    "response", [StubResponse(hangs=True), StubResponse(endless=True)], ids=["black-hole", "endless"]
)
def test_delivery_stops_in_time_while_the_receiver_hangs(
    tmp_path: Path, stub: ReceiverStub, response: StubResponse
) -> None:
    stub.respond = lambda _: response
    with ExportHarness(tmp_path, environment(stub)) as harness:
        harness.send([event()])
        stub.wait(lambda: len(stub.requests) == 2, "both requests")
        began = time.monotonic()
        harness.delivery.stop(0.5)
        assert time.monotonic() - began < 2
        until(lambda: not _threads("otlp-"), 5, "the end of the threads")


def test_signals_do_not_wait_for_each_other(tmp_path: Path, stub: ReceiverStub) -> None:
    stub.respond = lambda items: StubResponse(503) if hasattr(items[0], "events") else OK
    with ExportHarness(tmp_path, environment(stub)) as harness:
        harness.send(event() for _ in range(EVENTS))
        stub.wait(lambda: stub.numbers("logs") == list(range(1, EVENTS + 1)), "the logs")
        until(lambda: harness.pending("logs") == 0, 10, "no logs to be pending")
        assert harness.pending("traces") == EVENTS


def test_old_items_are_dropped_and_counted(tmp_path: Path, stub: ReceiverStub) -> None:
    stub.respond = lambda _: StubResponse(503)
    with ExportHarness(tmp_path, environment(stub), max_age=3600) as harness:
        now = time.time()
        harness.send([event(at=now - 7200), event(at=now - 7200), event(at=now)])
        until(lambda: harness.sender("logs").dropped["too_old"] == 2, 20, "removal of old log records")
        until(lambda: harness.sender("traces").dropped["too_old"] == 2, 20, "removal of old spans")
        assert harness.pending("logs") == harness.pending("traces") == 1


def test_new_items_do_not_wait_for_the_backlog(tmp_path: Path, stub: ReceiverStub) -> None:
    with ExportHarness(tmp_path, {BASE: f"http://127.0.0.1:{free_port()}"}) as harness:
        harness.send(event(name=f"old-{number % 7}") for number in range(3000))
    with ExportHarness(tmp_path, environment(stub), rate=400, signals=("logs",)) as harness:
        stub.wait(lambda: stub.accepted("logs"), "the first item")
        harness.send([event(name="new"), event(name="old-1")])
        stub.wait(lambda: 3001 in stub.numbers("logs"), "the new item")
        early = stub.numbers("logs")
        assert len(early) < 2500
        assert 3002 not in early
        stub.wait(lambda: len(stub.numbers("logs")) == 3002, "all", 30)
        found = stub.numbers("logs")
        assert [n for n in found if n <= 3000] == list(range(1, 3001))
        # In the order of the domain, whose last backlog item is 2998.
        assert found.index(3002) > found.index(2998)


def test_headers_and_compression(tmp_path: Path, stub: ReceiverStub) -> None:
    given = {"HEADERS": "api-key=hunter2", "LOGS_COMPRESSION": "none"}
    url = stub.url.replace("//", "//eve:pass@")
    with ExportHarness(tmp_path, {**environment(stub, **given), BASE: url}) as harness:
        harness.send([event()])
        assert_all_delivered(harness, stub, range(1, 2))
    by_path = {request.path: request.headers for request in stub.requests}
    assert by_path["/v1/traces"]["content-encoding"] == "gzip"
    assert "content-encoding" not in by_path["/v1/logs"]
    for headers in by_path.values():
        assert headers["content-type"] == "application/x-protobuf"
        assert headers["api-key"] == "hunter2"
        assert headers["authorization"] == "Basic ZXZlOnBhc3M="
        assert headers["user-agent"].startswith("libvirt-lifecycle-exporter/")


def test_secrets_are_not_logged(tmp_path: Path, stub: ReceiverStub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    stub.respond = fail_first(1, StubResponse(401))
    url = f"{stub.url.replace('//', '//eve:hunter2@')}?token=hunter2"
    with ExportHarness(tmp_path, {BASE: url, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hunter2"}) as harness:
        harness.send([event()])
        stub.wait(lambda: stub.accepted("logs") and stub.accepted("traces"), "delivery")
    assert "HTTP status 401" in log_text(caplog)
    assert "hunter2" not in log_text(caplog) + caplog.text


def _threads(prefix: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(prefix)]
