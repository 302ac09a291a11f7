"""Delivery over gRPC to receivers that fail or reject items."""

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


class GrpcReceiverStub(logs_grpc.LogsServiceServicer):
    """Calls `respond` with the numbers of a request; it returns how many items it rejects, or aborts."""

    def __init__(self) -> None:
        self.url = ""
        self.socket = ""
        self.taken: list[int] = []
        self.calls: list[float] = []
        self.respond: Callable[[list[int], Any], int] = lambda _numbers, _context: 0

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - grpc's name
        records = [
            record
            for one in request.resource_logs
            for scope in one.scope_logs
            for record in scope.log_records
        ]
        self.calls.append(time.monotonic())
        found = [number for record in records for number in numbers(record)]
        rejected = self.respond(found, context)
        self.taken += found
        response = logs.ExportLogsServiceResponse()
        response.partial_success.rejected_log_records = rejected
        return response


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[GrpcReceiverStub]:
    server, receiver = grpc.server(futures.ThreadPoolExecutor(4)), GrpcReceiverStub()
    logs_grpc.add_LogsServiceServicer_to_server(receiver, server)  # type: ignore[no-untyped-call] # generated
    port = server.add_insecure_port("127.0.0.1:0")
    receiver.socket = f"unix:{tmp_path}/socket"
    server.add_insecure_port(receiver.socket)
    receiver.url = f"http://127.0.0.1:{port}"
    server.start()
    yield receiver
    server.stop(None).wait()


def environment(receiver: GrpcReceiverStub, **others: str) -> dict[str, str]:
    given = {"ENDPOINT": receiver.url, "PROTOCOL": "grpc", **others}
    return {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in given.items()}


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "UNIMPLEMENTED"])
def test_failed_request_is_retried(tmp_path: Path, receiver: GrpcReceiverStub, code: str) -> None:
    def once(_: list[int], context: Any) -> int:
        if len(receiver.calls) == 1:
            context.abort(grpc.StatusCode[code], "not now")
        return 0

    receiver.respond = once
    with ExportHarness(tmp_path, environment(receiver), signals=("logs",)) as harness:
        harness.send(event() for _ in range(EVENTS))
        until(lambda: not harness.pending("logs"), 20, "delivery of all items")
        assert receiver.taken == ALL
        assert harness.sender("logs").failures == 1


def test_retry_info_delays_the_retry(tmp_path: Path, receiver: GrpcReceiverStub) -> None:
    def once(_: list[int], context: Any) -> int:
        if len(receiver.calls) == 1:
            info, packed = RetryInfo(), Packed()
            info.retry_delay.seconds = 2
            packed.Pack(info)
            status = Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message="later", details=[packed])
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return 0

    receiver.respond = once
    with ExportHarness(tmp_path, environment(receiver), signals=("logs",)) as harness:
        harness.send([event()])
        until(lambda: not harness.pending("logs"), 20, "delivery")
        assert receiver.calls[1] - receiver.calls[0] >= 2.0


def test_partial_success_is_counted(tmp_path: Path, receiver: GrpcReceiverStub) -> None:
    receiver.respond = lambda _numbers, _context: 3
    with ExportHarness(tmp_path, environment(receiver), signals=("logs",)) as harness:
        harness.send(event() for _ in range(EVENTS))
        until(lambda: not harness.pending("logs"), 20, "delivery of all items")
        assert harness.sender("logs").dropped["rejected"] == 3


@pytest.mark.parametrize(
    ("code", "details", "cause"),
    [
        ("INVALID_ARGUMENT", "bad", "rejected"),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (9 vs. 8)", "too_large"),
    ],
)
def test_one_rejected_item_becomes_a_dead_letter(
    tmp_path: Path, receiver: GrpcReceiverStub, code: str, details: str, cause: str
) -> None:
    def never_seven(found: list[int], context: Any) -> int:
        if 7 in found:
            context.abort(grpc.StatusCode[code], details)
        return 0

    receiver.respond = never_seven
    with ExportHarness(tmp_path, environment(receiver), signals=("logs",)) as harness:
        harness.send(event() for _ in range(EVENTS))
        until(lambda: not harness.pending("logs"), 20, "delivery of the others")
        assert receiver.taken == [n for n in ALL if n != 7]
        assert harness.dead_letters() == [("logs", cause)]


def test_delivery_stops_in_time_while_the_receiver_hangs(tmp_path: Path, receiver: GrpcReceiverStub) -> None:
    over = threading.Event()

    def hangs(_numbers: list[int], _context: Any) -> int:
        over.wait(30)
        return 0

    receiver.respond = hangs
    try:
        with ExportHarness(tmp_path, environment(receiver), signals=("logs",)) as harness:
            harness.send([event()])
            until(lambda: receiver.calls, 10, "the call")
            began = time.monotonic()
            harness.delivery.stop(0.5)
            assert time.monotonic() - began < 2
    finally:
        over.set()


def _has_more(receiver: GrpcReceiverStub, before: int) -> bool:
    return len(receiver.taken) > before


def test_socket_and_dns_targets_are_supported(receiver: GrpcReceiverStub, tmp_path: Path) -> None:
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
def test_no_proxy_bypasses_the_proxy(
    receiver: GrpcReceiverStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, excluded: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", excluded)
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with ExportHarness(tmp_path, environment, signals=("logs",)) as harness:
        harness.send([event()])
        until(lambda: receiver.taken, 20.0, "delivery")
