"""A real OpenTelemetry Collector that receives OTLP over HTTP and gRPC and writes it to files."""

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.lab.exporter import free_port
from tests.lab.service import Service

SCRIPT = Path(__file__).with_name("collector.sh")
UNAVAILABLE = 3

Attributes = dict[str, Any]


@cache
def build() -> "subprocess.CompletedProcess[str]":
    """Build the collector. Takes minutes and the network the first time; call it where no time limit
    applies.
    """
    return subprocess.run([SCRIPT], capture_output=True, text=True, check=False)


def collector_program() -> str:
    """Return the path of the collector. Skips the test if it is unavailable, unless LAB_COMPLETE is set
    (in CI).
    """
    done = build()
    if done.returncode == UNAVAILABLE and not os.environ.get("LAB_COMPLETE"):
        pytest.skip(done.stderr.strip())
    if done.returncode != 0:
        raise RuntimeError(f"{SCRIPT.name} failed with code {done.returncode}:\n{done.stderr}")
    return done.stdout.strip()


@dataclass(frozen=True)
class Event:
    name: str
    at: int
    attributes: Attributes

    @property
    def number(self) -> int:
        return int(self.attributes["libvirt.event.sequence"])


@dataclass(frozen=True)
class Span:
    trace_id: str
    span_id: str
    name: str
    began: int
    ended: int
    attributes: Attributes
    resource: Attributes
    events: tuple[Event, ...]
    links: tuple[tuple[str, str, tuple[str, ...]], ...]
    is_error: bool
    text: str = field(repr=False)
    """The whole span and its resource as JSON."""

    @property
    def pairs(self) -> list[str]:
        return [pair(event) for event in self.events]

    def linked(self, relation: str) -> list[str]:
        """Return the ids of the spans that are linked with this relation."""
        return [span_id for _, span_id, relations in self.links if relation in relations]


@dataclass(frozen=True)
class Log:
    trace_id: str
    span_id: str
    event: Event
    body: str
    severity: str
    resource: Attributes
    text: str = field(repr=False)


def pair(event: Event) -> str:
    return f"{event.name.removeprefix('libvirt.domain.')}/{event.attributes['libvirt.domain.event.reason']}"


class CollectorProcess(Service):
    """A Collector with a given configuration, whose health check listens on the port `health`."""

    def __init__(self, folder: Path, configuration: str, health: int) -> None:
        configured = folder / f"collector-{health}.yaml"
        configured.write_text(configuration)
        argv = [collector_program(), "--config", f"file:{configured}"]
        super().__init__(folder, argv, f"http://127.0.0.1:{health}", folder / f"collector-{health}.log")


class Collector(CollectorProcess):
    """A Collector that writes what it receives to files."""

    def __init__(self, folder: Path) -> None:
        self.http = free_port()
        self.grpc = free_port()
        self.traces = folder / f"traces-{self.http}.json"
        self.logs = folder / f"logs-{self.http}.json"
        health = free_port()
        super().__init__(folder, json.dumps(self._settings(health)), health)  # JSON is YAML

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    @property
    def grpc_url(self) -> str:
        return f"http://127.0.0.1:{self.grpc}"

    def spans(self) -> list[Span]:
        """Return all spans in the order of arrival, duplicates included."""
        return [
            _span(span, _attributes(resource["resource"]))
            for resource in _read(self.traces, "resourceSpans")
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]

    def records(self) -> list[Log]:
        """Return all log records in the order of arrival, duplicates included."""
        return [
            _log(record, _attributes(resource["resource"]))
            for resource in _read(self.logs, "resourceLogs")
            for scope in resource["scopeLogs"]
            for record in scope["logRecords"]
        ]

    def environment(self, *, grpc: bool = False) -> Mapping[str, str]:
        """Return the environment variables of an exporter that exports to this collector."""
        if grpc:
            return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.grpc_url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url}

    def _settings(self, health: int) -> dict[str, Any]:
        protocols = {
            "http": {"endpoint": f"127.0.0.1:{self.http}"},
            "grpc": {"endpoint": f"127.0.0.1:{self.grpc}"},
        }
        return {
            "receivers": {"otlp": {"protocols": protocols}},
            "exporters": {
                "file/traces": {"path": str(self.traces), "append": True, "flush_interval": "100ms"},
                "file/logs": {"path": str(self.logs), "append": True, "flush_interval": "100ms"},
            },
            "extensions": {"health_check": {"endpoint": f"127.0.0.1:{health}"}},
            "service": {
                "extensions": ["health_check"],
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {
                    "traces": {"receivers": ["otlp"], "exporters": ["file/traces"]},
                    "logs": {"receivers": ["otlp"], "exporters": ["file/logs"]},
                },
            },
        }


def _read(path: Path, what: str) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for line in path.read_text().splitlines(keepends=True):
        # The last line may be incomplete.
        if line.endswith("\n"):
            yield from json.loads(line)[what]


def _span(span: dict[str, Any], resource: Attributes) -> Span:
    return Span(
        span["traceId"],
        span["spanId"],
        span["name"],
        int(span["startTimeUnixNano"]),
        int(span["endTimeUnixNano"]),
        _attributes(span),
        resource,
        tuple(
            Event(event["name"], int(event["timeUnixNano"]), _attributes(event))
            for event in span.get("events", ())
        ),
        tuple(
            (link["traceId"], link["spanId"], tuple(_attributes(link)["libvirt.link.relations"]))
            for link in span.get("links", ())
        ),
        span.get("status", {}).get("code") == 2,
        json.dumps([span, sorted(resource.items())], sort_keys=True),
    )


def _log(record: dict[str, Any], resource: Attributes) -> Log:
    return Log(
        record["traceId"],
        record["spanId"],
        Event(record["eventName"], int(record["timeUnixNano"]), _attributes(record)),
        record["body"]["stringValue"],
        record["severityText"],
        resource,
        json.dumps([record, sorted(resource.items())], sort_keys=True),
    )


def _attributes(thing: dict[str, Any]) -> Attributes:
    return {one["key"]: _value(one["value"]) for one in thing.get("attributes", ())}


def _value(value: dict[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    if kind == "intValue":
        return int(inner)
    if kind == "arrayValue":
        return [_value(one) for one in inner["values"]]
    return base64.b64decode(inner) if kind == "bytesValue" else inner
