"""``check``: would the endpoints take what is to be sent? Asks each, by a request that holds nothing."""

from typing import NamedTuple

from libvirt_lifecycle_exporter.config.telemetry import SIGNALS, Telemetry
from libvirt_lifecycle_exporter.otel.delivery import probe
from libvirt_lifecycle_exporter.otel.responses import Verdict

_HINTS = {
    "401": "the receiver wants to know who sends; see OTEL_EXPORTER_OTLP_HEADERS",
    "403": "the receiver does not want this sender; see OTEL_EXPORTER_OTLP_HEADERS",
    "404": "nothing takes OTLP there; OTEL_EXPORTER_OTLP_ENDPOINT is given without a path",
    "UNIMPLEMENTED": "the receiver does not take this signal",
    "CERTIFICATE_VERIFY_FAILED": "name the authority that signed it in OTEL_EXPORTER_OTLP_CERTIFICATE",
    "refused": "nobody listens there",
}
"""A part of what was answered -> what to do about it."""


class EndpointResult(NamedTuple):
    """What was found about one signal."""

    well: bool
    lines: tuple[str, ...]


def trials(telemetry: Telemetry) -> list[EndpointResult]:
    """Ask all endpoints."""
    return [trial for signal in SIGNALS if (trial := _trial(telemetry, signal)) is not None]


def _trial(telemetry: Telemetry, signal: str) -> EndpointResult | None:
    endpoint = telemetry.of(signal)
    if endpoint is None:
        return None
    title = f"OpenTelemetry {signal}: {{}} ({endpoint.place}, {endpoint.protocol})"
    try:
        answer = probe(signal, endpoint)
    except OSError as error:
        return EndpointResult(False, (title.format("not well"), f"certificate or key: {error}"))  # noqa: FBT003 - by name: long
    if answer.verdict is Verdict.DELIVERED:
        return EndpointResult(True, (title.format("well"), "it takes a request that holds nothing"))  # noqa: FBT003 - as above
    hints = tuple(f"hint: {hint}" for part, hint in _HINTS.items() if part in answer.words)
    return EndpointResult(False, (title.format("not well"), answer.words, *hints))  # noqa: FBT003 - as above
