"""What the standard OTEL_* variables ask for, read once.

Law: nothing is sent unless an endpoint is set (or a signal goes to the console), and OTEL_SDK_DISABLED ends
it all. An unknown value of an enumeration or a boolean is ignored with a warning, as the specification
requires. Other values that cannot be understood are refused in one sentence (``ValueError``) that quotes no
value which may be secret.

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
"""gRPC's own names of a place, https://github.com/grpc/grpc/blob/master/doc/naming.md"""
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
    """http://... or https://..., with the signal's path for HTTP; or a gRPC target."""
    protocol: str = HTTP
    headers: tuple[tuple[str, str], ...] = ()
    compression: str = "gzip"
    timeout: float = _TIMEOUT
    """Seconds that one attempt may take, all in all."""
    certificate: str = ""
    """File of the certificates that are trusted; empty: the system's."""
    client_key: str = ""
    client_certificate: str = ""
    is_insecure: bool = False
    """gRPC target: without TLS. For URLs the scheme decides."""

    def __repr__(self) -> str:
        """Say where, without what may be secret."""
        return f"Endpoint({self.place})"

    @property
    def place(self) -> str:
        """The URL without user, password and query, for people to read."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https"):
            return self.url
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Where the signals go; None: nowhere."""

    traces: Endpoint | None = None
    logs: Endpoint | None = None
    consoles: tuple[str, ...] = ()
    """Signals that are printed, too or instead."""
    warnings: tuple[str, ...] = ()
    """One sentence for each variable that is ignored."""

    def __bool__(self) -> bool:
        return bool(self.traces or self.logs or self.consoles)

    def of(self, signal: str) -> Endpoint | None:
        """Return where a signal goes."""
        return {"traces": self.traces, "logs": self.logs}[signal]


OFF: Final = Telemetry()


def telemetry(environment: Mapping[str, str]) -> Telemetry:
    """Read the environment. Raises ValueError in one sentence."""
    warnings: dict[str, None] = {}
    disabled = _Variables(environment, "", warnings).choose("OTEL_SDK_DISABLED", BOOLEANS)
    if disabled == "true":
        return OFF
    endpoints: dict[str, Endpoint | None] = dict.fromkeys(SIGNALS)
    consoles = []
    for signal in SIGNALS:
        variables = _Variables(environment, signal, warnings)
        exporters = variables.choose_several(f"OTEL_{signal.upper()}_EXPORTER", EXPORTERS) or (OTLP,)
        if CONSOLE in exporters:
            consoles.append(signal)
        if OTLP in exporters:
            endpoints[signal] = _endpoint(variables)
    return Telemetry(endpoints["traces"], endpoints["logs"], tuple(consoles), tuple(warnings))


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

    def __init__(self, environment: Mapping[str, str], signal: str, warnings: dict[str, None]) -> None:
        """``warnings``: the sentences about ignored values, in order; new ones are added."""
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

    def choose_otlp(self, what: str, known: tuple[str, ...]) -> str:
        """Return the first known value of the variables of an OTLP option; "" if there is none."""
        return next(filter(None, (self.choose(name, known) for name in self._names(what))), "")

    def choose_several(self, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """Return the known values of a variable that is a list, separated by commas."""
        given = [item.strip().lower() for item in self._environment.get(name, "").split(",")]
        for item in given:
            if item and item not in known:
                self._ignore(name, item, known)
        return tuple(dict.fromkeys(item for item in given if item in known))

    def _ignore(self, name: str, given: str, known: tuple[str, ...]) -> None:
        # Cut and made printable: it goes into the log.
        value = "".join(letter if letter.isprintable() else "?" for letter in given[:64])
        self._warnings[f'{name}: unknown value "{value}" ignored; use {" or ".join(known)}'] = None

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


def _endpoint(variables: _Variables) -> Endpoint | None:
    name, url = variables.find("ENDPOINT")
    if not url:
        return None
    protocol = variables.choose_otlp("PROTOCOL", PROTOCOLS) or HTTP
    if protocol == GRPC and not all(find_spec(module) for module in _GRPC_NEEDS):
        raise ValueError(
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc needs more: pip install 'libvirt-lifecycle-exporter[grpc]'"
        )
    insecure = variables.choose_otlp("INSECURE", BOOLEANS) if protocol == GRPC else ""
    url = _url(name, url, protocol, is_insecure=insecure == "true")
    if protocol == HTTP and not variables.is_own(name):
        base, mark, query = url.partition("?")
        url = f"{base.rstrip('/')}/v1/{variables.signal}{mark}{query}"
    return Endpoint(
        url,
        protocol,
        _headers(*variables.find("HEADERS")),
        variables.choose_otlp("COMPRESSION", COMPRESSIONS) or "gzip",
        _timeout(*variables.find("TIMEOUT")),
        _file(*variables.find("CERTIFICATE")),
        _file(*variables.find("CLIENT_KEY")),
        _file(*variables.find("CLIENT_CERTIFICATE")),
        # A socket of this host needs no TLS unless it is asked for.
        is_insecure=insecure == "true" or (url.startswith("unix") and insecure != "false"),
    )


def _url(name: str, url: str, protocol: str, *, is_insecure: bool) -> str:
    if protocol == GRPC and _GRPC_TARGET.fullmatch(url) and url.isprintable() and " " not in url:
        return url
    if protocol == GRPC and "://" not in url:
        url = f"{'http' if is_insecure else 'https'}://{url}"
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
