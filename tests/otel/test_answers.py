"""Receivers that do not simply take it: nothing is lost, nothing is given up that is not counted."""

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
from tests.otel.export_harness import ExportHarness, event
from tests.otel.stub import WELL, Reply, Stub, numbers

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
EVENTS = 20


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as stub:
        yield stub


def first(count: int, reply: Reply) -> Callable[[list[Any]], Reply]:
    """So many times this, then well; of each signal."""
    left: Counter[bool] = Counter({True: count, False: count})

    def answer(items: list[Any]) -> Reply:
        signal = hasattr(items[0], "events")
        left[signal] -= 1
        return reply if left[signal] >= 0 else WELL

    return answer


def environment(stub: Stub, **others: str) -> dict[str, str]:
    return {BASE: stub.url, **{f"OTEL_EXPORTER_OTLP_{name}": value for name, value in others.items()}}


def all_is_taken(sender: ExportHarness, stub: Stub, expected: range = range(1, EVENTS + 1)) -> None:
    """Each number once, in order, of both signals; and the queue is empty."""
    for signal in ("traces", "logs"):
        stub.wait(lambda signal=signal: set(expected) <= set(stub.numbers(signal)), f"all {signal}")  # type: ignore[misc]
        stub.wait(lambda signal=signal: sender.pending(signal) == 0, f"no {signal} to be pending")  # type: ignore[misc]
        assert stub.numbers(signal) == list(expected)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(429, headers=(("Retry-After", "1"),)),
        Reply(503),
        Reply(502),
        Reply(500),
        Reply(304),
        Reply(307, headers=(("Location", "http://127.0.0.1:9/"),)),
        Reply(401),
        Reply(404),
        Reply(200, b"<html>log in first</html>", (("Content-Type", "text/html"),)),
        Reply(200, b"\xff\xff garbage", (("Content-Type", "application/x-protobuf"),)),
    ],
    ids=lambda reply: f"{reply.status}{'-garbage' if reply.body else ''}",
)
def test_it_is_sent_again_until_it_is_taken(tmp_path: Path, stub: Stub, reply: Reply) -> None:
    stub.replies = first(1, reply)
    with ExportHarness(tmp_path, environment(stub)) as sender:
        sender.send(event() for _ in range(EVENTS))
        stub.wait(lambda: stub.taken("logs") and stub.taken("traces"), "something to be taken")
        until(lambda: not sender.pending("traces") and not sender.pending("logs"), 20, "all to be delivered")
        for signal in ("traces", "logs"):
            # What was answered with garbage was not taken to be accepted: it came a second time.
            twice = EVENTS if reply.body else 0
            assert stub.numbers(signal)[twice:] == list(range(1, EVENTS + 1))
            # After a 500 a half is tried at once, since a row may be to blame.
            assert sender.sender(signal).failures == (reply.status != 500)
        assert not sender.aside()


def test_it_waits_as_long_as_it_is_asked_to(tmp_path: Path, stub: Stub) -> None:
    times: list[float] = []

    def replies(_: list[Any]) -> Reply:
        times.append(time.monotonic())
        return Reply(429, headers=(("Retry-After", "2"),)) if len(times) == 1 else WELL

    stub.replies = replies
    with ExportHarness(tmp_path, environment(stub), signals=("logs",)) as sender:
        sender.send([event()])
        stub.wait(lambda: stub.taken("logs"), "it to be taken")
    assert times[1] - times[0] >= 2.0


def test_nobody_is_there_and_then_somebody_is(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with ExportHarness(tmp_path, {BASE: nobody}) as sender:
        sender.send(event() for _ in range(EVENTS))
        until(lambda: sender.sender("logs").failures and sender.sender("traces").failures, 20, "attempts")
        assert sender.pending("logs") == sender.pending("traces") == EVENTS
    with Stub() as stub, ExportHarness(tmp_path, environment(stub)) as sender:
        all_is_taken(sender, stub)


def test_what_is_rejected_in_part_is_counted_and_not_sent_again(tmp_path: Path, stub: Stub) -> None:
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 3
    partial.partial_success.error_message = "too old"
    protobuf = (("Content-Type", "application/x-protobuf"),)
    stub.replies = first(1, Reply(200, partial.SerializeToString(), protobuf))
    with ExportHarness(tmp_path, environment(stub), signals=("traces",)) as sender:
        sender.send(event() for _ in range(EVENTS))
        all_of = range(1, EVENTS + 1)
        stub.wait(lambda: stub.numbers("traces") == list(all_of), "all of it")
        until(lambda: sender.sender("traces").exported == EVENTS - 3, 10, "the count")
        assert sender.sender("traces").dropped["rejected"] == 3
        assert sender.pending("traces") == 0
        assert not sender.aside()


def test_what_is_rejected_as_a_whole_is_set_aside(tmp_path: Path, stub: Stub) -> None:
    partial = ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = EVENTS
    protobuf = (("Content-Type", "application/x-protobuf"),)
    stub.replies = first(1, Reply(200, partial.SerializeToString(), protobuf))
    with ExportHarness(tmp_path, environment(stub), signals=("traces",)) as sender:
        sender.send(event() for _ in range(EVENTS))
        until(lambda: len(sender.aside()) == EVENTS, 20, "all of it to be set aside")
        assert sender.sender("traces").dropped["rejected"] == EVENTS
        assert sender.sender("traces").exported == 0


@pytest.mark.parametrize(("status", "cause"), [(400, "rejected"), (413, "too_large")])
def test_one_row_that_is_never_taken_is_found_and_set_aside_alone(
    tmp_path: Path, stub: Stub, status: int, cause: str
) -> None:
    stub.replies = lambda items: Reply(status) if 7 in [n for item in items for n in numbers(item)] else WELL
    with ExportHarness(tmp_path, environment(stub)) as sender:
        sender.send(event() for _ in range(EVENTS))
        until(lambda: len(sender.aside()) == 2, 20, "it to be set aside")
        until(lambda: not sender.pending("traces") and not sender.pending("logs"), 20, "the rest to be taken")
        assert sender.aside() == [("logs", cause), ("traces", cause)]
        for signal in ("traces", "logs"):
            assert stub.numbers(signal) == [n for n in range(1, EVENTS + 1) if n != 7]
            assert sender.sender(signal).dropped[cause] == 1


def test_a_receiver_that_takes_nothing_at_all_costs_nothing(tmp_path: Path, stub: Stub) -> None:
    """A wrong path, a wrong server: it says 400 to whatever comes."""
    stub.replies, stub.empty = lambda _: Reply(400), Reply(400)
    with ExportHarness(tmp_path, environment(stub)) as sender:
        sender.send(event() for _ in range(EVENTS))
        until(lambda: sender.sender("traces").failures >= 2, 20, "two attempts")
        until(lambda: sender.sender("logs").failures >= 2, 20, "two attempts")
        assert not sender.aside()
        assert sender.pending("traces") == sender.pending("logs") == EVENTS
        stub.replies = lambda _: WELL
        all_is_taken(sender, stub)


def test_a_receiver_that_chokes_on_one_row_gets_the_others_meanwhile(tmp_path: Path, stub: Stub) -> None:
    stub.replies = lambda items: Reply(500) if 7 in [n for item in items for n in numbers(item)] else WELL
    others = [n for n in range(1, EVENTS + 1) if n != 7]
    with ExportHarness(tmp_path, environment(stub), signals=("logs",)) as sender:
        sender.send(event() for _ in range(EVENTS))
        stub.wait(lambda: stub.numbers("logs") == others, "the others to be taken")
        assert not sender.aside()
        for number in itertools.count(EVENTS + 1):
            # With each success the suspect gets another chance, and then no more.
            sender.send([event()])
            stub.wait(lambda number=number: number in stub.numbers("logs"), "what is new to be taken")  # type: ignore[misc]
            if sender.aside():
                break
        assert sender.aside() == [("logs", "failed")]
        assert 5 < number - EVENTS < 15


def test_a_receiver_that_chokes_on_everything_costs_nothing(tmp_path: Path, stub: Stub) -> None:
    stub.replies = lambda _: Reply(500)
    with ExportHarness(tmp_path, environment(stub), signals=("logs",)) as sender:
        sender.send(event() for _ in range(600))
        until(lambda: sender.sender("logs").failures >= 2, 20, "two attempts")
        assert len(stub.got) < 200
        assert not sender.aside()
        stub.replies = lambda _: WELL
        stub.wait(lambda: set(stub.numbers("logs")) == set(range(1, 601)), "all")


@pytest.mark.parametrize("reply", [Reply(silent=True), Reply(drip=True)], ids=["black-hole", "slow-drip"])
def test_a_receiver_that_does_not_come_to_an_end_is_left(tmp_path: Path, stub: Stub, reply: Reply) -> None:
    stub.replies = first(1, reply)
    with ExportHarness(tmp_path, environment(stub, TIMEOUT="500")) as sender:
        sender.send(event() for _ in range(EVENTS))
        until(lambda: not sender.pending("traces") and not sender.pending("logs"), 20, "all to be delivered")
        assert sender.sender("traces").failures == sender.sender("logs").failures == 1


@pytest.mark.parametrize("reply", [Reply(silent=True), Reply(drip=True)], ids=["black-hole", "slow-drip"])
def test_it_ends_in_time_whatever_the_receiver_does(tmp_path: Path, stub: Stub, reply: Reply) -> None:
    stub.replies = lambda _: reply
    with ExportHarness(tmp_path, environment(stub)) as sender:
        sender.send([event()])
        stub.wait(lambda: len(stub.got) == 2, "both requests")
        began = time.monotonic()
        sender.delivery.stop(0.5)
        assert time.monotonic() - began < 2
        until(lambda: not _threads("otlp-"), 5, "its threads to have ended")


def test_one_signal_does_not_wait_for_the_other(tmp_path: Path, stub: Stub) -> None:
    stub.replies = lambda items: Reply(503) if hasattr(items[0], "events") else WELL
    with ExportHarness(tmp_path, environment(stub)) as sender:
        sender.send(event() for _ in range(EVENTS))
        stub.wait(lambda: stub.numbers("logs") == list(range(1, EVENTS + 1)), "the logs")
        until(lambda: sender.pending("logs") == 0, 10, "no logs to be pending")
        assert sender.pending("traces") == EVENTS


def test_what_is_too_old_is_given_up_and_counted(tmp_path: Path, stub: Stub) -> None:
    stub.replies = lambda _: Reply(503)
    with ExportHarness(tmp_path, environment(stub), max_age=3600) as sender:
        now = time.time()
        sender.send([event(at=now - 7200), event(at=now - 7200), event(at=now)])
        until(lambda: sender.sender("logs").dropped["too_old"] == 2, 20, "old logs to be given up")
        until(lambda: sender.sender("traces").dropped["too_old"] == 2, 20, "old spans to be given up")
        assert sender.pending("logs") == sender.pending("traces") == 1


def test_what_is_new_does_not_wait_behind_what_is_late(tmp_path: Path, stub: Stub) -> None:
    with ExportHarness(tmp_path, {BASE: f"http://127.0.0.1:{free_port()}"}) as sender:
        sender.send(event(name=f"old-{number % 7}") for number in range(3000))
    with ExportHarness(tmp_path, environment(stub), rate=400, signals=("logs",)) as sender:
        stub.wait(lambda: stub.taken("logs"), "the first of it")
        sender.send([event(name="new"), event(name="old-1")])
        stub.wait(lambda: 3001 in stub.numbers("logs"), "what is new")
        early = stub.numbers("logs")
        assert len(early) < 2500
        assert 3002 not in early
        stub.wait(lambda: len(stub.numbers("logs")) == 3002, "all", 30)
        found = stub.numbers("logs")
        assert [n for n in found if n <= 3000] == list(range(1, 3001))
        # In the order of each domain: the last that was late of this one was 2998.
        assert found.index(3002) > found.index(2998)


def test_headers_and_compression(tmp_path: Path, stub: Stub) -> None:
    given = {"HEADERS": "api-key=hunter2", "LOGS_COMPRESSION": "none"}
    url = stub.url.replace("//", "//eve:pass@")
    with ExportHarness(tmp_path, {**environment(stub, **given), BASE: url}) as sender:
        sender.send([event()])
        all_is_taken(sender, stub, range(1, 2))
    by_path = {got.path: got.headers for got in stub.got}
    assert by_path["/v1/traces"]["content-encoding"] == "gzip"
    assert "content-encoding" not in by_path["/v1/logs"]
    for headers in by_path.values():
        assert headers["content-type"] == "application/x-protobuf"
        assert headers["api-key"] == "hunter2"
        assert headers["authorization"] == "Basic ZXZlOnBhc3M="
        assert headers["user-agent"].startswith("libvirt-lifecycle-exporter/")


def test_nothing_secret_is_logged(tmp_path: Path, stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    stub.replies = first(1, Reply(401))
    url = f"{stub.url.replace('//', '//eve:hunter2@')}?token=hunter2"
    with ExportHarness(tmp_path, {BASE: url, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=hunter2"}) as sender:
        sender.send([event()])
        stub.wait(lambda: stub.taken("logs") and stub.taken("traces"), "it to be taken")
    assert "it answers 401" in caplog.text
    assert "hunter2" not in caplog.text


def _threads(prefix: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(prefix)]
