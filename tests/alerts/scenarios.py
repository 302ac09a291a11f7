"""The scenarios of the end-to-end test, one per host, and the exact notifications that each must cause."""

import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from tests.alerts.alert_host import TIMEOUT, AlertHost
from tests.lab.domain_xml import Hardware
from tests.lab.guests import Guest
from tests.lab.waiting import until

THRESHOLDS = """
[scope]
keep = "10s"
unhurried = "1s"
[LibvirtDomainCrashed]
within = "20s"
same = "5s"
[LibvirtDomainWatchdogFired]
within = "60s"
[LibvirtDomainStuckPaused]
unwanted = "2s"
[LibvirtDomainOutage]
after = "5s"
[LibvirtHostCrashBurst]
within = "45s"
[LibvirtFleetCrashRateHigh]
hosts = 100
[LibvirtConnectionDown]
for = "2s"
[LibvirtExporterDown]
for = "8s"
"""
"""Short thresholds; the expressions are the same as by default.

A crash resolves about 31 s after it began: not at the time when Alertmanager flushes its group (after 10 s,
then every 30 s). The pager receives this before the alerts that the crash has inhibited.
"""

Notification = tuple[str, str, frozenset[str]]
"""Status, alert, domains."""


class Scenario(NamedTuple):
    name: str
    run: Callable[[AlertHost], None]
    notifications: tuple[Notification, ...] = ()
    reason: str = ""
    """The expected label `reason` of the first alert."""


def firing_and_resolved(alert: str, *domains: str) -> tuple[Notification, Notification]:
    """Return the two notifications of an alert that fires and resolves."""
    return ("firing", alert, frozenset(domains)), ("resolved", alert, frozenset(domains))


def kill_two(host: AlertHost) -> None:
    """Kill two domains at once: one notification. They are started again only after the outage alert."""
    domains = [host.define(name) for name in ("web-1", "web-2")]
    host.wait_running(2)
    host.killed_at = time.time()
    host.signal_emulators(signal.SIGKILL, ("web-1", "web-2"))
    host.wait_notified("resolved", "LibvirtDomainCrashed")
    host.wait_notified("firing", "LibvirtDomainOutage")
    for domain in domains:
        domain.create()
    host.wait_notified("resolved", "LibvirtDomainOutage")


def kill_repeatedly(host: AlertHost) -> None:
    """Kill and restart a domain between two scrapes, twice: one notification per crash, no others."""
    domain = host.define("web")
    for times in (1, 2):
        host.wait_running(1)
        host.signal_emulators(signal.SIGKILL, ["web"])
        host.restart(domain)
        host.wait_notified("resolved", "LibvirtDomainCrashed", times)


def kill_while_exporter_is_down(host: AlertHost) -> None:
    """Kill a domain while the exporter is down; the exporter infers the crash after its start."""
    domain = host.define("web")
    host.wait_running(1)
    host.exporter.kill()
    host.signal_emulators(signal.SIGKILL, ["web"])
    host.exporter.again()
    host.wait_notified("firing", "LibvirtDomainCrashed")
    host.restart(domain)
    host.wait_notified("resolved", "LibvirtDomainCrashed")


def panic(host: AlertHost) -> None:
    host.boot("linux", Guest("panic", hardware=Hardware(panic=True, on_crash="destroy")))
    host.wait_notified("resolved", "LibvirtDomainCrashed")


def stop_emulator(host: AlertHost) -> None:
    host.boot("stuck")
    host.boot("healthy")
    host.wait_running(2)
    host.signal_emulators(signal.SIGSTOP, ["stuck"])
    try:
        host.wait_notified("firing", "LibvirtDomainHung")
    finally:
        host.signal_emulators(signal.SIGCONT, ["stuck"])
    host.wait_notified("resolved", "LibvirtDomainHung")


def fill_disk(host: AlertHost) -> None:
    domain = host.boot("db", Guest("write", hardware=host.full_disk()))
    host.wait_notified("firing", "LibvirtDomainPausedOnIOError")
    domain.destroy()
    host.wait_notified("resolved", "LibvirtDomainPausedOnIOError")


def expire_watchdog(host: AlertHost) -> None:
    """Let a watchdog pause the domain; the alert about the long pause is inhibited."""
    domain = host.boot("dog", Guest("watchdog", hardware=Hardware(watchdog="pause")))
    until(
        lambda: host.is_inhibited("LibvirtDomainStuckPaused"), 60, "LibvirtDomainStuckPaused to be inhibited"
    )
    host.wait_notified("firing", "LibvirtDomainWatchdogFired")
    domain.destroy()
    host.wait_notified("resolved", "LibvirtDomainWatchdogFired")


def stop_libvirtd(host: AlertHost) -> None:
    host.boot("web")
    host.wait_running(1)
    host.daemon.stop()
    try:
        host.wait_notified("firing", "LibvirtConnectionDown")
    finally:
        host.daemon.start()
    host.wait_notified("resolved", "LibvirtConnectionDown")


def stop_exporter(host: AlertHost) -> None:
    host.boot("web")
    host.wait_running(1)
    host.exporter.stop()
    try:
        host.wait_notified("firing", "LibvirtExporterDown")
    finally:
        host.exporter.start()
    host.wait_notified("resolved", "LibvirtExporterDown")


def stop_exporter_during_incident(host: AlertHost) -> None:
    """Stop the exporter while a domain is paused by an I/O error: this must not look like a recovery."""
    domain = host.boot("db", Guest("write", hardware=host.full_disk()))
    host.wait_notified("firing", "LibvirtDomainPausedOnIOError")
    host.exporter.stop()
    try:
        host.wait_notified("firing", "LibvirtExporterDown")
        until(lambda: not host.is_active("LibvirtDomainPausedOnIOError"), TIMEOUT, "the series to disappear")
    finally:
        host.exporter.start()
    host.wait_notified("resolved", "LibvirtExporterDown")
    until(lambda: host.is_active("LibvirtDomainPausedOnIOError"), TIMEOUT, "the alert to be active again")
    domain.destroy()
    host.wait_notified("resolved", "LibvirtDomainPausedOnIOError")


def kill_three(host: AlertHost) -> None:
    """Kill three domains at once: one notification about the host."""
    names = ("web-1", "web-2", "web-3")
    for name in names:
        host.boot(name)
    host.wait_running(3)
    host.signal_emulators(signal.SIGKILL, names)
    until(lambda: host.is_inhibited("LibvirtDomainCrashed"), 60, "LibvirtDomainCrashed to be inhibited")
    host.wait_notified("firing", "LibvirtHostCrashBurst")
    host.wait_notified("resolved", "LibvirtHostCrashBurst")


def power_off(host: AlertHost) -> None:
    host.boot("laptop", Guest("poweroff"))
    host.exporter.wait_until(lambda: host.exporter.lifecycle_counts("laptop")["stopped", "shutdown"])


def shut_host_down(host: AlertHost) -> None:
    """Shut down ten guests: half by request, as libvirt-guests does, half by SIGTERM to their emulators."""
    requested = [host.boot(f"requested-{number}", Guest("powerbutton")) for number in range(5)]
    terminated = [f"terminated-{number}" for number in range(5)]
    for name in terminated:
        host.boot(name)
    host.wait_running(10)
    until(
        lambda: all("G" in host.guests.serial_output(f"requested-{number}") for number in range(5)),
        60,
        "the guests' boot",
    )
    for domain in requested:
        domain.shutdown()
    host.signal_emulators(signal.SIGTERM, terminated)
    host.wait_running(0)
    host.exporter.wait_until(
        lambda: all(host.exporter.lifecycle_counts(name)["stopped", "quit"] for name in terminated)
    )


SCENARIOS = (
    Scenario(
        "killed",
        kill_two,
        (
            *firing_and_resolved("LibvirtDomainCrashed", "web-1", "web-2"),
            *firing_and_resolved("LibvirtDomainOutage", "web-1", "web-2"),
        ),
        reason="crashed",
    ),
    Scenario(
        "killed-again",
        kill_repeatedly,
        2 * firing_and_resolved("LibvirtDomainCrashed", "web"),
        reason="crashed",
    ),
    Scenario(
        "killed-unseen",
        kill_while_exporter_is_down,
        firing_and_resolved("LibvirtDomainCrashed", "web"),
        reason="crashed",
    ),
    Scenario("panicked", panic, firing_and_resolved("LibvirtDomainCrashed", "linux"), reason="panicked"),
    Scenario("hung", stop_emulator, firing_and_resolved("LibvirtDomainHung", "stuck")),
    Scenario(
        "out-of-space", fill_disk, firing_and_resolved("LibvirtDomainPausedOnIOError", "db"), reason="ioerror"
    ),
    Scenario(
        "watchdog", expire_watchdog, firing_and_resolved("LibvirtDomainWatchdogFired", "dog"), reason="pause"
    ),
    Scenario("libvirtd-down", stop_libvirtd, firing_and_resolved("LibvirtConnectionDown")),
    Scenario("exporter-down", stop_exporter, firing_and_resolved("LibvirtExporterDown")),
    Scenario(
        "host-away",
        stop_exporter_during_incident,
        (
            ("firing", "LibvirtDomainPausedOnIOError", frozenset({"db"})),
            *firing_and_resolved("LibvirtExporterDown"),
            ("resolved", "LibvirtDomainPausedOnIOError", frozenset({"db"})),
        ),
    ),
    Scenario("burst", kill_three, firing_and_resolved("LibvirtHostCrashBurst")),
    Scenario("powers-off", power_off),
    Scenario("host-shuts-down", shut_host_down),
)
