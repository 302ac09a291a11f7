"""Without any fault, panels show 0 or explain why they are empty."""

import re
import time
from collections.abc import Iterator

import pytest

from dashboards.source.look import NOTHING
from tests.dashboards.dashboard_files import UIDS, Json, classic, panels, queries
from tests.dashboards.grafana import Grafana
from tests.dashboards.scenario import start_prometheus, wait_up_to_date
from tests.lab.exporter import Exporter

TIMELINES = ("state-timeline", "status-history")
"""These panels do not show the text for missing data: https://github.com/grafana/grafana/issues/88004"""
ALL_PANELS = [(uid, panel["title"]) for uid in UIDS for panel in panels(classic(uid))]
ALARMS = (
    *(
        "Crashed now",
        "Hung now",
        "Failed or paused by an I/O error now",
        "Hosts disconnected",
        "Crashes in range",
    ),
    *(
        "Hangs in range",
        "Disk and start failures in range",
        "Panics",
        "Crash kernels",
        "Emulator crashes",
        "Hung",
    ),
    *(
        "Pauses after I/O errors",
        "Failed",
        "Connections down",
        "Exporters not reachable",
        "Events dropped in range",
    ),
    *("Journal errors in range", "OTLP dropped in range", "Open incidents", "Incidents in range"),
)


LEGEND_LABEL = re.compile(r"\{\{(\w+)\}\}")


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    """One running domain of libvirt's test driver; no OTLP."""
    folder = tmp_path_factory.mktemp("healthy")
    with (
        Exporter(folder, ["test:///default"]) as exporter,
        start_prometheus(folder, [exporter]) as prometheus,
    ):
        wait_up_to_date(prometheus)
        prometheus.wait_for("min(count_over_time(libvirt_connection_up[1h])) > 5")
        yield Grafana(prometheus, since=time.time() - 60, chosen={"domain": "test"})


def find_panel(uid: str, title: str) -> Json:
    (panel,) = (panel for panel in panels(classic(uid)) if panel["title"] == title)
    return panel


@pytest.mark.parametrize(("uid", "title"), ALL_PANELS)
def test_empty_panels_explain_themselves(uid: str, title: str, grafana: Grafana) -> None:
    panel_queries = [query for query in queries(uid) if query.panel == title]
    explanation = find_panel(uid, title)["fieldConfig"]["defaults"].get("noValue")
    has_data = [bool(grafana.run_query(query, include_future=True)) for query in panel_queries]
    if find_panel(uid, title)["type"] in TIMELINES:
        assert all(has_data)
    # The first query of a table provides its rows; the others may leave empty cells.
    shown = has_data[0] if find_panel(uid, title)["type"] == "table" else all(has_data)
    assert shown or (explanation and not any(has_data)), [query.expr for query in panel_queries]


def test_empty_timelines_have_a_row_with_an_explanation(grafana: Grafana) -> None:
    unknown_domain = Grafana(grafana.prometheus, grafana.since, chosen={"domain": "unknown"}, now=grafana.now)
    for uid in UIDS:
        for query in queries(uid):
            if find_panel(uid, query.panel)["type"] == "state-timeline":
                (row,) = unknown_domain.run_query(query)
                assert set(row.values) == {NOTHING}, query
                assert all(label in row.labels for label in LEGEND_LABEL.findall(query.legend))


@pytest.mark.parametrize(
    ("uid", "title"),
    [("libvirt-fleet", "Hosts disconnected"), ("libvirt-exporter", "Exporters not reachable")],
)
def test_no_scraped_exporter_is_not_shown_as_0(uid: str, title: str, grafana: Grafana) -> None:
    nothing = dict.fromkeys(("job", "instance", "connection"), "nothing")
    unknown_target = Grafana(grafana.prometheus, grafana.since, chosen=nothing, now=grafana.now)
    (query,) = (one for one in queries(uid) if one.panel == title)
    assert unknown_target.run_query(query) == []
    assert find_panel(uid, title)["fieldConfig"]["defaults"]["noValue"].startswith("No exporter")


@pytest.mark.parametrize("title", ALARMS)
def test_alarm_panels_show_0(title: str, grafana: Grafana) -> None:
    panel_queries = [query for uid in UIDS for query in queries(uid) if query.panel == title]
    assert panel_queries
    for query in panel_queries:
        assert [one.values for one in grafana.run_query(query)] == [[0.0]]
