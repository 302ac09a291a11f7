"""Emulators stopped by SIGSTOP are reported as hung once, and no other domain is.

Times are printed; the asserted limits are generous, because the machine may be busy.
"""

import os
import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from tests.lab.daemon import Daemon, short_root
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.guests import Guests
from tests.lab.programs import Programs
from tests.lab.session_daemon import SessionDaemon
from tests.lab.waiting import until
from tests.qemu.hang_driver import (
    DETECTION_LIMIT,
    SHORT_TIMEOUTS,
    TIMEOUT,
    HangDriver,
    resident_kib,
    sockets,
    threads,
)

GUESTS = [f"guest-{number}" for number in range(20)]
BUSY_MARGIN = 4.0
"""Additional seconds for a busy machine."""
ROUNDS = 9 * int(os.environ.get("LAB_HANG_RUNS", "1"))
ATTEMPTS = 5
"""A probe may be due between the hang and the call of the other client."""
MAX_MORE_SOCKETS = 12 + 4 + 2
"""Connections in addition to those at rest: probes, controlInfo, and connections that are being closed."""


@pytest.fixture(scope="module")
def driver(guests: Guests, programs: Programs) -> Iterator[HangDriver]:
    """20 guests."""
    with (
        short_root() as root,
        SessionDaemon(root / "driver", programs) as daemon,
        Exporter(root, [daemon.uri], extra_args=SHORT_TIMEOUTS) as exporter,
    ):
        driver = HangDriver(daemon, guests, exporter)
        driver.boot(GUESTS)
        yield driver
        driver.close()


@pytest.fixture
def two_guests(own_daemon: Daemon, guests: Guests) -> Iterator[HangDriver]:
    """Two guests, and a daemon that the test may stop and kill."""
    with Exporter(own_daemon.root, [own_daemon.uri], extra_args=SHORT_TIMEOUTS) as exporter:
        driver = HangDriver(own_daemon, guests, exporter)
        driver.boot(["stuck", "others"])
        yield driver
        driver.close()


@pytest.mark.parametrize("count", [1, 4, 12])
def test_only_stuck_emulators_are_hung_and_they_recover(driver: HangDriver, count: int) -> None:
    stuck, others = GUESTS[:count], GUESTS[count:]
    driver.wait_probes()
    before = {name: len(driver.times(name, "hung")) for name in GUESTS}
    usual = latencies(driver, GUESTS[-1])
    frozen = driver.freeze(*stuck)
    try:
        driver.wait_hung(stuck)
        found = [driver.times(name, "hung")[-1] - frozen for name in stuck]
        meanwhile = latencies(driver, GUESTS[-1])
        assert driver.hung() == set(stuck)
        most = threads(driver.exporter.pid), sockets(driver.exporter.pid)
    finally:
        thawed = driver.thaw(*stuck)
    driver.wait_hung([])
    recovered = [driver.times(name, "recovered")[-1] - thawed for name in stuck]
    print(
        f"\n{count} of {len(GUESTS)} stuck: found after {statistics.median(found):.2f} s (median), "
        f"{max(found):.2f} s (most), promised {DETECTION_LIMIT:g} s; recovered after "
        f"{max(recovered):.2f} s (most); "
        f"an event of another is shown after {statistics.median(meanwhile) * 1000:.0f} ms, "
        f"usually {statistics.median(usual) * 1000:.0f} ms; threads and sockets {most}"
    )
    assert max(found) < DETECTION_LIMIT + BUSY_MARGIN
    for name in stuck:
        assert len(driver.times(name, "hung")) == before[name] + 1
        messages = [row.message for row in driver.exporter.journal.rows(name) if row.event == "hung"]
        assert "waiting client: this exporter's probe" in messages[-1]
    for name in others:
        assert len(driver.times(name, "hung")) == before[name], f"{name} was never stuck"
    for name in stuck:
        assert [one.kind for one in driver.exporter.journal.incidents(name)] == ["hung"] * (before[name] + 1)
    assert statistics.median(meanwhile) < statistics.median(usual) + 0.5, "events are not delayed"


def latencies(driver: HangDriver, name: str) -> list[float]:
    """Return the seconds from a pause or resume to the page that counts it."""
    took, domain = [], driver.domain(name)
    for act, pair in (
        (domain.suspend, ("suspended", "paused")),
        (domain.resume, ("resumed", "unpaused")),
    ) * 3:
        before = driver.exporter.lifecycle_counts(name)[pair]
        began = time.monotonic()
        act()
        driver.exporter.wait_until(
            lambda pair=pair, before=before: driver.exporter.lifecycle_counts(name)[pair] > before  # type: ignore[misc]
        )
        took.append(time.monotonic() - began)
    return took


def test_threads_connections_and_memory_are_released(driver: HangDriver) -> None:
    """More than a hundred hangs with short probe intervals."""
    short_intervals = ("--hang.emulator-interval", "200ms", "--hang.emulator-threshold", "200ms")
    stuck = GUESTS[:12]
    with short_root() as root, Exporter(root, [driver.daemon.uri], extra_args=short_intervals) as exporter:
        fast_driver = HangDriver(driver.daemon, driver.guests, exporter)
        fast_driver.wait_probes()
        at_rest = threads(exporter.pid), sockets(exporter.pid)
        began = most = 0
        for number in range(ROUNDS):
            fast_driver.freeze(*stuck)
            try:
                fast_driver.wait_hung(stuck)
                most = max(most, sockets(exporter.pid))
            finally:
                fast_driver.thaw(*stuck)
            fast_driver.wait_hung([])
            if not number:
                began = resident_kib(exporter.pid)
        fast_driver.wait_probes()
        until(lambda: threads(exporter.pid) <= at_rest[0] + 2, TIMEOUT, "the threads to be as many as before")
        until(lambda: sockets(exporter.pid) <= at_rest[1] + 2, TIMEOUT, "the connections to be as before")
        grown = resident_kib(exporter.pid) - began
        print(
            f"\n{ROUNDS * len(stuck)} hangs: {grown} KiB more; threads {at_rest[0]}, then "
            f"{threads(exporter.pid)}; sockets {at_rest[1]}, at most {most}, then {sockets(exporter.pid)}"
        )
        assert grown < 8 * 1024
        assert most <= at_rest[1] + MAX_MORE_SOCKETS
        assert exporter.value(
            "libvirt_connection_lifecycle_events_total", event="recovered", reason="emulator"
        ) == (ROUNDS * len(stuck))
        fast_driver.close()


def test_destroyed_hung_domain_is_counted_as_stopped_hung(two_guests: HangDriver) -> None:
    two_guests.freeze("stuck")
    two_guests.wait_hung(["stuck"])
    two_guests.domain("stuck").destroy()
    two_guests.exporter.wait_until(
        lambda: two_guests.exporter.lifecycle_counts("stuck")["stopped", "hung"], TIMEOUT
    )
    assert two_guests.hung() == set()
    assert [one.kind for one in two_guests.exporter.journal.incidents("stuck")] == ["hung"]
    (stop,) = [row for row in two_guests.exporter.journal.rows("stuck") if row.event == "stopped"]
    assert stop.detail == "destroyed"
    assert not two_guests.exporter.lifecycle_counts("others")["hung", "emulator"]


def test_frozen_daemon_is_no_hang_of_its_guests(two_guests: HangDriver) -> None:
    two_guests.wait_probes()
    two_guests.daemon.freeze()
    try:
        two_guests.exporter.wait_until(
            lambda: two_guests.exporter.value("libvirt_connection_up") == 0, TIMEOUT
        )
        assert two_guests.hung() == set()
    finally:
        two_guests.daemon.thaw()
    two_guests.exporter.wait_until(lambda: two_guests.exporter.value("libvirt_connection_up") == 1, TIMEOUT)
    two_guests.wait_probes(rounds=3)
    for name in ("stuck", "others"):
        assert not two_guests.times(name, "hung")
    two_guests.freeze("stuck")
    two_guests.wait_hung(["stuck"])
    two_guests.thaw("stuck")
    two_guests.wait_hung([])


def test_daemon_restart_counts_no_second_hang(two_guests: HangDriver) -> None:
    """By SIGKILL: on SIGTERM libvirtd waits half a minute for the hanging call of any client."""
    two_guests.freeze("stuck")
    two_guests.wait_hung(["stuck"])
    two_guests.close()
    two_guests.daemon.kill()
    two_guests.daemon.start()
    two_guests.exporter.wait_until(
        lambda: (two_guests.exporter.value("libvirt_connection_reconnects_total") or 0) >= 1, TIMEOUT
    )
    two_guests.wait_probes(rounds=3)
    assert two_guests.hung() == {"stuck"}
    two_guests.thaw("stuck")
    two_guests.wait_hung([])
    (incident,) = two_guests.exporter.journal.incidents("stuck")
    assert incident.closed_at is not None
    assert (len(two_guests.times("stuck", "hung")), len(two_guests.times("stuck", "recovered"))) == (1, 1)


def test_exporter_restart_counts_no_second_hang(two_guests: HangDriver) -> None:
    two_guests.freeze("stuck")
    two_guests.wait_hung(["stuck"])
    began = time.monotonic()
    assert two_guests.exporter.stop() == 0
    print(f"\nstopped in {time.monotonic() - began:.2f} s with a probe hanging")
    two_guests.exporter.start()
    two_guests.exporter.wait_ready()
    two_guests.wait_probes(rounds=2)
    assert two_guests.hung() == {"stuck"}
    two_guests.thaw("stuck")
    two_guests.wait_hung([])
    (incident,) = two_guests.exporter.journal.incidents("stuck")
    assert incident.closed_at is not None
    assert (len(two_guests.times("stuck", "hung")), len(two_guests.times("stuck", "recovered"))) == (1, 1)


def test_wait_of_another_client_is_reported(two_guests: HangDriver) -> None:
    """The probe makes no further call; the wait of the other client is evidence enough."""
    for _ in range(ATTEMPTS):
        two_guests.freeze("stuck")
        client = threading.Thread(target=_query_disk, args=(two_guests, "stuck"), daemon=True)
        client.start()
        two_guests.wait_hung(["stuck"])
        two_guests.thaw("stuck")
        two_guests.wait_hung([])
        client.join(TIMEOUT)
        message = [row.message for row in two_guests.exporter.journal.rows("stuck") if row.event == "hung"][
            -1
        ]
        if "waiting client: another client of libvirt" in message:
            return
    raise AssertionError(f"the probe was always first: {message}")


def _query_disk(driver: HangDriver, name: str) -> None:
    connection = driver.daemon.connect()
    connection.lookupByName(name).blockStats("hda")
    connection.close()


def test_driver_without_a_monitor_is_not_probed(session_daemon: Daemon, recorder: EventRecorder) -> None:
    del recorder
    with (
        short_root() as root,
        Exporter(root, [session_daemon.test_uri], extra_args=SHORT_TIMEOUTS) as exporter,
    ):
        until(
            lambda: "hang probe not supported by the driver" in exporter.log_text(),
            TIMEOUT,
            "the log message",
        )
        assert exporter.log_text().count("hang probe not supported by the driver") == 1
        assert exporter.value("libvirt_domain_hung", domain="test", signal="emulator") == 0
