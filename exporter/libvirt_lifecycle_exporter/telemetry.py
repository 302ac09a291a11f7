"""What the standard OTEL_* variables ask for, read once.

Law: nothing is sent unless an endpoint is set (or a signal goes to the console), and OTEL_SDK_DISABLED ends
it all. What cannot be understood is refused in one sentence (``ValueError``) that quotes no value which may
be secret.

https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

OTLP: Final = "otlp"
CONSOLE: Final = "console"
NONE: Final = "none"
HTTP: Final = "http/protobuf"
GRPC: Final = "grpc"

SIGNALS: Final = ("traces", "logs")

_GRPC_NEEDS: Final = ("grpc", "google.rpc")
"""Modules that the extra ``grpc`` brings."""

_TIMEOUT = 10.0
_LEAST_TIMEOUT = 100
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where one signal goes, and how."""

    url: str
    """http://... or https://...; with the signal's path for HTTP."""
    protocol: str = HTTP
    headers: tuple[tuple[str, str], ...] = ()
    compression: str = "gzip"
    timeout: float = _TIMEOUT
    """Seconds that one attempt may take, all in all."""
    certificate: str = ""
    """File of the certificates that are trusted; empty: the system's."""
    client_key: str = ""
    client_certificate: str = ""

    def __repr__(self) -> str:
        """Say where, without what may be secret."""
        return f"Endpoint({self.place})"

    @property
    def place(self) -> str:
        """The URL without user, password and query, for people to read."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where the signals go; None: nowhere."""

    traces: Endpoint | None = None
    logs: Endpoint | None = None
    consoles: tuple[str, ...] = ()
    """Signals that are printed instead."""

    def __bool__(self) -> bool:
        return bool(self.traces or self.logs or self.consoles)

    def of(self, signal: str) -> Endpoint | None:
        """Return where a signal goes."""
        return {"traces": self.traces, "logs": self.logs}[signal]


OFF: Final = Telemetry()


def telemetry(environment: Mapping[str, str]) -> Telemetry:
    """Read the environment. Raises ValueError in one sentence."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return OFF
    endpoints: dict[str, Endpoint | None] = dict.fromkeys(SIGNALS)
    consoles = []
    for signal in SIGNALS:
        exporter = _exporter(environment, signal)
        if exporter == CONSOLE:
            consoles.append(signal)
        elif exporter == OTLP:
            endpoints[signal] = _endpoint(_Variables(environment, signal))
    return Telemetry(endpoints["traces"], endpoints["logs"], tuple(consoles))


def host_id(paths: tuple[Path, ...] = _MACHINE_IDS) -> str:
    """Return what names this host for ever, as OpenTelemetry's ``host.id`` has it; "" if nothing does.

    https://opentelemetry.io/docs/specs/semconv/resource/host/#collecting-hostid-from-non-containerized-systems
    """
    for path in paths:
        try:
            found = path.read_text().strip()
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return found
    return ""


class _Variables:
    """The variables of one signal; those that name it come first, and an empty one is none."""

    def __init__(self, environment: Mapping[str, str], signal: str) -> None:
        self._environment = environment
        self.signal = signal

    def find(self, what: str) -> tuple[str, str]:
        """Return the variable that counts, and its value; empty if it is not set."""
        for name in self._names(what):
            value = self._environment.get(name, "").strip()
            if value:
                return name, value
        return self._names(what)[1], ""

    def is_own(self, name: str) -> bool:
        """Tell whether a variable is about this signal alone."""
        return f"_{self.signal.upper()}_" in name

    def _names(self, what: str) -> tuple[str, str]:
        return f"OTEL_EXPORTER_OTLP_{self.signal.upper()}_{what}", f"OTEL_EXPORTER_OTLP_{what}"


def _exporter(environment: Mapping[str, str], signal: str) -> str:
    variable = f"OTEL_{signal.upper()}_EXPORTER"
    exporter = environment.get(variable, "").strip().lower() or OTLP
    if exporter not in (OTLP, CONSOLE, NONE):
        raise ValueError(f'{variable}: "{exporter}" is not known here; write otlp, console or none')
    return exporter


def _endpoint(variables: _Variables) -> Endpoint | None:
    name, url = variables.find("ENDPOINT")
    if not url:
        return None
    protocol_variable, protocol = variables.find("PROTOCOL")
    protocol = protocol.lower() or HTTP
    if protocol not in (HTTP, GRPC):
        raise ValueError(f'{protocol_variable}: "{protocol}" is not known here; write http/protobuf or grpc')
    if protocol == GRPC and not all(find_spec(module) for module in _GRPC_NEEDS):
        raise ValueError(
            f"{protocol_variable}=grpc needs more: pip install 'libvirt-lifecycle-exporter[grpc]'"
        )
    url = _url(name, url, protocol, variables)
    if protocol == HTTP and not variables.is_own(name):
        base, mark, query = url.partition("?")
        url = f"{base.rstrip('/')}/v1/{variables.signal}{mark}{query}"
    return Endpoint(
        url,
        protocol,
        _headers(*variables.find("HEADERS")),
        _compression(*variables.find("COMPRESSION")),
        _timeout(*variables.find("TIMEOUT")),
        _file(*variables.find("CERTIFICATE")),
        _file(*variables.find("CLIENT_KEY")),
        _file(*variables.find("CLIENT_CERTIFICATE")),
    )


def _url(name: str, url: str, protocol: str, variables: _Variables) -> str:
    if protocol == GRPC and "://" not in url:
        _, insecure = variables.find("INSECURE")
        url = f"{'http' if insecure.lower() == 'true' else 'https'}://{url}"
    try:
        parts = urlsplit(url)
        well = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        well = False
    if not well or not url.isprintable() or " " in url:
        raise ValueError(f"{name} is no URL to send to; write it as http://localhost:4318")
    return url


def _headers(name: str, text: str) -> tuple[tuple[str, str], ...]:
    headers = []
    for number, item in enumerate(filter(None, (item.strip() for item in text.split(","))), 1):
        key, equals, value = item.partition("=")
        key, value = unquote(key.strip()).lower(), unquote(value.strip())
        if not equals or not _NAME.fullmatch(key) or not _VALUE.fullmatch(value):
            raise ValueError(
                f"{name}: its item {number} is no header; write key=value,key=value, URL-encoded"
            )
        headers.append((key, value))
    return tuple(headers)


def _compression(name: str, text: str) -> str:
    compression = text.lower() or "gzip"
    if compression not in ("gzip", "none"):
        raise ValueError(f'{name}: "{compression}" is not known here; write gzip or none')
    return compression


def _timeout(name: str, text: str) -> float:
    """In milliseconds, says the specification; some libraries take it for seconds."""
    if not text:
        return _TIMEOUT
    try:
        milliseconds = int(text)
    except ValueError:
        milliseconds = 0
    if milliseconds < _LEAST_TIMEOUT:
        raise ValueError(
            f"{name} is in milliseconds and at least {_LEAST_TIMEOUT}; write 10000 for ten seconds"
        )
    return milliseconds / 1000


def _file(name: str, path: str) -> str:
    if path and not _is_readable(Path(path)):
        raise ValueError(f"{name}: the file cannot be read")
    return path


def _is_readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
