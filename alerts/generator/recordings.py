"""The recording rules: what panels over a whole fleet need, so that they never read every domain.

``connection:`` keeps all labels of the target and ``connection``; ``job:`` is the fleet.
"""

from alerts.generator.alert import EVENT, Recording, recent

CRASH_TIMES = f'{EVENT}{{event=~"stopped|crashed",reason=~"crashed|panicked|crashloaded"}}'
LAST_CRASH = f"max without (event, reason) ({CRASH_TIMES})"
_LAST_CRASH = "domain:libvirt_domain_last_crash_timestamp_seconds:max"
CRASHED_DOMAINS = "connection:libvirt_domains_crashed:count15m"
CRASH_COUNT = "job:libvirt_domains_crashed:count15m"
CRASH_RATIO = "job:libvirt_domains_crashed:ratio15m"
_FAILURES = (
    '{event="stopped",reason=~"crashed|failed|hung"}',
    '{event=~"crashed|hung"}',
    '{event="suspended",reason=~"ioerror|watchdog|postcopy_failed"}',
)
_TRANSITIONS = "libvirt_connection_lifecycle_events_total"
_OPERATIONS = "libvirt_domain_operation_duration_seconds_bucket"


STATES = (
    "nostate",
    "running",
    "blocked",
    "paused",
    "shutdown",
    "shutoff",
    "crashed",
    "pmsuspended",
    "unknown",
)
KINDS = ("crashed", "hung", "io_error", "failed")
"""The values that have a series on every host, also if no domain has one."""


def _by_host_and_fleet(
    metric: str, meaning: str, label: str, values: tuple[str, ...]
) -> tuple[Recording, Recording]:
    """Return the rules that count domains by the values of a label.

    ``values``: those for which a domain may have no series; a host without such a domain has 0.
    """
    zeros = (
        f'or\n  label_replace(0 * libvirt_connection_up, "{label}", "{value}", "", "")' for value in values
    )
    return (
        Recording(
            f"connection:{metric}:sum",
            "\n".join(("", f"  sum without (domain, exported_domain) ({metric})", *zeros)),
            f"{meaning}, by host; 0 if none",
        ),
        Recording(
            f"job:{metric}:sum",
            f"sum by (%(fleet)s, {label}) (connection:{metric}:sum)",
            f"{meaning}, of the fleet",
        ),
    )


RECORDINGS = (
    *_by_host_and_fleet("libvirt_domain_state", "Domains in each state", "state", STATES),
    Recording(
        "job:libvirt_domain_state:count",
        "sum by (%(fleet)s) (connection:libvirt_domain_state:sum)",
        "Known domains, including those removed less than 15 minutes ago",
    ),
    *_by_host_and_fleet("libvirt_domain_incident_open", "Open incidents of each kind", "kind", KINDS),
    *_by_host_and_fleet("libvirt_domain_hung", "Hung domains by signal", "signal", ("watchdog",)),
    Recording(
        "connection:libvirt_domain_state_reason:sum",
        "sum without (domain, exported_domain) (libvirt_domain_state_reason)",
        "Domains by state and libvirt's reason, by host",
    ),
    Recording(
        _LAST_CRASH,
        LAST_CRASH,
        "Timestamp of the most recent crash of each domain",
    ),
    Recording(
        CRASHED_DOMAINS,
        f"""
  count without (domain, exported_domain) {recent(_LAST_CRASH, "900")}
or
  0 * libvirt_connection_up""",
        "Domains that crashed in the last 15 minutes, by host; 0 if none",
    ),
    Recording(CRASH_COUNT, f"sum by (%(fleet)s) ({CRASHED_DOMAINS})", "The same, of the fleet"),
    Recording(
        CRASH_RATIO,
        f"{CRASH_COUNT} / (job:libvirt_domain_state:count > 0)",
        "The same as a share of the fleet, 0 to 1",
    ),
    Recording(
        "connection:libvirt_connection_failures:increase1h",
        "\nor\n".join(f"  increase({_TRANSITIONS}{which}[1h])" for which in _FAILURES),
        "Failures in the last hour, by event, reason and host",
    ),
    Recording(
        "job:libvirt_connection_lifecycle_events:rate5m",
        f"sum by (%(fleet)s, event, reason) (rate({_TRANSITIONS}[5m]))",
        "Transitions per second, by event and reason",
    ),
    Recording(
        "job:libvirt_domain_operation_duration_seconds_bucket:rate5m",
        f"sum by (%(fleet)s, operation, outcome, le) (rate({_OPERATIONS}[5m]))",
        "Durations of operations and outages, for histogram_quantile()",
    ),
    Recording(
        "job:libvirt_connection_up:sum", "sum by (%(fleet)s) (libvirt_connection_up)", "Connections up"
    ),
    Recording(
        "job:libvirt_connection_up:count", "count by (%(fleet)s) (libvirt_connection_up)", "Known connections"
    ),
)
