"""Guests that hang while their emulators answer: detected by watchdog, guest agent and virtual CPUs."""

import time
from collections.abc import Iterator

import pytest

from tests.lab.daemon import Daemon, short_root
from tests.lab.domain_xml import Hardware
from tests.lab.exporter import Exporter
from tests.lab.guest_agent_stub import CONSOLE_OVERRIDE, GuestAgentStub
from tests.lab.guests import Guest, Guests
from tests.lab.programs import Programs
from tests.lab.session_daemon import SessionDaemon
from tests.qemu.hang_driver import SHORT_TIMEOUTS, TIMEOUT, HangDriver

WINDOW = 4.0
ALL_SIGNALS = (
    *SHORT_TIMEOUTS,
    *("--hang.vcpu", "--hang.vcpu-window", f"{WINDOW:g}s", "--hang.watchdog-recovery", "1s"),
    *("--hang.guest-agent", "--hang.guest-agent-interval", "500ms", "--hang.guest-agent-timeout", "1s"),
)

RECOVERY_EVENTS = {"reset": "rebooted/reset", "pause": "resumed/unpaused"}
RUNS_ON = ("none", "inject-nmi")
ACTIONS = ("none", "pause", "reset", "poweroff", "shutdown", "inject-nmi", "dump")


@pytest.fixture(scope="module")
def daemon(programs: Programs) -> Iterator[Daemon]:
    with short_root() as root, SessionDaemon(root / "guests", programs) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def driver(daemon: Daemon, guests: Guests) -> Iterator[HangDriver]:
    with Exporter(daemon.root, [daemon.uri], extra_args=ALL_SIGNALS) as exporter:
        driver = HangDriver(daemon, guests, exporter)
        yield driver
        driver.close()


@pytest.mark.parametrize("action", ACTIONS)
def test_expired_watchdog_is_a_hang_with_every_action(driver: HangDriver, action: str) -> None:
    name = f"unfed-{action}"
    driver.boot([name], Guest("watchdog", hardware=Hardware(watchdog=action)))
    driver.exporter.wait_until(lambda: driver.times(name, "hung", "watchdog"), TIMEOUT, "the watchdog")
    if action == "pause":
        assert driver.exporter.value("libvirt_domain_hung", domain=name, signal="watchdog") == 1
        driver.domain(name).resume()
    if action in RECOVERY_EVENTS:
        driver.exporter.wait_until(
            lambda: driver.times(name, "recovered", "watchdog"), TIMEOUT, "the recovery"
        )
        assert name not in driver.hung("watchdog")
        event, reason = RECOVERY_EVENTS[action].split("/")
        (recovery, *_) = [
            row.at for row in driver.exporter.journal.rows(name) if (row.event, row.reason) == (event, reason)
        ]
        assert driver.times(name, "recovered", "watchdog")[0] - recovery >= 1
    if action in RUNS_ON:
        assert name in driver.hung("watchdog")
    if action == "poweroff":
        driver.exporter.wait_until(lambda: driver.exporter.lifecycle_counts(name)["stopped", "hung"], TIMEOUT)
    else:
        driver.domain(name).destroy()
        driver.exporter.wait_until(lambda: name not in driver.hung("watchdog"), TIMEOUT)
    (incident,) = driver.exporter.journal.incidents(name)
    assert incident.kind == "hung"
    assert len(driver.times(name, "hung", "watchdog")) == 1


def test_only_a_halted_guest_is_hung_by_vcpu(driver: HangDriver) -> None:
    driver.boot(["dead"], Guest("hang"))
    driver.boot(["idle"])
    driver.boot(["busy"], Guest("spin"))
    began = time.monotonic()
    driver.wait_hung(["dead"], "vcpu")
    print(f"\na window of {WINDOW:g} s: found {time.monotonic() - began:.1f} s after it had been booted")
    driver.wait_probes("vcpu", rounds=6)
    assert driver.hung("vcpu") == {"dead"}
    for name in ("idle", "busy"):
        assert not driver.times(name, "hung", "vcpu")
        assert not driver.times(name, "hung")
    driver.domain("dead").reset()
    for name in ("idle", "busy", "dead"):
        driver.domain(name).destroy()
    driver.wait_hung([], "vcpu")


def test_agent_that_stops_answering_is_hung_and_recovers(driver: HangDriver) -> None:
    """A disconnected agent and a domain without an agent are no hangs meanwhile."""
    folder = driver.guests.folder
    with GuestAgentStub(folder / "agent.sock") as agent:
        channel = Hardware(channel=agent.path, channel_mode="connect", overrides=CONSOLE_OVERRIDE)
        driver.boot(["spoken-for"], Guest(hardware=channel))
        driver.boot(["absent"], Guest(hardware=Hardware(channel=folder / "absent.sock")))
        driver.boot(["without"])
        assert agent.pings.acquire(timeout=TIMEOUT)
        driver.wait_probes("guest_agent")
        assert not driver.hung("guest_agent")
        agent.is_answering.clear()
        driver.wait_hung(["spoken-for"], "guest_agent")
        agent.is_answering.set()
        driver.wait_hung([], "guest_agent")
        assert len(driver.times("spoken-for", "hung", "guest_agent")) == 1
        (message,) = [
            row.message for row in driver.exporter.journal.rows("spoken-for") if row.event == "hung"
        ]
        assert message.startswith("the guest agent did not answer 3 times in ")
        for name in ("absent", "without"):
            assert not driver.times(name, "hung", "guest_agent")
        for name in ("spoken-for", "absent", "without"):
            driver.domain(name).destroy()
