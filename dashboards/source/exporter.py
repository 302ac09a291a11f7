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
NO_OTLP: Final = "No exporter delivers over OTLP (OTEL_EXPORTER_OTLP_ENDPOINT is not set)."

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
            "Connections to libvirt that are open and receive events.",
            or_zero(total(_UP)),
        ),
        figure(
            "Connections down",
            "Connections to libvirt that are down.",
            or_zero(f"count({_UP} == 0)"),
            ALARM,
            backdrop=True,
        ),
        figure(
            "Exporters not reachable",
            "Exporters that Prometheus cannot scrape, including other targets of their jobs.",
            f"({or_zero(f'count {unreached()}')}) and on () {SEEN}",
            replace(ALARM, no_value="No exporter was scraped in the range."),
            backdrop=True,
        ),
        figure(
            "Events dropped in range",
            "Events lost inside the exporter. Each loss triggers a new listing, so states remain correct.",
            or_zero(count(f"{EXPORTER}events_dropped_total", SCOPE)),
            ALARM,
            backdrop=True,
        ),
        figure(
            "Journal errors in range",
            "Failed journal operations and rows that are missing in the journal.",
            or_zero(count(f"{EXPORTER}journal_errors_total", SCOPE)),
            ALARM,
            backdrop=True,
        ),
        figure(
            "OTLP dropped in range",
            "Spans and log records that were dropped. Also 0 if OTLP is disabled.",
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
            "All connections; connections that are down come first.",
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
            "No exporter was scraped in the range.",
            (14, 9),
            descending=False,
        ),
        grid(
            "Exporters",
            "Version of the exporter, Python and libvirt on each host; exporters that are not reachable come first.",
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
            "No exporter was scraped in the range.",
            (10, 9),
            descending=False,
        ),
        bars(
            "Reconnects",
            "Connections that were reopened after a loss.",
            Query(over_time(_RECONNECTS), "reconnects"),
            names=("reconnects",),
        ),
        lines(
            "Unobserved time",
            "Time during which events could have been missed, because libvirt or the exporter was down. Counted when it ends. The 10 highest in the range.",
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
            "Callbacks received from libvirt.",
            Query(f"sum by (source) (rate({own('events_received_total')}[$__rate_interval]))", "{{source}}"),
            unit="cps",
        ),
        lines(
            "Queue",
            "Messages in the queue to the worker; the 10 longest queues.",
            Query(worst_of(own("queue_depth")), "{{instance}}"),
        ),
        lines(
            "Event loop: last iteration",
            "Time since the last iteration of the libvirt event loop; usually less than a second plus the age of the scrape. The 10 highest.",
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
            "Events lost inside the exporter, by cause.",
            Query(over_time(f"{EXPORTER}events_dropped_total", SCOPE, by="cause"), "{{cause}}"),
            names=("queue_full", "callback_error", "worker_error", "shutdown"),
        ),
        lines(
            "Series of domains",
            "Series about domains; the 10 highest.",
            Query(worst_of(own("series")), "{{instance}}"),
        ),
        bars(
            "Series refused by the limit",
            "Domains, and event and reason pairs of domains, that are counted as _other because of the series limit.",
            Query(over_time(f"{EXPORTER}series_limited_total", SCOPE), "refused"),
            names=("refused",),
        ),
        lines(
            "Probe rounds",
            "Duration of a round of hang probes over all domains of a connection, by signal.",
            Query(quantile(0.5, _PROBES, _PROBED, "signal"), "{{signal}}, half of them"),
            Query(quantile(0.99, _PROBES, _PROBED, "signal"), "{{signal}}, 99 %"),
            unit="s",
            no_value="No round of hang probes ended in the range: probes are disabled, or no domain runs.",
        ),
    ],
)

KEPT: Final = Row(
    "Journal and delivery",
    [
        lines(
            "Journal",
            "Transitions in the journal; the 10 highest.",
            Query(worst_of(own("journal_events")), "{{instance}}"),
        ),
        lines(
            "Size of the journal",
            "Size on disk; the 10 largest.",
            Query(worst_of(own("journal_bytes")), "{{instance}}"),
            unit="bytes",
        ),
        lines(
            "OTLP backlog",
            "Spans and log records waiting for delivery.",
            Query(f"sum by (signal) ({own('otlp_pending')})", "{{signal}}"),
            names=SIGNALS,
            no_value=NO_OTLP,
        ),
        lines(
            "OTLP: age of the oldest item",
            "Age of the oldest pending span or log record; 0 if there is none.",
            Query(f"max by (signal) ((time() - {_OLDEST}) * ({_OLDEST} > bool 0))", "{{signal}}"),
            unit="s",
            names=SIGNALS,
            no_value=NO_OTLP,
        ),
        lines(
            "OTLP delivered",
            "Spans and log records that the receiver accepted.",
            Query(f"sum by (signal) (rate({own('otlp_exported_total')}[$__rate_interval]))", "{{signal}}"),
            unit="cps",
            names=SIGNALS,
            no_value=NO_OTLP,
        ),
        bars(
            "OTLP drops and failed attempts",
            "Dropped items by cause, and failed attempts, which are retried.",
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
    description="Does the exporter receive, store and deliver all events, and what does it cost?",
    variables=[*variables.sources(), *variables.scope(), variables.scheme()],
    rows=[NOW, LIBVIRT, EVENT_PATH, KEPT, COST],
)
