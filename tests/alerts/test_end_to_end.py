"""From the emulator that dies to the pager: libvirt, QEMU, exporter, Prometheus and Alertmanager, all real.

Each scene has a host of its own, so that what is told of a host is what its scene brought about. All play at
the same time.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from alerts.generator.rules import groups
from alerts.generator.thresholds import load
from alerts.generator.writing import document
from tests.alerts.place import IMPATIENT, PATIENCE, Place
from tests.alerts.scenes import SCENES, THRESHOLDS, Notification, Scene
from tests.lab.alertmanager import EXAMPLE, RECEIVER, Alertmanager, Pager, Told
from tests.lab.daemon import short_root
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guests
from tests.lab.hosts import Hosts
from tests.lab.programs import Programs
from tests.lab.prometheus import Prometheus
from tests.lab.session import SessionDaemon
from tests.lab.waiting import until
from tests.qemu.road import Road

pytestmark = pytest.mark.timeout(400)

INTERVAL = "1s"
MOVED = "alerts-move"
AGED = re.compile(r"[1-9][0-9.]*(m|m?s)\b")
"""As Prometheus writes minutes, seconds and less."""


class Played(NamedTuple):
    places: dict[str, Place]
    ends: dict[str, Future[None]]
    migrated: Future[None]
    pager: Pager
    left: list[str]
    """Alerts that were still active when all was over."""


@pytest.fixture(scope="module")
def played(guests: Guests, programs: Programs, hosts: Hosts) -> Iterator[Played]:
    with ExitStack() as stack:
        folder = stack.enter_context(short_root())
        pager = stack.enter_context(Pager())
        example = EXAMPLE.read_text()
        assert RECEIVER in example
        alertmanager = stack.enter_context(Alertmanager(folder, example.replace(RECEIVER, pager.url)))
        places = {}
        for scene in SCENES:
            daemon = stack.enter_context(SessionDaemon(folder / scene.name, programs))
            exporter = stack.enter_context(Exporter(folder, [daemon.uri], extra_args=IMPATIENT))
            places[scene.name] = Place(daemon, guests, exporter, pager, alertmanager)
            stack.callback(places[scene.name].close)
        own = folder / "thresholds.toml"
        own.write_text(THRESHOLDS)
        rules = folder / "rules.yaml"
        rules.write_text(document(groups(load(own))))
        ports = [hosts.exporter.port, *(place.exporter.port for place in places.values())]
        prometheus = stack.enter_context(
            Prometheus(
                folder,
                [f"127.0.0.1:{port}" for port in ports],
                scrape={"job_name": "libvirt-lifecycle"},
                more={
                    "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
                    "rule_files": [str(rules)],
                    "alerting": alertmanager.alerting,
                },
            )
        )
        prometheus.wait_for(f"count(up == 1) == {len(ports)}")
        with ThreadPoolExecutor(len(SCENES) + 1) as players:
            ends = {scene.name: players.submit(scene.play, places[scene.name]) for scene in SCENES}
            migrated = players.submit(_migrates, hosts, guests)
        left = _what_is_left(prometheus, alertmanager)
        yield Played(places, ends, migrated, pager, left)


def _migrates(hosts: Hosts, guests: Guests) -> None:
    road = Road(MOVED, IDLE, hosts, guests)
    try:
        road.boot()
        road.migrate()
        road.migrate_back()
    finally:
        road.clear()
        road.close()


def _what_is_left(prometheus: Prometheus, alertmanager: Alertmanager) -> list[str]:
    """Waits until nothing is active, so that nothing more can be told; or else says what is."""
    try:
        until(
            lambda: not prometheus.query("ALERTS") and not alertmanager.alerts(), PATIENCE, "all to be over"
        )
    except TimeoutError:
        return [json.dumps(alert["labels"]) for alert in alertmanager.alerts()]
    return []


def notifications(told: list[Told]) -> list[Notification]:
    """What each notification said: its status, its alert, its domains."""
    numbers = dict.fromkeys(one.notification for one in told)
    found: list[Notification] = []
    for number in numbers:
        of_it = [one for one in told if one.notification == number]
        for status, name in dict.fromkeys((one.status, one.name) for one in of_it):
            domains = {
                one.labels["domain"] for one in of_it if "domain" in one.labels and one.status == status
            }
            found.append((status, name, frozenset(domains)))
    return found


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_pager_receives_exactly_the_expected_notifications(played: Played, scene: Scene) -> None:
    played.ends[scene.name].result()
    told = played.places[scene.name].told()
    assert notifications(told) == list(scene.notifications)
    if scene.reason:
        assert told[0].labels["reason"] == scene.reason
    for one in told:
        assert one.annotations["runbook_url"].endswith(f"/{one.name}.md")
        assert played.places[scene.name].instance in one.annotations["summary"]
        assert AGED.search(one.annotations["summary"]) or "domain" not in one.labels
        assert not [text for text in one.annotations.values() if "<" in text]  # no value, an error


@pytest.mark.parametrize("scene", [scene for scene in SCENES if scene.reason], ids=lambda scene: scene.name)
def test_annotated_command_shows_the_domain(played: Played, scene: Scene) -> None:
    played.ends[scene.name].result()
    place = played.places[scene.name]
    for one in place.told():
        program, *words = shlex.split(one.annotations["command"])
        assert program == "libvirt-lifecycle-exporter"
        journal = ("--journal.path", str(place.exporter.journal.path))
        done = subprocess.run(
            [sys.executable, "-m", "libvirt_lifecycle_exporter", *words, *journal],
            capture_output=True,
            text=True,
            check=True,
        )
        is_over = "--open" in words
        assert is_over or one.labels["domain"] in done.stdout


def test_migration_sends_no_notification(played: Played, hosts: Hosts) -> None:
    played.migrated.result()
    counts = hosts.exporter.lifecycle_counts(MOVED)
    assert counts["started", "migrated"] == counts["stopped", "migrated"] == 2
    assert [one for one in played.pager.told if one.labels.get("connection") in ("here", "there")] == []


def test_all_alerts_resolve_and_no_others_were_sent(played: Played) -> None:
    assert played.left == []
    known = {place.instance for place in played.places.values()}
    assert [one.labels for one in played.pager.told if one.labels.get("instance") not in known] == []


def test_notification_delay_is_printed(played: Played) -> None:
    """Printed; judged is only that it is told at all."""
    place = played.places["killed"]
    first = next(one for one in place.told() if one.status == "firing")
    print(
        f"\nkilled: the alert fires after {first.starts_at - place.killed_at:.2f} s "
        f"(scrape and evaluation interval: 1 s each), the pager is told after "
        f"{first.at - place.killed_at:.2f} s (group_wait: 10 s)"
    )
    assert first.at > place.killed_at
