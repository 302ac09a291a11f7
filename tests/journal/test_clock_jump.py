"""A wall clock that is 40 days ahead for some seconds deletes no history and adds no unobserved time."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.coverage import MAX_UNPROVEN, Coverage
from libvirt_lifecycle_exporter.journal.maintenance import JournalMaintenance
from libvirt_lifecycle_exporter.model.messages import ConnectionDown, ConnectionUp
from libvirt_lifecycle_exporter.runtime.clock import ClockMonitor
from tests.journal.driver import Driver
from tests.journal.exporter_with_journal import EVENTS, ExporterWithJournal
from tests.journal.values import AT, messages
from tests.journal.writer import Writer
from tests.lab.clock import SteppedClock
from tests.lab.daemon import Daemon
from tests.otel.journal_comparison import pending
from tests.unit.factories import HERE
from tests.unit.fake_clocks import Clocks

DAY, HOUR = 86_400.0, 3600.0
JUMPS = "libvirt_lifecycle_exporter_clock_jumps_total"
UNOBSERVED = "libvirt_connection_unobserved_seconds_total"
UP = "libvirt_connection_up"
UNREACHABLE_ENDPOINT = "http://127.0.0.1:9"


def make_coverage(monitor: ClockMonitor) -> Coverage:
    return Coverage([HERE], clock_monitor=monitor)


def unobserved(effects: ChangeBatch) -> float:
    return effects.totals[HERE, "unobserved", "", ""]


def test_jump_adds_no_unobserved_time() -> None:
    clocks, effects = Clocks(), ChangeBatch()
    coverage = make_coverage(clocks.monitor)
    coverage.connection_up(ConnectionUp(clocks.wall, HERE), effects)
    coverage.record_listing(HERE, clocks.wall, effects)
    clocks.wait(60)
    coverage.connection_down(ConnectionDown(clocks.wall, HERE, "lost"), effects)
    clocks.wait(10)
    clocks.wall += 40 * DAY
    coverage.connection_up(ConnectionUp(clocks.wall, HERE), effects)
    assert 9 <= unobserved(effects) <= 11


@pytest.mark.parametrize("days", [1, 40])
def test_unobserved_time_on_the_same_boot_is_exact(days: int) -> None:
    clocks, effects = Clocks(), ChangeBatch()
    record, until = clocks.monitor.record(), clocks.wall
    clocks.wait(days * DAY)
    clocks.restart(record)
    coverage = make_coverage(clocks.monitor)
    coverage.restore({HERE: until})
    coverage.connection_up(ConnectionUp(clocks.wall, HERE), effects)
    assert unobserved(effects) == pytest.approx(days * DAY)


def test_unobserved_time_across_a_reboot_is_bounded() -> None:
    clocks, effects = Clocks(), ChangeBatch()
    coverage = make_coverage(clocks.monitor)
    coverage.restore({HERE: clocks.wall - 40 * DAY})
    coverage.connection_up(ConnectionUp(clocks.wall, HERE), effects)
    assert unobserved(effects) == MAX_UNPROVEN


@pytest.mark.parametrize("jump", [40 * DAY, -2 * HOUR])
def test_history_is_kept_through_a_jump(jump: float, writer: Writer) -> None:
    clocks = Clocks()
    clocks.wall = AT + 10
    clocks.monitor = ClockMonitor(lambda: clocks.wall, lambda: clocks.steady)
    writer.recover()
    writer.append(10)
    maintenance = JournalMaintenance(writer.journal, max_age=30 * DAY, max_bytes=0)
    for seconds in (jump, -jump):
        clocks.wall += seconds
        maintenance.run_once(clocks.monitor.removal_time())
        clocks.wait(10)
        assert len(messages(writer.path)) == 10


def test_history_from_a_clock_that_was_behind_is_kept(writer: Writer) -> None:
    writer.recover()
    writer.append(10)
    with closing(sqlite3.connect(writer.path)) as database:
        database.execute("UPDATE transitions SET at = at - ? WHERE seq > 5", (40 * DAY,))
        database.commit()
    JournalMaintenance(writer.journal, max_age=30 * DAY, max_bytes=0).run_once(AT + 10)
    assert len(messages(writer.path)) == 10


def test_history_is_pruned_however_often_the_exporter_restarts(writer: Writer) -> None:
    clocks = Clocks()
    clocks.wall = AT + 10
    clocks.restart(ClockMonitor(lambda: clocks.wall, lambda: clocks.steady, "boot").record())
    writer.recover()
    writer.append(10)
    for _ in range(3):
        clocks.wait(600)
        clocks.restart(clocks.monitor.record())
        JournalMaintenance(writer.journal, max_age=1800, max_bytes=0).run_once(clocks.monitor.removal_time())
    assert len(messages(writer.path)) < 10


def test_exporter_loses_nothing_while_the_clock_is_wrong(own_daemon: Daemon, tmp_path: Path) -> None:
    """The connection is lost and the exporter is killed while the clock is ahead; then it jumps back."""
    journal, clock = tmp_path / "journal.sqlite", SteppedClock(tmp_path / "clock")
    environment = {**clock.environment, "OTEL_EXPORTER_OTLP_ENDPOINT": UNREACHABLE_ENDPOINT}
    began = time.monotonic()
    with ExporterWithJournal(tmp_path, [own_daemon.test_uri], journal, environment=environment) as exporter:

        def is_up() -> bool:
            return exporter.value(UP) == 1

        def cycle(name: str) -> None:
            """Define the domain first: the test driver loses its domains when the daemon is killed."""
            with Driver(own_daemon) as driver:
                driver.define(name)
                driver.cycle(name)
            exporter.wait_until(lambda: has_cycled(name), what=name)

        def has_cycled(name: str) -> bool:
            return exporter.lifecycle_counts(name)["stopped", "destroyed"] == 1

        cycle("before")
        assert exporter.figure(JUMPS) == 0
        clock.step_to(40 * DAY)
        exporter.wait_until(lambda: exporter.figure(JUMPS) == 1, what="the jump ahead")
        cycle("ahead")
        own_daemon.kill()
        exporter.wait_until(lambda: not is_up(), what="the connection to be lost")
        own_daemon.start()
        exporter.wait_until(is_up, what="the connection to be back")
        exporter.kill()
        exporter.again()
        assert exporter.figure(JUMPS) == 0, "counted before the restart"
        cycle("restarted")
        clock.step_to(0)
        exporter.wait_until(lambda: exporter.figure(JUMPS) == 1, what="the jump back")
        cycle("back")
        assert all(has_cycled(name) for name in ("before", "ahead", "restarted", "back"))
        assert exporter.figure(EVENTS) >= 4 * 5
        assert pending(journal)[1] == exporter.figure(EVENTS)
        assert 0 < exporter.figure(UNOBSERVED) < time.monotonic() - began
        assert exporter.log_count("wall clock jumped") == 2
