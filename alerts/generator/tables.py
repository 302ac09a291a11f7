"""The tables of README.md: every alert with its thresholds, every recording rule."""

from collections.abc import Iterator, Mapping

from alerts.generator.recordings import RECORDINGS
from alerts.generator.rules import ALERTS, scope
from alerts.generator.thresholds import Table, words

_WHEN = {
    "LibvirtDomainCrashed": "a domain crashed less than `within` ago: emulator killed or out of memory, kernel panic",
    "LibvirtDomainCrashLooping": "it crashed `crashes` times `within` a window",
    "LibvirtDomainHung": "its emulator, guest agent or virtual CPUs do not answer now",
    "LibvirtDomainPausedOnIOError": "a disk failed, and it is paused for that now",
    "LibvirtDomainWatchdogFired": "its watchdog ran out less than `within` ago, whatever the action",
    "LibvirtDomainStartFailed": "it could not be started less than `within` ago",
    "LibvirtDomainStuckPaused": "it is paused for longer than `unwanted` (watchdog, api_error, crashed) or `asked` (others)",
    "LibvirtDomainStuckShuttingDown": "it is shutting down for longer than `after`",
    "LibvirtDomainPostcopyFailed": "its post-copy migration broke, and it is between two hosts now",
    "LibvirtDomainFlapping": "it was started `starts` times `within` a window",
    "LibvirtDomainExcessiveMigrations": "it came or went `moves` times `within` a window",
    "LibvirtDomainOutage": "it is down for longer than `after` since it crashed or hung",
    "LibvirtHostCrashBurst": "`domains` of one host crashed `within` a window",
    "LibvirtFleetCrashRateHigh": "more than `ratio` of the fleet crashed in 15 minutes: `domains` on `hosts` at least",
    "LibvirtConnectionDown": "the exporter has no connection to libvirt",
    "LibvirtConnectionFlapping": "it lost and opened it `reconnects` times `within` a window",
    "LibvirtEventsDropped": "the exporter could not take in events, less than `within` ago",
    "LibvirtEventLoopStalled": "it has heard nothing of libvirt's event loop `within` a window",
    "LibvirtJournalFailing": "it could not write its journal less than `within` ago",
    "LibvirtTelemetryExportFailing": "OTLP waits for longer than `after`, or some was given up `within` a window",
    "LibvirtExporterDown": "Prometheus cannot scrape it",
    "LibvirtExporterAbsent": "Prometheus has no target of its job",
    "LibvirtExporterClockSkewed": "its clock and Prometheus' are more than `skew` apart",
    "LibvirtSeriesLimited": 'it shows domains as `domain="_other"` for want of series',
    "LibvirtLabelsConflict": "a target label has the name of a label of its own, and `honor_labels` is not set",
    "LibvirtWebConfigFailing": "its `--web.config.file`, or a certificate, changed and cannot be used",
}
_ELSEWHERE = ("severity", "for")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def alerts(tables: Mapping[str, Table]) -> Iterator[str]:
    """Yield the lines of the table of alerts."""
    yield _row("alert", "severity", "`for`", "fires when", "thresholds")
    yield _row(*["---"] * 5)
    for name in ALERTS:
        table = tables[name]
        spelled = words({key: value for key, value in table.items() if key not in _ELSEWHERE})
        thresholds = ", ".join(f"{key} {spelled[key]}" for key in table if key not in _ELSEWHERE)
        waits = "-" if table["for"] == "0s" else table["for"]
        yield _row(f"[{name}](runbooks/{name}.md)", table["severity"], waits, _WHEN[name], thresholds)


def recordings(tables: Mapping[str, Table]) -> Iterator[str]:
    """Yield the lines of the table of recording rules."""
    yield _row("record", "expression", "what it is")
    yield _row(*["---"] * 3)
    for one in RECORDINGS:
        expression = " ".join((one.expr % scope(tables)).split()).replace("|", "\\|")
        yield _row(f"`{one.record}`", f"`{expression}`", one.meaning)


_TABLES = {"alerts": alerts, "recordings": recordings}


def filled(text: str, tables: Mapping[str, Table]) -> str:
    """Return a page with the tables put between their marks, ``<!-- alerts -->`` and ``<!-- /alerts -->``."""
    for name, table in _TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = before + begin + "\n".join(table(tables)) + "\n" + end + after
    return text
