"""CLI, OTLP and incidents use one table of failures; they agree for every pair."""

import pytest
from opentelemetry.proto.logs.v1 import logs_pb2 as logs
from opentelemetry.proto.trace.v1 import trace_pb2 as trace
from opentelemetry.sdk.resources import Resource

from libvirt_lifecycle_exporter.cli.views import is_failure
from libvirt_lifecycle_exporter.engine.spans import Span, SpanRef
from libvirt_lifecycle_exporter.journal.export_items import ExportItem, Row
from libvirt_lifecycle_exporter.model.severity import ANY, MEANINGS, Severity, meaning_of
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import (
    ALERT_PAIRS,
    COUNTED_PAIRS,
    INCIDENT_KINDS,
    IO_ERROR_ACTIONS,
)
from libvirt_lifecycle_exporter.otel.encoding import Encoder
from tests.unit.factories import transition
from tests.unit.recorded_incidents import RecordedIncidents

PAUSE = IO_ERROR_ACTIONS.index("pause")
REF = SpanRef("1" * 32, "2" * 16)
TRANSITIONS = [
    transition(event, reason)._replace(detail_code=action)
    for event, reason in [*COUNTED_PAIRS, ("unknown_9", "unknown_3")]
    for action in (range(len(IO_ERROR_ACTIONS)) if event == "io_error" else (0,))
]


def name(change: Transition) -> str:
    return f"{change.event}/{change.reason}-{change.detail_code}"


def encode(change: Transition) -> tuple[logs.LogRecord, trace.Span]:
    rows = (Row(1, change, REF, exported_without_message=False),)
    span = Span(1, REF, "a span", change.at, change.at, "", None, (), (1,))
    encoder = Encoder({"": Resource.get_empty()})
    ((_, record),) = encoder.log_records([ExportItem(1, "", "", None, rows)])
    ((_, encoded),) = encoder.spans([ExportItem(1, "", "", span, rows)])
    return logs.LogRecord.FromString(record), trace.Span.FromString(encoded)


@pytest.mark.parametrize("change", TRANSITIONS, ids=name)
def test_cli_otlp_and_incidents_agree(change: Transition) -> None:
    meaning = meaning_of(change)
    _, opened = RecordedIncidents().apply(change)
    assert [incident.kind for incident in opened] == (
        [meaning.incident_kind] if meaning.incident_kind else []
    )
    record, span = encode(change)
    if opened:
        assert record.severity_number == logs.SEVERITY_NUMBER_ERROR
    is_error = record.severity_number == logs.SEVERITY_NUMBER_ERROR
    assert is_error == (span.status.code == trace.Status.STATUS_CODE_ERROR)
    for attributes in (record.attributes, span.attributes, span.events[0].attributes):
        assert is_error == ("error.type" in {attribute.key for attribute in attributes})
    assert is_failure(change) == (record.severity_number >= logs.SEVERITY_NUMBER_WARN)


@pytest.mark.parametrize(
    ("event", "reason", "code", "severity"),
    [
        ("watchdog", "poweroff", 3, Severity.ERROR),
        ("watchdog", "reset", 2, Severity.INFO),
        ("suspended", "api_error", 6, Severity.ERROR),
        ("resumed", "postcopy_failed", 4, Severity.ERROR),
        ("io_error", "enospc", PAUSE, Severity.ERROR),
        ("io_error", "other", 0, Severity.WARNING),
        ("control_error", "control_error", 0, Severity.WARNING),
        ("stopped", "destroyed", 1, Severity.INFO),
        ("stopped", "unknown", 0, Severity.INFO),
        ("crashed", "unknown_7", 7, Severity.ERROR),
    ],
)
def test_severity_of_a_transition(event: str, reason: str, code: int, severity: Severity) -> None:
    assert meaning_of(transition(event, reason)._replace(detail_code=code)).severity is severity


def test_pairs_that_alert_are_errors() -> None:
    assert {meaning_of(transition(*pair)).severity for pair in ALERT_PAIRS} == {Severity.ERROR}


def test_table_uses_only_words_of_the_vocabulary() -> None:
    known = set(COUNTED_PAIRS) | {(event, ANY) for event, _ in COUNTED_PAIRS}
    assert MEANINGS.keys() <= known
    assert {meaning.incident_kind for meaning in MEANINGS.values()} == {"", *INCIDENT_KINDS}
