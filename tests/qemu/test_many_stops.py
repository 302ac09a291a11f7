"""All guests of a host stop at once: each stop has its own reason."""

import os
import signal
from contextlib import closing

import pytest

from tests.lab.daemon import Daemon
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guest, Guests
from tests.lab.waiting import until

SHUT_DOWN = [f"shut-down-{number}" for number in range(5)]
TERMINATED = [f"terminated-{number}" for number in range(5)]
TIMEOUT = 120.0


@pytest.mark.timeout(300)
def test_ten_simultaneous_stops_have_their_reasons(
    session_daemon: Daemon, recorder: EventRecorder, exporter: Exporter, guests: Guests
) -> None:
    with closing(session_daemon.connect()) as connection:
        shut_down = [connection.createXML(guests.xml(name, Guest("powerbutton"))) for name in SHUT_DOWN]
        for name in TERMINATED:
            connection.createXML(guests.xml(name, IDLE))
        until(
            lambda: all("G" in guests.serial_output(name) for name in SHUT_DOWN), TIMEOUT, "the guests' boot"
        )
        for domain in shut_down:
            domain.shutdown()
        del shut_down, domain
        for name in TERMINATED:
            os.kill(session_daemon.emulator_pid(name), signal.SIGTERM)
        for name in (*SHUT_DOWN, *TERMINATED):
            recorder.wait_for(name, "stopped", "shutdown", timeout=TIMEOUT)
    marker = recorder.settle()
    exporter.wait_until(lambda: exporter.lifecycle_counts(marker)["undefined", "removed"], TIMEOUT)
    for name in (*SHUT_DOWN, *TERMINATED):
        source, reason = ("guest", "shutdown") if name in SHUT_DOWN else ("host", "quit")
        rows = [(row.event, row.reason, row.source) for row in exporter.journal.rows(name)]
        assert rows[-2:] == [("shutdown", source, "callback"), ("stopped", reason, "callback")]
        assert exporter.lifecycle_counts(name)["stopped", reason] == 1
