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
            "Panicked",
            "The guest's kernel said through a panic device that it is at its end.",
            count(EVENTS, HOST, 'event="crashed",reason="panicked"'),
        ),
        _counted(
            "Crashloaded",
            "The guest's kernel crashed, and began to write its own dump (kdump).",
            count(EVENTS, HOST, 'event="crashed",reason="crashloaded"'),
        ),
        _counted(
            "Emulator died",
            "The emulator was killed, or crashed itself: libvirt says failed, or was not there to say it. stopped/crashed less those that libvirt calls so itself (a panic with on_crash=destroy).",
            _DIED,
        ),
        _counted(
            "Hung",
            "The emulator, the watchdog, the guest agent or the virtual CPUs fell silent.",
            count(EVENTS, HOST, 'event="hung"'),
        ),
        _counted(
            "I/O pauses",
            "Guests that libvirt paused since a disk failed or was full.",
            count(EVENTS, HOST, 'event="suspended",reason="ioerror"'),
        ),
        _counted(
            "Failed",
            "Domains that could not be started, restored or received.",
            count(EVENTS, HOST, 'event="stopped",reason="failed"'),
        ),
        figure(
            "Mean time between crashes",
            "Time of all known domains within the range, divided by the crashes. Where Prometheus has less than the range, it is too long.",
            f"sum(avg_over_time({pick(STATES)}[$__range])) * $__range_s / ({or_zero(incidents(kind='crashed', by=''))} > 0)",
            Look(unit="s", decimals=1, no_value="No crash within the range."),
            (6, 4),
        ),
        figure(
            "Mean time to recover",
            "From a crash or failure until the domain runs again, for those that did within the range.",
            _mean(_ENDED),
            Look(unit="s", decimals=1, no_value="No outage ended within the range."),
            (6, 4),
        ),
        figure(
            "95 % recovered within",
            "From a crash or failure until the domain runs again; estimated from the histogram's buckets.",
            longest(0.95, pick(f"{DURATION}_bucket", HOST, _ENDED)),
            Look(unit="s", decimals=1, no_value="No outage ended within the range."),
            (6, 4),
        ),
        figure(
            "Mean length of a hang",
            "From the first thing that fell silent until all answer again, for those that did.",
            _mean(_HANG),
            Look(unit="s", decimals=1, no_value="No hang ended by itself within the range."),
            (6, 4),
        ),
    ],
)

TIME: Final = Row(
    "Over time",
    [
        bars(
            "Crashes by cause",
            "What the guest or its emulator died of.",
            Query(over_time(EVENTS, HOST, 'event="crashed",reason="panicked"'), "panicked"),
            Query(over_time(EVENTS, HOST, 'event="crashed",reason="crashloaded"'), "crashloaded"),
            Query(_DYING, "emulator died"),
            Query(over_time(EVENTS, HOST, 'event="stopped",reason="failed"'), "failed"),
            names=("panicked", "crashloaded", "emulator died", "failed"),
        ),
        bars(
            "Hangs by signal",
            "What did not answer: the emulator's monitor, the guest's watchdog or agent, its virtual CPUs.",
            Query(over_time(EVENTS, HOST, 'event="hung"', "reason"), "{{reason}}"),
            names=("emulator", "watchdog", "guest_agent", "vcpu"),
        ),
        bars(
            "I/O errors and pauses",
            "Errors that the emulator met, by reason, and the pauses that came of them.",
            Query(over_time(EVENTS, HOST, 'event="io_error"', "reason"), "error: {{reason}}"),
            Query(over_time(EVENTS, HOST, 'event="suspended",reason="ioerror"'), "held up"),
            names=("error: enospc", "error: other", "held up"),
        ),
        bars(
            "Watchdog actions",
            "Watchdogs that ran out, by what they are told to do then.",
            Query(over_time(EVENTS, HOST, 'event="watchdog"', "reason"), "{{reason}}"),
            names=("none", "pause", "reset", "poweroff", "shutdown", "debug", "inject_nmi"),
        ),
        history(
            "Bursts: failures by host and hour",
            "Crashes, hangs, failures and I/O pauses in the hour before each cell's time, of which there are two in an hour if the range is a day. Hosts without any are left out; the row of no host is of the times without any.",
            Query(_BURSTS, "{{instance}} {{connection}}"),
            look.steps((2, look.WARN), (5, look.BAD), base=look.CALM),
            "No failure on any host within the range.",
            48,
        ),
        lines(
            "Hosts struck at the same time",
            "Hosts on which something abnormal happened within the step or the minute before it: a high point is one cause for many, such as storage or power.",
            Query(or_zero(f"count({_STRUCK})"), "hosts"),
            names=("hosts",),
        ),
        lines(
            "Failures in the worst hour of a host",
            "The most failures that any one host had in the hour before.",
            Query(f"max({pick(BURSTS)} >= 0)", "one event and reason"),
            Query(f"max(sum by ({BY_HOST}) ({pick(BURSTS)}))", "all together"),
            names=("one event and reason", "all together"),
            points=96,
        ),
    ],
)

WHO: Final = Row(
    "Who, and for how long",
    [
        grid(
            "Repeat offenders",
            "Domains with more than one incident of a kind within the range.",
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
            "No domain had the same trouble twice within the range.",
        ),
        grid(
            "Correlated: hosts with several domains hit",
            "Hosts on which more than one domain had an incident within the range. The closer together the newest ones, the more likely it is one cause.",
            [
                _TOGETHER,
                f"max by ({BY_HOST}) {_LATELY} - min by ({BY_HOST}) {_LATELY} and {_TOGETHER}",
                f"({_TOGETHER}) / (sum by ({BY_HOST}) ({pick(STATES)}) > 0)",
                f"max by ({BY_HOST}) {_LATELY} * 1000 and {_TOGETHER}",
            ],
            [
                Column("instance", "Instance", links=[links.to_host(links.EXPORTER, "Its exporter")]),
                Column("Value #A", "Domains hit", unit="none", decimals=0),
                Column("Value #B", "Within", unit="s", decimals=0),
                Column("Value #C", "Share of its domains", unit="percentunit", decimals=1),
                Column("Value #D", "Newest", unit=WHEN),
                Column("connection", "Connection"),
                Column("job", "Job"),
            ],
            "Domains hit",
            "No host had more than one domain hit within the range.",
        ),
        _lengths(
            "Time to recover",
            "Outages that ended with the domain running again, by how long they lasted: a bar counts those up to its time and longer than the bar before.",
            _ENDED,
        ),
        _lengths(
            "Length of hangs",
            "Hangs that ended by themselves within the range, by how long they lasted.",
            _HANG,
        ),
        spread(
            "Incidents by kind",
            "Incidents that began within the range.",
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
    description="What breaks, how often, where, and how long until it is well again?",
    variables=[*variables.sources(), *variables.scope()],
    rows=[RANGE, TIME, WHO],
    since="now-24h",
)
