"""The dashboards have no finding of the linter rules, and every rule detects the fault it is for."""

import copy
from collections.abc import Callable, Iterator

import pytest

from tests.dashboards import linter
from tests.dashboards.dashboard_files import UIDS, Json, classic, panels, variables

Rule = Callable[[Json], Iterator[str]]


@pytest.mark.parametrize("uid", UIDS)
@pytest.mark.parametrize("rule", linter.RULES, ids=lambda rule: rule.__name__)
def test_dashboards_have_no_findings(rule: Rule, uid: str) -> None:
    assert list(rule(classic(uid))) == []


def _expr(expr: str) -> Callable[[Json], None]:
    return lambda board: panels(board)[0]["targets"][0].update(expr=expr)


def _without(what: str) -> Callable[[Json], None]:
    return lambda board: panels(board)[0].pop(what)


def _variable(which: str, **faults: object) -> Callable[[Json], None]:
    return lambda board: variables(board)[which].update(faults)


FAULTS: list[tuple[Rule, Callable[[Json], None]]] = [
    (linter.template_datasource, _variable("prometheus_datasource", name="source")),
    (linter.template_job, _variable("job", allValue=".*")),
    (linter.template_instance, _variable("instance", multi=False)),
    (linter.template_label_promql, _variable("job", query="label_values(up{, job)")),
    (linter.template_on_time_change_reload, _variable("job", refresh=1)),
    (linter.uneditable, lambda board: board.update(editable=True)),
    (linter.panel_datasource, lambda board: panels(board)[0].update(datasource={"uid": "mine"})),
    (linter.panel_title_description, _without("description")),
    (linter.panel_units, lambda board: panels(board)[0]["fieldConfig"]["defaults"].update(unit="parsec")),
    (linter.panel_no_targets, lambda board: panels(board)[0].update(targets=[])),
    (linter.target_promql, _expr("sum(up")),
    (linter.target_job, _expr('up{instance=~"$instance"}')),
    (linter.target_instance, _expr('up{job=~"$job",instance="$instance"}')),
    (linter.target_rate_interval, _expr('rate(x_total{job=~"$job",instance=~"$instance"}[5m])')),
    (linter.target_counter_agg, _expr('sum(x_total{job=~"$job",instance=~"$instance"})')),
]


@pytest.mark.parametrize(("rule", "fault"), FAULTS, ids=[rule.__name__ for rule, _ in FAULTS])
def test_each_rule_detects_its_fault(rule: Rule, fault: Callable[[Json], None]) -> None:
    board = copy.deepcopy(classic(UIDS[0]))
    fault(board)
    assert list(rule(board))


def test_every_rule_has_a_fault() -> None:
    assert [rule for rule, _ in FAULTS] == list(linter.RULES)
