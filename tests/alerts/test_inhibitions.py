"""Which alert holds back which, for every two of them, as a real Alertmanager with the example sees it."""

from collections.abc import Iterator

import pytest

from alerts.generator.domains import DOMAINS
from alerts.generator.hosts import HOSTS
from alerts.generator.rules import ALERTS
from tests.lab.alertmanager import EXAMPLE, Alertmanager
from tests.lab.daemon import short_root

OF_DOMAINS = {alert.name for alert in DOMAINS}
OF_CONNECTIONS = {alert.name for alert in HOSTS} - {"LibvirtFleetCrashRateHigh"}
OF_EXPORTERS = {
    "LibvirtEventsDropped",
    "LibvirtEventLoopStalled",
    "LibvirtJournalFailing",
    "LibvirtTelemetryExportFailing",
    "LibvirtSeriesLimited",
    "LibvirtLabelsConflict",
    "LibvirtWebConfigFailing",
}
BY_A_HANG = {"Outage", "StuckPaused", "StuckShuttingDown"}
OF_ITS_DOMAIN = {
    "CrashLooping": {"Crashed", "Flapping", "Outage"},
    "Crashed": {"Flapping", *BY_A_HANG},
    "Hung": BY_A_HANG,
    "WatchdogFired": BY_A_HANG,
    "PausedOnIOError": {"Hung", "StuckPaused"},
    "PostcopyFailed": {"Hung", "StuckPaused"},
}
HOLDS_BACK = {
    **{
        f"LibvirtDomain{source}": {f"LibvirtDomain{target}" for target in targets}
        for source, targets in OF_ITS_DOMAIN.items()
    },
    "LibvirtExporterDown": OF_DOMAINS | OF_CONNECTIONS | OF_EXPORTERS,
    "LibvirtEventLoopStalled": OF_DOMAINS | OF_CONNECTIONS,
    "LibvirtConnectionDown": OF_DOMAINS | {"LibvirtHostCrashBurst", "LibvirtConnectionFlapping"},
    "LibvirtHostCrashBurst": {
        f"LibvirtDomain{name}" for name in ("Crashed", "CrashLooping", "Outage", "Flapping")
    },
}
EVERY_TWO = {(source, target) for source in ALERTS for target in ALERTS if source != target}


OWN = {
    "LibvirtDomainCrashed": {"event": "stopped", "reason": "crashed"},
    "LibvirtDomainHung": {"signal": "emulator"},
}
PANICKED = {"event": "crashed", "reason": "panicked"}


def labels(alert: str, instance: str, domain: str = "web-1") -> dict[str, str]:
    """Those that the alert has in the rules, as far as inhibition looks at them."""
    if alert == "LibvirtExporterAbsent":
        return {"alertname": alert}
    found = {"alertname": alert, "job": "libvirt-lifecycle"}
    if alert == "LibvirtFleetCrashRateHigh":
        return found
    found["instance"] = instance
    if alert in OF_DOMAINS | OF_CONNECTIONS:
        found["connection"] = "qemu:///system"
    if alert in OF_DOMAINS:
        found["domain"] = domain
    return found | OWN.get(alert, {})


@pytest.fixture(scope="module")
def alertmanager() -> Iterator[Alertmanager]:
    with short_root() as folder, Alertmanager(folder, EXAMPLE.read_text()) as alertmanager:
        yield alertmanager


def held_back(alertmanager: Alertmanager) -> set[tuple[str, str]]:
    return {
        (found["labels"].get("instance", ""), found["labels"]["alertname"])
        for found in alertmanager.alerts()
        if found["status"]["state"] == "suppressed"
    }


def test_every_pair_of_alerts_on_one_host(alertmanager: Alertmanager) -> None:
    """Each pair has a host of its own."""
    hosted = [(source, target) for source, target in EVERY_TWO if "instance" in labels(target, "x")]
    alertmanager.post(
        [labels(alert, f"{source}>{target}") for source, target in hosted for alert in (source, target)]
    )
    expected = {
        (f"{source}>{target}", target) for source, target in hosted if target in HOLDS_BACK.get(source, ())
    }
    # The two of a pair may hold each other back, but for that the pair is there the other way round, too.
    expected |= {
        (f"{source}>{target}", source) for source, target in hosted if source in HOLDS_BACK.get(target, ())
    }
    assert held_back(alertmanager) == expected


def test_panic_inhibits_guest_hangs_but_not_emulator_hangs(
    alertmanager: Alertmanager,
) -> None:
    """A guest that dumps its memory answers nobody; an emulator does, and a killed one runs no more."""
    hung = {"guest_agent": True, "vcpu": True, "emulator": False}
    for signal in hung:
        for how in ({}, PANICKED):
            instance = f"{signal} after {how.get('reason', 'crashed')}"
            alertmanager.post(
                [
                    labels("LibvirtDomainCrashed", instance) | how,
                    labels("LibvirtDomainHung", instance) | {"signal": signal},
                ]
            )
    silent = {instance for instance, alert in held_back(alertmanager) if " after " in instance}
    assert silent == {f"{signal} after panicked" for signal, explained in hung.items() if explained}


def test_other_hosts_and_domains_are_not_inhibited(alertmanager: Alertmanager) -> None:
    before = held_back(alertmanager)
    alertmanager.post(
        [
            *(labels(source, "here") for source in HOLDS_BACK if source not in OF_DOMAINS),
            *(labels(alert, "elsewhere", domain=alert) for alert in OF_DOMAINS),
            labels("LibvirtExporterAbsent", ""),
            labels("LibvirtFleetCrashRateHigh", ""),
        ]
    )
    more = held_back(alertmanager) - before
    assert {instance for instance, _ in more} == {"here"}
