"""The command-line options of the exporter, as one table.

Each option is also an environment variable: ``--libvirt.uri`` is ``LIBVIRT_LIFECYCLE_EXPORTER_LIBVIRT_URI``.
docs/configuration.md is generated from this table (``make docs``).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from libvirt_lifecycle_exporter.config import settings
from libvirt_lifecycle_exporter.config.libvirt_client_config import read_client_config

_ENVIRONMENT_PREFIX = "LIBVIRT_LIFECYCLE_EXPORTER"


class ParsedType(click.ParamType[Any]):
    """The type of an option whose value a function parses; ValueError becomes a usage error."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Choice(click.Choice[str]):
    """One of several words, in any letter case. ``synonyms``: other word -> word."""

    def __init__(self, words: Sequence[str], synonyms: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(words, case_sensitive=False)
        self._synonyms = synonyms

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        lower = value.lower() if isinstance(value, str) else value
        return super().convert(self._synonyms.get(lower, value), param, ctx)


class Option(NamedTuple):
    """One option and the field of ``Settings`` that it sets."""

    name: str
    field: str
    type: Any
    default: str
    """As a user writes it. ``Settings`` has the parsed value; a test compares the two."""
    help: str
    is_repeatable: bool = False

    @property
    def declaration(self) -> str:
        """The option as click declares it: a boolean has a second name, ``--no-...``."""
        return f"{self.name}/--no-{self.name.removeprefix('--')}" if self.type is click.BOOL else self.name

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"{_ENVIRONMENT_PREFIX}_{re.sub(r'[.-]', '_', self.name.removeprefix('--')).upper()}"


def _aliases(text: str) -> Mapping[str, str]:
    """Return the URI aliases of libvirt.conf. The file is not read if the text is a URI already."""
    return {} if ":/" in text else read_client_config().aliases


DURATION = ParsedType("duration", settings.parse_duration)
LISTEN_ADDRESS = ParsedType("address", settings.parse_listen_address)
TARGET = ParsedType("uri", lambda text: settings.parse_target(text, _aliases(text)))
SIZE = ParsedType("size", settings.parse_size)

OPTIONS: tuple[Option, ...] = (
    Option(
        "--libvirt.uri",
        "targets",
        TARGET,
        settings.DEFAULT_URI,
        "libvirt connection URI to observe, opened read-only; repeatable. NAME=URI sets the value of the "
        "connection label; it defaults to the URI without transport, user and query. URI may be an alias of "
        "libvirt.conf. If the option is not set: LIBVIRT_DEFAULT_URI, else uri_default of libvirt.conf, else "
        "the default.",
        is_repeatable=True,
    ),
    Option(
        "--libvirt.keepalive-interval",
        "keepalive_interval",
        DURATION,
        "5s",
        "Interval between keepalive messages to libvirt. Whole seconds, at least 1s.",
    ),
    Option(
        "--libvirt.keepalive-count",
        "keepalive_count",
        click.IntRange(1),
        "3",
        "Number of unanswered keepalive messages after which the connection is closed and reopened.",
    ),
    Option(
        "--libvirt.connect-timeout",
        "connect_timeout",
        DURATION,
        "1m",
        "Time limit of one connection attempt. When it expires, the attempt is abandoned and retried.",
    ),
    Option(
        "--libvirt.reconnect-max-delay",
        "reconnect_max_delay",
        DURATION,
        "10s",
        "Maximum delay between two connection attempts. At least 100ms.",
    ),
    Option(
        "--libvirt.unknown-after",
        "unknown_after",
        DURATION,
        "30s",
        "How long a connection must be down before its domains are reported as unknown. 0: immediately.",
    ),
    Option(
        "--libvirt.snapshot-interval",
        "snapshot_interval",
        DURATION,
        "5m",
        "Interval between complete listings of all domains, in addition to the listing after each connect. "
        "0: no periodic listings.",
    ),
    Option(
        "--libvirt.log-dir",
        "log_dir",
        str,
        "",
        "Directory of the emulator logs (NAME.log), which are read for the cause of a failure. If the option "
        "is not set: libvirt's own directory, such as /var/log/libvirt/qemu for qemu:///system.",
    ),
    Option(
        "--domain.include",
        "domain_include",
        str,
        ".*",
        "Regular expression; only domains whose whole name matches are exported.",
    ),
    Option(
        "--domain.exclude",
        "domain_exclude",
        str,
        "",
        "Regular expression; domains whose whole name matches are not exported.",
    ),
    Option(
        "--web.listen-address",
        "listen_addresses",
        LISTEN_ADDRESS,
        f":{settings.DEFAULT_PORT}",
        "Address to listen on; repeatable. :PORT and [::]:PORT listen on all IPv6 and IPv4 addresses, "
        "0.0.0.0:PORT on all IPv4 addresses, a host name on all its addresses. A link-local address needs a "
        "zone: [fe80::1%eth0]:PORT.",
        is_repeatable=True,
    ),
    Option(
        "--web.systemd-socket",
        "web_systemd_socket",
        click.BOOL,
        "false",
        "Listen on the sockets that systemd passes (socket activation) instead of --web.listen-address.",
    ),
    Option(
        "--web.config.file",
        "web_config_file",
        str,
        "",
        "File that configures TLS, client certificates and users, in the format of Prometheus' "
        "exporter-toolkit. It is reloaded on SIGHUP and when it or a certificate changes.",
    ),
    Option(
        "--metrics.state-set",
        "metrics_state_set",
        click.BOOL,
        "false",
        "Export libvirt_domain_state for every state (1: the current one, 0: the others), 9 series per "
        "domain, instead of the current state only.",
    ),
    Option(
        "--series.ttl",
        "series_ttl",
        DURATION,
        "15m",
        "How long the series of a removed domain are still exported. 0: they expire immediately.",
    ),
    Option(
        "--series.limit",
        "series_limit",
        click.IntRange(0),
        "50000",
        'Maximum number of series about domains; further domains are counted under domain="_other". '
        "0: no series about domains.",
    ),
    Option(
        "--events.queue-size",
        "queue_size",
        click.IntRange(1),
        "100000",
        "Maximum number of queued events. An event that exceeds it is counted as dropped and triggers a "
        "complete listing.",
    ),
    Option(
        "--journal.path",
        "journal_path",
        str,
        "",
        "File that stores every transition, so that counters survive a restart. none: no journal. If the "
        "option is not set: journal.sqlite in systemd's StateDirectory, else in the XDG state directory.",
    ),
    Option(
        "--journal.retention",
        "journal_retention",
        DURATION,
        "30d",
        "How long history is kept. 0: without limit.",
    ),
    Option(
        "--journal.retention-size",
        "journal_retention_size",
        SIZE,
        "512MB",
        "Maximum size of the journal; the oldest history is removed first. 0: without limit.",
    ),
    Option(
        "--otel.events",
        "otel_events",
        Choice(["both", "span", "log"]),
        "both",
        "How a transition is exported with OpenTelemetry: as span event, as log record, or both. The "
        "standard OTEL_EXPORTER_OTLP_* variables set the endpoint; without an endpoint nothing is exported.",
    ),
    Option(
        "--otel.run-spans",
        "otel_run_spans",
        click.BOOL,
        "false",
        "Also export a span for each run of a domain, from start to stop. It is exported when the run ends.",
    ),
    Option(
        "--otel.max-age",
        "otel_max_age",
        DURATION,
        "1d",
        "Age at which telemetry that could not be delivered is dropped and counted. 0: never.",
    ),
    Option(
        "--otel.catch-up-rate",
        "otel_catch_up_rate",
        click.IntRange(0),
        "1000",
        "Maximum number of queued transitions per second that are delivered after an outage, in addition to "
        "new ones. 0: without limit.",
    ),
    Option(
        "--hang.emulator",
        "hang_emulator",
        click.BOOL,
        "true",
        "Check periodically that each emulator responds on its monitor. Needs read-only access.",
    ),
    Option(
        "--hang.emulator-interval",
        "hang_emulator_interval",
        DURATION,
        "30s",
        "Interval between two checks of all emulators.",
    ),
    Option(
        "--hang.emulator-threshold",
        "hang_emulator_threshold",
        DURATION,
        "15s",
        "How long the monitor must be unresponsive before the domain is reported as hung.",
    ),
    Option(
        "--hang.watchdog-recovery",
        "hang_watchdog_recovery",
        DURATION,
        "30s",
        "How long a domain whose watchdog expired must run after a reset or resume before it is reported as "
        "recovered. 0: immediately.",
    ),
    Option(
        "--hang.guest-agent",
        "hang_guest_agent",
        click.BOOL,
        "false",
        "Ping the guest agents. This needs READ-WRITE access to libvirt, over separate connections.",
    ),
    Option(
        "--hang.guest-agent-interval",
        "hang_guest_agent_interval",
        DURATION,
        "30s",
        "Interval between two pings of a guest agent.",
    ),
    Option(
        "--hang.guest-agent-timeout",
        "hang_guest_agent_timeout",
        DURATION,
        "5s",
        "Time limit of one ping, in whole seconds. After three failed pings in a row the domain is reported "
        "as hung.",
    ),
    Option(
        "--hang.vcpu",
        "hang_vcpu",
        click.BOOL,
        "false",
        "Report a running domain as hung if all its vCPUs are idle for --hang.vcpu-window.",
    ),
    Option(
        "--hang.vcpu-window",
        "hang_vcpu_window",
        DURATION,
        "1m",
        "How long all vCPUs must be idle before the domain is reported as hung.",
    ),
    Option(
        "--log.level",
        "log_level",
        Choice(["debug", "info", "warning", "error"], {"warn": "warning"}),
        "info",
        "Minimum level of log lines.",
    ),
    Option(
        "--log.format",
        "log_format",
        Choice(["logfmt", "json"]),
        "logfmt",
        "Format of log lines.",
    ),
)

Command = Callable[..., None]


def add_options(*, without: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """Return a decorator that adds the options to a command, except those named in ``without``.

    The command receives None, or an empty tuple, for an option that is not set.
    """

    def decorate(function: Command) -> Command:
        for option in reversed(OPTIONS):
            if option.name in without:
                continue
            function = click.option(
                option.declaration,
                option.field,
                type=option.type,
                multiple=option.is_repeatable,
                default=None,
                envvar=option.variable,
                show_envvar=True,
                help=f"{option.help}  [default: {option.default}]" if option.default else option.help,
            )(function)
        return function

    return decorate
