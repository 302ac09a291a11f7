"""Libvirt / Exporter: does the exporter hear everything, does it keep and deliver it, and what does it cost?"""

from dataclasses import replace
from typing import Final

from dashboards.source import links, look, variables
from dashboards.source.board import Board, Row
from dashboards.source.cost import COST
from dashboards.source.panels import Look, Query, bars, figure, lines
from dashboards.source.promql import (
    BY_EXPORTER,
    BY_HOST,
    EXPORTER,
    HOST,
    SCOPE,
    SEEN,
    count,
    or_zero,
    over_time,
    own,
    pick,
    quantile,
    total,
    unreached,
    worst,
    worst_of,
)
from dashboards.source.tables import Column, grid

ALARM: Final = Look(decimals=0, least=0, thresholds=look.steps((1, look.BAD)))
SIGNALS: Final = ("traces", "logs")
NO_OTLP: Final = "No exporter here delivers over OTLP (OTEL_EXPORTER_OTLP_ENDPOINT is not set)."

_UP: Final = pick("libvirt_connection_up")
_RECONNECTS: Final = "libvirt_connection_reconnects_total"
_BLIND: Final = pick("libvirt_connection_unobserved_seconds_total")


_OLDEST: Final = own("otlp_oldest_pending_timestamp_seconds")
_HEARTBEAT: Final = own("event_loop_heartbeat_timestamp_seconds")
_PROBES: Final = own("probe_duration_seconds_bucket", HOST)
_PROBED: Final = own("probe_duration_seconds_count", HOST)

NOW: Final = Row(
    "Now",
    [
        figure(
            "Connections up",
            "Connections to libvirt that are open and whose events arrive.",
            or_zero(total(_UP)),
        ),
        figure(
            "Connections down",
            "Connections to libvirt on which nothing can be heard.",
            or_zero(f"count({_UP} == 0)"),
            ALARM,
            backdrop=True,
        ),
        figure(
            "Exporters out of reach",
            "Exporters that Prometheus could not scrape; any other target of their jobs as well.",
            f"({or_zero(f'count {unreached()}')}) and on () {SEEN}",
            replace(ALARM, no_value="No exporter was scraped within the range."),
            backdrop=True,
        ),
        figure(
            "Events dropped in range",
            "libvirt's callbacks that were lost inside the exporter; each forces a new listing, so states stay right.",
            or_zero(count(f"{EXPORTER}events_dropped_total", SCOPE)),
            ALARM,
            backdrop=True,
        ),
        figure(
            "Journal errors in range",
            "Failed attempts to use the journal, and transitions that are missing in it.",
            or_zero(count(f"{EXPORTER}journal_errors_total", SCOPE)),
            ALARM,
            backdrop=True,
        ),
        figure(
            "OTLP dropped in range",
            "Spans and log records that were given up or set aside. 0 as well where OTLP is not switched on.",
            or_zero(count(f"{EXPORTER}otlp_dropped_total", SCOPE)),
            ALARM,
            backdrop=True,
        ),
    ],
)

LIBVIRT: Final = Row(
    "Connections to libvirt",
    [
        grid(
            "Connections",
            "Every connection, those that are down first.",
            [
                f"max by ({BY_HOST}) ({_UP})",
                f"sum by ({BY_HOST}) (round(increase({pick(_RECONNECTS)}[$__range])))",
                f"sum by ({BY_HOST}) (increase({_BLIND}[$__range]))",
            ],
            [
                Column("instance", "Instance", links=[links.to_page()]),
                Column("Value #A", "Connection", mappings={0: ("down", look.BAD), 1: ("up", look.GOOD)}),
                Column("Value #B", "Reconnects in range", unit="none", decimals=0),
                Column("Value #C", "Blind in range", unit="s", decimals=0),
                Column("connection", "URI"),
                Column("job", "Job"),
            ],
            "Connection",
            "No exporter was scraped within the range.",
            (14, 9),
            descending=False,
        ),
        grid(
            "Exporters",
            "Which release runs where, on which Python and libvirt; those out of reach first.",
            [
                f"max by ({BY_EXPORTER},version,python_version,libvirt_version) ({own('build_info')}) or 0 * {unreached()}"
            ],
            [
                Column("instance", "Instance", links=[links.to_page()]),
                Column("version", "Version"),
                Column("libvirt_version", "libvirt"),
                Column("python_version", "Python"),
                Column("job", "Job"),
                Column("Value", "Reached", mappings={0: ("no", look.BAD), 1: ("yes", look.GOOD)}),
            ],
            "Reached",
            "No exporter was scraped within the range.",
            (10, 9),
            descending=False,
        ),
        bars(
            "Reconnects",
            "Connections that were opened again after they had been lost.",
            Query(over_time(_RECONNECTS), "reconnects"),
            names=("reconnects",),
        ),
        lines(
            "Blind",
            "Time in which events could have been missed, libvirt or the exporter being away, told when it was over. The 10 worst of the range.",
            Query(
                worst(
                    over_time("libvirt_connection_unobserved_seconds_total", by=BY_HOST),
                    f"sum by ({BY_HOST}) (increase({_BLIND}[$__range] @ end()))",
                    BY_HOST,
                ),
                "{{instance}} {{connection}}",
            ),
            unit="s",
        ),
    ],
)

EVENT_PATH: Final = Row(
    "Events",
    [
        lines(
            "Event rate by libvirt's event id",
            "Callbacks that arrived from libvirt.",
            Query(f"sum by (source) (rate({own('events_received_total')}[$__rate_interval]))", "{{source}}"),
            unit="cps",
        ),
        lines(
            "Queue",
            "Messages that wait for the worker; the 10 longest queues.",
            Query(worst_of(own("queue_depth")), "{{instance}}"),
        ),
        lines(
            "Event loop: last turn",
            "How long ago the libvirt event loop turned; usually under a second, and the age of the scrape on top. The 10 oldest.",
            Query(
                worst(
                    f"clamp_min(time() - max by ({BY_EXPORTER}) ({_HEARTBEAT}), 0)",
                    f"max by ({BY_EXPORTER}) (last_over_time({_HEARTBEAT}[$__range] @ end()))",
                    order="bottomk",
                ),
                "{{instance}}",
            ),
            unit="s",
        ),
        bars(
            "Drops by cause",
            "libvirt's callbacks that were lost inside the exporter.",
            Query(over_time(f"{EXPORTER}events_dropped_total", SCOPE, by="cause"), "{{cause}}"),
            names=("queue_full", "callback_error", "worker_error", "shutdown"),
        ),
        lines(
            "Series of domains",
            "Series that the exporter shows for its domains; the 10 with most.",
            Query(worst_of(own("series")), "{{instance}}"),
        ),
        bars(
            "Series refused by the limit",
            "Domains, and pairs of domains, that were refused series of their own; they count as _other.",
            Query(over_time(f"{EXPORTER}series_limited_total", SCOPE), "refused"),
            names=("refused",),
        ),
        lines(
            "Probe rounds",
            "How long a round of hang probes over all domains of a connection took, by signal.",
            Query(quantile(0.5, _PROBES, _PROBED, "signal"), "{{signal}}, half of them"),
            Query(quantile(0.99, _PROBES, _PROBED, "signal"), "{{signal}}, 99 %"),
            unit="s",
            no_value="No round of hang probes ended within the range: they are switched off, or nothing runs.",
        ),
    ],
)

KEPT: Final = Row(
    "Journal and delivery",
    [
        lines(
            "Journal",
            "Transitions that are kept; the 10 longest journals.",
            Query(worst_of(own("journal_events")), "{{instance}}"),
        ),
        lines(
            "Size of the journal",
            "What it takes on disk; the 10 largest.",
            Query(worst_of(own("journal_bytes")), "{{instance}}"),
            unit="bytes",
        ),
        lines(
            "OTLP backlog",
            "Spans and log records that are still to be delivered.",
            Query(f"sum by (signal) ({own('otlp_pending')})", "{{signal}}"),
            names=SIGNALS,
            no_value=NO_OTLP,
        ),
        lines(
            "OTLP: age of the oldest",
            "How long the oldest undelivered span or log record has waited; 0 with none.",
            Query(f"max by (signal) ((time() - {_OLDEST}) * ({_OLDEST} > bool 0))", "{{signal}}"),
            unit="s",
            names=SIGNALS,
            no_value=NO_OTLP,
        ),
        lines(
            "OTLP delivered",
            "Spans and log records that the receiver has taken.",
            Query(f"sum by (signal) (rate({own('otlp_exported_total')}[$__rate_interval]))", "{{signal}}"),
            unit="cps",
            names=SIGNALS,
            no_value=NO_OTLP,
        ),
        bars(
            "OTLP drops and failed attempts",
            "What was given up, by cause; attempts that did not work are repeated.",
            Query(
                over_time(f"{EXPORTER}otlp_dropped_total", SCOPE, by="signal,cause"),
                "{{signal}} dropped: {{cause}}",
            ),
            Query(over_time(f"{EXPORTER}sink_errors_total", SCOPE, by="sink"), "{{sink}} failed attempts"),
            no_value=NO_OTLP,
        ),
    ],
)

BOARD: Final = Board(
    uid=links.EXPORTER,
    title="Libvirt / Exporter",
    description="Does the exporter hear everything, does it keep and deliver it, and what does it cost?",
    variables=[*variables.sources(), *variables.scope(), variables.scheme()],
    rows=[NOW, LIBVIRT, EVENT_PATH, KEPT, COST],
)
