"""Receivers over gRPC that do not simply take it."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc

from tests.lab.waiting import until
from tests.otel.export_harness import ExportHarness, event
from tests.otel.receiver_stub import numbers

EVENTS = 20
ALL = list(range(1, EVENTS + 1))


class Receiver(logs_grpc.LogsServiceServicer):
    """`answer` says what to do with the numbers of a request; it may abort."""

    def __init__(self) -> None:
        self.url = ""
        self.socket = ""
        self.taken: list[int] = []
        self.calls: list[float] = []
        self.answer: Callable[[list[int], Any], int] = lambda _numbers, _context: 0

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - grpc's name
        records = [
            record
            for one in request.resource_logs
            for scope in one.scope_logs
            for record in scope.log_records
        ]
        self.calls.append(time.monotonic())
        found = [number for record in records for number in numbers(record)]
        rejected = self.answer(found, context)
        self.taken += found
        response = logs.ExportLogsServiceResponse()
        response.partial_success.rejected_log_records = rejected
        return response


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    server, receiver = grpc.server(futures.ThreadPoolExecutor(4)), Receiver()
    logs_grpc.add_LogsServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call] # generated
    port = server.add_insecure_port("127.0.0.1:0")
    receiver.socket = f"unix:{tmp_path}/socket"
    server.add_insecure_port(receiver.socket)
    receiver.url = f"http://127.0.0.1:{port}"
    server.start()
    yield receiver
    server.stop(None).wait()


def environment(receiver: Receiver, **others: str) -> dict[str, str]:
    given = {"ENDPOINT": receiver.url, "PROTOCOL": "grpc", **others}
    return {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in given.items()}


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "UNIMPLEMENTED"])
def test_it_is_sent_again_until_it_is_taken(tmp_path: Path, receiver: Receiver, code: str) -> None:
    def once(_: list[int], context: Any) -> int:
        if len(receiver.calls) == 1:
            context.abort(grpc.StatusCode[code], "not now")
        return 0

    receiver.answer = once
    with ExportHarness(tmp_path, environment(receiver), signals=("logs",)) as harness:
        harness.send(event() for _ in range(EVENTS))
        until(lambda: not harness.pending("logs"), 20, "all to be delivered")
        assert receiver.taken == ALL
        assert harness.sender("logs").failures == 1


def test_it_waits_as_long_as_it_is_asked_to(tmp_path: Path, receiver: Receiver) -> None:
    def once(_: list[int], context: Any) -> int:
        if len(receiver.calls) == 1:
            info, packed = RetryInfo(), Packed()
            info.retry_delay.seconds = 2
            packed.Pack(info)
            status = Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message="later", details=[packed])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return 0

    receiver.answer = once
    with ExportHarness(tmp_path, environment(receiver), signals=("logs",)) as harness:
        harness.send([event()])
        until(lambda: not harness.pending("logs"), 20, "it to be delivered")
        assert receiver.calls[1] - receiver.calls[0] >= 2.0


def test_what_is_rejected_in_part_is_counted(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = lambda _numbers, _context: 3
    with ExportHarness(tmp_path, environment(receiver), signals=("logs",)) as harness:
        harness.send(event() for _ in range(EVENTS))
        until(lambda: not harness.pending("logs"), 20, "all to be delivered")
        assert harness.sender("logs").dropped["rejected"] == 3


@pytest.mark.parametrize(
    ("code", "details", "cause"),
    [
        ("INVALID_ARGUMENT", "bad", "rejected"),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (9 vs. 8)", "too_large"),
    ],
)
def test_one_row_that_is_never_taken_is_set_aside_alone(
    tmp_path: Path, receiver: Receiver, code: str, details: str, cause: str
) -> None:
    def never_seven(found: list[int], context: Any) -> int:
        if 7 in found:
            context.abort(grpc.StatusCode[code], details)
        return 0

    receiver.answer = never_seven
    with ExportHarness(tmp_path, environment(receiver), signals=("logs",)) as harness:
        harness.send(event() for _ in range(EVENTS))
        until(lambda: not harness.pending("logs"), 20, "all others to be delivered")
        assert receiver.taken == [n for n in ALL if n != 7]
        assert harness.dead_letters() == [("logs", cause)]


def test_it_ends_in_time_though_the_receiver_does_not(tmp_path: Path, receiver: Receiver) -> None:
    over = threading.Event()

    def hangs(_numbers: list[int], _context: Any) -> int:
        over.wait(30)
        return 0

    receiver.answer = hangs
    try:
        with ExportHarness(tmp_path, environment(receiver), signals=("logs",)) as harness:
            harness.send([event()])
            until(lambda: receiver.calls, 10, "the call")
            began = time.monotonic()
            harness.delivery.stop(0.5)
            assert time.monotonic() - began < 2
    finally:
        over.set()


def _has_more(receiver: Receiver, before: int) -> bool:
    return len(receiver.taken) > before


def test_target_that_names_a_socket_or_dns_is_reached(receiver: Receiver, tmp_path: Path) -> None:
    port = receiver.url.rpartition(":")[2]
    for target in (receiver.socket, receiver.socket.replace("unix:", "unix://"), f"dns:///127.0.0.1:{port}"):
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": target,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
        }
        before = len(receiver.taken)
        with ExportHarness(tmp_path / str(before), environment, signals=("logs",)) as harness:
            harness.send([event()])
            until(partial(_has_more, receiver, before), 20.0, f"{target} to be reached")


@pytest.mark.parametrize("excluded", ["127.0.0.0/8", ".svc,127.0.0.1", "*"])
def test_receiver_in_a_network_of_no_proxy_is_called_directly(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, excluded: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", excluded)
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with ExportHarness(tmp_path, environment, signals=("logs",)) as harness:
        harness.send([event()])
        until(lambda: receiver.taken, 20.0, "it to be taken")
