"""Every flag: its name, what it sets, how it is read, what it is for. A table.

Each flag is an environment variable too: ``--libvirt.uri`` is ``LIBVIRT_LIFECYCLE_EXPORTER_LIBVIRT_URI``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from libvirt_lifecycle_exporter.config import settings
from libvirt_lifecycle_exporter.config.libvirt_client_config import read_client_config

_ENV = "LIBVIRT_LIFECYCLE_EXPORTER"


class Parsed(click.ParamType[Any]):
    """A flag's value, read by one of ``settings``' functions."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _aliases(text: str) -> Mapping[str, str]:
    """Return the aliases of libvirt.conf; not read for what is a URI in any case."""
    return {} if ":/" in text else read_client_config().aliases


class Choice(click.Choice[str]):
    """One of some words, in any letter case; ``synonyms`` are accepted as well."""

    def __init__(self, words: Sequence[str], synonyms: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(words, case_sensitive=False)
        self._synonyms = synonyms

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        lower = value.lower() if isinstance(value, str) else value
        return super().convert(self._synonyms.get(lower, value), param, ctx)


class Flag(NamedTuple):
    """One flag, and the field of ``Settings`` that it sets."""

    name: str
    field: str
    type: Any
    default: str
    """As the user would write it; ``Settings`` holds the value itself (a test compares the two)."""
    help: str
    repeatable: bool = False

    @property
    def spelling(self) -> str:
        """As click wants it: a switch has two names."""
        return f"{self.name}/--no-{self.name.removeprefix('--')}" if self.type is click.BOOL else self.name

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"{_ENV}_{re.sub(r'[.-]', '_', self.name.removeprefix('--')).upper()}"


DURATION = Parsed("duration", settings.duration)
LISTEN = Parsed("address", settings.listen)
TARGET = Parsed("uri", lambda text: settings.target(text, _aliases(text)))
SIZE = Parsed("size", settings.size)

FLAGS: tuple[Flag, ...] = (
    Flag(
        "--libvirt.uri",
        "targets",
        TARGET,
        settings.DEFAULT_URI,
        "libvirt to listen to, opened read-only; repeatable. NAME=URI names the connection label, which "
        "otherwise is the URI without transport, user and query. URI may be an alias of libvirt.conf. "
        "Without this flag: LIBVIRT_DEFAULT_URI, else uri_default of libvirt.conf, else the default.",
        repeatable=True,
    ),
    Flag(
        "--libvirt.keepalive-interval",
        "keepalive_interval",
        DURATION,
        "5s",
        "Time between keepalive messages; whole seconds, at least 1s.",
    ),
    Flag(
        "--libvirt.keepalive-count",
        "keepalive_count",
        click.IntRange(1),
        "3",
        "Unanswered keepalive messages after which a connection is lost.",
    ),
    Flag(
        "--libvirt.connect-timeout",
        "connect_timeout",
        DURATION,
        "1m",
        "How long an attempt to connect may take before the exporter abandons it and tries again.",
    ),
    Flag(
        "--libvirt.reconnect-max-delay",
        "reconnect_max_delay",
        DURATION,
        "10s",
        "Longest wait between attempts to connect; at least 100ms.",
    ),
    Flag(
        "--libvirt.unknown-after",
        "unknown_after",
        DURATION,
        "30s",
        "How long a connection may be down before the state of its domains is shown as unknown; 0: at once.",
    ),
    Flag(
        "--libvirt.snapshot-interval",
        "snapshot_interval",
        DURATION,
        "5m",
        "Time between complete listings of all domains, beside the one after each connect; 0 for none.",
    ),
    Flag(
        "--libvirt.log-dir",
        "log_dir",
        str,
        "",
        "Folder of the emulators' logs (NAME.log), where the reasons are read that libvirt does not tell. "
        "Without this flag: where libvirt has them, /var/log/libvirt/qemu for qemu:///system.",
    ),
    Flag(
        "--domain.include",
        "domain_include",
        str,
        ".*",
        "Only domains whose whole name matches this regular expression.",
    ),
    Flag(
        "--domain.exclude",
        "domain_exclude",
        str,
        "",
        "No domains whose whole name matches this regular expression.",
    ),
    Flag(
        "--web.listen-address",
        "listen",
        LISTEN,
        f":{settings.DEFAULT_PORT}",
        "Address to serve on; repeatable. :PORT and [::]:PORT are every address, IPv6 and IPv4; 0.0.0.0:PORT "
        "is IPv4 only. A name is every address that it has; a link-local address takes a zone, "
        "[fe80::1%eth0]:PORT.",
        repeatable=True,
    ),
    Flag(
        "--web.systemd-socket",
        "web_systemd_socket",
        click.BOOL,
        "false",
        "Serve on the sockets that systemd passes (socket activation) instead of --web.listen-address.",
    ),
    Flag(
        "--web.config.file",
        "web_config_file",
        str,
        "",
        "File with TLS, client certificates and users, in the format of Prometheus' exporter-toolkit; read "
        "again when it or a certificate changes, and at SIGHUP.",
    ),
    Flag(
        "--series.ttl",
        "series_ttl",
        DURATION,
        "15m",
        "How long the series of a removed domain stay; 0: they go with it.",
    ),
    Flag(
        "--series.limit",
        "series_limit",
        click.IntRange(0),
        "50000",
        'Most series about domains; the excess is counted under domain="_other"; 0: no series about domains.',
    ),
    Flag(
        "--events.queue-size",
        "queue_size",
        click.IntRange(1),
        "100000",
        "Most events that may wait; one that finds no room is counted as dropped and forces a new listing.",
    ),
    Flag(
        "--journal.path",
        "journal_path",
        str,
        "",
        "File in which every transition is kept, so that a restart loses and resets nothing; or none. "
        "Without this flag: journal.sqlite in systemd's StateDirectory, else in the XDG state folder.",
    ),
    Flag(
        "--journal.retention", "journal_retention", DURATION, "30d", "How long history is kept; 0 for ever."
    ),
    Flag(
        "--journal.retention-size",
        "journal_retention_size",
        SIZE,
        "512MB",
        "How large the journal may become before its oldest history goes; 0 for any size.",
    ),
    Flag(
        "--otel.events",
        "otel_events",
        Choice(["both", "span", "log"]),
        "both",
        "Where a transition is told in OpenTelemetry: as span event, as log record, or both. Endpoints are "
        "set by the standard variables, OTEL_EXPORTER_OTLP_ENDPOINT and its kin; without, nothing is sent.",
    ),
    Flag(
        "--otel.run-spans",
        "otel_run_spans",
        click.BOOL,
        "false",
        "Whether each run of a domain, from start to stop, is a span as well; sent when it ends.",
    ),
    Flag(
        "--otel.max-age",
        "otel_max_age",
        DURATION,
        "1d",
        "Age at which what could not be delivered is given up, and counted; 0 for never.",
    ),
    Flag(
        "--otel.catch-up-rate",
        "otel_catch_up_rate",
        click.IntRange(0),
        "1000",
        "Most transitions a second that are delivered late after an outage, beside what is new; 0 for any.",
    ),
    Flag(
        "--hang.emulator",
        "hang_emulator",
        click.BOOL,
        "true",
        "Ask each emulator regularly whether it still answers on its monitor; read-only.",
    ),
    Flag("--hang.emulator-interval", "hang_emulator_interval", DURATION, "30s", "Time between two rounds."),
    Flag(
        "--hang.emulator-threshold",
        "hang_emulator_threshold",
        DURATION,
        "15s",
        "How long an emulator must have left its monitor unanswered to be called hung.",
    ),
    Flag(
        "--hang.watchdog-recovery",
        "hang_watchdog_recovery",
        DURATION,
        "30s",
        "How long a guest whose watchdog ran out must have run since a reset or resume, to be well again; "
        "0: at once.",
    ),
    Flag(
        "--hang.guest-agent",
        "hang_guest_agent",
        click.BOOL,
        "false",
        "Ping guest agents. This needs READ-WRITE access to libvirt, over connections used for nothing else.",
    ),
    Flag(
        "--hang.guest-agent-interval", "hang_guest_agent_interval", DURATION, "30s", "Time between two pings."
    ),
    Flag(
        "--hang.guest-agent-timeout",
        "hang_guest_agent_timeout",
        DURATION,
        "5s",
        "How long an agent has to answer; whole seconds. Three misses in a row are a hang.",
    ),
    Flag(
        "--hang.vcpu",
        "hang_vcpu",
        click.BOOL,
        "false",
        "Call a running guest hung of which no virtual CPU has run for a while.",
    ),
    Flag("--hang.vcpu-window", "hang_vcpu_window", DURATION, "1m", "That while."),
    Flag(
        "--log.level",
        "log_level",
        Choice(["debug", "info", "warning", "error"], {"warn": "warning"}),
        "info",
        "Log level.",
    ),
    Flag("--log.format", "log_format", Choice(["logfmt", "json"]), "logfmt", "Log format."),
)

Command = Callable[..., None]


def common(*, without: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """Give a command the flags; a flag that was not given arrives as None or an empty tuple."""

    def decorate(function: Command) -> Command:
        for flag in reversed(FLAGS):
            if flag.name in without:
                continue
            function = click.option(
                flag.spelling,
                flag.field,
                type=flag.type,
                multiple=flag.repeatable,
                default=None,
                envvar=flag.variable,
                show_envvar=True,
                help=f"{flag.help}  [default: {flag.default}]" if flag.default else flag.help,
            )(function)
        return function

    return decorate
