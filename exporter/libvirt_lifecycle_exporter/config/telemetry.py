"""Settings from the standard OTEL_* environment variables.

Nothing is exported unless an endpoint or the console exporter is configured; OTEL_SDK_DISABLED disables all
of it. An unknown value of an enumeration or a boolean is ignored with a warning, as the specification
requires. Any other invalid value raises ``ValueError`` with one sentence that quotes no value that may be
secret.

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

EXPORTERS: Final = (OTLP, CONSOLE, NONE)
PROTOCOLS: Final = (HTTP, GRPC)
COMPRESSIONS: Final = ("gzip", "none")
BOOLEANS: Final = ("true", "false")

_GRPC_TARGET = re.compile(r"(?:dns|unix|unix-abstract|ipv4|ipv6):(?!\d+$).+")
"""gRPC targets, https://github.com/grpc/grpc/blob/master/doc/naming.md"""
_GRPC_MODULES: Final = ("grpc", "google.rpc")
"""Modules of the optional dependencies ``grpc``."""

_TIMEOUT = 10.0
"""Default, in seconds."""
_MIN_TIMEOUT_MS = 100
"""Milliseconds, the unit of the variable."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The OTLP receiver of one signal."""

    url: str
    """An http:// or https:// URL, with the signal's path for HTTP; or a gRPC target."""
    protocol: str = HTTP
    headers: tuple[tuple[str, str], ...] = ()
    compression: str = "gzip"
    timeout: float = _TIMEOUT
    """Seconds; limit of one whole request."""
    certificate: str = ""
    """Path of the trusted CA certificates; empty: the system's."""
    client_key: str = ""
    client_certificate: str = ""
    is_insecure: bool = False
    """Whether a gRPC target is used without TLS. The scheme decides for URLs."""

    def __repr__(self) -> str:
        """Return the URL without its secret parts."""
        return f"Endpoint({self.display_url})"

    @property
    def display_url(self) -> str:
        """The URL without user, password and query, for messages."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https"):
            return self.url
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The endpoint of each signal; None: not exported."""

    traces: Endpoint | None = None
    logs: Endpoint | None = None
    console_signals: tuple[str, ...] = ()
    """Signals that are printed on the console, with or without an endpoint."""
    warnings: tuple[str, ...] = ()
    """One sentence for each ignored value."""

    def __bool__(self) -> bool:
        return bool(self.traces or self.logs or self.console_signals)

    def endpoint(self, signal: str) -> Endpoint | None:
        """Return the endpoint of a signal; None: not exported."""
        return {"traces": self.traces, "logs": self.logs}[signal]


DISABLED: Final = Telemetry()


def read_telemetry(environment: Mapping[str, str]) -> Telemetry:
    """Return the settings from the environment. Raises ValueError with one sentence."""
    warnings: dict[str, None] = {}
    disabled = _Variables(environment, "", warnings).choose("OTEL_SDK_DISABLED", BOOLEANS)
    if disabled == "true":
        return DISABLED
    endpoints: dict[str, Endpoint | None] = dict.fromkeys(SIGNALS)
    console_signals = []
    for signal in SIGNALS:
        variables = _Variables(environment, signal, warnings)
        exporters = variables.choose_several(f"OTEL_{signal.upper()}_EXPORTER", EXPORTERS) or (OTLP,)
        if CONSOLE in exporters:
            console_signals.append(signal)
        if OTLP in exporters:
            endpoints[signal] = _endpoint(variables)
    return Telemetry(endpoints["traces"], endpoints["logs"], tuple(console_signals), tuple(warnings))


def read_host_id(paths: tuple[Path, ...] = _MACHINE_IDS) -> str:
    """Return the permanent id of this host (OpenTelemetry's ``host.id``); "" if there is none.

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
    """The variables of one signal. A signal-specific variable takes precedence; an empty value is unset."""

    def __init__(self, environment: Mapping[str, str], signal: str, warnings: dict[str, None]) -> None:
        """``warnings``: the sentences about ignored values, in order; this class adds to them."""
        self._environment = environment
        self._warnings = warnings
        self.signal = signal

    def choose(self, name: str, known: tuple[str, ...]) -> str:
        """Return the known value of one variable; "" if it is not set, or ignored as unknown."""
        given = self._environment.get(name, "").strip().lower()
        if given in ("", *known):
            return given
        self._ignore(name, given, known)
        return ""

    def choose_otlp(self, option: str, known: tuple[str, ...]) -> str:
        """Return the first known value of the variables of an OTLP option; "" if there is none."""
        return next(filter(None, (self.choose(name, known) for name in self._names(option))), "")

    def choose_several(self, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """Return the known values of a comma-separated variable."""
        given = [item.strip().lower() for item in self._environment.get(name, "").split(",")]
        for item in given:
            if item and item not in known:
                self._ignore(name, item, known)
        return tuple(dict.fromkeys(item for item in given if item in known))

    def _ignore(self, name: str, given: str, known: tuple[str, ...]) -> None:
        # Truncated and printable, because the value is logged.
        value = "".join(letter if letter.isprintable() else "?" for letter in given[:64])
        self._warnings[f'{name}: unknown value "{value}" ignored; use {" or ".join(known)}'] = None

    def find_value(self, option: str) -> tuple[str, str]:
        """Return the name of the effective variable and its value; "" if it is not set."""
        for name in self._names(option):
            value = self._environment.get(name, "").strip()
            if value:
                return name, value
        return self._names(option)[1], ""

    def is_signal_specific(self, name: str) -> bool:
        """Return whether a variable is specific to this signal."""
        return f"_{self.signal.upper()}_" in name

    def _names(self, option: str) -> tuple[str, str]:
        return f"OTEL_EXPORTER_OTLP_{self.signal.upper()}_{option}", f"OTEL_EXPORTER_OTLP_{option}"


def _endpoint(variables: _Variables) -> Endpoint | None:
    name, url = variables.find_value("ENDPOINT")
    if not url:
        return None
    protocol = variables.choose_otlp("PROTOCOL", PROTOCOLS) or HTTP
    if protocol == GRPC and not all(find_spec(module) for module in _GRPC_MODULES):
        raise ValueError(
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc requires: pip install 'libvirt-lifecycle-exporter[grpc]'"
        )
    insecure = variables.choose_otlp("INSECURE", BOOLEANS) if protocol == GRPC else ""
    url = _url(name, url, protocol, is_insecure=insecure == "true")
    if protocol == HTTP and not variables.is_signal_specific(name):
        base, mark, query = url.partition("?")
        url = f"{base.rstrip('/')}/v1/{variables.signal}{mark}{query}"
    return Endpoint(
        url,
        protocol,
        _headers(*variables.find_value("HEADERS")),
        variables.choose_otlp("COMPRESSION", COMPRESSIONS) or "gzip",
        _timeout(*variables.find_value("TIMEOUT")),
        _file(*variables.find_value("CERTIFICATE")),
        _file(*variables.find_value("CLIENT_KEY")),
        _file(*variables.find_value("CLIENT_CERTIFICATE")),
        # A Unix socket uses no TLS by default.
        is_insecure=insecure == "true" or (url.startswith("unix") and insecure != "false"),
    )


def _url(name: str, url: str, protocol: str, *, is_insecure: bool) -> str:
    if protocol == GRPC and _GRPC_TARGET.fullmatch(url) and url.isprintable() and " " not in url:
        return url
    if protocol == GRPC and "://" not in url:
        url = f"{'http' if is_insecure else 'https'}://{url}"
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_valid = False
    if not is_valid or not url.isprintable() or " " in url:
        raise ValueError(f"{name} is not a valid URL; use e.g. http://localhost:4318")
    return url


def _headers(name: str, text: str) -> tuple[tuple[str, str], ...]:
    headers = []
    for number, item in enumerate(filter(None, (item.strip() for item in text.split(","))), 1):
        key, equals, value = item.partition("=")
        key, value = unquote(key.strip()).lower(), unquote(value.strip())
        if not equals or not _HEADER_NAME.fullmatch(key) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(
                f"{name}: item {number} is not a valid header; use key=value,key=value, URL-encoded"
            )
        headers.append((key, value))
    return tuple(headers)


def _timeout(name: str, text: str) -> float:
    """Return seconds from a value in milliseconds, as the specification defines it."""
    if not text:
        return _TIMEOUT
    try:
        milliseconds = int(text)
    except ValueError:
        milliseconds = 0
    if milliseconds < _MIN_TIMEOUT_MS:
        raise ValueError(
            f'{name}: invalid timeout "{text[:20]}"; use milliseconds, at least {_MIN_TIMEOUT_MS}, e.g. 10000'
        )
    return milliseconds / 1000


def _file(name: str, path: str) -> str:
    if path and not _is_readable(Path(path)):
        raise ValueError(f"{name}: cannot read the file")
    return path


def _is_readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
