"""What an exporter costs: the last row of Libvirt / Exporter."""

from typing import Final

from dashboards.source.board import Row
from dashboards.source.panels import Query, lines
from dashboards.source.promql import BY_EXPORTER, SCOPE, own, pick, quantile, worst

_SCRAPES: Final = own("scrape_duration_seconds_bucket")
_SCRAPED: Final = own("scrape_duration_seconds_count")

COST: Final = Row(
    "Cost",
    [
        lines(
            "Scrape time",
            "As Prometheus sees it, the 10 longest; and the time that the exporter took to write the page.",
            Query(
                worst(f"max by ({BY_EXPORTER}) ({pick('scrape_duration_seconds', SCOPE)})"), "{{instance}}"
            ),
            Query(quantile(0.99, _SCRAPES, _SCRAPED), "writing, 99 % of all"),
            unit="s",
        ),
        lines(
            "Scrape size",
            "Samples of a scrape; the 10 largest.",
            Query(worst(f"max by ({BY_EXPORTER}) ({pick('scrape_samples_scraped', SCOPE)})"), "{{instance}}"),
        ),
        lines(
            "Processor",
            "Share of one processor; the 10 busiest.",
            Query(
                worst(
                    f"sum by ({BY_EXPORTER}) (rate({pick('process_cpu_seconds_total', SCOPE)}[$__rate_interval]))"
                ),
                "{{instance}}",
            ),
            unit="percentunit",
        ),
        lines(
            "Memory",
            "Resident memory; the 10 largest.",
            Query(
                worst(f"max by ({BY_EXPORTER}) ({pick('process_resident_memory_bytes', SCOPE)})"),
                "{{instance}}",
            ),
            unit="bytes",
        ),
        lines(
            "Open files",
            "Share of the file descriptors that the process may have; the 10 nearest to their limit.",
            Query(
                worst(
                    f"max by ({BY_EXPORTER}) ({pick('process_open_fds', SCOPE)} / {pick('process_max_fds', SCOPE)})"
                ),
                "{{instance}}",
            ),
            unit="percentunit",
        ),
        lines(
            "Running for",
            "Time since the process was started; the 10 youngest.",
            Query(
                f"bottomk(10, time() - max by ({BY_EXPORTER}) ({pick('process_start_time_seconds', SCOPE)}))",
                "{{instance}}",
            ),
            unit="s",
        ),
    ],
)
