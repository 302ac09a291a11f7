"""What happens on each host of the end-to-end test, and what the pager must be told: this, no more."""

import signal
import time
from collections.abc import Callable
from typing import NamedTuple

from tests.alerts.place import PATIENCE, Place
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
"""As shipped, but in a hurry. The expressions are the same.

A crash is over some 31 s after it began: not when Alertmanager looks at its group (after 10 s, then every
30 s), so that this is told of before what it held back.
"""

Notification = tuple[str, str, frozenset[str]]
"""status, alert, domains"""


class Scene(NamedTuple):
    name: str
    play: Callable[[Place], None]
    notifications: tuple[Notification, ...] = ()
    reason: str = ""
    """The label of the first alert."""


def both(alert: str, *domains: str) -> tuple[Notification, Notification]:
    """It fires, and it is over."""
    return ("firing", alert, frozenset(domains)), ("resolved", alert, frozenset(domains))


def killed(place: Place) -> None:
    """Two at once are one notification. Nobody starts them again, until they are told of as outages."""
    domains = [place.define(name) for name in ("web-1", "web-2")]
    place.runs(2)
    place.killed_at = time.time()
    place.emulators_get(signal.SIGKILL, ("web-1", "web-2"))
    place.hears("resolved", "LibvirtDomainCrashed")
    place.hears("firing", "LibvirtDomainOutage")
    for domain in domains:
        domain.create()
    place.hears("resolved", "LibvirtDomainOutage")


def killed_again(place: Place) -> None:
    """Somebody starts it again before it is scraped, twice: each crash is told of, and nothing else."""
    domain = place.define("web")
    for times in (1, 2):
        place.runs(1)
        place.emulators_get(signal.SIGKILL, ["web"])
        place.starts_again(domain)
        place.hears("resolved", "LibvirtDomainCrashed", times)


def killed_unseen(place: Place) -> None:
    """While the exporter is away; it compares when it is back."""
    domain = place.define("web")
    place.runs(1)
    place.exporter.kill()
    place.emulators_get(signal.SIGKILL, ["web"])
    place.exporter.again()
    place.hears("firing", "LibvirtDomainCrashed")
    place.starts_again(domain)
    place.hears("resolved", "LibvirtDomainCrashed")


def panicked(place: Place) -> None:
    place.boot("linux", Guest("panic", hardware=Hardware(panic=True, on_crash="destroy")))
    place.hears("resolved", "LibvirtDomainCrashed")


def hung(place: Place) -> None:
    place.boot("stuck")
    place.boot("well")
    place.runs(2)
    place.emulators_get(signal.SIGSTOP, ["stuck"])
    try:
        place.hears("firing", "LibvirtDomainHung")
    finally:
        place.emulators_get(signal.SIGCONT, ["stuck"])
    place.hears("resolved", "LibvirtDomainHung")


def out_of_space(place: Place) -> None:
    domain = place.boot("db", Guest("write", hardware=place.full_disk()))
    place.hears("firing", "LibvirtDomainPausedOnIOError")
    domain.destroy()
    place.hears("resolved", "LibvirtDomainPausedOnIOError")


def unfed(place: Place) -> None:
    """Its watchdog pauses it; that it stays paused is known as well, and held back."""
    domain = place.boot("dog", Guest("watchdog", hardware=Hardware(watchdog="pause")))
    until(lambda: place.held_back("LibvirtDomainStuckPaused"), 60, "LibvirtDomainStuckPaused to be held back")
    place.hears("firing", "LibvirtDomainWatchdogFired")
    domain.destroy()
    place.hears("resolved", "LibvirtDomainWatchdogFired")


def libvirtd_down(place: Place) -> None:
    place.boot("web")
    place.runs(1)
    place.daemon.stop()
    try:
        place.hears("firing", "LibvirtConnectionDown")
    finally:
        place.daemon.start()
    place.hears("resolved", "LibvirtConnectionDown")


def exporter_down(place: Place) -> None:
    place.boot("web")
    place.runs(1)
    place.exporter.stop()
    try:
        place.hears("firing", "LibvirtExporterDown")
    finally:
        place.exporter.start()
    place.hears("resolved", "LibvirtExporterDown")


def host_away(place: Place) -> None:
    """A domain stands still, and its host is not heard of for a while, which is no recovery."""
    domain = place.boot("db", Guest("write", hardware=place.full_disk()))
    place.hears("firing", "LibvirtDomainPausedOnIOError")
    place.exporter.stop()
    try:
        place.hears("firing", "LibvirtExporterDown")
        until(lambda: not place.is_active("LibvirtDomainPausedOnIOError"), PATIENCE, "its series to be gone")
    finally:
        place.exporter.start()
    place.hears("resolved", "LibvirtExporterDown")
    until(lambda: place.is_active("LibvirtDomainPausedOnIOError"), PATIENCE, "it to be seen again")
    domain.destroy()
    place.hears("resolved", "LibvirtDomainPausedOnIOError")


def burst(place: Place) -> None:
    """Three at once: the host's trouble, told of once."""
    names = ("web-1", "web-2", "web-3")
    for name in names:
        place.boot(name)
    place.runs(3)
    place.emulators_get(signal.SIGKILL, names)
    until(lambda: place.held_back("LibvirtDomainCrashed"), 60, "LibvirtDomainCrashed to be held back")
    place.hears("firing", "LibvirtHostCrashBurst")
    place.hears("resolved", "LibvirtHostCrashBurst")


def powers_off(place: Place) -> None:
    place.boot("laptop", Guest("poweroff"))
    place.exporter.wait_until(lambda: place.exporter.lifecycle_counts("laptop")["stopped", "shutdown"])


def host_shuts_down(place: Place) -> None:
    """Ten guests: half of them are asked to, as libvirt-guests does, half end with the host's processes."""
    asked = [place.boot(f"asked-{number}", Guest("powerbutton")) for number in range(5)]
    ended = [f"ended-{number}" for number in range(5)]
    for name in ended:
        place.boot(name)
    place.runs(10)
    until(
        lambda: all("G" in place.guests.serial_output(f"asked-{number}") for number in range(5)),
        60,
        "the guests' boot",
    )
    for domain in asked:
        domain.shutdown()
    place.emulators_get(signal.SIGTERM, ended)
    place.runs(0)
    place.exporter.wait_until(
        lambda: all(place.exporter.lifecycle_counts(name)["stopped", "quit"] for name in ended)
    )


SCENES = (
    Scene(
        "killed",
        killed,
        (*both("LibvirtDomainCrashed", "web-1", "web-2"), *both("LibvirtDomainOutage", "web-1", "web-2")),
        reason="crashed",
    ),
    Scene("killed-again", killed_again, 2 * both("LibvirtDomainCrashed", "web"), reason="crashed"),
    Scene("killed-unseen", killed_unseen, both("LibvirtDomainCrashed", "web"), reason="crashed"),
    Scene("panicked", panicked, both("LibvirtDomainCrashed", "linux"), reason="panicked"),
    Scene("hung", hung, both("LibvirtDomainHung", "stuck")),
    Scene("out-of-space", out_of_space, both("LibvirtDomainPausedOnIOError", "db"), reason="ioerror"),
    Scene("unfed", unfed, both("LibvirtDomainWatchdogFired", "dog"), reason="pause"),
    Scene("libvirtd-down", libvirtd_down, both("LibvirtConnectionDown")),
    Scene("exporter-down", exporter_down, both("LibvirtExporterDown")),
    Scene(
        "host-away",
        host_away,
        (
            ("firing", "LibvirtDomainPausedOnIOError", frozenset({"db"})),
            *both("LibvirtExporterDown"),
            ("resolved", "LibvirtDomainPausedOnIOError", frozenset({"db"})),
        ),
    ),
    Scene("burst", burst, both("LibvirtHostCrashBurst")),
    Scene("powers-off", powers_off),
    Scene("host-shuts-down", host_shuts_down),
)
