"""What an exporter costs: the last row of Libvirt / Exporter.

Law: other programs that Prometheus scrapes have such metrics, too; they are not shown.
"""

from typing import Final

from dashboards.source.board import Row
from dashboards.source.panels import Query, lines
from dashboards.source.promql import (
    BY_EXPORTER,
    SCOPE,
    largest,
    ours,
    own,
    pick,
    quantile,
    worst,
)

_SCRAPES: Final = own("scrape_duration_seconds_bucket")
_SCRAPED: Final = own("scrape_duration_seconds_count")
_CPU: Final = pick("process_cpu_seconds_total", SCOPE)
_FILES: Final = pick("process_open_fds", SCOPE)
_MOST_FILES: Final = pick("process_max_fds", SCOPE)
_STARTED: Final = pick("process_start_time_seconds", SCOPE)


def _gauge(name: str) -> Query:
    metric = pick(name, SCOPE)
    return Query(worst(f"max by ({BY_EXPORTER}) ({metric})", ours(largest(metric))), "{{instance}}")


COST: Final = Row(
    "Cost",
    [
        lines(
            "Scrape time",
            "Duration measured by Prometheus (the 10 longest), and the time that the exporter took to render the page.",
            _gauge("scrape_duration_seconds"),
            Query(quantile(0.99, _SCRAPES, _SCRAPED), "writing, 99 % of all"),
            unit="s",
            names=("writing, 99 % of all",),
        ),
        lines(
            "Scrape size",
            "Samples per scrape; the 10 largest.",
            _gauge("scrape_samples_scraped"),
        ),
        lines(
            "CPU",
            "Share of one CPU; the 10 highest.",
            Query(
                worst(
                    f"sum by ({BY_EXPORTER}) (rate({_CPU}[$__rate_interval]))",
                    ours(f"sum by ({BY_EXPORTER}) (increase({_CPU}[$__range] @ end()))"),
                ),
                "{{instance}}",
            ),
            unit="percentunit",
        ),
        lines(
            "Memory",
            "Resident memory; the 10 largest.",
            _gauge("process_resident_memory_bytes"),
            unit="bytes",
        ),
        lines(
            "Open files",
            "Open file descriptors as a share of the limit; the 10 highest.",
            Query(
                worst(
                    f"max by ({BY_EXPORTER}) ({_FILES} / {_MOST_FILES})",
                    ours(f"{largest(_FILES)} / {largest(_MOST_FILES)}"),
                ),
                "{{instance}}",
            ),
            unit="percentunit",
        ),
        lines(
            "Uptime",
            "Time since the start of the process; the 10 shortest.",
            Query(
                worst(f"time() - max by ({BY_EXPORTER}) ({_STARTED})", ours(largest(_STARTED))),
                "{{instance}}",
            ),
            unit="s",
        ),
    ],
)
