"""The alerts about the exporter itself: a table."""

from alerts.generator.alert import EVENT, SINCE, Alert

_PREFIX = "libvirt_lifecycle_exporter"
_HEARTBEAT = f"{_PREFIX}_event_loop_heartbeat_timestamp_seconds"
_OLDEST = f"{_PREFIX}_otlp_oldest_pending_timestamp_seconds"
_DASHBOARD = (
    "/d/libvirt-exporter?var-job={{ $labels.job | urlquery }}&var-instance={{ $labels.instance | urlquery }}"
)
_CHECK = "libvirt-lifecycle-exporter check"
_PAGE = "curl -s http://{{ $labels.instance }}/metrics | grep "


def grown(counter: str, own: str = "", shape: str = "{}") -> str:
    """Return an expression for a counter that grew, including a counter that starts above 0 in a new process.

    ``own``: labels of the counter that process metrics do not have; ``shape``: aggregation around the counter.
    """
    matching = f" ignoring ({own})" if own else ""
    return f"""
  {shape.format(f"increase({counter}[%(within)s])")} > 0
or
    {shape.format(counter)} > 0
  and{matching}
    abs(time() - process_start_time_seconds) < %(within_s)s"""


_GIVEN_UP = grown(f"{_PREFIX}_otlp_dropped_total", "signal", "sum without (cause) ({})").removeprefix("\n")

_OWN_LABELS = [
    f"{prefix}{label}"
    for prefix in ("", "exported_")
    for label in ("connection", "domain", "event", "reason", "state", "kind", "signal")
]
_RENAMED = "\nor\n  ".join(
    f'{metric}{{exported_{label}!=""}}'
    for metric, label in (
        ("libvirt_connection_up", "connection"),
        (SINCE, "domain"),
        (EVENT, "domain"),
        (EVENT, "event"),
        (EVENT, "reason"),
        ("libvirt_domain_state_reason", "state"),
        ("libvirt_domain_incidents_total", "kind"),
        ("libvirt_domain_hung", "signal"),
    )
)
"""One metric for each label that the rules use."""

EXPORTERS = (
    Alert(
        "LibvirtEventsDropped",
        grown(f"{_PREFIX}_events_dropped_total", "cause"),
        "The exporter on {{ $labels.instance }} dropped libvirt events (cause: {{ $labels.cause }}).",
        "States are correct, because all domains were listed again, but transitions may be missing or have the reason unknown. Likely "
        "cause: an event storm, or an exporter without CPU time. Check the length of the queue.",
        f"{_PAGE}-E 'events_dropped_total|queue_depth'",
        _DASHBOARD,
        keeps=False,
    ),
    Alert(
        "LibvirtEventLoopStalled",
        f"changes({_HEARTBEAT}[%(within)s]) == 0",
        "The event loop of the exporter on {{ $labels.instance }} is stalled.",
        "The exporter has received no libvirt events for %(within)s, so its metrics about domains are out of date. Check its log, then "
        "restart it; no transition is lost.",
        f"{_PAGE}event_loop_heartbeat_timestamp_seconds",
        _DASHBOARD,
        keeps=False,
    ),
    Alert(
        "LibvirtJournalFailing",
        grown(f"{_PREFIX}_journal_errors_total"),
        "The exporter on {{ $labels.instance }} cannot write its journal.",
        "Counting continues in memory, but transitions that cannot be written are lost at a restart and are not sent to OpenTelemetry. "
        "Likely cause: a full or read-only disk, or a damaged file. Check the disk and the log of the exporter.",
        f"{_PAGE}journal_errors_total",
        _DASHBOARD,
        keeps=False,
    ),
    Alert(
        "LibvirtTelemetryExportFailing",
        f"""
    {_PREFIX}_otlp_pending > 0
  and
    time() - {_OLDEST} > %(after_s)s
or
{_GIVEN_UP}""",
        "The exporter on {{ $labels.instance }} cannot deliver OpenTelemetry data (signal: {{ $labels.signal }}).",
        "The oldest pending item is older than %(after)s, or items were dropped. Likely cause: the receiver is down or rejects them. "
        "Run the command to test the endpoint. Metrics are not affected; pending items are kept for --otel.max-age.",
        _CHECK,
        _DASHBOARD,
        keeps=False,
    ),
    Alert(
        "LibvirtExporterDown",
        'up{job=~"%(job)s"} == 0',
        "The exporter on {{ $labels.instance }} cannot be scraped.",
        "Likely cause: the exporter, the host or the network is down. Check the host first. The state of its domains is unknown; the "
        "exporter finds missed transitions when it is back.",
        "curl -sS -m 5 http://{{ $labels.instance }}/-/healthy",
        _DASHBOARD,
        keeps=False,
    ),
    Alert(
        "LibvirtExporterAbsent",
        'absent(up{job=~"%(job)s"})',
        "Prometheus has no target for libvirt-lifecycle-exporter.",
        "No target has a job that matches %(job)s. Likely cause: the scrape configuration or service discovery lost the targets, or "
        "[scope] job in thresholds.toml is wrong. Check the targets of Prometheus.",
        "curl -s 'http://localhost:9090/api/v1/targets?state=active'",
        "/d/libvirt-exporter",
        keeps=False,
    ),
    Alert(
        "LibvirtExporterClockSkewed",
        f"""
  abs(timestamp({_HEARTBEAT}) - {_HEARTBEAT}) > %(skew_s)s
and
  changes({_HEARTBEAT}[%(within)s]) > 0""",
        "The clocks of {{ $labels.instance }} and Prometheus differ by {{ $value | humanizeDuration }}.",
        "Alerts compare timestamps of both clocks, so alerts about events fire too long, too short or not at all. Check the time "
        "synchronization on both hosts.",
        f"{_PAGE}event_loop_heartbeat_timestamp_seconds; date +%s",
        _DASHBOARD,
        keeps=False,
    ),
    Alert(
        "LibvirtSeriesLimited",
        f"{_PREFIX}_series_limited_total > 0",
        "The exporter on {{ $labels.instance }} has reached --series.limit.",
        'Some domains are counted as domain="_other": alerts about their crashes do not show the name, and alerts about states and '
        "crash loops do not cover them. Raise --series.limit, or export fewer domains.",
        f"{_PAGE}-E 'exporter_series(_limited_total)? '",
        _DASHBOARD,
    ),
    Alert(
        "LibvirtLabelsConflict",
        f"\ncount without ({', '.join(_OWN_LABELS)}) (\n  {_RENAMED}\n) > 0",
        "Prometheus renames labels of the exporter on {{ $labels.instance }} because of a target label with the same name.",
        "Domain names are in exported_domain; dashboards that use domain show the target label instead. "
        "Set honor_labels: true in the scrape configuration (honorLabels: true in a PodMonitor or ServiceMonitor), or rename "
        "the target label.",
        "curl -s 'http://localhost:9090/api/v1/targets?state=active'",
        _DASHBOARD,
    ),
    Alert(
        "LibvirtWebConfigFailing",
        f"{_PREFIX}_web_config_last_reload_successful == 0",
        "The exporter on {{ $labels.instance }} cannot load its web configuration.",
        "The file of --web.config.file, or a certificate that it names, is invalid. The previous configuration stays active, but a "
        "renewed certificate is not used, and a restart would fail. Check the log of the exporter.",
        f"{_PAGE}web_config_last_reload",
        _DASHBOARD,
    ),
)
