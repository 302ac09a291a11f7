"""The encoder writes OTLP messages: protobuf's own classes read and write the same bytes."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1 import logs_pb2 as logs
from opentelemetry.proto.trace.v1 import trace_pb2 as trace
from opentelemetry.sdk.resources import Resource

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.engine.spans import Link, Span, SpanRef
from libvirt_lifecycle_exporter.journal.export_items import LOGS, TRACES, ExportItem, Row
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import COUNTED_PAIRS
from libvirt_lifecycle_exporter.otel.encoding import Encoder

TRACE, SPAN = "0123456789abcdef" * 2, "fedcba9876543210"
REF = SpanRef(TRACE, SPAN)
RESOURCE = Resource({"service.name": "exporter", "list": ["a", "b"], "flag": True, "number": 7, "share": 0.5})
OTHER = Resource({"service.name": "other"})
WORDS = st.text(st.characters(codec="utf-8"), max_size=300)
HEX = st.sampled_from("0123456789abcdef")
TIMES = st.floats(0.001, 4e9)
INT64 = st.integers(-(2**63), 2**63 - 1)
REFS = st.builds(
    SpanRef,
    st.lists(HEX, min_size=32, max_size=32).map("".join),
    st.lists(HEX, min_size=16, max_size=16).map("".join),
)
CHANGES = st.builds(
    lambda at, connection, words, pair, number, message, run, incident: Transition(
        at, connection, words, words, number, pair[0], pair[1], words, number, "probe", message, run, incident
    ),
    TIMES,
    st.sampled_from(["here", "there", "gone"]),
    WORDS,
    st.sampled_from(COUNTED_PAIRS),
    INT64,
    WORDS,
    st.sampled_from(["", "run"]),
    st.sampled_from(["", "incident"]),
)
ROWS = st.builds(Row, st.integers(0, 2**63 - 1), CHANGES, REFS, st.booleans())
SPANS = st.builds(
    Span,
    st.integers(1, 9),
    REFS,
    st.sampled_from(["stop domain", "domain event"]),
    TIMES,
    TIMES,
    st.sampled_from(["", "success"]),
    st.none() | st.floats(0, 1e9),
    st.lists(st.builds(Link, REFS, st.just(("previous", "run"))), max_size=2).map(tuple),
    st.just((1,)),
)


def encoder(*, span_events: bool = True) -> Encoder:
    return Encoder({"here": RESOURCE, "there": OTHER}, span_events=span_events)


@given(st.lists(st.tuples(st.none() | SPANS, st.lists(ROWS, min_size=1, max_size=3)), max_size=4))
def test_protobuf_reads_and_writes_the_same_bytes(found: list[tuple[Span | None, list[Row]]]) -> None:
    items = [ExportItem(1, rows[0].change.connection, "uuid", span, tuple(rows)) for span, rows in found]
    encoded_traces = encoder().request(TRACES, items)
    traces = ExportTraceServiceRequest.FromString(encoded_traces)
    assert traces.SerializeToString(deterministic=True) == encoded_traces
    spans = [one for each in traces.resource_spans for scope in each.scope_spans for one in scope.spans]
    assert sorted(one.name for one in spans) == sorted(span.name for span, _ in found if span)
    encoded_logs = encoder().request(LOGS, items)
    records = ExportLogsServiceRequest.FromString(encoded_logs)
    assert records.SerializeToString(deterministic=True) == encoded_logs
    bodies = [
        record.body.string_value
        for each in records.resource_logs
        for scope in each.scope_logs
        for record in scope.log_records
    ]
    assert len(bodies) == sum(len(rows) for span, rows in found if span is None)


CHANGE = Transition(
    12.5,
    "here",
    "uuid-web",
    "web",
    -1,
    "stopped",
    "crashed",
    "failed",
    5,
    "callback",
    "out of memory",
    "r",
    "i",
)
ATTRIBUTES = {
    "libvirt.domain.name": "web",
    "libvirt.domain.uuid": "uuid-web",
    "libvirt.domain.id": -1,
    "libvirt.connection.uri": "here",
    "libvirt.domain.event.reason": "crashed",
    "libvirt.domain.event.detail": "failed",
    "libvirt.domain.event.detail_code": 5,
    "libvirt.event.source": "callback",
    "libvirt.event.sequence": 300,
    "libvirt.domain.message": "out of memory",
    "libvirt.domain.run.id": "r",
    "libvirt.incident.id": "i",
    "error.type": "libvirt.domain.stopped.crashed",
}


def decode(attributes: Any) -> dict[str, Any]:
    return {one.key: value_of(one) for one in attributes}


def value_of(attribute: KeyValue) -> Any:
    value: AnyValue = attribute.value
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [one.string_value for one in value.array_value.values]
    return getattr(value, str(kind))


def test_log_record_has_every_field_of_its_transition() -> None:
    item = ExportItem(1, "here", "uuid-web", None, (Row(300, CHANGE, REF, exported_without_message=False),))
    request = ExportLogsServiceRequest.FromString(encoder().request(LOGS, [item]))
    (resource,) = request.resource_logs
    assert decode(resource.resource.attributes) == dict(RESOURCE.attributes) | {"list": ["a", "b"]}
    (scope,) = resource.scope_logs
    assert (scope.scope.name, scope.scope.version) == ("libvirt_lifecycle_exporter", __version__)
    (record,) = scope.log_records
    assert decode(record.attributes) == ATTRIBUTES
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (12_500_000_000, 12_500_000_000)
    assert (record.severity_number, record.severity_text) == (logs.SEVERITY_NUMBER_ERROR, "ERROR")
    assert (record.trace_id.hex(), record.span_id.hex(), record.flags) == (TRACE, SPAN, 1)
    assert (record.body.string_value, record.event_name) == ("out of memory", "libvirt.domain.stopped")


def test_span_has_every_field_of_its_operation() -> None:
    link = Link(SpanRef("1" * 32, "2" * 16), ("previous", "run"))
    span = Span(300, REF, "stop domain", 10.0, 12.5, "failed", 2.5, (link,), (300,))
    item = ExportItem(1, "here", "uuid-web", span, (Row(300, CHANGE, REF, exported_without_message=False),))
    request = ExportTraceServiceRequest.FromString(encoder().request(TRACES, [item]))
    (encoded,) = request.resource_spans[0].scope_spans[0].spans
    assert (encoded.name, encoded.kind) == ("stop domain", trace.Span.SPAN_KIND_INTERNAL)
    assert (encoded.trace_id.hex(), encoded.span_id.hex()) == (TRACE, SPAN)
    assert (encoded.start_time_unix_nano, encoded.end_time_unix_nano) == (10_000_000_000, 12_500_000_000)
    assert encoded.flags == trace.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
    assert (encoded.status.code, encoded.status.message) == (trace.Status.STATUS_CODE_ERROR, "out of memory")
    assert decode(encoded.attributes) == {
        "libvirt.connection.uri": "here",
        "libvirt.domain.uuid": "uuid-web",
        "libvirt.domain.name": "web",
        "libvirt.domain.id": -1,
        "libvirt.domain.run.id": "r",
        "libvirt.incident.id": "i",
        "libvirt.operation.outcome": "failed",
        "libvirt.condition.duration": 2.5,
        "error.type": "libvirt.domain.stopped.crashed",
    }
    (one_event,) = encoded.events
    assert (one_event.name, one_event.time_unix_nano) == ("libvirt.domain.stopped", 12_500_000_000)
    assert decode(one_event.attributes) == ATTRIBUTES
    (one_link,) = encoded.links
    assert (one_link.trace_id.hex(), one_link.span_id.hex()) == ("1" * 32, "2" * 16)
    assert one_link.flags == trace.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
    assert decode(one_link.attributes) == {"libvirt.link.relations": ["previous", "run"]}


def test_span_has_no_events_if_only_logs_are_wanted() -> None:
    span = Span(1, REF, "stop domain", 10.0, 12.5, "", None, (), (1,))
    item = ExportItem(1, "here", "u", span, (Row(1, CHANGE, REF, exported_without_message=False),))
    encoded = encoder(span_events=False).request(TRACES, [item])
    (found,) = ExportTraceServiceRequest.FromString(encoded).resource_spans[0].scope_spans[0].spans
    assert list(found.events) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("at", 0.0),
        ("at", 2e10),
        ("at", math.nan),
        ("name", "\ud800"),
        ("message", "\ud800"),
        ("domain_id", 2**63),
    ],
)
def test_item_that_cannot_be_encoded_raises_value_error(field: str, value: object) -> None:
    row = Row(1, CHANGE._replace(**{field: value}), REF, exported_without_message=False)  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        encoder().request(LOGS, [ExportItem(1, "here", "u", None, (row,))])


def test_empty_request_is_empty() -> None:
    assert (encoder().request(TRACES, []), encoder().request(LOGS, [])) == (b"", b"")
