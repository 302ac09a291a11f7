"""Repeated kill -9 and restart: Prometheus sees only real transitions."""

import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.driver import Driver
from tests.journal.exporter_with_journal import EVENTS, CounterMonitor, ExporterWithJournal
from tests.lab.daemon import Daemon
from tests.lab.event_recorder import EventRecorder
from tests.lab.pairs import Pair
from tests.lab.waiting import until

SEED = int(os.environ.get("LAB_SEED", "1"))
RESTARTS = int(os.environ.get("LAB_RESTARTS", "8"))
DOMAINS = [f"vm-{number}" for number in range(10)]


@pytest.fixture
def driver(own_daemon: Daemon) -> Iterator[Driver]:
    with Driver(own_daemon) as driver:
        yield driver


@pytest.fixture
def exporter(
    own_daemon: Daemon, own_driver_recorder: EventRecorder, tmp_path: Path
) -> Iterator[ExporterWithJournal]:
    del own_driver_recorder  # starts before the exporter, and so records everything
    with ExporterWithJournal(tmp_path, [own_daemon.test_uri], tmp_path / "journal.sqlite") as exporter:
        yield exporter


def rows(path: Path, source: str) -> Counter[tuple[str, str, str]]:
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT name, event, detail FROM transitions WHERE source = ?"
        return Counter(database.execute(query, (source,)).fetchall())


def settle(exporter: ExporterWithJournal, recorder: EventRecorder) -> None:
    marker = recorder.settle()
    exporter.wait_until(lambda: exporter.lifecycle_counts(marker)["undefined", "removed"], what=marker)


def exporter_counts(exporter: ExporterWithJournal, names: list[str]) -> dict[str, Counter[Pair]]:
    return {name: exporter.lifecycle_counts(name) for name in names}


def witness_counts(recorder: EventRecorder, names: list[str]) -> dict[str, Counter[Pair]]:
    return {name: recorder.pairs(name) for name in names}


def test_restarts_change_no_counter(
    driver: Driver, own_driver_recorder: EventRecorder, exporter: ExporterWithJournal, tmp_path: Path
) -> None:
    rng = random.Random(SEED)  # noqa: S311 - no secret
    for name in DOMAINS:
        driver.define(name)
    with CounterMonitor(exporter) as monitor:
        for _ in range(RESTARTS):
            for _ in range(rng.randint(1, 20)):
                driver.cycle(rng.choice(DOMAINS))
            settle(exporter, own_driver_recorder)
            exporter.kill()
            exporter.again()
            assert exporter_counts(exporter, DOMAINS) == witness_counts(own_driver_recorder, DOMAINS)
        scrapes = monitor.scrapes
        until(lambda: monitor.scrapes > scrapes, 10, "one more scrape")
    assert monitor.decreases == []
    assert rows(tmp_path / "journal.sqlite", "reconcile") == Counter()
    total = sum(own_driver_recorder.pairs(name).total() for name in DOMAINS)
    print(
        f"\nseed {SEED}: {RESTARTS} kills, {total} transitions, {monitor.scrapes} scrapes; lost 0, doubled 0"
    )


DOWNTIME_CHANGES: dict[str, tuple[Callable[[Driver], object], Callable[[Driver], object]]] = {
    "started": (lambda d: d.define("started"), lambda d: d.find("started").create()),
    "destroyed": (lambda d: d.define("destroyed", running=True), lambda d: d.find("destroyed").destroy()),
    "shut-down": (lambda d: d.define("shut-down", running=True), lambda d: d.find("shut-down").shutdown()),
    "suspended": (lambda d: d.define("suspended", running=True), lambda d: d.find("suspended").suspend()),
    "resumed": (
        lambda d: d.define("resumed", running=True).suspend(),
        lambda d: d.find("resumed").resume(),
    ),
    "saved": (lambda d: d.define("saved", running=True), lambda d: d.find("saved").managedSave()),
    "defined": (lambda _: None, lambda d: d.define("defined")),
    "undefined": (lambda d: d.define("undefined"), lambda d: d.find("undefined").undefine()),
    "born": (lambda _: None, lambda d: d.define("born", running=True)),
    "nothing": (lambda d: d.define("nothing", running=True), lambda _: None),
}
"""Name of the domain: its preparation, and its one change while the exporter is down."""

UNOBSERVABLE = {("shutdown", "finished")}
"""Intermediate states, which cannot be inferred afterwards."""


def test_changes_during_downtime_are_counted_once(
    driver: Driver, own_driver_recorder: EventRecorder, exporter: ExporterWithJournal, tmp_path: Path
) -> None:
    for before, _ in DOWNTIME_CHANGES.values():
        before(driver)
    settle(exporter, own_driver_recorder)
    exporter.kill()
    for _, act in DOWNTIME_CHANGES.values():
        act(driver)
    own_driver_recorder.settle()
    exporter.again()
    names = list(DOWNTIME_CHANGES)
    proven = {
        name: Counter({pair: n for pair, n in pairs.items() if pair not in UNOBSERVABLE})
        for name, pairs in witness_counts(own_driver_recorder, names).items()
    }
    exporter.wait_until(
        lambda: exporter_counts(exporter, names) == proven, 15, "the changes during the downtime"
    )
    settle(exporter, own_driver_recorder)
    assert exporter_counts(exporter, names) == proven
    reconciled = rows(tmp_path / "journal.sqlite", "reconcile")
    assert set(reconciled.values()) == {1}
    assert not any(name == "nothing" for name, _, _ in reconciled)
    exporter.kill()
    exporter.again()
    settle(exporter, own_driver_recorder)
    assert exporter_counts(exporter, names) == proven, "counted again after the next restart"


def test_kills_before_first_listing_add_no_transitions(
    driver: Driver, own_daemon: Daemon, tmp_path: Path
) -> None:
    """The exporter is killed immediately, possibly before the first listing is in the journal."""
    for name in DOMAINS:
        driver.define(name, running=True)
    with ExporterWithJournal(
        tmp_path, [own_daemon.test_uri], tmp_path / "journal.sqlite", ready=False
    ) as exporter:
        for _ in range(5):
            known = exporter.log_count("connection up")
            exporter.kill()
            exporter.start()
            exporter.wait_until(lambda: exporter.log_count("connection up") > known, what="the connection")  # noqa: B023
        exporter.wait_ready()
    assert rows(tmp_path / "journal.sqlite", "reconcile") == Counter()


def test_event_count_is_the_same_after_restart(
    driver: Driver, own_driver_recorder: EventRecorder, exporter: ExporterWithJournal
) -> None:
    driver.define("one")
    driver.cycle("one")
    settle(exporter, own_driver_recorder)
    before = exporter.figure(EVENTS)
    exporter.kill()
    exporter.again()
    assert exporter.figure(EVENTS) == before
