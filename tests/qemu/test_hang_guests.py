"""Guests that hang while their emulators are well: found by watchdog, agent and virtual CPUs."""

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
from tests.qemu.ward import IMPATIENT, PATIENCE, Ward

WINDOW = 4.0
ATTENTIVE = (
    *IMPATIENT,
    *("--hang.vcpu", "--hang.vcpu-window", f"{WINDOW:g}s", "--hang.watchdog-recovery", "1s"),
    *("--hang.guest-agent", "--hang.guest-agent-interval", "500ms", "--hang.guest-agent-timeout", "1s"),
)

CURED = {"reset": "rebooted/reset", "pause": "resumed/unpaused"}
RUNS_ON = ("none", "inject-nmi")
ACTIONS = ("none", "pause", "reset", "poweroff", "shutdown", "inject-nmi", "dump")


@pytest.fixture(scope="module")
def daemon(programs: Programs) -> Iterator[Daemon]:
    with short_root() as root, SessionDaemon(root / "guests", programs) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def ward(daemon: Daemon, guests: Guests) -> Iterator[Ward]:
    with Exporter(daemon.root, [daemon.uri], extra_args=ATTENTIVE) as exporter:
        ward = Ward(daemon, guests, exporter)
        yield ward
        ward.close()


@pytest.mark.parametrize("action", ACTIONS)
def test_expired_watchdog_is_a_hang_with_every_action(ward: Ward, action: str) -> None:
    name = f"unfed-{action}"
    ward.boot([name], Guest("watchdog", hardware=Hardware(watchdog=action)))
    ward.exporter.wait_until(lambda: ward.times(name, "hung", "watchdog"), PATIENCE, "the watchdog")
    if action == "pause":
        assert ward.exporter.value("libvirt_domain_hung", domain=name, signal="watchdog") == 1
        ward.domain(name).resume()
    if action in CURED:
        ward.exporter.wait_until(lambda: ward.times(name, "recovered", "watchdog"), PATIENCE, "the cure")
        assert name not in ward.hung("watchdog")
        event, reason = CURED[action].split("/")
        (cure, *_) = [
            row.at for row in ward.exporter.journal.rows(name) if (row.event, row.reason) == (event, reason)
        ]
        assert ward.times(name, "recovered", "watchdog")[0] - cure >= 1
    if action in RUNS_ON:
        assert name in ward.hung("watchdog")
    if action == "poweroff":
        ward.exporter.wait_until(lambda: ward.exporter.lifecycle_counts(name)["stopped", "hung"], PATIENCE)
    else:
        ward.domain(name).destroy()
        ward.exporter.wait_until(lambda: name not in ward.hung("watchdog"), PATIENCE)
    (incident,) = ward.exporter.journal.incidents(name)
    assert incident.kind == "hung"
    assert len(ward.times(name, "hung", "watchdog")) == 1


def test_only_a_halted_guest_is_hung_by_vcpu(ward: Ward) -> None:
    ward.boot(["dead"], Guest("hang"))
    ward.boot(["idle"])
    ward.boot(["busy"], Guest("spin"))
    began = time.monotonic()
    ward.waits_until_hung(["dead"], "vcpu")
    print(f"\na window of {WINDOW:g} s: found {time.monotonic() - began:.1f} s after it had been booted")
    ward.probes_once_more("vcpu", rounds=6)
    assert ward.hung("vcpu") == {"dead"}
    for name in ("idle", "busy"):
        assert not ward.times(name, "hung", "vcpu")
        assert not ward.times(name, "hung")
    ward.domain("dead").reset()
    for name in ("idle", "busy", "dead"):
        ward.domain(name).destroy()
    ward.waits_until_hung([], "vcpu")


def test_agent_that_stops_answering_is_hung_and_recovers(ward: Ward) -> None:
    """One that is not connected, and none at all, are no hangs meanwhile."""
    folder = ward.guests.folder
    with GuestAgentStub(folder / "agent.sock") as agent:
        channel = Hardware(channel=agent.path, channel_mode="connect", overrides=CONSOLE_OVERRIDE)
        ward.boot(["spoken-for"], Guest(hardware=channel))
        ward.boot(["absent"], Guest(hardware=Hardware(channel=folder / "absent.sock")))
        ward.boot(["without"])
        assert agent.pings.acquire(timeout=PATIENCE)
        ward.probes_once_more("guest_agent")
        assert not ward.hung("guest_agent")
        agent.is_answering.clear()
        ward.waits_until_hung(["spoken-for"], "guest_agent")
        agent.is_answering.set()
        ward.waits_until_hung([], "guest_agent")
        assert len(ward.times("spoken-for", "hung", "guest_agent")) == 1
        (message,) = [row.message for row in ward.exporter.journal.rows("spoken-for") if row.event == "hung"]
        assert message.startswith("its guest agent has not answered 3 times in ")
        for name in ("absent", "without"):
            assert not ward.times(name, "hung", "guest_agent")
        for name in ("spoken-for", "absent", "without"):
            ward.domain(name).destroy()
