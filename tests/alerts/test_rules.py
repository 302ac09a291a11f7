"""The rules file is up to date, valid for all tools, and uses only metrics and labels that exist."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from alerts.generator.__main__ import README, RULES
from alerts.generator.recordings import RECORDINGS
from alerts.generator.rules import ALERTS, groups
from alerts.generator.tables import filled
from alerts.generator.thresholds import load
from alerts.generator.writing import document
from libvirt_lifecycle_exporter.model.states import SHOWN_STATES, STATE_REASONS
from libvirt_lifecycle_exporter.model.text import OTHER
from libvirt_lifecycle_exporter.model.vocabulary import COUNTED_PAIRS, HANG_SIGNALS, INCIDENT_KINDS
from tests.alerts.expressions import labels, metrics, selectors
from tests.alerts.rule_tools import ALERTS_FOLDER, ROOT, UNIT_TESTS, error_output
from tests.lab.go_tools import go_tool

GOLDEN = (ROOT / "tests/prometheus/metrics.golden").read_text().splitlines()
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
TARGET_LABELS = {"job", "instance"}
BUILTIN_METRICS = {"up": set[str](), "process_start_time_seconds": set[str]()}
"""Series of Prometheus and of prometheus_client, which have no labels of the exporter."""
EXPRESSIONS = [
    rule["expr"] for group in groups(load()) for rule in group["rules"] if "alert" in rule or "record" in rule
]
KNOWN_VALUES = {
    "event": {event for event, _ in COUNTED_PAIRS},
    "reason": {reason for _, reason in COUNTED_PAIRS}
    | {reason for reasons in STATE_REASONS.values() for reason in reasons},
    "state": set(SHOWN_STATES),
    "kind": set(INCIDENT_KINDS),
    "signal": set(HANG_SIGNALS),
    "domain": {OTHER},
}
"""The values that each label can have."""


MIMIR_GROUP_LIMIT = 20
WITHOUT_HOST_TIME = {
    "LibvirtConnectionDown",
    "LibvirtConnectionFlapping",
    "LibvirtExporterAbsent",
    "LibvirtExporterDown",
    "LibvirtLabelsConflict",
    "LibvirtSeriesLimited",
    "LibvirtWebConfigFailing",
}
"""Alerts whose expressions use no timestamp of the host."""


def exported_metrics() -> dict[str, set[str]]:
    """Return every series name of the exporter with its labels."""
    found = dict(BUILTIN_METRICS)
    for line in GOLDEN:
        name, kind, rest = line.split(" ", 2)
        names = {label.strip() for label in rest[1 : rest.index("}")].split(",") if label.strip()}
        found |= {name + suffix: names for suffix in SUFFIXES[kind]}
    return found


@pytest.fixture(scope="module")
def promtools() -> Iterator[dict[str, Callable[[], str]]]:
    """Run the rule tests with both versions of promtool in parallel; each function waits for the output."""
    with ExitStack() as stack:
        yield {tool: _start_rule_tests(stack, tool) for tool in ("promtool", go_tool("promtool"))}


def _start_rule_tests(stack: ExitStack, tool: str) -> Callable[[], str]:
    argv: list[str | Path] = [tool, "test", "rules", *UNIT_TESTS]
    process = stack.enter_context(
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    )
    stack.callback(process.kill)

    def wait_output() -> str:
        output, _ = process.communicate()
        return "" if process.returncode == 0 else output

    return wait_output


def test_generated_rules_are_up_to_date() -> None:
    """If this fails, run `make rules`."""
    assert RULES.read_text() == document(groups(load()))
    assert README.read_text() == filled(README.read_text(), load())


def test_promtool_rule_tests_pass(promtools: dict[str, Callable[[], str]]) -> None:
    """With the promtool of the machine (e.g. Debian's) and with the pinned one."""
    for wait_output in promtools.values():
        assert wait_output() == ""


def test_promtool_accepts_the_rules(promtools: dict[str, Callable[[], str]]) -> None:
    for promtool in promtools:
        assert error_output([promtool, "check", "rules", "--lint=all", "--lint-fatal", str(RULES)]) == ""


def test_groups_fit_the_limit_of_mimir() -> None:
    """Mimir's default: https://grafana.com/docs/mimir/latest/configure/configuration-parameters/ (limits)."""
    assert max(len(group["rules"]) for group in groups(load())) <= MIMIR_GROUP_LIMIT


def test_annotations_run_no_queries() -> None:
    """A query would run for each alert at each evaluation, and thousands of alerts may fire at once."""
    alerts_with_queries = {
        alert.name for alert in ALERTS.values() if "query (" in alert.summary + alert.description
    }
    assert alerts_with_queries == set()


def test_pint_accepts_the_rules(tmp_path: Path) -> None:
    """Without exclusions and configuration."""
    argv = [go_tool("pint"), "--offline", "lint", "--min-severity=info", "--fail-on=info", str(RULES)]
    assert error_output(argv, cwd=tmp_path) == ""


def test_amtool_accepts_the_example() -> None:
    assert error_output(["amtool", "check-config", ALERTS_FOLDER / "alertmanager.example.yaml"]) == ""


def test_inhibition_rules_name_existing_alerts() -> None:
    text = (ALERTS_FOLDER / "alertmanager.example.yaml").read_text()
    rules = [matcher for _, name, matcher in selectors_of(text) if name == "alertname"]
    assert rules
    for pattern in rules:
        assert any(pattern.fullmatch(name) for name in ALERTS), pattern.pattern


def selectors_of(text: str) -> list[tuple[str, str, re.Pattern[str]]]:
    found = re.findall(r'(source|target)_matchers: \[(\w+)=~?"([^"]*)"[],]', text)
    return [(side, name, re.compile(part)) for side, name, value in found for part in _alternatives(value)]


def _alternatives(value: str) -> list[str]:
    """Expand LibvirtDomain(A|B) to LibvirtDomainA and LibvirtDomainB: each must match an alert."""
    head, bracket, rest = value.partition("(")
    if not bracket:
        return value.split("|")
    inside, _, tail = rest.partition(")")
    tail, _, others = tail.partition("|")
    return [*(head + part + tail for part in inside.split("|")), *(others.split("|") if others else ())]


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_a_runbook_and_rule_tests(name: str) -> None:
    runbook = (ALERTS_FOLDER / "runbooks" / f"{name}.md").read_text()
    headings = [line for line in runbook.splitlines() if line.startswith("#")]
    assert headings == [f"# {name}", "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
    rule_tests = (ALERTS_FOLDER / "tests" / f"{name}.test.yaml").read_text()
    for about in ("restart", "series go", *(() if name in WITHOUT_HOST_TIME else ("clock",))):
        assert about in rule_tests
    assert "exp_annotations" in rule_tests


def test_runbooks_and_rule_tests_belong_to_alerts() -> None:
    assert {path.stem for path in (ALERTS_FOLDER / "runbooks").glob("*.md")} == set(ALERTS)
    assert {path.name.split(".")[0] for path in UNIT_TESTS} == set(ALERTS)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rules_use_only_metrics_and_labels_that_exist(expression: str) -> None:
    known = exported_metrics()
    recorded = {one.record for one in RECORDINGS}
    named = metrics(expression)
    assert named
    assert named <= set(known) | recorded
    for metric, label, values in selectors(expression):
        if metric == "up":
            continue
        label = label.removeprefix("exported_")  # noqa: PLW2901 - as Prometheus renames it
        assert label in known[metric] | TARGET_LABELS, metric
        assert values == ("",) or set(values) <= KNOWN_VALUES[label], (metric, label)
    of_metrics = {label for metric in named & set(known) for label in known[metric]}
    listed = {label.removeprefix("exported_") for label in labels(expression)}
    grouped = listed - TARGET_LABELS - {"le"}
    assert grouped <= of_metrics or named & recorded, grouped


def is_bounded(expression: str) -> bool:
    """Return whether every comparison with a minimum time also has an upper bound for future timestamps."""
    rest = " ".join(expression.split())
    # A value that was already exported N seconds ago is older than N seconds, even if it is in the future.
    rest = re.sub(
        r"\(([^()]+?) > time\(\) - (\d+) unless \1 == last_over_time\(\1\[5m\] offset \2s\)\)", "", rest
    )
    window = r"min_over_time\([^()]+\)"
    rest = re.sub(rf"\(({window}) > bool \(time\(\) - \d+\)\) \* \(\1 < bool \(time\(\) \+ \d+\)\)", "", rest)
    rest = re.sub(r"abs\(time\(\) - \w+\) < \d+", "", rest)
    is_young = r"(>=?|bool) \(?time\(\) -|time\(\) - [\w:]+(\{[^}]*\})? <|clamp_min\(time\(\) - [^()]*\b0\) <"
    return re.search(is_young, rest) is None


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_future_timestamps_are_not_treated_as_recent(expression: str) -> None:
    assert is_bounded(expression)


@pytest.mark.parametrize(
    "expression",
    ['time() - x{a="b"} < 900', "x > time() - 900", "min_over_time(x[1h]) > bool (time() - 3600)"],
)
def test_comparison_without_upper_bound_is_detected(expression: str) -> None:
    assert not is_bounded(expression)


def test_every_scrape_example_honors_labels() -> None:
    pages = (*ROOT.glob("*.md"), *ROOT.glob("docs/*"), *ROOT.glob("alerts/*.md"))
    examples = [
        part
        for page in pages
        if page.is_file()
        for part in re.findall(r"job_name: libvirt-lifecycle\b[^#\n]*(?:#.*)?\n?.*", page.read_text())
    ]
    assert len(examples) >= 5
    assert [example for example in examples if "honor_labels: true" not in example] == []


def test_selectors_name_existing_event_reason_pairs() -> None:
    """In a selector with both labels, each event has a matching reason and each reason a matching event."""
    for expression in EXPRESSIONS:
        for inside in re.findall(
            r"_(?:timestamp_seconds|total)\{([^}]*event=[^}]*reason=[^}]*)\}", expression
        ):
            events, reasons = (
                {value for one in selectors(f"x{{{inside}}}") if one.label == label for value in one.values}
                for label in ("event", "reason")
            )
            pairs = {
                (event, reason) for event, reason in COUNTED_PAIRS if event in events and reason in reasons
            }
            assert {event for event, _ in pairs} == events, inside
            assert {reason for _, reason in pairs} == reasons, inside
