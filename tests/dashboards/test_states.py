"""Panels about one domain: with the current state only, the whole state set, and without incidents."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.model.states import SHOWN_STATES
from libvirt_lifecycle_exporter.model.vocabulary import INCIDENT_KINDS
from tests.alerts.rule_tools import error_output
from tests.dashboards.dashboard_files import Window, interpolate, queries

HOST = {"job": "libvirt", "instance": "node1:10177", "connection": "qemu:///system"}
SCRAPE, SAMPLES = 60, 100
VARIABLES = dict.fromkeys(("job", "instance", "connection"), ".+") | {"domain": "web"}
PAUSED, CRASHED = range(60, 80), range(80, 90)
"""Samples in which the domain is paused, and crashed; it runs in all others."""


def state_at(sample: int) -> str:
    if sample in PAUSED:
        return "paused"
    return "crashed" if sample in CRASHED else "running"


def series(metric: str, values: list[float | None], **labels: str) -> dict[str, str]:
    """Return an input of promtool; None: no sample, and a marker right after the last one."""
    rendered = ",".join(f'{name}="{value}"' for name, value in (HOST | {"domain": "web"} | labels).items())
    absent = ["stale" if number and values[number - 1] is not None else "_" for number in range(len(values))]
    samples = [gap if value is None else f"{value:g}" for value, gap in zip(values, absent, strict=True)]
    return {"series": f"{metric}{{{rendered}}}", "values": " ".join(samples)}


def domain_series(*, has_state_set: bool, has_incident: bool) -> list[dict[str, str]]:
    """Return the series of a domain that is paused, then crashes, and then runs again."""
    moments = range(SAMPLES)
    found = [series("libvirt_domain_state_since_timestamp_seconds", [1.0 for _ in moments])]
    for state in SHOWN_STATES if has_state_set else ("running", "paused", "crashed"):
        is_set = [state_at(moment) == state for moment in moments]
        values = [float(one) if one or has_state_set else None for one in is_set]
        found.append(series("libvirt_domain_state", values, state=state))
    for kind in INCIDENT_KINDS:
        is_counted = has_incident and kind == "crashed"
        counts = [float(is_counted and moment >= CRASHED.start) for moment in moments]
        found.append(series("libvirt_domain_incidents_total", list(counts), kind=kind))
        if is_counted:
            is_open = [float(one in CRASHED) if one >= CRASHED.start else None for one in moments]
            found.append(series("libvirt_domain_incident_open", is_open, kind=kind))
    for signal in ("emulator", "watchdog"):
        events = [0.0 for _ in moments]
        found.append(
            series("libvirt_domain_lifecycle_events_total", list(events), event="hung", reason=signal)
        )
    found.append(series("libvirt_domain_hung", [0.0 for _ in moments], signal="emulator"))
    return found


def answers(folder: Path, inputs: list[dict[str, str]], expected: Mapping[str, float]) -> str:
    """Return the output of promtool. ``expected``: (PromQL around a panel's first query) -> value."""
    window = Window(SAMPLES * SCRAPE, SCRAPE).values()
    found = {query.panel: query for query in reversed(list(queries("libvirt-domain")))}
    tests = []
    for around, value in expected.items():
        panel, _, wrapped = around.partition(": ")
        expr = interpolate(found[panel].expr, window | VARIABLES)
        tests.append(
            {
                "expr": wrapped.replace("QUERY", f"({expr})"),
                "eval_time": f"{SAMPLES - 1}m",
                "exp_samples": [{"labels": "{}", "value": value}],
            }
        )
    document = {"interval": f"{SCRAPE}s", "input_series": inputs, "promql_expr_test": tests}
    (folder / "tests.json").write_text(json.dumps({"tests": [document]}))
    return error_output(["promtool", "test", "rules", folder / "tests.json"])


@pytest.mark.parametrize("has_state_set", [False, True])
def test_shares_of_time_are_right_in_both_forms(tmp_path: Path, *, has_state_set: bool) -> None:
    inputs = domain_series(has_state_set=has_state_set, has_incident=True)
    expected = {
        "Time in state: round(sum(QUERY), 0.125)": 1.0,
        "Time in state: max(QUERY)": 0.7,
        "Time in state: sum(QUERY == 0.2)": 0.2,
        "Time in state: sum(QUERY == 0.1)": 0.1,
        "Availability: sum(QUERY)": 0.9,
        "State: sum(QUERY)": 1.0,
        f"State over time: sum(sum_over_time((QUERY)[{SAMPLES - 1}m:1m]))": 70 + 3 * 20 + 6 * 10,
        f"Open incidents by kind: sum(sum_over_time((QUERY)[{SAMPLES - 1}m:1m]))": len(CRASHED),
        "Incidents: count(QUERY)": len(INCIDENT_KINDS),
        "Incidents: sum(QUERY)": 0.0,
    }
    assert answers(tmp_path, inputs, expected) == ""


@pytest.mark.parametrize("has_state_set", [False, True])
def test_domain_without_incidents_is_shown_as_well(tmp_path: Path, *, has_state_set: bool) -> None:
    inputs = domain_series(has_state_set=has_state_set, has_incident=False)
    expected = {
        "Availability: sum(QUERY)": 1.0,
        "Open incidents: sum(QUERY)": 0.0,
        "Open incidents by kind: count(QUERY)": len(INCIDENT_KINDS),
        "Open incidents by kind: sum(QUERY)": 0.0,
        "Hung by signal: count(QUERY)": 2,
        "Hung by signal: sum(QUERY)": 0.0,
        "Incidents: count(QUERY)": len(INCIDENT_KINDS),
        "Incidents: sum(QUERY)": 0.0,
    }
    assert answers(tmp_path, inputs, expected) == ""


@pytest.mark.parametrize(("state", "number"), [("nostate", 0), ("unknown_8", 0), ("unknown", 100)])
def test_every_state_has_a_number(tmp_path: Path, state: str, number: int) -> None:
    inputs = [series("libvirt_domain_state", [1.0] * SAMPLES, state=state)]
    assert answers(tmp_path, inputs, {"State: sum(QUERY)": number, "State: count(QUERY)": 1}) == ""
