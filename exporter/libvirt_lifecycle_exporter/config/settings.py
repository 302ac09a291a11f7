"""The configuration: one frozen value, checked once.

Law: what is accepted here works later; what is refused is refused in one sentence (``ValueError``).
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from libvirt_lifecycle_exporter.config.telemetry import DISABLED, Telemetry

DEFAULT_PORT = 10177
DEFAULT_URI = "qemu:///system"

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION = re.compile("".join(rf"(?:([0-9]+){unit})?" for unit in ("y", "w", "d", "h", "m", "s", "ms")))
_NAMED = re.compile(r"(?P<label>[A-Za-z0-9_.-]+)=(?P<uri>.*)", re.DOTALL)
_LISTEN = re.compile(
    r"(?:\[(?P<six>[0-9A-Za-z:.]+(?:%[^\s/%\[\]]+)?)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]+)"
)
_PORT_LIMIT = 65_535


@dataclass(frozen=True, slots=True)
class Target:
    """A libvirt to connect to, and the ``connection`` label it goes by."""

    label: str
    uri: str


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to serve on; an empty host, and ``::``, mean all addresses, IPv6 and IPv4."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def user_path(path: str) -> Path:
    """Return an absolute path; a leading ``~`` is the home folder. Raises OSError where there is none."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise OSError(
            f"{path}: this user has no home folder; set HOME, or use --journal.path or an absolute path"
        ) from None


def journal_file(path: str) -> Path | None:
    """Return the journal's file; None where there is to be none.

    An empty path is the usual place: systemd's StateDirectory, else the XDG state folder.
    """
    if path:
        return None if path == "none" else user_path(path)
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return Path(state) / "journal.sqlite"
    home = os.environ.get("XDG_STATE_HOME") or user_path("~/.local/state")
    return Path(home) / "libvirt-lifecycle-exporter" / "journal.sqlite"


def size(text: str) -> int:
    """Read a size as Prometheus writes it (``512MB``, ``1GB``, ``0``); return bytes."""
    found = re.fullmatch(r"([0-9]+)(B|KB|MB|GB|TB)", text)
    if text == "0":
        return 0
    if found is None:
        raise ValueError(f'"{text}" is no size; write it as 512MB or 1GB')
    return int(found[1]) << 10 * ("B", "KB", "MB", "GB", "TB").index(found[2])


def duration(text: str) -> float:
    """Read a duration as Prometheus writes it (``15s``, ``1h30m``, ``500ms``, ``0``); return seconds."""
    found = _DURATION.fullmatch(text)
    if text == "0":
        return 0.0
    if not text or found is None:
        raise ValueError(f'"{text}" is no duration; write it as 15s, 2m, 1h30m or 24h')
    units = ("y", "w", "d", "h", "m", "s", "ms")
    return sum(int(value) * _UNITS[unit] for value, unit in zip(found.groups(), units, strict=True) if value)


def listen(text: str) -> Listen:
    """Read an address to serve on: ``:10177``, ``127.0.0.1:10177``, ``[::1]:10177``."""
    found = _LISTEN.fullmatch(text)
    if found is None or int(found["port"]) > _PORT_LIMIT:
        raise ValueError(
            f'"{text}" is no address to listen on; write it as :10177, 127.0.0.1:10177 or [::1]:10177'
        )
    return Listen(found["six"] or found["host"] or "", int(found["port"]))


def target(text: str, aliases: Mapping[str, str] | None = None) -> Target:
    """Read ``URI`` or ``NAME=URI``; ``aliases``: names that libvirt.conf gives to URIs."""
    named = _NAMED.fullmatch(text)
    uri = named["uri"] if named else text
    uri = (aliases or {}).get(uri, uri)
    if not uri or not uri.isprintable() or " " in uri or not re.match(r"[a-z][a-z0-9+.-]*:/", uri):
        raise ValueError(f'"{text}" is no libvirt URI; write it as qemu:///system, or NAME=qemu:///system')
    try:
        label = named["label"] if named else canonical(uri)
    except ValueError as error:
        raise ValueError(f'"{text}" is no libvirt URI: {error}') from None
    return Target(label, uri)


def without_password(uri: str) -> str:
    """Return a URI as it may be shown: without the password that its user part may hold."""
    return re.sub(r"(?<=//)([^/?#@]*?):[^/?#@]*@", r"\1@", uri)


def canonical(uri: str) -> str:
    """Reduce a URI to what names the connection: no transport, user, password or query.

    ``qemu+ssh://root@node1/system?keyfile=/k`` becomes ``qemu://node1/system``.
    """
    parts = urlsplit(uri)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme.partition('+')[0]}://{host}{port}{parts.path}"


_SHORTEST = {
    "keepalive_interval": ("--libvirt.keepalive-interval", 1.0),
    "connect_timeout": ("--libvirt.connect-timeout", 0.1),
    "reconnect_max_delay": ("--libvirt.reconnect-max-delay", 0.1),
    "hang_emulator_interval": ("--hang.emulator-interval", 0.1),
    "hang_emulator_threshold": ("--hang.emulator-threshold", 0.001),
    "hang_guest_agent_interval": ("--hang.guest-agent-interval", 0.1),
    "hang_guest_agent_timeout": ("--hang.guest-agent-timeout", 1.0),
    "hang_vcpu_window": ("--hang.vcpu-window", 0.1),
}
"""Smallest values, in seconds, of flags for which 0 would mean a loop without a pause, or a limit that is
always exceeded."""
_SHORTEST_SNAPSHOT_INTERVAL = 0.1


def _written(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the exporter can be told. Times are in seconds."""

    targets: tuple[Target, ...] = field(default_factory=lambda: (target(DEFAULT_URI),))
    listen: tuple[Listen, ...] = (Listen("", DEFAULT_PORT),)
    keepalive_interval: float = 5
    keepalive_count: int = 3
    connect_timeout: float = 60
    reconnect_max_delay: float = 10
    snapshot_interval: float = 300
    unknown_after: float = 30
    """How long a connection may be down before the state of its domains is unknown."""
    log_dir: str = ""
    """Where the emulators' logs are; empty: where libvirt has them."""
    domain_include: str = ".*"
    domain_exclude: str = ""
    series_ttl: float = 900
    series_limit: int = 50_000
    queue_size: int = 100_000
    journal_path: str = ""
    """A file; empty: the usual place; ``none``: no journal."""
    journal_retention: float = 30 * 86_400
    journal_retention_size: int = 512 * 1024 * 1024
    otel_events: str = "both"
    """Where a transition is told: ``span`` (as span event), ``log`` (as log record) or ``both``."""
    otel_run_spans: bool = False
    otel_max_age: float = 86_400
    otel_catch_up_rate: int = 1000
    telemetry: Telemetry = DISABLED
    """What the OTEL_* variables ask for."""
    hang_emulator: bool = True
    hang_emulator_interval: float = 30
    hang_emulator_threshold: float = 15
    hang_watchdog_recovery: float = 30
    hang_guest_agent: bool = False
    hang_guest_agent_interval: float = 30
    hang_guest_agent_timeout: float = 5
    hang_vcpu: bool = False
    hang_vcpu_window: float = 60
    web_systemd_socket: bool = False
    """Whether systemd passes the sockets; ``listen`` does not count then."""
    web_config_file: str = ""
    """In the exporter-toolkit's format; empty: no TLS, no users."""
    log_level: str = "info"
    log_format: str = "logfmt"

    @property
    def hang_signals(self) -> tuple[str, ...]:
        """The hang signals that are switched on; libvirt tells of the watchdog in any case."""
        switched = {
            "emulator": self.hang_emulator,
            "watchdog": True,
            "guest_agent": self.hang_guest_agent,
            "vcpu": self.hang_vcpu,
        }
        return tuple(signal for signal, is_on in switched.items() if is_on)

    def __post_init__(self) -> None:
        if self.telemetry and self.journal_path == "none":
            raise ValueError(
                "OpenTelemetry needs the journal, which keeps what is to be delivered: "
                "give --journal.path a file, or unset OTEL_EXPORTER_OTLP_ENDPOINT"
            )
        labels = [target.label for target in self.targets]
        for twice in sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(
                f'two libvirt URIs would share the connection label "{twice}"; '
                "give each a name of its own, as in --libvirt.uri NAME=URI"
            )
        if self.keepalive_interval != int(self.keepalive_interval):
            raise ValueError("--libvirt.keepalive-interval must be whole seconds")
        for name, (flag, shortest) in _SHORTEST.items():
            if getattr(self, name) < shortest:
                raise ValueError(f"{flag} must be at least {_written(shortest)}")
        if 0 < self.snapshot_interval < _SHORTEST_SNAPSHOT_INTERVAL:
            raise ValueError(
                "--libvirt.snapshot-interval must be 0 (no periodic listing) or at least "
                + _written(_SHORTEST_SNAPSHOT_INTERVAL)
            )
        for flag, expression in (("include", self.domain_include), ("exclude", self.domain_exclude)):
            try:
                re.compile(expression)
            except re.error as error:
                raise ValueError(
                    f'--domain.{flag}: "{expression}" is no regular expression: {error}'
                ) from None
