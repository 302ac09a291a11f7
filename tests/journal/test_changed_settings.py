"""Exporter processes that restart with another filter or with fewer connections."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journal.driver import Driver
from tests.journal.exporter_with_journal import EVENTS, ExporterWithJournal
from tests.lab.daemon import Daemon
from tests.lab.page import EVENTS as TRANSITIONS

CHANGES = "libvirt_domain_inventory_changes_total"


@pytest.fixture
def driver(own_daemon: Daemon) -> Iterator[Driver]:
    with Driver(own_daemon) as driver:
        yield driver


@pytest.fixture
def other_driver(session_daemon: Daemon) -> Iterator[Driver]:
    with Driver(session_daemon) as driver:
        yield driver


def shown(exporter: ExporterWithJournal) -> set[str]:
    return {sample.labels["domain"] for sample in exporter.metrics()["libvirt_domain_state"].samples}


def inventory(exporter: ExporterWithJournal) -> float:
    return sum(sample.value for sample in exporter.metrics()[CHANGES.removesuffix("_total")].samples)


def test_changing_the_filter_adds_no_transitions(driver: Driver, own_daemon: Daemon, tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite"
    for name in ("web", "db"):
        driver.define(name, running=True)
    driver.define("db-off")
    uris = [own_daemon.test_uri]
    with ExporterWithJournal(tmp_path, uris, journal) as whole:
        driver.cycle("db-off")
        whole.wait_until(lambda: whole.lifecycle_counts("db-off").total() >= 4)
        counted = whole.lifecycle_counts("db-off")
        before = whole.figure(EVENTS), inventory(whole)
    with ExporterWithJournal(tmp_path, uris, journal, extra_args=("--domain.exclude", "db.*")) as narrow:
        narrow.wait_until(lambda: shown(narrow) == {"web", "test"})
        assert (narrow.figure(EVENTS), inventory(narrow)) == before
    driver.find("web").destroy()
    with ExporterWithJournal(tmp_path, uris, journal) as wide:
        wide.wait_until(lambda: wide.lifecycle_counts("web")["stopped", "destroyed"] == 1)
        wide.wait_until(lambda: {"web", "db", "db-off"} <= shown(wide))
        assert wide.figure(EVENTS) == before[0] + 1
        assert inventory(wide) == before[1]
        assert wide.lifecycle_counts("db-off") == counted
        assert wide.value("libvirt_domain_state", domain="db", state="running") == 1


def test_removed_and_readded_connection_keeps_counters(
    driver: Driver, other_driver: Driver, own_daemon: Daemon, session_daemon: Daemon, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.sqlite"
    here, there = f"here={own_daemon.test_uri}", f"there={session_daemon.test_uri}"
    driver.define("web")
    domain = other_driver.define("far")
    try:
        with ExporterWithJournal(tmp_path, [here, there], journal) as both:
            both.wait_until(lambda: both.value("libvirt_connection_up", connection="there") == 1)
            other_driver.cycle("far")
            both.wait_until(lambda: both.lifecycle_counts("far", "there")["stopped", "destroyed"] == 1)
            counted = both.lifecycle_counts("far", "there")
        with ExporterWithJournal(tmp_path, [here], journal) as one:
            journal.unlink()
            one.wait_until(lambda: one.log_count("journal recovered"), what="the journal to be written anew")
            assert one.value(TRANSITIONS, connection="there", domain="far", event="stopped") is None
        with ExporterWithJournal(tmp_path, [here, there], journal) as again:
            assert again.lifecycle_counts("far", "there") == counted
    finally:
        domain.undefine()
