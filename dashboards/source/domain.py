"""Libvirt / Domain: what happened to this machine, when, why, and how long did it last?"""

from typing import Final

from dashboards.source import links, look, variables
from dashboards.source.board import Annotation, Board, Leads, Row
from dashboards.source.lasting import lasted
from dashboards.source.panels import Look, Query, bars, figure, spread, timeline
from dashboards.source.promql import (
    BY_DOMAIN,
    DOMAIN,
    DURATION,
    HOST,
    KINDS,
    LAST_EVENT,
    LAST_INCIDENT,
    OBSERVED,
    events_over_time,
    happened,
    incidents,
    or_nothing,
    or_zero,
    pick,
    state_number,
    zeros,
)
from dashboards.source.tables import WHEN, Column, grid

_NEWEST: Final = pick(LAST_EVENT, DOMAIN)
_OPEN: Final = pick("libvirt_domain_incident_open", DOMAIN)
_HUNG: Final = pick("libvirt_domain_hung", DOMAIN)
_SINCE: Final = pick("libvirt_domain_state_since_timestamp_seconds", DOMAIN)
_OPEN_OR_NOT: Final = f"{_OPEN} or {zeros(_SINCE, 'kind', KINDS)}"
"""A kind has a series from its first incident on."""
_HUNG_OR_NOT: Final = f"{_HUNG} or {zeros(_SINCE, 'signal', ('watchdog',))}"
"""The watchdog has a series from its first expiry on."""
_STATE: Final = pick("libvirt_domain_state", DOMAIN)
_STARTS: Final = happened(pick(LAST_EVENT, DOMAIN, 'event="started"'))
_ENDED: Final = pick(f"{DURATION}_count")
_TOOK: Final = pick(f"{DURATION}_sum")
_BUCKETS: Final = pick(f"{DURATION}_bucket", HOST, 'operation=~"outage|hang",outcome="success"')
_OFTEN: Final = f"sum by (operation,outcome) (round(increase({_ENDED}[$__range])))"
_MEAN: Final = f"sum by (operation,outcome) (increase({_TOOK}[$__range])) / ({_OFTEN} > 0)"
_KNOWN_TIME: Final = f"sum by ({BY_DOMAIN}) (count_over_time({_SINCE}[$__range]))"
_BROKEN: Final = (
    f"(sum by ({BY_DOMAIN}) (sum_over_time({_OPEN}[$__range])) / {_KNOWN_TIME} or 0 * {_KNOWN_TIME})"
)
"""Not an average of the incident's own series, which may have begun within the range."""
_OBSERVED_TIME: Final = (
    f"sum by ({BY_DOMAIN}) (sum_over_time({pick('libvirt_domain_state', DOMAIN, OBSERVED)}[$__range]))"
)
_PER_EVENT: Final = f"{BY_DOMAIN},event,reason"
_BEGAN: Final = f"max by ({BY_DOMAIN},kind) (last_over_time({pick(LAST_INCIDENT, DOMAIN)}[$__range]))"
_LATEST: Final = (
    f"last_over_time({_OPEN}[$__range]) or {zeros(f'last_over_time({_SINCE}[$__range])', 'kind', KINDS)}"
)
_KINDS: Final = f"max by ({BY_DOMAIN},kind) ({_LATEST})"
"""As it was when it was last seen: the domain may be gone."""
_AGAIN: Final = f"sum by ({BY_DOMAIN},kind) ({happened(pick(LAST_INCIDENT, DOMAIN))})"


def _ever(what: str) -> str:
    """Whether there was any within the range; asked once, not at each step."""
    return f"last_over_time({what}[$__range] @ end())"


NOW: Final = Row(
    "Now",
    [
        figure(
            "State",
            "State that libvirt reports; unknown while the connection is down. One value for each host that knows the domain.",
            state_number(DOMAIN),
            Look(unit="none", mappings=look.words(look.STATE_WORDS), no_value="Unknown domain."),
            legend="{{instance}}",
            backdrop=True,
        ),
        figure(
            "Time in current state",
            "Time since the domain entered the state or was first seen in it.",
            f"time() - max by ({BY_DOMAIN}) ({_SINCE})",
            Look(unit="s", decimals=0, least=0, no_value="Unknown domain."),
            legend="{{instance}}",
        ),
        figure(
            "Open incidents",
            "Crashes, hangs, I/O errors and failures that are not resolved.",
            or_zero(f"sum({_OPEN})"),
            Look(decimals=0, least=0, thresholds=look.steps((1, look.BAD))),
            backdrop=True,
        ),
        figure(
            "Incidents in range",
            "Incidents that began in the range.",
            or_zero(incidents(DOMAIN, by="")),
            Look(decimals=0, least=0, thresholds=look.steps((1, look.WARN))),
        ),
        figure(
            "Starts in range",
            "Starts for any reason: boot, restore, incoming migration, wakeup.",
            or_zero(f"sum({_STARTS})"),
        ),
        figure(
            "Availability",
            "Share of the observed time without an open incident. Two incidents at once count twice. No value if the connection was down for the whole range.",
            f"clamp_min(1 - {_BROKEN}, 0) and {_OBSERVED_TIME} > 0",
            Look(
                unit="percentunit",
                decimals=3,
                thresholds=look.steps((0.99, look.WARN), (0.999, look.GOOD), base=look.BAD),
                no_value="Unknown domain.",
            ),
            legend="{{instance}}",
        ),
    ],
)

TIME: Final = Row(
    "Over time",
    [
        timeline(
            "State over time",
            "State over time, for each host that knows the domain.",
            Query(
                or_nothing(
                    state_number(DOMAIN), _ever(_STATE), instance="not known", connection="on any host"
                ),
                "{{instance}} {{connection}}",
            ),
            look.STATE_WORDS,
            "Unknown domain in the range.",
            (24, 5),
        ),
        timeline(
            "Open incidents by kind",
            "Times with an open incident of kind crashed, hung, failed or io_error.",
            Query(
                or_nothing(
                    f"max by ({BY_DOMAIN},kind) ({_OPEN_OR_NOT})",
                    _ever(_SINCE),
                    kind="not known",
                    instance="any host",
                ),
                "{{kind}} on {{instance}}",
            ),
            {0: ("well", look.CALM), 1: ("open", look.BAD)},
            "Unknown domain in the range.",
            (12, 7),
        ),
        timeline(
            "Hung by signal",
            "Hang signals of the domain: the emulator's monitor, the watchdog, the guest agent, or the virtual CPUs. Enabled signals only.",
            Query(
                or_nothing(
                    f"max by ({BY_DOMAIN},signal) ({_HUNG_OR_NOT})",
                    _ever(_SINCE),
                    signal="nothing watched",
                    instance="any host",
                ),
                "{{signal}} on {{instance}}",
            ),
            {0: ("answers", look.CALM), 1: ("hung", look.HUNG)},
            "Unknown domain in the range.",
            (12, 7),
        ),
        bars(
            "Events by event and reason",
            "Every transition by event and reason. Dots are exemplars that link to the trace.",
            Query(events_over_time(), "{{event}} / {{reason}}", exemplars=True),
            size=(16, 9),
            overrides=look.events(),
            no_value="No transition of this domain in the range.",
            links=[links.to_traces(), links.to_logs()],
        ),
        spread(
            "Time in state",
            "Share of the observed time in each state.",
            Query(
                f"sum by (state) (sum_over_time({_STATE}[$__range])) / on () group_left () "
                f"clamp_min(sum(sum_over_time({_STATE}[$__range])), 1)",
                "{{state}}",
                instant=True,
            ),
            Look(
                unit="percentunit",
                decimals=1,
                least=0,
                most=1,
                overrides=look.painted(look.STATES),
                no_value="Unknown domain in the range.",
            ),
            (8, 9),
        ),
    ],
)

WHAT: Final = Row(
    "History",
    [
        grid(
            "Last events",
            "Most recent transition of each event and reason, at any time, and the number in the range.",
            [
                f"max by ({_PER_EVENT}) (last_over_time({_NEWEST}[$__range])) * 1000",
                f"sum by ({_PER_EVENT}) ({happened(_NEWEST)})",
            ],
            [
                Column("event", "Event", links=[links.to_traces(), links.to_logs()]),
                Column("reason", "Reason"),
                Column("Value #A", "When", unit=WHEN),
                Column("Value #B", "In range", unit="none", decimals=0),
                Column("instance", "Instance", links=[links.to_page()]),
                Column("connection", "Connection"),
                Column("domain", "Domain"),
                Column("job", "Job"),
            ],
            "When",
            "No transition of this domain was recorded.",
            (14, 10),
        ),
        grid(
            "Incidents",
            "Transitions with one cause are one incident.",
            [
                _KINDS,
                f"({_AGAIN}) or 0 * {_KINDS}",
                f"{_BEGAN} * 1000",
            ],
            [
                Column("kind", "Kind", links=[links.to_traces(), links.to_logs()]),
                Column("Value #A", "Now", mappings={0: ("well", look.GOOD), 1: ("open", look.BAD)}),
                Column("Value #B", "In range", unit="none", decimals=0),
                Column("Value #C", "Last began", unit=WHEN, empty="never"),
                Column("instance", "Instance", links=[links.to_page()]),
                Column("connection", "Connection"),
                Column("domain", "Domain"),
                Column("job", "Job"),
            ],
            "In range",
            "Unknown domain.",
            (10, 10),
        ),
    ],
)

HOSTS: Final = Row(
    "Operations of all domains on these hosts",
    [
        grid(
            "Operations",
            "Number of operations that ended in the range, and their mean duration. Durations are recorded per host, not per domain.",
            [
                _OFTEN,
                _MEAN,
            ],
            [
                Column("operation", "Operation"),
                Column("outcome", "Outcome"),
                Column("Value #A", "In range", unit="none", decimals=0),
                Column("Value #B", "Mean", unit="s", decimals=1),
            ],
            "In range",
            "No exporter was scraped in the range.",
            (12, 9),
        ),
        lasted(
            "Durations of outages and hangs",
            "Outages and hangs that ended successfully in the range, by duration. Each bar counts durations up to its value and above the previous bar.",
            _BUCKETS,
            (12, 9),
        ),
    ],
)


def _marks(name: str, colour: str, more: str) -> Annotation:
    return Annotation(
        name, colour, pick(LAST_EVENT, DOMAIN, more) + " * 1000", "{{event}} / {{reason}} on {{instance}}"
    )


BOARD: Final = Board(
    uid=links.DOMAIN,
    title="Libvirt / Domain",
    description="What happened to this domain, when, why, and how long did it last?",
    variables=[*variables.sources(links=True), *variables.scope(), variables.domain(), variables.scheme()],
    rows=[NOW, TIME, WHAT, HOSTS],
    annotations=[
        _marks("crashed", look.BAD, 'event=~"crashed|stopped",reason=~"crashed|panicked|crashloaded"'),
        _marks("hung", look.HUNG, 'event=~"hung|stopped",reason=~"hung|emulator|watchdog|guest_agent|vcpu"'),
        _marks("io_error", look.STORAGE, 'event=~"io_error|suspended",reason=~"enospc|other|ioerror"'),
        _marks("migrated", look.MOVED, 'event=~"started|stopped",reason="migrated"'),
    ],
    leads=[
        Leads("Traces", "The operations of this domain, in Tempo", links.traces()),
        Leads("Log records", "What is told of this domain, in Loki", links.logs()),
    ],
)
