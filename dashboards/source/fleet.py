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
            "Domains that the exporters know, in any state. Removed ones stay for a quarter of an hour.",
            or_zero(f"count({pick('libvirt_domain_state_since_timestamp_seconds')})"),
        ),
        figure(
            "Running",
            "Domains that libvirt calls running. A hung one is among them: libvirt does not notice. Those of a connection that is down are not.",
            or_zero(total(pick("libvirt_domain_state", HOST, 'state="running"'))),
        ),
        figure(
            "Crashed now",
            "Domains whose crash is not over: they have neither been started again nor removed.",
            or_zero(total(pick(INCIDENT_OPEN, HOST, 'kind="crashed"'))),
            ALARM,
            backdrop=True,
        ),
        figure(
            "Hung now",
            "Domains that do not answer, or whose watchdog ran out, and that have not recovered.",
            or_zero(total(pick(INCIDENT_OPEN, HOST, 'kind="hung"'))),
            ALARM,
            backdrop=True,
        ),
        figure(
            "Failed or paused by their disk now",
            "Domains that could not be started, restored or received, or that an I/O error holds up.",
            or_zero(total(pick(INCIDENT_OPEN, HOST, 'kind=~"failed|io_error"'))),
            ALARM,
            backdrop=True,
        ),
        figure(
            "Hosts disconnected",
            "Connections to libvirt that are down, and exporters that Prometheus cannot reach. Nothing is heard of their domains.",
            _NOT_HEARD,
            replace(
                ALARM,
                no_value="No exporter was scraped within the range.",
                overrides=[look.override("byType", "number", links=[links.to_exporters()])],
            ),
            backdrop=True,
        ),
        figure(
            "Crashes in range",
            "Incidents of the kind crashed that began within the range: panic, stop and restart together are one.",
            or_zero(incidents(kind="crashed", by="")),
            Look(decimals=0, least=0, thresholds=look.steps((1, look.WARN))),
            size=(6, 4),
        ),
        figure(
            "Hangs in range",
            "Incidents of the kind hung that began within the range, those included that cleared by themselves.",
            or_zero(incidents(kind="hung", by="")),
            Look(decimals=0, least=0, thresholds=look.steps((1, look.WARN))),
            size=(6, 4),
        ),
        figure(
            "Disk and start failures in range",
            "Incidents of the kinds io_error and failed that began within the range.",
            or_zero(incidents(kind="io_error|failed", by="")),
            Look(decimals=0, least=0, thresholds=look.steps((1, look.WARN))),
            size=(6, 4),
        ),
        figure(
            "Unobserved time in range",
            "Time in which events could have been missed, all connections added up: libvirt or the exporter was away. What is under way counts when it is over.",
            or_zero(total(_BLIND)),
            Look(unit="s", decimals=0, least=0, thresholds=look.steps((60, look.WARN))),
            size=(6, 4),
        ),
        grid(
            "Who is crashed, hung or failed now",
            "The domains whose incidents are open, those held up by a disk included, whenever that began; the newest 100.",
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
            "How many domains were in each state; unknown: the connection to their libvirt was down.",
            Query(total(pick(STATES), "state"), "{{state}}"),
            names=look.STATES,
            stacked=True,
            points=240,
        ),
        bars(
            "Unplanned stops by reason",
            "Stops that nobody asked for: the emulator or the guest crashed, it could not start or be received, it was ended for hanging. Unknown: found stopped after a time in which nobody listened.",
            Query(
                over_time(EVENTS, HOST, 'event="stopped",reason=~"crashed|failed|hung"', "reason"),
                "{{reason}}",
            ),
            Query(over_time(EVENTS, HOST, 'event="stopped",reason="unknown"'), "cause unknown"),
            names=("crashed", "failed", "hung", "cause unknown"),
        ),
        bars(
            "Migrations",
            "Domains that arrived (in) and left (out). One that dies on arrival is counted in; it never left.",
            Query(over_time(EVENTS, HOST, 'event="started",reason="migrated"'), "in"),
            Query(over_time(EVENTS, HOST, 'event="stopped",reason="migrated"'), "out"),
            names=("in", "out"),
        ),
        lasted(
            "Outage durations",
            "Outages that ended within the range with the domain running again, by how long they had lasted: a bar counts those up to its time and longer than the bar before.",
            _OUTAGES,
            (12, 8),
        ),
    ],
)

WHO: Final = Row(
    "Who",
    [
        timeline(
            "The worst domains",
            "The 15 domains with most incidents within the range, and the state they were in when.",
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
            "No domain had an incident within the range.",
            links=[links.series_to_domain()],
        ),
        grid(
            "Last abnormal events",
            "What nobody asked for, the newest of each kind and domain within the range. Unknown: found so after a time in which nobody listened.",
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
            "Nothing abnormal happened within the range.",
            (14, 9),
        ),
        grid(
            "Top flappers",
            "Domains that started more than once within the range, whatever the reason; of the 200 that started last.",
            [
                f"topk(20, sum by ({BY_DOMAIN}) ({_STARTS}) > 1)",
            ],
            [
                Column("domain", "Domain", links=[links.to_domain()]),
                Column(VALUE, "Starts", unit="none", decimals=0),
                *PLACE,
            ],
            "Starts",
            "No domain started more than once within the range.",
            (10, 9),
        ),
        grid(
            "Availability per host",
            "Share of the time of a host's domains without an open incident; two incidents at once count twice. Domains that are off count as well; no value if the connection was down all the time.",
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
                        links.to_host(links.CRASHES, "Its crashes and hangs"),
                        links.to_host(links.EXPORTER, "Its exporter"),
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
            "No exporter was scraped within the range.",
            (24, 10),
            descending=False,
        ),
    ],
)

BOARD: Final = Board(
    uid=links.FLEET,
    title="Libvirt / Fleet",
    description="Is anything down or hung now? What happened lately, to whom, where, and how long did it last?",
    variables=[*sources(), *scope(), worst(), restarted(), troubled()],
    rows=[NOW, TIME, WHO],
)
