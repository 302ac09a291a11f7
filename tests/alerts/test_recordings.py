"""Recording rules by host: with the current state only, with the whole state set, and without incidents."""

import json
from collections.abc import Sequence
from pathlib import Path

from alerts.generator.__main__ import RULES
from alerts.generator.recordings import KINDS, STATES
from libvirt_lifecycle_exporter.model.states import SHOWN_STATES
from libvirt_lifecycle_exporter.model.vocabulary import INCIDENT_KINDS
from tests.alerts.rule_tools import error_output

CURRENT, WHOLE, EMPTY = "node1:10177", "node2:10177", "node3:10177"
"""A host that exports the current state only, one with the whole state set, and one without domains."""
STATE, OPEN = "connection:libvirt_domain_state:sum", "connection:libvirt_domain_incident_open:sum"
DOMAINS = {"web": ("running", "paused"), "db": ("running", "running"), "ci": ("shutoff", "shutoff")}
"""Domain -> its state in the first 10 minutes, and after that."""


def series(metric: str, values: str, instance: str, **labels: str) -> dict[str, str]:
    common = {"job": "libvirt-lifecycle", "instance": instance, "connection": "qemu:///system"}
    rendered = ",".join(f'{name}="{value}"' for name, value in (common | labels).items())
    return {"series": f"{metric}{{{rendered}}}", "values": values}


def state_series() -> list[dict[str, str]]:
    found = []
    for domain, (first, then) in DOMAINS.items():
        for state in SHOWN_STATES:
            samples = f"{int(state == first)}x9 {int(state == then)}x20"
            found.append(series("libvirt_domain_state", samples, WHOLE, domain=domain, state=state))
        for state in {first, then}:
            samples = f"{'1x9' if state == first else '_x10'} {'1x20' if state == then else 'stale'}"
            found.append(series("libvirt_domain_state", samples, CURRENT, domain=domain, state=state))
    return found


def check(folder: Path, inputs: Sequence[dict[str, str]], expected: dict[tuple[str, str], str]) -> str:
    """Return the output of promtool. ``expected``: (query, time) -> samples as a vector that is equal."""
    up = [series("libvirt_connection_up", "1x30", instance) for instance in (CURRENT, WHOLE, EMPTY)]
    document = {
        "interval": "1m",
        "input_series": [*up, *inputs],
        "promql_expr_test": [
            {
                "expr": expr,
                "eval_time": time,
                "exp_samples": [{"labels": "{}", "value": float(value)}] if value else [],
            }
            for (expr, time), value in expected.items()
        ],
    }
    rules = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [document]}
    (folder / "tests.json").write_text(json.dumps(rules))
    return error_output(["promtool", "test", "rules", folder / "tests.json"])


def test_rules_know_every_state_and_kind() -> None:
    assert set(STATES) == set(SHOWN_STATES)
    assert set(KINDS) == set(INCIDENT_KINDS)


def test_states_are_counted_in_both_forms(tmp_path: Path) -> None:
    expected = {}
    for instance in (CURRENT, WHOLE):
        for time, running, paused in (("5m", 2, 0), ("20m", 1, 1)):
            for state, number in (("running", running), ("paused", paused), ("shutoff", 1), ("crashed", 0)):
                where = f'{STATE}{{instance="{instance}",state="{state}"}}'
                expected[f"sum({where})", time] = str(number)
            expected[f'count({STATE}{{instance="{instance}"}})', time] = str(len(SHOWN_STATES))
    expected[f'sum({STATE}{{instance="{EMPTY}"}})', "20m"] = "0"
    expected["sum(job:libvirt_domain_state:count)", "20m"] = "6"
    expected["sum(job:libvirt_domain_state:sum)", "20m"] = "6"
    assert check(tmp_path, state_series(), expected) == ""


def test_average_over_time_is_the_same_in_both_forms(tmp_path: Path) -> None:
    """The dashboards use averages of these rules: a host with no domain in a state has 0, not a gap."""
    expected = {}
    for state in ("running", "paused", "shutoff"):
        average = f'sum(avg_over_time({STATE}{{instance="%s",state="{state}"}}[18m]))'
        expected[f"{average % CURRENT} - {average % WHOLE}", "20m"] = "0"
    assert check(tmp_path, state_series(), expected) == ""


def test_no_open_incident_is_zero(tmp_path: Path) -> None:
    inputs = [
        series("libvirt_domain_incident_open", "_x5 1x5 0x20", CURRENT, domain="web", kind="crashed"),
        series("libvirt_domain_incident_open", "1x30", CURRENT, domain="db", kind="crashed"),
    ]
    crashed = f'sum({OPEN}{{instance="{CURRENT}",kind="crashed"}})'
    expected = {(crashed, "2m"): "1", (crashed, "9m"): "2", (crashed, "20m"): "1"}
    for instance in (CURRENT, WHOLE, EMPTY):
        expected[f'count({OPEN}{{instance="{instance}"}})', "20m"] = str(len(INCIDENT_KINDS))
        for kind in ("hung", "failed", "io_error"):
            expected[f'sum({OPEN}{{instance="{instance}",kind="{kind}"}})', "20m"] = "0"
    expected['sum(job:libvirt_domain_incident_open:sum{kind="crashed"})', "9m"] = "2"
    assert check(tmp_path, inputs, expected) == ""


def test_ratio_of_a_fleet_without_domains_is_absent(tmp_path: Path) -> None:
    expected = {
        ("job:libvirt_domains_crashed:ratio15m", "20m"): "",
        ("sum(connection:libvirt_domain_hung:sum)", "20m"): "0",
    }
    assert check(tmp_path, [], expected) == ""
