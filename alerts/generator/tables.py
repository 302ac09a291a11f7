"""The tables of README.md: every alert with its thresholds, every recording rule."""

from collections.abc import Iterator, Mapping

from alerts.generator.recordings import RECORDINGS
from alerts.generator.rules import ALERTS, scope
from alerts.generator.thresholds import Table, words

_WHEN = {
    "LibvirtDomainCrashed": "a domain crashed less than `within` ago: emulator killed or out of memory, kernel panic",
    "LibvirtDomainCrashLooping": "the domain crashed `crashes` times in `within`",
    "LibvirtDomainHung": "the emulator, guest agent or virtual CPUs do not respond",
    "LibvirtDomainPausedOnIOError": "the domain is paused after a disk I/O error",
    "LibvirtDomainWatchdogFired": "the watchdog expired less than `within` ago, with any action",
    "LibvirtDomainStartFailed": "a start failed less than `within` ago",
    "LibvirtDomainStuckPaused": "the domain is paused for longer than `unwanted` (watchdog, api_error, crashed) or `asked` (other reasons)",
    "LibvirtDomainStuckShuttingDown": "the domain is shutting down for longer than `after`",
    "LibvirtDomainPostcopyFailed": "a post-copy migration failed, and the domain is split between two hosts",
    "LibvirtDomainFlapping": "the domain was started `starts` times in `within`",
    "LibvirtDomainExcessiveMigrations": "the domain migrated `moves` times in `within`",
    "LibvirtDomainOutage": "the domain is down for longer than `after` after a crash or hang",
    "LibvirtHostCrashBurst": "`domains` domains of one host crashed in `within`",
    "LibvirtFleetCrashRateHigh": "more than `ratio` of the fleet crashed in 15 minutes: at least `domains` domains on `hosts` hosts",
    "LibvirtConnectionDown": "the exporter has no connection to libvirt",
    "LibvirtConnectionFlapping": "the connection was lost `reconnects` times in `within`",
    "LibvirtEventsDropped": "the exporter dropped events less than `within` ago",
    "LibvirtEventLoopStalled": "the libvirt event loop has not run for `within`",
    "LibvirtJournalFailing": "the journal could not be written less than `within` ago",
    "LibvirtTelemetryExportFailing": "the oldest pending OTLP item is older than `after`, or items were dropped in `within`",
    "LibvirtExporterDown": "Prometheus cannot scrape the exporter",
    "LibvirtExporterAbsent": "Prometheus has no target of the exporter's job",
    "LibvirtExporterClockSkewed": "the clocks of host and Prometheus differ by more than `skew`",
    "LibvirtSeriesLimited": 'domains are counted as `domain="_other"` because of `--series.limit`',
    "LibvirtLabelsConflict": "a target label has the name of an exporter label, and `honor_labels` is not set",
    "LibvirtWebConfigFailing": "the file of `--web.config.file`, or a certificate, is invalid",
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
