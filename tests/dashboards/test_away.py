"""A libvirt that is not there, an exporter that is not there: both are hosts of which nothing is heard."""

import time
from collections.abc import Iterator

import pytest

from tests.dashboards.grafana import Grafana
from tests.dashboards.reading import questions
from tests.dashboards.story import is_up_to_date, watching
from tests.lab.exporter import Exporter, free_port

NOBODY_LISTENS = free_port()


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    """Prometheus scrapes somebody else who is not there, too; that is no host."""
    folder = tmp_path_factory.mktemp("away")
    nowhere = f"away=qemu+unix:///session?socket={folder}/nothing"
    never_started = Exporter(folder, ["test:///default"], port=NOBODY_LISTENS)
    with (
        Exporter(folder, ["here=test:///default", nowhere], ready=False) as exporter,
        watching(folder, [exporter, never_started]) as prometheus,
    ):
        prometheus.wait_for('libvirt_connection_up{connection="here"} == 1')
        prometheus.wait_for('libvirt_connection_up{connection="away"} == 0')
        prometheus.wait_for("count(up == 0) == 2")
        is_up_to_date(prometheus)
        yield Grafana(prometheus, since=time.time() - 60)


@pytest.mark.parametrize(
    ("uid", "title", "number"),
    [
        ("libvirt-fleet", "Hosts disconnected", 2),
        ("libvirt-exporter", "Connections up", 1),
        ("libvirt-exporter", "Connections down", 1),
        ("libvirt-exporter", "Exporters not reachable", 1),
    ],
)
def test_unreachable_hosts_are_counted(uid: str, title: str, number: int, grafana: Grafana) -> None:
    (question,) = (one for one in questions(uid) if one.panel == title)
    assert [one.last for one in grafana.answer(question)] == [number]


def test_connection_that_is_down_is_named(grafana: Grafana) -> None:
    first = next(one for one in questions("libvirt-exporter") if one.panel == "Connections")
    assert {one.labels["connection"]: one.last for one in grafana.answer(first)} == {"here": 1, "away": 0}


def test_unreachable_host_has_no_availability(grafana: Grafana) -> None:
    first = next(one for one in questions("libvirt-fleet") if one.panel == "Availability per host")
    assert {one.labels["connection"]: one.last for one in grafana.answer(first)} == {"here": 1}


def test_unreachable_exporter_is_named(grafana: Grafana) -> None:
    (question,) = (one for one in questions("libvirt-exporter") if one.panel == "Exporters")
    reached = {one.labels["instance"]: one.last for one in grafana.answer(question)}
    assert reached.pop(f"127.0.0.1:{NOBODY_LISTENS}") == 0
    assert list(reached.values()) == [1]
