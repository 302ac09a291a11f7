"""The configuration: one immutable value, validated once, and the parsers of its values.

Invariant: a value that is accepted here works later. An invalid value raises ValueError with one sentence.
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
_LABELLED_URI = re.compile(r"(?P<label>[A-Za-z0-9_.-]+)=(?P<uri>.*)", re.DOTALL)
_LISTEN_ADDRESS = re.compile(
    r"(?:\[(?P<six>[0-9A-Za-z:.]+(?:%[^\s/%\[\]]+)?)\]|(?P<host>[^:\[\]]*)):(?P<port>[0-9]+)"
)
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Target:
    """A libvirt to connect to, and the value of its ``connection`` label."""

    label: str
    uri: str


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """An address to listen on. An empty host and ``::`` are all addresses, IPv6 and IPv4."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def expand_path(path: str) -> Path:
    """Return an absolute path; a leading ``~`` is the home directory. Raises OSError if the user has none."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError:
        raise OSError(
            f"{path}: this user has no home directory: set HOME, or set --journal.path to an absolute path"
        ) from None


def resolve_journal_path(path: str) -> Path | None:
    """Return the path of the journal for a value of --journal.path; None if the journal is disabled.

    The default (an empty value) is in systemd's StateDirectory, else in the XDG state directory.
    Raises OSError if the default is needed and the user has no home directory.
    """
    if path:
        return None if path == "none" else expand_path(path)
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return Path(state) / "journal.sqlite"
    home = os.environ.get("XDG_STATE_HOME") or expand_path("~/.local/state")
    return Path(home) / "libvirt-lifecycle-exporter" / "journal.sqlite"


def parse_size(text: str) -> int:
    """Parse a size in Prometheus' notation (``512MB``, ``1GB``, ``0``); return bytes. Raises ValueError."""
    match = re.fullmatch(r"([0-9]+)(B|KB|MB|GB|TB)", text)
    if text == "0":
        return 0
    if match is None:
        raise ValueError(f'invalid size "{text}": use e.g. 512MB, 1GB')
    return int(match[1]) << 10 * ("B", "KB", "MB", "GB", "TB").index(match[2])


def parse_duration(text: str) -> float:
    """Parse a duration in Prometheus' notation (``15s``, ``1h30m``); return seconds. Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if text == "0":
        return 0.0
    if not text or match is None:
        raise ValueError(f'invalid duration "{text}": use e.g. 15s, 2m, 24h')
    units = ("y", "w", "d", "h", "m", "s", "ms")
    return sum(int(value) * _UNITS[unit] for value, unit in zip(match.groups(), units, strict=True) if value)


def parse_listen_address(text: str) -> ListenAddress:
    """Parse an address such as ``:10177``, ``127.0.0.1:10177`` or ``[::1]:10177``. Raises ValueError."""
    match = _LISTEN_ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > _MAX_PORT:
        raise ValueError(f'invalid listen address "{text}": use e.g. :10177, 127.0.0.1:10177 or [::1]:10177')
    return ListenAddress(match["six"] or match["host"] or "", int(match["port"]))


def parse_target(text: str, aliases: Mapping[str, str] | None = None) -> Target:
    """Parse ``URI`` or ``NAME=URI``. ``aliases``: URI by alias, from libvirt.conf. Raises ValueError."""
    match = _LABELLED_URI.fullmatch(text)
    uri = match["uri"] if match else text
    uri = (aliases or {}).get(uri, uri)
    if not uri or not uri.isprintable() or " " in uri or not re.match(r"[a-z][a-z0-9+.-]*:/", uri):
        raise ValueError(f'invalid libvirt URI "{text}": use e.g. qemu:///system or NAME=qemu:///system')
    try:
        label = match["label"] if match else canonical_uri(uri)
    except ValueError as error:
        raise ValueError(f'invalid libvirt URI "{text}": {error}') from None
    return Target(label, uri)


def without_password(uri: str) -> str:
    """Return a URI without the password that its user part may contain."""
    return re.sub(r"(?<=//)([^/?#@]*?):[^/?#@]*@", r"\1@", uri)


def canonical_uri(uri: str) -> str:
    """Return a URI without transport, user, password and query: the default value of the connection label.

    ``qemu+ssh://root@node1/system?keyfile=/k`` becomes ``qemu://node1/system``.
    """
    parts = urlsplit(uri)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme.partition('+')[0]}://{host}{port}{parts.path}"


_MINIMA = {
    "keepalive_interval": ("--libvirt.keepalive-interval", 1.0),
    "connect_timeout": ("--libvirt.connect-timeout", 0.1),
    "reconnect_max_delay": ("--libvirt.reconnect-max-delay", 0.1),
    "hang_emulator_interval": ("--hang.emulator-interval", 0.1),
    "hang_emulator_threshold": ("--hang.emulator-threshold", 0.001),
    "hang_guest_agent_interval": ("--hang.guest-agent-interval", 0.1),
    "hang_guest_agent_timeout": ("--hang.guest-agent-timeout", 1.0),
    "hang_vcpu_window": ("--hang.vcpu-window", 0.1),
}
"""Field -> option and smallest value in seconds; 0 would be a loop without a pause or a limit that is always
exceeded."""
_MIN_SNAPSHOT_INTERVAL = 0.1


def _format_duration(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the exporter. Durations are in seconds."""

    targets: tuple[Target, ...] = field(default_factory=lambda: (parse_target(DEFAULT_URI),))
    listen_addresses: tuple[ListenAddress, ...] = (ListenAddress("", DEFAULT_PORT),)
    keepalive_interval: float = 5
    keepalive_count: int = 3
    connect_timeout: float = 60
    reconnect_max_delay: float = 10
    snapshot_interval: float = 300
    unknown_after: float = 30
    """How long a connection may be down before the state of its domains is unknown."""
    log_dir: str = ""
    """Directory of the emulators' logs; empty: libvirt's own directory."""
    domain_include: str = ".*"
    domain_exclude: str = ""
    metrics_state_set: bool = False
    """Whether every state of a domain has a series, or the current state only."""
    series_ttl: float = 900
    series_limit: int = 50_000
    queue_size: int = 100_000
    journal_path: str = ""
    """A file; empty: the default path; ``none``: no journal."""
    journal_retention: float = 30 * 86_400
    journal_retention_size: int = 512 * 1024 * 1024
    otel_events: str = "both"
    """How a transition is exported: as ``span`` event, ``log`` record or ``both``."""
    otel_run_spans: bool = False
    otel_max_age: float = 86_400
    otel_catch_up_rate: int = 1000
    telemetry: Telemetry = DISABLED
    """Settings of the OTEL_* variables."""
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
    """Whether systemd passes the sockets; ``listen_addresses`` is ignored then."""
    web_config_file: str = ""
    """A file in the exporter-toolkit's format; empty: no TLS, no authentication."""
    log_level: str = "info"
    log_format: str = "logfmt"

    @property
    def hang_signals(self) -> tuple[str, ...]:
        """The enabled hang signals. ``watchdog`` is always enabled: libvirt sends its events anyway."""
        enabled = {
            "emulator": self.hang_emulator,
            "watchdog": True,
            "guest_agent": self.hang_guest_agent,
            "vcpu": self.hang_vcpu,
        }
        return tuple(signal for signal, is_enabled in enabled.items() if is_enabled)

    def __post_init__(self) -> None:
        if self.telemetry and self.journal_path == "none":
            raise ValueError(
                "the OpenTelemetry export needs the journal as its queue: "
                "set --journal.path to a file, or unset OTEL_EXPORTER_OTLP_ENDPOINT"
            )
        labels = [target.label for target in self.targets]
        for duplicate in sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(
                f'two libvirt URIs have the connection label "{duplicate}": '
                "set a different label for each with --libvirt.uri NAME=URI"
            )
        if self.keepalive_interval != int(self.keepalive_interval):
            raise ValueError("--libvirt.keepalive-interval must be a whole number of seconds")
        for name, (option, minimum) in _MINIMA.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{option} must be at least {_format_duration(minimum)}")
        if 0 < self.snapshot_interval < _MIN_SNAPSHOT_INTERVAL:
            raise ValueError(
                "--libvirt.snapshot-interval must be 0 (no periodic listings) or at least "
                + _format_duration(_MIN_SNAPSHOT_INTERVAL)
            )
        for flag, expression in (("include", self.domain_include), ("exclude", self.domain_exclude)):
            try:
                re.compile(expression)
            except re.error as error:
                raise ValueError(
                    f'--domain.{flag}: invalid regular expression "{expression}": {error}'
                ) from None
