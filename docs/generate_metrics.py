"""Generate docs/metrics.md from the code: ``make docs``.

    python -m docs.generate_metrics [--check]

With ``--check`` nothing is written; the exit code is 1 if a page is out of date. tests/prometheus/test_metrics_page.py
checks the same.

The page has every metric with type, labels, unit, cardinality and stability. Name, type, labels and HELP text come from
``metrics/families.py`` and ``metrics/self_metrics.py``; ``NOTES`` below adds what the code does not say.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import Histogram

from docs import series_table
from libvirt_lifecycle_exporter.engine.durations import BUCKETS, EXPECTED, OPERATIONS, OUTCOMES
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.hypervisor.message_queue import DROP_CAUSES, MessageQueue
from libvirt_lifecycle_exporter.journal.disabled import DisabledJournal
from libvirt_lifecycle_exporter.metrics.families import CONNECTION_FAMILIES, DOMAIN_FAMILIES
from libvirt_lifecycle_exporter.metrics.self_metrics import (
    PREFIX,
    ExporterCollector,
    probe_duration_histogram,
    registry,
)
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.states import SHOWN_STATES
from libvirt_lifecycle_exporter.model.vocabulary import (
    ALERT_PAIRS,
    ALL_PAIRS,
    COUNTED_PAIRS,
    HANG_SIGNALS,
    INCIDENT_KINDS,
    OBSERVED_KINDS,
)
from libvirt_lifecycle_exporter.otel.sender import DROP_CAUSES as OTLP_CAUSES
from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor
from libvirt_lifecycle_exporter.runtime.threads import ROLES, ThreadRegistry
from libvirt_lifecycle_exporter.web.access import REFUSAL_CAUSES as WEB_CAUSES
from libvirt_lifecycle_exporter.web.access import AccessControl

HERE: Final = Path(__file__).parent
DEFAULT_SIGNALS: Final = ("emulator", "watchdog")
"""Hang signals that are enabled by default."""
FIXED, OPEN = "stable", "stable, values may be added"
_STARTING = len(ALERT_PAIRS) + len(DEFAULT_SIGNALS)
_HISTOGRAM = len(BUCKETS) + 3


class Metric(NamedTuple):
    """One metric as the code defines it."""

    name: str
    """As a query names it: counters with ``_total``."""
    type: str
    labels: tuple[str, ...]
    help: str


class Note(NamedTuple):
    """What the code does not say about a metric."""

    cardinality: str
    """Number of series."""
    stability: str = FIXED
    text: str = ""


_PLATFORM = "1 per domain with such metadata"
NOTES: Final[Mapping[str, Note]] = {
    "libvirt_domain_lifecycle_events_total": Note(
        f"{_STARTING} per domain by default, and 1 for each further pair that occurred",
        OPEN,
        "The primary metric. The pairs that alerts use start at 0 for every known domain, so `increase()` includes the first "
        "event. With OpenMetrics and OTLP, the newest transition of a pair has an exemplar with `trace_id` and `span_id`.",
    ),
    "libvirt_domain_last_event_timestamp_seconds": Note(
        "1 per domain and pair that occurred", OPEN, "Persists across restarts. Use it in alerts."
    ),
    "libvirt_domain_state": Note(
        f"1 per domain; {len(SHOWN_STATES)} with `--metrics.state-set`",
        OPEN,
        f"Values of `state`: {', '.join(f'`{name}`' for name in SHOWN_STATES)}; `unknown_<n>` for a state of a newer libvirt. "
        "Only the current state has a series; with `--metrics.state-set`, the others have one with the value 0.",
    ),
    "libvirt_domain_state_reason": Note(
        "1 per domain", OPEN, "Current state only. `unknown`, `connection_down` while the connection is down."
    ),
    "libvirt_domain_state_since_timestamp_seconds": Note(
        "1 per domain", FIXED, "While the connection is down: when it went down."
    ),
    "libvirt_domain_meta": Note(
        "1 per domain", OPEN, "Join with `* on (job, instance, connection, domain) group_left (uuid)`."
    ),
    "libvirt_domain_openstack_meta": Note(
        _PLATFORM, OPEN, "Cached: the series stays after a transient domain stopped, until `--series.ttl`."
    ),
    "libvirt_domain_opennebula_meta": Note(_PLATFORM, OPEN, "Cached, as `libvirt_domain_openstack_meta`."),
    "libvirt_domain_ovirt_meta": Note(_PLATFORM, OPEN, "Cached, as `libvirt_domain_openstack_meta`."),
    "libvirt_domain_incidents_total": Note(
        f"{len(INCIDENT_KINDS)} per domain",
        OPEN,
        f"Values of `kind`: {', '.join(f'`{kind}`' for kind in INCIDENT_KINDS)}. Starts at 0.",
    ),
    "libvirt_domain_incident_open": Note(
        "1 per domain and kind that occurred",
        OPEN,
        "1 until the domain runs again or is removed, then 0. Absent before the first incident of a kind.",
    ),
    "libvirt_domain_last_incident_timestamp_seconds": Note(
        "1 per domain and kind that occurred", OPEN, "Persists across restarts."
    ),
    "libvirt_domain_hung": Note(
        f"{len(DEFAULT_SIGNALS) - 1} per domain by default, {len(HANG_SIGNALS)} at most",
        OPEN,
        f"Values of `signal`: {', '.join(f'`{signal}`' for signal in HANG_SIGNALS)}. `watchdog` is absent before the first "
        "expiry of the domain's watchdog. See [hangs.md](hangs.md).",
    ),
    "libvirt_connection_lifecycle_events_total": Note(
        f"{len(COUNTED_PAIRS)} per connection", OPEN, "All pairs start at 0 and never expire."
    ),
    "libvirt_connection_raw_events_total": Note(
        f"{len(ALL_PAIRS)} per connection",
        OPEN,
        "Counted at once. The free-form reason of an I/O error is counted as `other`.",
    ),
    "libvirt_domain_inventory_changes_total": Note("4 per connection", FIXED, "Starts at 0."),
    "libvirt_connection_up": Note("1 per connection"),
    "libvirt_connection_reconnects_total": Note("1 per connection"),
    "libvirt_connection_unobserved_seconds_total": Note(
        "1 per connection", FIXED, "The connection was down, or the exporter was not running."
    ),
    "libvirt_connection_host_reboots_total": Note(
        "1 per connection", FIXED, "Every domain that was running is counted as stopped. Starts at 0."
    ),
    "libvirt_connection_last_host_reboot_timestamp_seconds": Note("1 per connection"),
    "libvirt_domain_operation_duration_seconds": Note(
        f"{_HISTOGRAM} per connection, operation and outcome; {_HISTOGRAM * len(EXPECTED)} per connection at first",
        OPEN,
        f"Values of `operation`: {', '.join(f'`{one}`' for one in OPERATIONS)}; of `outcome`: "
        f"{', '.join(f'`{one}`' for one in OUTCOMES)}. The common outcomes start at 0.",
    ),
    f"{PREFIX}_build_info": Note("1"),
    f"{PREFIX}_events_received_total": Note(f"{len(OBSERVED_KINDS)}", OPEN),
    f"{PREFIX}_events_dropped_total": Note(
        f"{len(DROP_CAUSES)}", OPEN, f"Values of `cause`: {', '.join(f'`{cause}`' for cause in DROP_CAUSES)}."
    ),
    f"{PREFIX}_thread_errors_total": Note(
        f"{len(ROLES)}", OPEN, "The log has one traceback per cause. The thread continued."
    ),
    f"{PREFIX}_clock_jumps_total": Note("1", FIXED, "See [journal.md](journal.md)."),
    f"{PREFIX}_queue_depth": Note("1", FIXED, "Limit: `--events.queue-size`."),
    f"{PREFIX}_event_loop_heartbeat_timestamp_seconds": Note("1", FIXED, "Updated about twice a second."),
    f"{PREFIX}_journal_events": Note("1"),
    f"{PREFIX}_journal_bytes": Note("1"),
    f"{PREFIX}_journal_errors_total": Note("1"),
    f"{PREFIX}_otlp_pending": Note("1 per signal"),
    f"{PREFIX}_otlp_oldest_pending_timestamp_seconds": Note("1 per signal"),
    f"{PREFIX}_otlp_exported_total": Note("1 per signal"),
    f"{PREFIX}_otlp_dropped_total": Note(
        f"{len(OTLP_CAUSES)} per signal, and 1 for a signal that is disabled",
        OPEN,
        f"Values of `cause`: {', '.join(f'`{cause}`' for cause in (*OTLP_CAUSES, 'disabled'))}. See [otel.md](otel.md).",
    ),
    f"{PREFIX}_sink_errors_total": Note("1 per signal", OPEN, "`sink` is `otlp_traces` or `otlp_logs`."),
    f"{PREFIX}_web_config_last_reload_successful": Note(
        "1", FIXED, "If a reload fails, the previous configuration remains active."
    ),
    f"{PREFIX}_web_config_last_reload_success_timestamp_seconds": Note("1"),
    f"{PREFIX}_web_refused_total": Note(
        f"{len(WEB_CAUSES)}",
        OPEN,
        f"Values of `cause`: {', '.join(f'`{cause}`' for cause in WEB_CAUSES)}. See [web-config.md](web-config.md).",
    ),
    f"{PREFIX}_series": Note("1", FIXED, "Limit: `--series.limit`."),
    f"{PREFIX}_series_limited_total": Note("1"),
    f"{PREFIX}_probe_duration_seconds": Note("15 per connection and enabled signal", FIXED),
    f"{PREFIX}_scrape_duration_seconds": Note("14"),
}

_HEAD = """# Metrics

<!-- Generated by `make docs` from metrics/families.py and metrics/self_metrics.py. Do not edit. -->

Every metric of the exporter. `/metrics` serves them as Prometheus text 0.0.4 or OpenMetrics 1.0.0, whichever the `Accept`
header prefers, with gzip on request. `name[]` selects metrics: `/metrics?name[]=libvirt_domain_state`.

* **Labels.** `connection` is libvirt's URI without transport, user and query (`qemu:///system`), or the name that
  `--libvirt.uri NAME=URI` sets. `domain` is the domain's name. The values of `event` and `reason` are listed in
  [events.md](events.md). UUIDs, ids and messages are never labels of counters.
* **Unit.** The last part of the name: `_seconds`, `_bytes`; `_timestamp_seconds` is Unix time in seconds. Other values are
  counts, or 0 and 1.
* **Cardinality.** Number of series ([sums](#number-of-series)). All series of a domain expire together, `--series.ttl` (15 min) after the domain is
  removed. `--series.limit` (50,000) is a hard limit of domain series; domains beyond it are counted under
  `domain="_other"`.
* **Stability.** Names, types and labels are API: a change is a breaking change and is listed in the
  [changelog](../CHANGELOG.md). *Values may be added* means that a new release may add label values or labels, for
  example for a new libvirt event.
* **Restarts.** Counters and timestamps of domains and connections continue after a restart of the exporter. Counters named
  `libvirt_lifecycle_exporter_*` start at 0.
"""

_SECTIONS = (
    ("Domains", "libvirt_domain_"),
    ("Connections", "libvirt_connection_"),
    ("The exporter itself", "libvirt_lifecycle_exporter_"),
)

_FOOT = """
The exporter also serves `process_*`, `python_info` and `python_gc_*` of the Prometheus client library.
"""


def _own() -> Iterator[Metric]:
    """Yield the metrics about the exporter."""
    threads = ThreadRegistry()
    collector = ExporterCollector(
        MessageQueue(1),
        MetricsStore(()),
        SeriesLimit(1, 1),
        DisabledJournal(),
        heartbeat=lambda: 0.0,
        libvirt_version="",
        web=AccessControl(threads=threads),
        threads=threads,
        clock=ClockMonitor(),
    )
    for family in collector.collect():
        suffix = "_total" if family.type == "counter" else ""
        labels = getattr(family, "_labelnames", ())
        yield Metric(family.name + suffix, family.type, tuple(labels), family.documentation)
    probes = probe_duration_histogram()
    for histogram in (probes, registry(collector, probes)[1]):
        yield _described(histogram)


def _described(histogram: Histogram) -> Metric:
    (family,) = histogram.describe()
    labels: tuple[str, ...] = histogram._labelnames  # noqa: SLF001 - prometheus_client has no public name
    return Metric(family.name, family.type, labels, family.documentation)


def metrics() -> list[Metric]:
    """Return every metric, ordered by name."""
    of_libvirt = (Metric(*family) for family in (*DOMAIN_FAMILIES, *CONNECTION_FAMILIES))
    return sorted((*of_libvirt, *_own()))


def unit(metric: Metric) -> str:
    """Return the unit of a metric, from its name."""
    name = metric.name.removesuffix("_total")
    if name.endswith("_timestamp_seconds"):
        return "Unix time, seconds"
    for suffix in ("seconds", "bytes"):
        if name.endswith(f"_{suffix}"):
            return suffix
    if metric.help.startswith("Always 1"):
        return "always 1"
    return "count" if metric.type == "counter" or "Number of" in metric.help else "0 or 1"


def _entry(metric: Metric) -> str:
    note = NOTES[metric.name]
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
    text = f"\n\n{note.text}" if note.text else ""
    return (
        f"\n### {metric.name}\n\n{metric.help}{text}\n\n"
        "| type | labels | unit | series | stability |\n| --- | --- | --- | --- | --- |\n"
        f"| {metric.type} | {labels} | {unit(metric)} | {note.cardinality} | {note.stability} |\n"
    )


def metrics_page() -> str:
    """Return the content of metrics.md. Raises KeyError for a metric without a note."""
    found = metrics()
    parts = [_HEAD]
    for title, prefix in _SECTIONS:
        parts.append(f"\n## {title}\n")
        parts += [_entry(metric) for metric in found if metric.name.startswith(prefix)]
    return "".join((*parts, _FOOT, series_table.section()))


def pages() -> dict[Path, str]:
    """Return every generated page and its content."""
    return {HERE / "metrics.md": metrics_page()}


def main() -> int:
    """Write the pages, or check them; return the exit code."""
    parser = argparse.ArgumentParser(description="Generate the pages of the documentation.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if a page is out of date"
    )
    check = parser.parse_args().check
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        sys.stdout.write(f"{path.name}: {'out of date, run: make docs' if check else 'written'}\n")
        if not check:
            path.write_text(pages()[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
