"""Nothing is wrong, nothing ever was: panels show 0, or say in words why they are empty."""

import re
import time
from collections.abc import Iterator

import pytest

from dashboards.source.look import NOTHING
from tests.dashboards.grafana import Grafana
from tests.dashboards.reading import UIDS, Json, classic, panels, questions
from tests.dashboards.story import is_up_to_date, watching
from tests.lab.exporter import Exporter

TIMELINES = ("state-timeline", "status-history")
"""These do not show what is to be said where there is nothing: https://github.com/grafana/grafana/issues/88004"""
EVERY = [(uid, panel["title"]) for uid in UIDS for panel in panels(classic(uid))]
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


NAMED = re.compile(r"\{\{(\w+)\}\}")


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    """One domain of libvirt's test driver, that runs and runs; no OTLP."""
    folder = tmp_path_factory.mktemp("healthy")
    with Exporter(folder, ["test:///default"]) as exporter, watching(folder, [exporter]) as prometheus:
        is_up_to_date(prometheus)
        prometheus.wait_for("min(count_over_time(libvirt_connection_up[1h])) > 5")
        yield Grafana(prometheus, since=time.time() - 60, chosen={"domain": "test"})


def found(uid: str, title: str) -> Json:
    (panel,) = (panel for panel in panels(classic(uid)) if panel["title"] == title)
    return panel


@pytest.mark.parametrize(("uid", "title"), EVERY)
def test_empty_panels_explain_themselves(uid: str, title: str, grafana: Grafana) -> None:
    asked = [question for question in questions(uid) if question.panel == title]
    said = found(uid, title)["fieldConfig"]["defaults"].get("noValue")
    answered = [bool(grafana.answer(question, late=True)) for question in asked]
    if found(uid, title)["type"] in TIMELINES:
        assert all(answered)
    # A table has its rows from its first question; what others do not find is an empty cell.
    shown = answered[0] if found(uid, title)["type"] == "table" else all(answered)
    assert shown or (said and not any(answered)), [question.expr for question in asked]


def test_empty_timelines_have_a_row_with_an_explanation(grafana: Grafana) -> None:
    nobody = Grafana(grafana.prometheus, grafana.since, chosen={"domain": "nobody"}, now=grafana.now)
    for uid in UIDS:
        for question in questions(uid):
            if found(uid, question.panel)["type"] == "state-timeline":
                (row,) = nobody.answer(question)
                assert set(row.values) == {NOTHING}, question
                assert all(label in row.labels for label in NAMED.findall(question.legend))


@pytest.mark.parametrize(
    ("uid", "title"),
    [("libvirt-fleet", "Hosts disconnected"), ("libvirt-exporter", "Exporters not reachable")],
)
def test_no_scraped_exporter_is_not_shown_as_0(uid: str, title: str, grafana: Grafana) -> None:
    nothing = dict.fromkeys(("job", "instance", "connection"), "nothing")
    nowhere = Grafana(grafana.prometheus, grafana.since, chosen=nothing, now=grafana.now)
    (question,) = (one for one in questions(uid) if one.panel == title)
    assert nowhere.answer(question) == []
    assert found(uid, title)["fieldConfig"]["defaults"]["noValue"].startswith("No exporter")


@pytest.mark.parametrize("title", ALARMS)
def test_alarm_panels_show_0(title: str, grafana: Grafana) -> None:
    asked = [question for uid in UIDS for question in questions(uid) if question.panel == title]
    assert asked
    for question in asked:
        assert [one.values for one in grafana.answer(question)] == [[0.0]]
