"""Libvirt / Crashes & hangs: what breaks, how often, where, and how long until it is well again?"""

from typing import Final

from grafana_foundation_sdk.models import dashboard

from dashboards.source import links, look, variables
from dashboards.source.board import Board, Row
from dashboards.source.lasting import lasted
from dashboards.source.panels import Look, Query, bars, figure, history, lines, spread
from dashboards.source.promql import (
    ABNORMAL,
    BURSTS,
    BY_DOMAIN,
    BY_HOST,
    DURATION,
    EVENTS,
    HOST,
    LAST_EVENT,
    LAST_INCIDENT,
    RAW_EVENTS,
    STATES,
    count,
    incidents,
    longest,
    or_row,
    or_zero,
    over_time,
    pick,
    recent,
)
from dashboards.source.tables import VALUE, WHEN, Column, grid

SEEN: Final = Look(decimals=0, least=0, thresholds=look.steps((1, look.WARN)))

_STOPPED: Final = 'event="stopped",reason="crashed"'
_SAID: Final = 'event="stopped",detail="crashed"'
_DIED: Final = f"clamp_min({count(EVENTS, HOST, _STOPPED)} - {count(RAW_EVENTS, HOST, _SAID)}, 0)"
_DYING: Final = f"clamp_min({over_time(EVENTS, HOST, _STOPPED)} - ({over_time(RAW_EVENTS, HOST, _SAID)}), 0)"
_HANG: Final = 'operation="hang",outcome="success"'
_ENDED: Final = 'operation="outage",outcome="success"'
_LAST: Final = f"max by ({BY_DOMAIN}) (last_over_time({pick(LAST_INCIDENT)}[$__range]))"
_LATELY: Final = recent(_LAST, "$__range_s")
_TOGETHER: Final = f"count by ({BY_HOST}) ({_LATELY}) > 1"
_STRUCK: Final = recent(
    f"max by ({BY_HOST}) ({pick(LAST_EVENT, HOST, ABNORMAL)})", "$__interval_ms / 1000 - 60"
)
_FAILED: Final = f"round(sum by ({BY_HOST}) ({pick(BURSTS)})) > 0"
_NONE_FAILED: Final = f"vector(0) and on () {pick(BURSTS)} unless on () ({_FAILED})"
"""Not known where nobody records it."""
_BURSTS: Final = or_row(_FAILED, _NONE_FAILED, instance="no host", connection="failed")


def _mean(more: str) -> str:
    took, ended = pick(f"{DURATION}_sum", HOST, more), pick(f"{DURATION}_count", HOST, more)
    return f"sum(increase({took}[$__range])) / (sum(increase({ended}[$__range])) > 0)"


def _counted(title: str, description: str, expr: str) -> dashboard.Panel:
    return figure(title, description, or_zero(expr), SEEN)


def _lengths(title: str, description: str, more: str) -> dashboard.Panel:
    return lasted(title, description, pick(f"{DURATION}_bucket", HOST, more), (8, 9))


RANGE: Final = Row(
    "In range",
    [
        _counted(
            "Panics",
            "Guest kernels that reported a panic through a panic device.",
            count(EVENTS, HOST, 'event="crashed",reason="panicked"'),
        ),
        _counted(
            "Crash kernels",
            "Guest kernels that crashed and started their crash kernel (kdump).",
            count(EVENTS, HOST, 'event="crashed",reason="crashloaded"'),
        ),
        _counted(
            "Emulator crashes",
            "Emulators that were killed or crashed. stopped/crashed without those that libvirt itself reports as crashed (a panic with on_crash=destroy).",
            _DIED,
        ),
        _counted(
            "Hung",
            "Domains whose emulator, guest agent or virtual CPUs did not respond, or whose watchdog expired.",
            count(EVENTS, HOST, 'event="hung"'),
        ),
        _counted(
            "Pauses after I/O errors",
            "Domains that were paused after a disk I/O error.",
            count(EVENTS, HOST, 'event="suspended",reason="ioerror"'),
        ),
        _counted(
            "Failed",
            "Failed starts, restores and incoming migrations.",
            count(EVENTS, HOST, 'event="stopped",reason="failed"'),
        ),
        figure(
            "Mean time between crashes",
            "Time of all known domains in the range, divided by the number of crashes. Too long if Prometheus has less data than the range.",
            f"sum(avg_over_time({pick(STATES)}[$__range])) * $__range_s / ({or_zero(incidents(kind='crashed', by=''))} > 0)",
            Look(unit="s", decimals=1, no_value="No crash in the range."),
            (6, 4),
        ),
        figure(
            "Mean time to recovery",
            "From a crash or failure until the domain runs again, for recoveries in the range.",
            _mean(_ENDED),
            Look(unit="s", decimals=1, no_value="No outage ended in the range."),
            (6, 4),
        ),
        figure(
            "95th percentile of recovery time",
            "From a crash or failure until the domain runs again; estimated from histogram buckets.",
            longest(0.95, pick(f"{DURATION}_bucket", HOST, _ENDED)),
            Look(unit="s", decimals=1, no_value="No outage ended in the range."),
            (6, 4),
        ),
        figure(
            "Mean hang duration",
            "From the first signal until all signals have recovered, for hangs that ended.",
            _mean(_HANG),
            Look(unit="s", decimals=1, no_value="No hang ended without a restart in the range."),
            (6, 4),
        ),
    ],
)

TIME: Final = Row(
    "Over time",
    [
        bars(
            "Crashes by cause",
            "Crashes of guests and emulators by cause.",
            Query(over_time(EVENTS, HOST, 'event="crashed",reason="panicked"'), "panicked"),
            Query(over_time(EVENTS, HOST, 'event="crashed",reason="crashloaded"'), "crashloaded"),
            Query(_DYING, "emulator died"),
            Query(over_time(EVENTS, HOST, 'event="stopped",reason="failed"'), "failed"),
            names=("panicked", "crashloaded", "emulator died", "failed"),
        ),
        bars(
            "Hangs by signal",
            "Hangs by signal: the emulator's monitor, the watchdog, the guest agent, or the virtual CPUs.",
            Query(over_time(EVENTS, HOST, 'event="hung"', "reason"), "{{reason}}"),
            names=("emulator", "watchdog", "guest_agent", "vcpu"),
        ),
        bars(
            "I/O errors and pauses",
            "I/O errors of emulators by reason, and pauses that they caused.",
            Query(over_time(EVENTS, HOST, 'event="io_error"', "reason"), "error: {{reason}}"),
            Query(over_time(EVENTS, HOST, 'event="suspended",reason="ioerror"'), "held up"),
            names=("error: enospc", "error: other", "held up"),
        ),
        bars(
            "Watchdog actions",
            "Expired watchdogs by action.",
            Query(over_time(EVENTS, HOST, 'event="watchdog"', "reason"), "{{reason}}"),
            names=("none", "pause", "reset", "poweroff", "shutdown", "debug", "inject_nmi"),
        ),
        history(
            "Bursts: failures by host and hour",
            "Crashes, hangs, failures and I/O pauses in the hour before the time of each cell. Cells overlap: a range of a day has two per hour. Hosts without failures are not shown; the row without a host covers times without failures.",
            Query(_BURSTS, "{{instance}} {{connection}}"),
            look.steps((2, look.WARN), (5, look.BAD), base=look.CALM),
            "No failure on any host in the range.",
            48,
        ),
        lines(
            "Hosts affected at the same time",
            "Hosts with an abnormal event in the step or the minute before it. A peak suggests a shared cause, such as storage or power.",
            Query(or_zero(f"count({_STRUCK})"), "hosts"),
            names=("hosts",),
        ),
        lines(
            "Highest failures per host and hour",
            "Highest number of failures of any host in the hour before.",
            Query(f"max({pick(BURSTS)} >= 0)", "one event and reason"),
            Query(f"max(sum by ({BY_HOST}) ({pick(BURSTS)}))", "all together"),
            names=("one event and reason", "all together"),
            points=96,
        ),
    ],
)

WHO: Final = Row(
    "Affected domains and durations",
    [
        grid(
            "Domains with repeated incidents",
            "Domains with more than one incident of the same kind in the range.",
            [f"topk(50, {incidents(by=f'{BY_DOMAIN},kind')} > 1)"],
            [
                Column("domain", "Domain", links=[links.to_domain()]),
                Column("kind", "Kind"),
                Column(VALUE, "Incidents", unit="none", decimals=0),
                Column("instance", "Instance"),
                Column("connection", "Connection"),
                Column("job", "Job"),
            ],
            "Incidents",
            "No domain had two incidents of the same kind in the range.",
        ),
        grid(
            "Hosts with several affected domains",
            "Hosts on which more than one domain had an incident in the range. Incidents that are close in time probably have one cause.",
            [
                _TOGETHER,
                f"max by ({BY_HOST}) {_LATELY} - min by ({BY_HOST}) {_LATELY} and {_TOGETHER}",
                f"({_TOGETHER}) / (sum by ({BY_HOST}) ({pick(STATES)}) > 0)",
                f"max by ({BY_HOST}) {_LATELY} * 1000 and {_TOGETHER}",
            ],
            [
                Column("instance", "Instance", links=[links.to_host(links.EXPORTER, "Exporter of the host")]),
                Column("Value #A", "Domains hit", unit="none", decimals=0),
                Column("Value #B", "Within", unit="s", decimals=0),
                Column("Value #C", "Share of its domains", unit="percentunit", decimals=1),
                Column("Value #D", "Newest", unit=WHEN),
                Column("connection", "Connection"),
                Column("job", "Job"),
            ],
            "Domains hit",
            "No host had incidents of several domains in the range.",
        ),
        _lengths(
            "Recovery time",
            "Outages that ended in the range with a running domain, by duration. Each bar counts durations up to its value and above the previous bar.",
            _ENDED,
        ),
        _lengths(
            "Hang durations",
            "Hangs that ended without a restart in the range, by duration.",
            _HANG,
        ),
        spread(
            "Incidents by kind",
            "Incidents that began in the range.",
            Query(
                f"({incidents(by='kind')}) or 0 * sum by (kind) ({pick('connection:libvirt_domain_incident_open:sum')})",
                "{{kind}}",
                instant=True,
            ),
            size=(8, 9),
        ),
    ],
)

BOARD: Final = Board(
    uid=links.CRASHES,
    title="Libvirt / Crashes & hangs",
    description="What fails, how often, where, and how long does recovery take?",
    variables=[*variables.sources(), *variables.scope()],
    rows=[RANGE, TIME, WHO],
    since="now-24h",
)
