"""The command ``check``: send an empty request to each OTLP endpoint and report the result."""

from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.config.telemetry import SIGNALS, Telemetry
from libvirt_lifecycle_exporter.otel.delivery import send_empty_request
from libvirt_lifecycle_exporter.otel.responses import ExportStatus

_HINTS: Final = {
    "401": "the receiver requires authentication; set OTEL_EXPORTER_OTLP_HEADERS",
    "403": "the receiver denies access; check OTEL_EXPORTER_OTLP_HEADERS",
    "404": "no OTLP receiver at this path; set OTEL_EXPORTER_OTLP_ENDPOINT without a path",
    "UNIMPLEMENTED": "the receiver does not support this signal",
    "CERTIFICATE_VERIFY_FAILED": "set OTEL_EXPORTER_OTLP_CERTIFICATE to the certificate authority's file",
    "refused": "no process listens on this port; check OTEL_EXPORTER_OTLP_ENDPOINT",
}
"""Part of the error text -> hint."""


class EndpointResult(NamedTuple):
    """The result of the check of one signal's endpoint."""

    ok: bool
    lines: tuple[str, ...]
    """The first line is the result; details follow."""


def check_endpoints(telemetry: Telemetry) -> list[EndpointResult]:
    """Check the endpoint of each signal that has one."""
    return [result for signal in SIGNALS if (result := _check(telemetry, signal)) is not None]


def _check(telemetry: Telemetry, signal: str) -> EndpointResult | None:
    endpoint = telemetry.endpoint(signal)
    if endpoint is None:
        return None
    title = f"OpenTelemetry {signal}: {{}} ({endpoint.display_url}, {endpoint.protocol})"
    failed = title.format("FAILED")
    try:
        result = send_empty_request(signal, endpoint)
    except OSError as error:
        return EndpointResult(ok=False, lines=(failed, f"certificate or key: {error}"))
    if result.status is ExportStatus.DELIVERED:
        return EndpointResult(ok=True, lines=(title.format("OK"), "the receiver accepts an empty request"))
    hints = tuple(f"hint: {hint}" for part, hint in _HINTS.items() if part in result.error)
    return EndpointResult(ok=False, lines=(failed, result.error, *hints))
