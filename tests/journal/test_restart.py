"""kill -9 and start again, again and again: in Prometheus nothing shows but what happened."""

import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.journal.driver import Driver, xml
from tests.journal.mortal import EVENTS, Mortal, Onlooker
from tests.lab.daemon import Daemon
from tests.lab.pairs import Pair
from tests.lab.waiting import until
from tests.lab.witness import Witness

SEED = int(os.environ.get("LAB_SEED", "1"))
RESTARTS = int(os.environ.get("LAB_RESTARTS", "8"))
DOMAINS = [f"vm-{number}" for number in range(10)]


@pytest.fixture
def driver(own_daemon: Daemon) -> Iterator[Driver]:
    with Driver(own_daemon) as driver:
        yield driver


@pytest.fixture
def mortal(own_daemon: Daemon, own_driver_witness: Witness, tmp_path: Path) -> Iterator[Mortal]:
    del own_driver_witness  # it is there first, and so it has seen all that the exporter counts
    with Mortal(tmp_path, [own_daemon.test_uri], tmp_path / "journal.sqlite") as mortal:
        yield mortal


def rows(path: Path, source: str) -> Counter[tuple[str, str, str]]:
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT name, event, detail FROM transitions WHERE source = ?"
        return Counter(database.execute(query, (source,)).fetchall())


def settle(mortal: Mortal, witness: Witness) -> None:
    marker = witness.settle()
    mortal.wait_until(lambda: mortal.lifecycle_counts(marker)["undefined", "removed"], what=marker)


def counted(mortal: Mortal, names: list[str]) -> dict[str, Counter[Pair]]:
    return {name: mortal.lifecycle_counts(name) for name in names}


def witnessed(witness: Witness, names: list[str]) -> dict[str, Counter[Pair]]:
    return {name: witness.pairs(name) for name in names}


def test_restarts_change_no_counter(
    driver: Driver, own_driver_witness: Witness, mortal: Mortal, tmp_path: Path
) -> None:
    dice = random.Random(SEED)  # noqa: S311 - no secret
    for name in DOMAINS:
        driver.define(name)
    with Onlooker(mortal) as onlooker:
        for _ in range(RESTARTS):
            for _ in range(dice.randint(1, 20)):
                driver.cycle(dice.choice(DOMAINS))
            settle(mortal, own_driver_witness)
            mortal.kill()
            mortal.again()
            assert counted(mortal, DOMAINS) == witnessed(own_driver_witness, DOMAINS)
        scrapes = onlooker.scrapes
        until(lambda: onlooker.scrapes > scrapes, 10, "one more look")
    assert onlooker.falls == []
    assert rows(tmp_path / "journal.sqlite", "reconcile") == Counter()
    total = sum(own_driver_witness.pairs(name).total() for name in DOMAINS)
    print(
        f"\nseed {SEED}: {RESTARTS} kills, {total} transitions, {onlooker.scrapes} scrapes; lost 0, doubled 0"
    )


def transient(driver: Driver) -> None:
    driver.connection.createXML(xml("transient"))


MEANWHILE: dict[str, tuple[Callable[[Driver], object], Callable[[Driver], object]]] = {
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
"""What is before, and the one thing that happens while nobody watches."""

UNPROVEN = {("shutdown", "finished")}
"""What leaves no trace: a state that is passed through."""


def test_changes_during_downtime_are_counted_once(
    driver: Driver, own_driver_witness: Witness, mortal: Mortal, tmp_path: Path
) -> None:
    for before, _ in MEANWHILE.values():
        before(driver)
    settle(mortal, own_driver_witness)
    mortal.kill()
    for _, act in MEANWHILE.values():
        act(driver)
    own_driver_witness.settle()
    mortal.again()
    names = list(MEANWHILE)
    proven = {
        name: Counter({pair: n for pair, n in pairs.items() if pair not in UNPROVEN})
        for name, pairs in witnessed(own_driver_witness, names).items()
    }
    mortal.wait_until(lambda: counted(mortal, names) == proven, 15, "what happened meanwhile")
    settle(mortal, own_driver_witness)
    assert counted(mortal, names) == proven
    reconciled = rows(tmp_path / "journal.sqlite", "reconcile")
    assert set(reconciled.values()) == {1}
    assert not any(name == "nothing" for name, _, _ in reconciled)
    mortal.kill()
    mortal.again()
    settle(mortal, own_driver_witness)
    assert counted(mortal, names) == proven, "and not again after the next restart"


def test_kills_before_first_listing_add_no_transitions(
    driver: Driver, own_daemon: Daemon, tmp_path: Path
) -> None:
    """Killed at once, perhaps before the first listing is in the journal: they are not new."""
    for name in DOMAINS:
        driver.define(name, running=True)
    with Mortal(tmp_path, [own_daemon.test_uri], tmp_path / "journal.sqlite", ready=False) as mortal:
        for _ in range(5):
            lives = mortal.said("is up")
            mortal.kill()
            mortal.start()
            mortal.wait_until(lambda: mortal.said("is up") > lives, what="the connection")  # noqa: B023
        mortal.wait_ready()
    assert rows(tmp_path / "journal.sqlite", "reconcile") == Counter()


def test_event_count_is_the_same_after_restart(
    driver: Driver, own_driver_witness: Witness, mortal: Mortal
) -> None:
    driver.define("one")
    driver.cycle("one")
    settle(mortal, own_driver_witness)
    before = mortal.figure(EVENTS)
    mortal.kill()
    mortal.again()
    assert mortal.figure(EVENTS) == before
