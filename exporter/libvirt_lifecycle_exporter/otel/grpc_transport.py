"""OTLP over gRPC: one call per request. Needs the optional dependencies ``grpc``.

Invariant: a call takes at most the endpoint's timeout.
"""

from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from libvirt_lifecycle_exporter import __version__
from libvirt_lifecycle_exporter.config.telemetry import Endpoint
from libvirt_lifecycle_exporter.journal.export_items import LOGS, TRACES
from libvirt_lifecycle_exporter.otel.no_proxy import bypasses_proxy
from libvirt_lifecycle_exporter.otel.responses import ExportResult, ExportStatus, from_grpc, from_message

_METHODS: Final = MappingProxyType(
    {
        TRACES: (
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            ExportTraceServiceResponse.FromString,
        ),
        LOGS: (
            "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            ExportLogsServiceResponse.FromString,
        ),
    }
)
"""Signal -> gRPC method, decoder of its response."""

_STOPPED: Final = ExportResult(ExportStatus.RETRY, "export stopped")


class GrpcTransport:
    """A gRPC channel to a receiver."""

    def __init__(self, signal: str, endpoint: Endpoint) -> None:
        """Raises OSError if a certificate or a key cannot be read."""
        self._signal = signal
        self._endpoint = endpoint
        self._channel = _create_channel(endpoint)
        method, decode = _METHODS[signal]
        self._method: Any = self._channel.unary_unary(method, None, decode)
        self._compression = (
            grpc.Compression.Gzip if endpoint.compression == "gzip" else grpc.Compression.NoCompression
        )
        self._call: Any = None
        self._aborted = False

    def send(self, payload: bytes) -> ExportResult:
        if self._aborted:
            return _STOPPED
        try:
            self._call = self._method.future(
                payload,
                timeout=self._endpoint.timeout,
                metadata=self._endpoint.headers,
                compression=self._compression,
            )
            return from_message(self._signal, self._call.result())
        except grpc.FutureCancelledError:
            return _STOPPED
        except grpc.RpcError as error:
            return from_grpc(error.code().name, str(error.details() or ""), _retry_delay(error))
        except ValueError:
            # gRPC raises it for a channel that another thread has closed.
            return _STOPPED

    def abort(self) -> None:
        self._aborted = True
        self._channel.close()

    def close(self) -> None:
        self._channel.close()


def _create_channel(endpoint: Endpoint) -> Any:  # noqa: ANN401 - grpc is untyped
    target, is_tls = _target(endpoint)
    options = (
        ("grpc.primary_user_agent", f"libvirt-lifecycle-exporter/{__version__}"),
        # The sender controls backoff and retries.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.enable_retries", 0),
        *_proxy_options(endpoint),
    )
    if not is_tls:
        return grpc.insecure_channel(target, options)
    credentials = grpc.ssl_channel_credentials(
        _read_file(endpoint.certificate),
        _read_file(endpoint.client_key),
        _read_file(endpoint.client_certificate),
    )
    return grpc.secure_channel(target, credentials, options)


def _target(endpoint: Endpoint) -> tuple[str, bool]:
    """Return the gRPC target of an endpoint, and whether it uses TLS."""
    url = urlsplit(endpoint.url)
    if url.scheme not in ("http", "https"):
        return endpoint.url, not endpoint.is_insecure
    is_tls = url.scheme == "https"
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{host}:{url.port or (443 if is_tls else 4317)}", is_tls


def _proxy_options(endpoint: Endpoint) -> tuple[tuple[str, int], ...]:
    """Return the option that disables gRPC's proxy, if NO_PROXY excludes the receiver.

    gRPC reads the proxy variables itself (lower case only) but supports only a part of the NO_PROXY syntax.
    """
    url = urlsplit(endpoint.url)
    if url.scheme not in ("http", "https"):
        # A gRPC target: dns:///host:port, dns://server/host:port or dns:host:port.
        url = urlsplit(f"//{endpoint.url.partition(':')[2].rpartition('/')[2]}")
    try:
        port = url.port or (443 if url.scheme in ("https", "") else 4317)
    except ValueError:
        return ()
    return (("grpc.enable_http_proxy", 0),) if bypasses_proxy(url.hostname or "", port) else ()


def _read_file(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None


def _retry_delay(error: Any) -> float:  # noqa: ANN401 - grpc is untyped
    """Return the delay in seconds that the receiver requests with RetryInfo; 0 if it requests none.

    https://opentelemetry.io/docs/specs/otlp/#otlpgrpc-throttling
    """
    for name, value in error.trailing_metadata() or ():
        if name != "grpc-status-details-bin":
            continue
        for detail in Status.FromString(value).details:
            info = RetryInfo()
            if detail.Is(RetryInfo.DESCRIPTOR) and detail.Unpack(info):
                return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return 0.0
