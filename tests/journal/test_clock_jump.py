"""A wall clock that is 40 days ahead for some seconds deletes no history and adds no unobserved time."""

from pathlib import Path

from libvirt_lifecycle_exporter.clock import ClockMonitor
from libvirt_lifecycle_exporter.effects import Effects
from libvirt_lifecycle_exporter.sinks.prometheus import PrometheusSink
from libvirt_lifecycle_exporter.transition import LinkDown, LinkUp
from libvirt_lifecycle_exporter.watches import LONGEST_UNPROVEN, Watches
from tests.journal.guest import Guest
from tests.journal.mortal import EVENTS, Mortal
from tests.lab.daemon import Daemon
from tests.unit.seen import HERE
from tests.unit.test_clock import Clocks

DAY = 86_400.0
JUMPS = "libvirt_lifecycle_exporter_clock_jumps_total"
UNOBSERVED = "libvirt_connection_unobserved_seconds_total"
LIBRARY = "/usr/$LIB/faketime/libfaketimeMT.so.1"


def watches(monitor: ClockMonitor) -> Watches:
    return Watches(
        [HERE], PrometheusSink((HERE,), series_limit=10, series_ttl=900, signals=()), monitor=monitor
    )


def unobserved(effects: Effects) -> float:
    return effects.totals[HERE, "unobserved", "", ""]


def test_jump_adds_no_unobserved_time() -> None:
    clocks, effects = Clocks(), Effects()
    watched = watches(clocks.monitor)
    watched.found(LinkUp(clocks.wall, HERE), effects)
    watched.listed(HERE, clocks.wall, effects)
    clocks.wait(60)
    watched.lost(LinkDown(clocks.wall, HERE, "lost"), effects)
    clocks.wait(10)
    clocks.wall += 40 * DAY
    watched.found(LinkUp(clocks.wall, HERE), effects)
    assert 9 <= unobserved(effects) <= 11


def test_unobserved_time_across_a_restart_is_bounded() -> None:
    clocks, effects = Clocks(), Effects()
    watched = watches(clocks.monitor)
    watched.restore({HERE: clocks.wall - 40 * DAY})
    watched.found(LinkUp(clocks.wall, HERE), effects)
    assert unobserved(effects) == LONGEST_UNPROVEN


def test_exporter_keeps_history_when_the_clock_jumps(
    session_daemon: Daemon, guest: Guest, tmp_path: Path
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0\n")
    environment = {
        "LD_PRELOAD": LIBRARY,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }
    with Mortal(
        tmp_path, [session_daemon.test_uri], tmp_path / "journal.sqlite", environment=environment
    ) as exporter:
        guest.cycle(exporter)
        before = exporter.figure(EVENTS)
        assert exporter.figure(JUMPS) == 0
        offset.write_text("+40d\n")
        exporter.wait_until(lambda: exporter.figure(JUMPS) == 1, what="the jump ahead")
        guest.cycle(exporter)
        offset.write_text("+0\n")
        exporter.wait_until(lambda: exporter.figure(JUMPS) == 2, what="the jump back")
        assert exporter.figure(EVENTS) >= before + 4
        assert exporter.figure(UNOBSERVED) < DAY
        assert exporter.said("wall clock jumped") == 2
