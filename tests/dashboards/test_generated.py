"""Committed dashboards are up to date with the generator and avoid known problems of Grafana."""

import re

import pytest

from dashboards.generate import files
from dashboards.source.look import NOTHING, OFF
from tests.dashboards.dashboard_files import FOLDER, UIDS, Json, classic, panels, schema_v2, variables

TITLES = ("Libvirt / Fleet", "Libvirt / Domain", "Libvirt / Crashes & hangs", "Libvirt / Exporter")
GRAPH_TYPES = ("timeseries", "state-timeline", "status-history")


def test_committed_dashboards_are_up_to_date() -> None:
    """If this fails, run `make dashboards`."""
    committed = {path.relative_to(FOLDER): path.read_text() for path in FOLDER.glob("*.json")}
    committed |= {path.relative_to(FOLDER): path.read_text() for path in FOLDER.glob("v2/*.json")}
    assert committed == files()


@pytest.mark.parametrize(("uid", "title"), list(zip(UIDS, TITLES, strict=True)))
def test_uid_and_title_are_stable(uid: str, title: str) -> None:
    assert (classic(uid)["uid"], classic(uid)["title"]) == (uid, title)
    assert (schema_v2(uid)["metadata"]["name"], schema_v2(uid)["spec"]["title"]) == (uid, title)


@pytest.mark.parametrize("uid", UIDS)
class TestConstruction:
    def test_queries_have_unique_reference_ids(self, uid: str) -> None:
        for panel in panels(classic(uid)):
            refs = [target["refId"] for target in panel["targets"]]
            assert refs == list("ABCDEFGH"[: len(refs)]), panel["title"]

    def test_titles_are_unique(self, uid: str) -> None:
        titles = [panel["title"] for panel in panels(classic(uid))]
        assert len(set(titles)) == len(titles)

    def test_panel_ids_are_unique_and_panels_do_not_overlap(self, uid: str) -> None:
        board = classic(uid)
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids)
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            x, y = at.get("x", 0), at.get("y", 0)
            cells = {(x + i, y + j) for i in range(at["w"]) for j in range(at["h"])}
            assert x + at["w"] <= 24, panel["title"]
            assert not cells & taken, panel["title"]
            taken |= cells

    def test_legends_are_shown_as_tables(self, uid: str) -> None:
        for panel in panels(classic(uid)):
            if panel["type"] in GRAPH_TYPES:
                legend = panel["options"]["legend"]
                assert (legend["showLegend"], legend["displayMode"]) == (True, "table"), panel["title"]
            if panel["type"] == "timeseries":
                bars = panel["fieldConfig"]["defaults"]["custom"]["drawStyle"] == "bars"
                assert legend["calcs"] == ["lastNotNull", "sum" if bars else "max"], panel["title"]

    def test_axis_labels_are_not_truncated_to_nothing(self, uid: str) -> None:
        assert '"xTickLabelMaxLength": 0' not in (FOLDER / f"{uid}.json").read_text()

    def test_data_source_variables_have_no_interval_keys(self, uid: str) -> None:
        for name, variable in variables(classic(uid)).items():
            assert not [key for key in variable if key.startswith("auto")], name

    def test_tables_aggregate_and_merge_their_queries(self, uid: str) -> None:
        """Grafana's merge joins rows with equal fields: different metric names would keep rows apart."""
        for panel in panels(classic(uid)):
            if panel["type"] == "table":
                for target in panel["targets"]:
                    assert (target["format"], target["instant"]) == ("table", True), panel["title"]
                    assert re.search(r"\b(sum|max|count|topk) by \(", target["expr"]), panel["title"]
                merged = [one["id"] for one in panel["transformations"]]
                assert ("merge" in merged) == (len(panel["targets"]) > 1), panel["title"]

    def test_totals_use_the_range_and_series_use_the_step(self, uid: str) -> None:
        for panel in panels(classic(uid)):
            for target in panel["targets"]:
                if target["instant"]:
                    assert "$__rate_interval" not in target["expr"], panel["title"]
                else:
                    # An expression that is evaluated once, not at each step, may use the whole range.
                    each = target["expr"].replace("[$__range] @ end()", "")
                    assert "$__range" not in each, panel["title"]

    def test_empty_tables_and_timelines_explain_themselves(self, uid: str) -> None:
        for panel in panels(classic(uid)):
            if panel["type"] in {"table", "state-timeline", "status-history"}:
                assert panel["fieldConfig"]["defaults"]["noValue"].endswith("."), panel["title"]

    def test_empty_cells_have_a_short_placeholder(self, uid: str) -> None:
        for panel in panels(classic(uid)):
            for override in panel["fieldConfig"]["overrides"] if panel["type"] == "table" else ():
                properties = {one["id"]: one["value"] for one in override["properties"]}
                assert properties["noValue"] in {"-", "never"}, panel["title"]

    def test_timelines_show_text_instead_of_thresholds(self, uid: str) -> None:
        """With threshold colours, a timeline that merges equal values shows "-∞" instead of its text:
        https://github.com/grafana/grafana/issues/71804"""
        for panel in panels(classic(uid)):
            if panel["type"] == "state-timeline":
                defaults = panel["fieldConfig"]["defaults"]
                assert panel["options"]["mergeValues"]
                assert defaults["color"] == {"mode": "fixed", "fixedColor": OFF}, panel["title"]
                (mapping,) = defaults["mappings"]
                assert f"{NOTHING}" in mapping["options"], panel["title"]

    def test_both_formats_have_the_same_panels(self, uid: str) -> None:
        elements = schema_v2(uid)["spec"]["elements"]
        for panel in panels(classic(uid)):
            spec = elements.pop(f"panel-{panel['id']}")["spec"]
            assert (spec["title"], spec["description"]) == (panel["title"], panel["description"])
            assert spec["vizConfig"]["group"] == panel["type"]
            assert spec["vizConfig"]["spec"] == {key: panel[key] for key in ("options", "fieldConfig")}
            data = spec["data"]["spec"]
            assert [_query_fields(one) for one in data["queries"]] == [
                (one["refId"], one["expr"], one["instant"], one["datasource"]["uid"])
                for one in panel["targets"]
            ]
            changes = [(one["group"], one["spec"]["options"]) for one in data["transformations"]]
            assert changes == [(one["id"], one["options"]) for one in panel.get("transformations", [])]
        assert not elements

    def test_both_formats_have_the_same_variables_and_annotations(self, uid: str) -> None:
        board, spec = classic(uid), schema_v2(uid)["spec"]
        assert [one["spec"]["name"] for one in spec["variables"]] == list(variables(board))
        annotations = [
            (one["spec"]["name"], one["spec"]["query"]["spec"]["expr"], one["spec"]["legacyOptions"])
            for one in spec["annotations"]
        ]
        assert annotations == [
            (
                one["name"],
                one["target"]["expr"],
                {key: one[key] for key in ("titleFormat", "textFormat", "tagKeys", "useValueForTime")},
            )
            for one in board["annotations"]["list"]
        ]


def _query_fields(query: Json) -> tuple[str, str, bool, str]:
    inner = query["spec"]["query"]
    spec = inner["spec"]
    return query["spec"]["refId"], spec["expr"], spec["instant"], inner["datasource"]["name"]
