"""Cost and delay of OpenTelemetry export, and its behaviour in an outage; each part in a separate process."""

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.journal.store import Journal
from tests.bench import event_path
from tests.lab.exporter import free_port
from tests.lab.waiting import until
from tests.otel.export_harness import ExportHarness, event
from tests.otel.receiver_stub import OK, ReceiverStub, numbers

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
DOMAINS = 50
EVENTS = 20_000
PENDING = 100_000
OUTAGE = 10_000
LAGS = 400
PAIRS = ("suspended/paused", "resumed/unpaused", "shutdown/guest", "stopped/shutdown")


def batches(count: int, size: int) -> list[ChangeBatch]:
    """Return batches of changes as the worker passes them to the journal."""
    made, now = [], time.time()
    for first in range(0, count, size):
        effects = ChangeBatch()
        for number in range(first, first + size):
            change = event(PAIRS[number // DOMAINS % 4], name=f"web-{number % DOMAINS}", at=now)
            effects.count_transition(change, change.name)
        made.append(effects)
    return made


def append_rate(journal: Journal, size: int) -> float:
    """Return the events per second."""
    made = batches(EVENTS, size)
    began = time.perf_counter()
    for effects in made:
        journal.append(effects)
    return EVENTS / (time.perf_counter() - began)


def throughput(folder: Path) -> dict[str, float]:
    """Rate of the journal without export, with a receiver, and with an unreachable receiver."""
    found = {}
    for size in (1, 100):
        off = Journal(folder / f"off-{size}")
        off.restore()
        found[f"events/s, off, batches of {size}"] = append_rate(off, size)
        off.close()
        with ReceiverStub() as stub:
            (folder / f"on-{size}").mkdir()
            with ExportHarness(folder / f"on-{size}", {BASE: stub.url}) as harness:
                found[f"events/s, on, batches of {size}"] = append_rate(harness.journal, size)
                began = time.perf_counter()
                until(partial(_is_delivered, harness), 120, "all")
                found[f"s until all was delivered after that, batches of {size}"] = (
                    time.perf_counter() - began
                )
        (folder / f"down-{size}").mkdir()
        with ExportHarness(folder / f"down-{size}", {BASE: f"http://127.0.0.1:{free_port()}"}) as harness:
            found[f"events/s, on, receiver unreachable, batches of {size}"] = append_rate(
                harness.journal, size
            )
    return found


def lag(folder: Path) -> dict[str, float]:
    """Delay from libvirt's callback to the receiver through the whole exporter, at 20 events per second."""
    arrived: dict[str, list[float]] = {"traces": [], "logs": []}

    def note(items: list[Any]) -> Any:
        now = time.time_ns()
        for item in items:
            signal = "traces" if hasattr(item, "events") else "logs"
            at = item.end_time_unix_nano if signal == "traces" else item.time_unix_nano
            arrived[signal].append((now - at) / 1e6)
        return OK

    with ReceiverStub(note) as stub:
        os.environ[BASE] = stub.url
        counted = event_path.start_exporter(str(folder / "journal.sqlite"))
        domain = libvirt.open(event_path.URI).lookupByName("test")
        for number in range(LAGS):
            (domain.resume if number % 2 else domain.suspend)()
            time.sleep(0.05)
        until(lambda: counted() == len(arrived["logs"]) == len(arrived["traces"]) == LAGS, 20, "all")
    return {
        f"lag of {signal}, {name}, ms": statistics.quantiles(values, n=100)[place]
        for signal, values in arrived.items()
        for name, place in (("p50", 49), ("p99", 98))
    }


def memory(folder: Path) -> dict[str, float]:
    """Memory of the process with an unreachable receiver: without and with pending events."""
    with ExportHarness(folder, {BASE: f"http://127.0.0.1:{free_port()}"}) as harness:
        harness.send([event()])
        until(lambda: harness.sender("logs").failures, 20, "an attempt")
        before = _resident()
        for effects in batches(PENDING, 100):
            harness.journal.append(effects)
        until(lambda: harness.sender("logs").pending > PENDING, 60, "its own count")
        failures = harness.sender("traces").failures
        until(lambda: harness.sender("traces").failures > failures, 60, "another attempt")
        return {
            "resident MB, nothing pending": before,
            f"resident MB, {PENDING} pending": _resident(),
            "journal MB": harness.journal.size() / 1e6,
        }


def outage(folder: Path) -> dict[str, float]:
    """Events during an outage of the receiver, and their delivery after it."""
    port = free_port()
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}/v1/traces", timeout=1)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("bench")
    began = time.monotonic()
    for _ in range(OUTAGE):
        tracer.start_span("x").end()
    flushed = provider.force_flush(30_000)
    with ReceiverStub() as stub:
        exporter._client._endpoint = f"{stub.url}/v1/traces"  # noqa: SLF001 - the receiver is available again
        provider.force_flush(30_000)
        provider.shutdown()
        theirs = len(stub.accepted("traces"))
    seconds = time.monotonic() - began
    with ExportHarness(folder, {BASE: f"http://127.0.0.1:{port}"}) as harness:
        for effects in batches(OUTAGE, 100):
            harness.journal.append(effects)
        until(lambda: harness.sender("traces").failures > 1, 30, "attempts")
    with ReceiverStub() as stub, ExportHarness(folder, {BASE: stub.url}) as harness:
        until(lambda: not harness.pending("traces"), 60, "all")
        ours = len({number for span in stub.accepted("traces") for number in numbers(span)})
    return {
        f"BatchSpanProcessor, spans delivered of {OUTAGE}": theirs,
        "its force_flush during the outage returned": float(flushed),
        "seconds that took": seconds,
        f"this exporter, events delivered of {OUTAGE}": ours,
    }


def _is_delivered(harness: ExportHarness) -> bool:
    return not harness.pending("logs") + harness.pending("traces")


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


PARTS: dict[str, Callable[[Path], dict[str, float]]] = {
    "throughput": throughput,
    "lag": lag,
    "memory": memory,
    "outage": outage,
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        print(json.dumps(PARTS[sys.argv[1]](Path(scratch))), flush=True)
    # Exit at once as the exporter does: threads are inside libvirt, and Python's finalization can crash.
    os._exit(0)
