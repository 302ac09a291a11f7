"""Brings tables and thresholds together: groups of rules, as Prometheus reads them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from alerts.generator.alert import Alert, Recording
from alerts.generator.domains import DOMAINS
from alerts.generator.exporters import EXPORTERS
from alerts.generator.hosts import HOSTS
from alerts.generator.recordings import CRASH_COUNT, CRASH_RATIO, RECORDINGS
from alerts.generator.thresholds import METRICSQL, OFF, Table, words

Rule = dict[str, Any]
ALERTS = {alert.name: alert for alert in (*DOMAINS, *HOSTS, *EXPORTERS)}

_UNHURRIED = (
    "LibvirtDomainOutage",
    "LibvirtDomainStuckPaused",
    "LibvirtDomainStuckShuttingDown",
    "LibvirtDomainCrashLooping",
    "LibvirtDomainFlapping",
    "LibvirtDomainExcessiveMigrations",
)
"""They are about minutes and hours, and read every domain or look far back: they are reckoned less often."""
_BURST = "LibvirtHostCrashBurst"
_FLEET = "LibvirtFleetCrashRateHigh"


def groups(tables: Mapping[str, Table]) -> list[dict[str, Any]]:
    """Return the groups; the rules of one are reckoned in this order, at one time."""
    every = [alert.name for alert in DOMAINS if alert.name not in _UNHURRIED]
    parts: tuple[tuple[str, list[Rule]], ...] = (
        ("libvirt-fleet", [*map(_fleet_wide(tables), RECORDINGS), *_alerts(tables, [_FLEET])]),
        # The burst with what it is made of, so that a notification of single crashes never comes before it.
        ("libvirt-domains", _alerts(tables, [_BURST, *every])),
        ("libvirt-domains-unhurried", _alerts(tables, _UNHURRIED)),
        ("libvirt-hosts", _alerts(tables, [one.name for one in HOSTS if one.name not in (_BURST, _FLEET)])),
        ("libvirt-exporters", _alerts(tables, [one.name for one in EXPORTERS])),
    )
    unhurried = {"interval": tables["scope"]["unhurried"]}
    intervals = {"libvirt-fleet": unhurried, "libvirt-domains-unhurried": unhurried}
    return [{"name": name, **intervals.get(name, {}), "rules": rules} for name, rules in parts if rules]


def scope(tables: Mapping[str, Table]) -> dict[str, str]:
    """Return the words that every expression and text may use."""
    return {
        "job": str(tables["scope"]["job"]).replace("\\", "\\\\").replace('"', '\\"'),
        "fleet": ", ".join(tables["scope"]["fleet"]),
        "which_fleet": " ".join(f"{{{{ $labels.{label} }}}}" for label in tables["scope"]["fleet"]),
        "ratio_record": CRASH_RATIO,
        "count_record": CRASH_COUNT,
    }


def _fleet_wide(tables: Mapping[str, Table]) -> Any:  # noqa: ANN401 - a function
    def rule(recording: Recording) -> Rule:
        return {"record": recording.record, "expr": _spelled(recording.expr % scope(tables), tables)}

    return rule


def _spelled(expression: str, tables: Mapping[str, Table]) -> str:
    """MetricsQL counts a series' first sample as a change and an increase: it has other words for ours."""
    if tables["scope"]["dialect"] == METRICSQL:
        expression = re.sub(r"\b(changes|increase)\(", r"\1_prometheus(", expression)
    return expression.strip("\n")


def _alerts(tables: Mapping[str, Table], names: Iterable[str]) -> list[Rule]:
    wanted = [name for name in names if tables[name]["severity"] != OFF]
    return [_alert(ALERTS[name], tables) for name in wanted]


def _alert(alert: Alert, tables: Mapping[str, Table]) -> Rule:
    table, links = tables[alert.name], tables["links"]
    names = {**scope(tables), **words(table)}
    rule: Rule = {"alert": alert.name, "expr": _spelled(alert.expr % names, tables)}
    if table["for"] != "0s":
        rule["for"] = table["for"]
    if alert.keeps and tables["scope"]["keep"] != "0s":
        rule["keep_firing_for"] = tables["scope"]["keep"]
    rule["labels"] = {"severity": table["severity"]}
    rule["annotations"] = {
        "summary": alert.summary % names,
        "description": alert.description % names,
        "command": alert.command,
        "runbook_url": f"{links['runbooks'].rstrip('/')}/{alert.name}.md",
        "dashboard_url": links["grafana"].rstrip("/") + alert.dashboard,
    }
    return rule
