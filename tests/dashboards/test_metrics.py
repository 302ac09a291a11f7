"""Every metric and label in a dashboard exists: in the exporter, in Prometheus, or as a recording rule."""

import json
import re

import pytest

from dashboards.source.lasting import NAMES
from dashboards.source.promql import BORN_AT_0
from libvirt_lifecycle_exporter.engine.durations import BUCKETS
from libvirt_lifecycle_exporter.model.vocabulary import COUNTED_PAIRS, HANG_SIGNALS, alert_pairs
from tests.dashboards.dashboard_files import UIDS, Json, annotations, classic, interpolate, panels, variables
from tests.dashboards.linter import placeholders
from tests.dashboards.promql import exported_labels, labels, parse, recorded_labels, selectors

KNOWN = recorded_labels(exported_labels())
LEGEND_LABEL = re.compile(r"\{\{(\w+)\}\}")
FIELDS = re.compile(r"__data\.fields\.(\w+)")
SERIES = re.compile(r"__field\.labels\.(\w+)")


def result_labels(board: Json, panel: Json) -> list[frozenset[str]]:
    values = placeholders(board)
    return [labels(parse(interpolate(target["expr"], values)), KNOWN) for target in panel["targets"]]


@pytest.mark.parametrize("uid", UIDS)
class TestLabels:
    def test_selectors_use_labels_of_their_metric(self, uid: str) -> None:
        board = classic(uid)
        expressions = [target["expr"] for panel in panels(board) for target in panel["targets"]]
        expressions += [one.expr for one in annotations(uid)]
        for expr in expressions:
            for selector in selectors(parse(interpolate(expr, placeholders(board)))):
                expected = {matcher.name for matcher in selector.matchers.matchers}
                assert expected <= KNOWN[str(selector.name)], selector

    def test_legends_use_labels_of_the_result(self, uid: str) -> None:
        board = classic(uid)
        for panel in panels(board):
            for target, available in zip(panel["targets"], result_labels(board, panel), strict=True):
                assert set(LEGEND_LABEL.findall(target["legendFormat"])) <= available, panel["title"]

    def test_table_columns_match_the_labels_of_the_result(self, uid: str) -> None:
        board = classic(uid)
        for panel in panels(board):
            if panel["type"] != "table":
                continue
            available = frozenset().union(*result_labels(board, panel))
            refs = [target["refId"] for target in panel["targets"]]
            values = {f"Value #{ref}" for ref in refs} if len(refs) > 1 else {"Value", "Value #A"}
            columns = set(panel["transformations"][-1]["options"]["indexByName"])
            assert columns == available | values, panel["title"]

    def test_queries_of_a_table_have_the_same_labels(self, uid: str) -> None:
        board = classic(uid)
        for panel in panels(board):
            if panel["type"] == "table":
                assert len(set(result_labels(board, panel))) == 1, panel["title"]

    def test_links_use_labels_of_the_result(self, uid: str) -> None:
        board = classic(uid)
        for panel in panels(board):
            text = str(panel["fieldConfig"])
            available = frozenset.intersection(*result_labels(board, panel))
            assert set(FIELDS.findall(text)) <= available, panel["title"]
            assert set(SERIES.findall(text)) <= available, panel["title"]

    def test_annotation_texts_use_existing_labels(self, uid: str) -> None:
        board = classic(uid)
        for one in board["annotations"]["list"]:
            available = labels(parse(interpolate(one["target"]["expr"], placeholders(board))), KNOWN)
            assert set(LEGEND_LABEL.findall(one["textFormat"])) | set(one["tagKeys"].split(",")) <= available

    def test_variables_query_existing_labels(self, uid: str) -> None:
        board = classic(uid)
        for name, variable in variables(board).items():
            if variable["type"] != "query":
                continue
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            inner = found[1] if found else variable["query"].removeprefix("query_result(").removesuffix(")")
            available = labels(parse(interpolate(inner, placeholders(board))), KNOWN)
            expected = found or re.match(r"/((\w+))=", variable["regex"])
            assert expected is not None
            assert expected[2] in available, name

    def test_every_variable_is_used(self, uid: str) -> None:
        board = classic(uid)
        text = str(board["panels"]) + str(board["annotations"]) + str(board["links"])
        for name in variables(board):
            assert re.search(rf"\$\{{?{name}\b", text), name


def test_duration_buckets_have_display_names() -> None:
    """For the bounds as Prometheus 2 and as Prometheus 3 format them."""
    assert list(NAMES) == [*(f"{bound:g}" for bound in BUCKETS), "+Inf"]
    named = [panel for uid in UIDS for panel in panels(classic(uid)) if "_bucket" in str(panel["targets"])]
    for panel in (panel for panel in named if panel["type"] == "bargauge"):
        overrides = panel["fieldConfig"]["overrides"]
        for bound in [*(f"{one:g}" for one in BUCKETS), *(str(float(one)) for one in BUCKETS), "+Inf"]:
            matching = [one for one in overrides if re.search(one["matcher"]["options"].strip("/"), bound)]
            assert len(matching) == 1, (panel["title"], bound)


def test_pairs_exported_at_zero_are_known() -> None:
    """The Domain dashboard counts the first event of all other pairs separately."""
    matchers = [parse(f"{{{one}}}").matchers.matchers for one in BORN_AT_0]
    shown_before = set(alert_pairs(HANG_SIGNALS))
    for pair in COUNTED_PAIRS:
        named = dict(zip(("event", "reason"), pair, strict=True))
        known = any(
            all(re.fullmatch(one.value, named[one.name]) for one in together) for together in matchers
        )
        assert known == (pair in shown_before), pair


@pytest.mark.parametrize("uid", UIDS)
def test_future_timestamps_are_not_treated_as_recent(uid: str) -> None:
    text = json.dumps(classic(uid))
    after = re.findall(r"> time\(\) - [^<>]*", text)
    assert [one for one in after if one + "< time() + 120" not in text] == []
    is_after = re.findall(r"bool \(time\(\) - [^()]*\)\)", text)
    assert [one for one in is_after if f"{one} * (" not in text] == []


def test_unknown_metric_or_label_is_detected() -> None:
    with pytest.raises(KeyError):
        labels(parse("sum by (job) (libvirt_nothing)"), KNOWN)
    with pytest.raises(KeyError):
        labels(parse("sum by (colour) (up)"), KNOWN)
