"""Libvirt / Fleet: is anything down or hung now, and what happened lately, where?"""

from dataclasses import replace
from typing import Final

from dashboards.source import links, look
from dashboards.source.board import Board, Row
from dashboards.source.lasting import lasted
from dashboards.source.panels import Look, Query, bars, figure, lines, timeline
from dashboards.source.promql import (
    ABNORMAL,
    BY_DOMAIN,
    BY_HOST,
    DURATION,
    EVENTS,
    HOST,
    LAST_EVENT,
    LAST_INCIDENT,
    OBSERVED,
    OPEN,
    SEEN,
    STATES,
    happened,
    incidents,
    or_nothing,
    or_zero,
    over_time,
    pick,
    recent,
    state_number,
    total,
    unreached,
)
from dashboards.source.tables import VALUE, WHEN, Column, grid
from dashboards.source.variables import restarted, scope, sources, troubled, worst

INCIDENT_OPEN: Final = "libvirt_domain_incident_open"
"""As it is now: the recording rules may be a minute old."""
ALARM: Final = Look(decimals=0, least=0, thresholds=look.steps((1, look.BAD)))
PLACE: Final = (Column("instance", "Instance"), Column("connection", "Connection"), Column("job", "Job"))

_UP: Final = pick("libvirt_connection_up")
_NOT_HEARD: Final = (
    f"({or_zero(f'count({_UP} == 0)')}) + ({or_zero(f'count {unreached()}')}) and on () {SEEN}"
)
_BLIND: Final = f"increase({pick('libvirt_connection_unobserved_seconds_total')}[$__range])"
_OUTAGES: Final = pick(f"{DURATION}_bucket", HOST, 'operation="outage",outcome="success"')
_BROKEN_TIME: Final = f"sum by ({BY_HOST}) (avg_over_time({pick(OPEN)}[$__range]))"
_KNOWN_TIME: Final = f"sum by ({BY_HOST}) (avg_over_time({pick(STATES)}[$__range]))"
_OBSERVED_TIME: Final = f"sum by ({BY_HOST}) (avg_over_time({pick(STATES, HOST, OBSERVED)}[$__range]))"
_NONE: Final = f"0 * max by ({BY_HOST}) ({_UP})"
"""A zero for every host."""
_HEARD: Final = f"max by ({BY_HOST}) ({_UP}) == 1"
_NEWEST: Final = (
    f"max by ({BY_DOMAIN},event,reason) (last_over_time({pick(LAST_EVENT, HOST, ABNORMAL)}[$__range]))"
)
"""Of domains that are gone by now as well."""
_STARTS: Final = happened(pick(LAST_EVENT, HOST, 'event="started",domain=~"$restarted"'))
_OF_THE_WORST: Final = 'domain=~"$worst"'
_HIT: Final = (
    f"max by ({BY_DOMAIN}) (last_over_time({pick(LAST_INCIDENT, HOST, _OF_THE_WORST)}[$__range] @ end()))"
)
_ON_THE_TROUBLED: Final = 'instance=~"$troubled"'
_UNDER_WAY: Final = (
    f"max by ({BY_DOMAIN},kind) ({pick(LAST_INCIDENT, HOST, _ON_THE_TROUBLED)}) "
    f"and on ({BY_DOMAIN},kind) {pick(INCIDENT_OPEN, HOST, _ON_THE_TROUBLED)} == 1"
)

NOW: Final = Row(
    "Now",
    [
        figure(
            "Domains",
            "Known domains in any state. Removed domains are included for 15 minutes.",
            or_zero(f"count({pick('libvirt_domain_state_since_timestamp_seconds')})"),
        ),
        figure(
            "Running",
            "Domains that libvirt reports as running. Includes hung domains, because libvirt does not detect hangs. Excludes connections that are down.",
            or_zero(total(pick("libvirt_domain_state", HOST, 'state="running"'))),
        ),
        figure(
            "Crashed now",
            "Domains with an open crash incident: not restarted and not removed.",
            or_zero(total(pick(INCIDENT_OPEN, HOST, 'kind="crashed"'))),
            ALARM,
            backdrop=True,
        ),
        figure(
            "Hung now",
            "Domains that do not respond, or whose watchdog expired, and that have not recovered.",
            or_zero(total(pick(INCIDENT_OPEN, HOST, 'kind="hung"'))),
            ALARM,
            backdrop=True,
        ),
        figure(
            "Failed or paused by an I/O error now",
            "Domains with a failed start, restore or incoming migration, or paused after an I/O error.",
            or_zero(total(pick(INCIDENT_OPEN, HOST, 'kind=~"failed|io_error"'))),
            ALARM,
            backdrop=True,
        ),
        figure(
            "Hosts disconnected",
            "Connections to libvirt that are down, and exporters that Prometheus cannot scrape. The state of their domains is unknown.",
            _NOT_HEARD,
            replace(
                ALARM,
                no_value="No exporter was scraped in the range.",
                overrides=[look.override("byType", "number", links=[links.to_exporters()])],
            ),
            backdrop=True,
        ),
        figure(
            "Crashes in range",
            "Incidents of kind crashed that began in the range. Panic, stop and restart are one incident.",
            or_zero(incidents(kind="crashed", by="")),
            Look(decimals=0, least=0, thresholds=look.steps((1, look.WARN))),
            size=(6, 4),
        ),
        figure(
            "Hangs in range",
            "Incidents of kind hung that began in the range, including those that recovered.",
            or_zero(incidents(kind="hung", by="")),
            Look(decimals=0, least=0, thresholds=look.steps((1, look.WARN))),
            size=(6, 4),
        ),
        figure(
            "Disk and start failures in range",
            "Incidents of kinds io_error and failed that began in the range.",
            or_zero(incidents(kind="io_error|failed", by="")),
            Look(decimals=0, least=0, thresholds=look.steps((1, look.WARN))),
            size=(6, 4),
        ),
        figure(
            "Unobserved time in range",
            "Time during which events could have been missed, summed over all connections. A current outage is counted when it ends.",
            or_zero(total(_BLIND)),
            Look(unit="s", decimals=0, least=0, thresholds=look.steps((60, look.WARN))),
            size=(6, 4),
        ),
        grid(
            "Domains crashed, hung or failed now",
            "Domains with an open incident of any kind and age; the newest 100.",
            [f"topk(100, {_UNDER_WAY}) * 1000"],
            [
                Column("domain", "Domain", links=[links.to_domain()]),
                Column("kind", "Kind"),
                Column(VALUE, "Since", unit=WHEN),
                *PLACE,
            ],
            "Since",
            "No incident is open.",
            (24, 7),
        ),
    ],
)

TIME: Final = Row(
    "Over time",
    [
        lines(
            "Domains by state",
            "Number of domains in each state. Unknown: the connection was down.",
            Query(total(pick(STATES), "state"), "{{state}}"),
            names=look.STATES,
            stacked=True,
            points=240,
        ),
        bars(
            "Unplanned stops by reason",
            "Stops after a crash, a failed start or incoming migration, or a hang. Unknown: the domain was found stopped after unobserved time.",
            Query(
                over_time(EVENTS, HOST, 'event="stopped",reason=~"crashed|failed|hung"', "reason"),
                "{{reason}}",
            ),
            Query(over_time(EVENTS, HOST, 'event="stopped",reason="unknown"'), "cause unknown"),
            names=("crashed", "failed", "hung", "cause unknown"),
        ),
        bars(
            "Migrations",
            "Incoming and outgoing migrations. A migration that fails on arrival counts as incoming only.",
            Query(over_time(EVENTS, HOST, 'event="started",reason="migrated"'), "in"),
            Query(over_time(EVENTS, HOST, 'event="stopped",reason="migrated"'), "out"),
            names=("in", "out"),
        ),
        lasted(
            "Outage durations",
            "Outages that ended in the range with a running domain, by duration. Each bar counts durations up to its value and above the previous bar.",
            _OUTAGES,
            (12, 8),
        ),
    ],
)

WHO: Final = Row(
    "Affected domains",
    [
        timeline(
            "Domains with most incidents",
            "The 15 domains with most incidents in the range, and their state over time.",
            Query(
                or_nothing(
                    f"{state_number(f'{HOST},{_OF_THE_WORST}')} and on ({BY_DOMAIN}) {_HIT}",
                    _HIT,
                    domain="no domain had an incident",
                    instance="any host",
                ),
                "{{domain}} on {{instance}}",
            ),
            look.STATE_WORDS,
            "No domain had an incident in the range.",
            links=[links.series_to_domain()],
        ),
        grid(
            "Last abnormal events",
            "Most recent abnormal transition of each kind and domain in the range. Unknown: found after unobserved time.",
            [
                f"topk(100, {recent(_NEWEST, '$__range_s')}) * 1000",
            ],
            [
                Column("domain", "Domain", links=[links.to_domain()]),
                Column("event", "Event"),
                Column("reason", "Reason"),
                Column(VALUE, "When", unit=WHEN),
                *PLACE,
            ],
            "When",
            "No abnormal transition in the range.",
            (14, 9),
        ),
        grid(
            "Most restarted domains",
            "Domains that started more than once in the range, for any reason; of the 200 most recently started.",
            [
                f"topk(20, sum by ({BY_DOMAIN}) ({_STARTS}) > 1)",
            ],
            [
                Column("domain", "Domain", links=[links.to_domain()]),
                Column(VALUE, "Starts", unit="none", decimals=0),
                *PLACE,
            ],
            "Starts",
            "No domain started more than once in the range.",
            (10, 9),
        ),
        grid(
            "Availability per host",
            "Share of the time without an open incident, over all domains of a host. Two incidents at once count twice. Domains that are off are included. No value if the connection was down for the whole range.",
            [
                f"clamp_min(1 - {_BROKEN_TIME} / ({_KNOWN_TIME} > 0), 0) and {_OBSERVED_TIME} > 0 or ({_NONE} + 1 and {_HEARD})",
                f"sum by ({BY_HOST}) ({pick(STATES)})",
                f"sum by ({BY_HOST}) ({pick(OPEN)})",
                f"({incidents(by=BY_HOST)}) or {_NONE}",
                f"sum by ({BY_HOST}) ({_BLIND})",
                f"max by ({BY_HOST}) ({_UP})",
            ],
            [
                Column(
                    "instance",
                    "Instance",
                    links=[
                        links.to_host(links.CRASHES, "Crashes and hangs of the host"),
                        links.to_host(links.EXPORTER, "Exporter of the host"),
                    ],
                ),
                Column(
                    "Value #A",
                    "Availability",
                    unit="percentunit",
                    decimals=3,
                    thresholds=look.steps((0.99, look.WARN), (0.999, look.GOOD), base=look.BAD),
                ),
                Column("Value #B", "Domains", unit="none", decimals=0),
                Column("Value #C", "Open incidents", unit="none", decimals=0),
                Column("Value #D", "Incidents in range", unit="none", decimals=0),
                Column("Value #E", "Unobserved", unit="s", decimals=0),
                Column("Value #F", "Connection", mappings={0: ("down", look.BAD), 1: ("up", look.GOOD)}),
                Column("connection", "URI"),
                Column("job", "Job"),
            ],
            "Availability",
            "No exporter was scraped in the range.",
            (24, 10),
            descending=False,
        ),
    ],
)

BOARD: Final = Board(
    uid=links.FLEET,
    title="Libvirt / Fleet",
    description="Which domains are down or hung now? What happened recently, where, and how long did it last?",
    variables=[*sources(), *scope(), worst(), restarted(), troubled()],
    rows=[NOW, TIME, WHO],
)
