"""Hosts without data: libvirt is not reachable, or the exporter is not reachable."""

import time
from collections.abc import Iterator

import pytest

from tests.dashboards.dashboard_files import queries
from tests.dashboards.grafana import Grafana
from tests.dashboards.scenario import start_prometheus, wait_up_to_date
from tests.lab.exporter import Exporter, free_port

UNUSED_PORT = free_port()


@pytest.fixture(scope="module")
def grafana(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grafana]:
    """Prometheus also has an unreachable target that is no exporter; it must not count as a host."""
    folder = tmp_path_factory.mktemp("away")
    absent = f"away=qemu+unix:///session?socket={folder}/nothing"
    never_started = Exporter(folder, ["test:///default"], port=UNUSED_PORT)
    with (
        Exporter(folder, ["here=test:///default", absent], ready=False) as exporter,
        start_prometheus(folder, [exporter, never_started]) as prometheus,
    ):
        prometheus.wait_for('libvirt_connection_up{connection="here"} == 1')
        prometheus.wait_for('libvirt_connection_up{connection="away"} == 0')
        prometheus.wait_for("count(up == 0) == 2")
        wait_up_to_date(prometheus)
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
    (query,) = (one for one in queries(uid) if one.panel == title)
    assert [one.last for one in grafana.run_query(query)] == [number]


def test_connection_that_is_down_is_named(grafana: Grafana) -> None:
    first = next(one for one in queries("libvirt-exporter") if one.panel == "Connections")
    assert {one.labels["connection"]: one.last for one in grafana.run_query(first)} == {"here": 1, "away": 0}


def test_unreachable_host_has_no_availability(grafana: Grafana) -> None:
    first = next(one for one in queries("libvirt-fleet") if one.panel == "Availability per host")
    assert {one.labels["connection"]: one.last for one in grafana.run_query(first)} == {"here": 1}


def test_unreachable_exporter_is_named(grafana: Grafana) -> None:
    (query,) = (one for one in queries("libvirt-exporter") if one.panel == "Exporters")
    reached = {one.labels["instance"]: one.last for one in grafana.run_query(query)}
    assert reached.pop(f"127.0.0.1:{UNUSED_PORT}") == 0
    assert list(reached.values()) == [1]
