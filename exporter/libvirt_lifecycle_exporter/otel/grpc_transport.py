"""OTLP over gRPC: one call, one true answer. Needs the extra ``grpc``.

Law: a call takes as long as the endpoint's timeout at the most.
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
from libvirt_lifecycle_exporter.otel.responses import Answer, Verdict, of_grpc, of_response

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


class GrpcTransport:
    """A channel to a receiver."""

    def __init__(self, signal: str, endpoint: Endpoint) -> None:
        """Raises OSError where certificate or key cannot be read."""
        self._signal = signal
        self._endpoint = endpoint
        self._channel = _channel(endpoint)
        method, read = _METHODS[signal]
        self._method: Any = self._channel.unary_unary(method, None, read)
        self._compression = (
            grpc.Compression.Gzip if endpoint.compression == "gzip" else grpc.Compression.NoCompression
        )
        self._call: Any = None
        self._aborted = False

    def send(self, payload: bytes) -> Answer:
        if self._aborted:
            return Answer(Verdict.LATER, "it was told to end")
        try:
            self._call = self._method.future(
                payload,
                timeout=self._endpoint.timeout,
                metadata=self._endpoint.headers,
                compression=self._compression,
            )
            return of_response(self._signal, self._call.result())
        except grpc.FutureCancelledError:
            return Answer(Verdict.LATER, "it was told to end")
        except grpc.RpcError as error:
            return of_grpc(error.code().name, str(error.details() or ""), _wait(error))
        except ValueError:
            # grpc's word for a channel that was closed meanwhile.
            return Answer(Verdict.LATER, "it was told to end")

    def abort(self) -> None:
        self._aborted = True
        self._channel.close()

    def close(self) -> None:
        self._channel.close()


def _channel(endpoint: Endpoint) -> Any:  # noqa: ANN401 - grpc is untyped
    place, secure = _target(endpoint)
    options = (
        ("grpc.primary_user_agent", f"libvirt-lifecycle-exporter/{__version__}"),
        # How long to wait is our own business.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.enable_retries", 0),
        *_without_proxy(endpoint),
    )
    if not secure:
        return grpc.insecure_channel(place, options)
    credentials = grpc.ssl_channel_credentials(
        _content(endpoint.certificate), _content(endpoint.client_key), _content(endpoint.client_certificate)
    )
    return grpc.secure_channel(place, credentials, options)


def _target(endpoint: Endpoint) -> tuple[str, bool]:
    """Return the target as gRPC writes it, and whether it is reached over TLS."""
    url = urlsplit(endpoint.url)
    if url.scheme not in ("http", "https"):
        return endpoint.url, not endpoint.is_insecure
    secure = url.scheme == "https"
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{host}:{url.port or (443 if secure else 4317)}", secure


def _without_proxy(endpoint: Endpoint) -> tuple[tuple[str, int], ...]:
    """Return the option that ignores gRPC's proxy, where NO_PROXY excludes the receiver.

    gRPC reads the proxy's variables itself (lower case only), but not all that NO_PROXY may contain.
    """
    url = urlsplit(endpoint.url)
    if url.scheme not in ("http", "https"):
        # A target: dns:///host:port, dns://server/host:port or dns:host:port.
        url = urlsplit(f"//{endpoint.url.partition(':')[2].rpartition('/')[2]}")
    try:
        port = url.port or (443 if url.scheme in ("https", "") else 4317)
    except ValueError:
        return ()
    return (("grpc.enable_http_proxy", 0),) if bypasses_proxy(url.hostname or "", port) else ()


def _content(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None


def _wait(error: Any) -> float:  # noqa: ANN401 - grpc is untyped
    """Read how long the receiver asks to wait, https://opentelemetry.io/docs/specs/otlp/#otlpgrpc-throttling"""
    for name, value in error.trailing_metadata() or ():
        if name != "grpc-status-details-bin":
            continue
        for detail in Status.FromString(value).details:
            info = RetryInfo()
            if detail.Is(RetryInfo.DESCRIPTOR) and detail.Unpack(info):
                return float(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
    return 0.0
