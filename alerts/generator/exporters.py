"""The alerts about the exporter itself. A table."""

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
    """Return an expression for a counter of the process that grew, or was born grown by a young process.

    ``own``: the labels that it has, and the process has not; ``shape``: what is to be made of it.
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
        ("libvirt_domain_incident_open", "kind"),
        ("libvirt_domain_hung", "signal"),
    )
)
"""One metric for each label that a rule names."""

EXPORTERS = (
    Alert(
        "LibvirtEventsDropped",
        grown(f"{_PREFIX}_events_dropped_total", "cause"),
        "The exporter on {{ $labels.instance }} lost events of libvirt ({{ $labels.cause }}).",
        "It listed all domains again, so states are right, but transitions between may be missing, or have no cause.",
        f"{_PAGE}-E 'events_dropped_total|queue_depth'",
        _DASHBOARD,
        keeps=False,
    ),
    Alert(
        "LibvirtEventLoopStalled",
        f"changes({_HEARTBEAT}[%(within)s]) == 0",
        "The exporter on {{ $labels.instance }} serves its page but hears nothing from libvirt.",
        "Its event loop has not turned for %(within)s: what it shows is old, whatever happens to the domains.",
        f"{_PAGE}event_loop_heartbeat_timestamp_seconds",
        _DASHBOARD,
        keeps=False,
    ),
    Alert(
        "LibvirtJournalFailing",
        grown(f"{_PREFIX}_journal_errors_total"),
        "The exporter on {{ $labels.instance }} cannot write its journal.",
        "Counters go on, but a restart will lose what could not be written, and OpenTelemetry will not be sent it. The disk is "
        "full, read-only, or the file damaged.",
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
        "OpenTelemetry's receiver does not take the {{ $labels.signal }} of the exporter on {{ $labels.instance }}.",
        "Either the oldest that is to be delivered waits for more than %(after)s, or some had to be given up. Metrics are not "
        "concerned. What waits is kept for --otel.max-age.",
        _CHECK,
        _DASHBOARD,
        keeps=False,
    ),
    Alert(
        "LibvirtExporterDown",
        'up{job=~"%(job)s"} == 0',
        "The exporter on {{ $labels.instance }} cannot be scraped.",
        "It is down, or the host is, or the network between. Nothing is known of its domains; the exporter finds what "
        "happened by comparing when it is back.",
        "curl -sS -m 5 http://{{ $labels.instance }}/-/healthy",
        _DASHBOARD,
        keeps=False,
    ),
    Alert(
        "LibvirtExporterAbsent",
        'absent(up{job=~"%(job)s"})',
        "Prometheus scrapes no libvirt-lifecycle-exporter at all.",
        "No target has a job that matches %(job)s: the scrape configuration or service discovery lost them, or [scope] job in "
        "thresholds.toml does not fit.",
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
        "The clock of {{ $labels.instance }} and that of Prometheus are {{ $value | humanizeDuration }} apart.",
        "Alerts compare the two clocks: a crash is told of for too long or too short a time, or not at all.",
        f"{_PAGE}event_loop_heartbeat_timestamp_seconds; date +%s",
        _DASHBOARD,
        keeps=False,
    ),
    Alert(
        "LibvirtSeriesLimited",
        f"{_PREFIX}_series_limited_total > 0",
        "The exporter on {{ $labels.instance }} has more domains than --series.limit allows.",
        'Some are counted together as domain="_other": their crashes are told of, but not whose they are, and alerts about '
        "states and loops do not see them.",
        f"{_PAGE}-E 'exporter_series(_limited_total)? '",
        _DASHBOARD,
    ),
    Alert(
        "LibvirtLabelsConflict",
        f"\ncount without ({', '.join(_OWN_LABELS)}) (\n  {_RENAMED}\n) > 0",
        "Prometheus renames labels of the exporter on {{ $labels.instance }}: a target label has the same name.",
        "The name of a domain is in exported_domain; alerts and dashboards that use domain show the target's label instead. "
        "Set honor_labels: true in the scrape configuration (honorLabels: true in a PodMonitor or ServiceMonitor), or rename "
        "the target label.",
        "curl -s 'http://localhost:9090/api/v1/targets?state=active'",
        _DASHBOARD,
    ),
    Alert(
        "LibvirtWebConfigFailing",
        f"{_PREFIX}_web_config_last_reload_successful == 0",
        "The exporter on {{ $labels.instance }} cannot use its --web.config.file, or a certificate that it names.",
        "What was in force before it changed is in force still: nobody is let in who was not, but a certificate that was "
        "renewed is not shown, and a restart would be refused.",
        f"{_PAGE}web_config_last_reload",
        _DASHBOARD,
    ),
)
