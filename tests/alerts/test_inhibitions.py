"""Which alert inhibits which, for every pair, in a real Alertmanager with the example configuration."""

import uuid
from collections.abc import Iterator

import pytest

from alerts.generator.domains import DOMAINS
from alerts.generator.hosts import HOSTS
from alerts.generator.rules import ALERTS
from tests.lab.alertmanager import EXAMPLE, Alertmanager
from tests.lab.daemon import short_root
from tests.lab.waiting import until

DOMAIN_ALERTS = {alert.name for alert in DOMAINS}
CONNECTION_ALERTS = {alert.name for alert in HOSTS} - {"LibvirtFleetCrashRateHigh"}
EXPORTER_ALERTS = {
    "LibvirtEventsDropped",
    "LibvirtEventLoopStalled",
    "LibvirtJournalFailing",
    "LibvirtTelemetryExportFailing",
    "LibvirtSeriesLimited",
    "LibvirtLabelsConflict",
    "LibvirtWebConfigFailing",
}
EXPLAINED_BY_HANG = {"Outage", "StuckPaused", "StuckShuttingDown"}
INHIBITS_IN_DOMAIN = {
    "CrashLooping": {"Crashed", "Flapping", "Outage"},
    "Crashed": {"Flapping", *EXPLAINED_BY_HANG},
    "Hung": EXPLAINED_BY_HANG,
    "WatchdogFired": EXPLAINED_BY_HANG,
    "PausedOnIOError": {"Hung", "StuckPaused"},
    "PostcopyFailed": {"Hung", "StuckPaused"},
}
INHIBITS = {
    **{
        f"LibvirtDomain{source}": {f"LibvirtDomain{target}" for target in targets}
        for source, targets in INHIBITS_IN_DOMAIN.items()
    },
    "LibvirtExporterDown": DOMAIN_ALERTS | CONNECTION_ALERTS | EXPORTER_ALERTS,
    "LibvirtEventLoopStalled": DOMAIN_ALERTS | CONNECTION_ALERTS,
    "LibvirtConnectionDown": DOMAIN_ALERTS | {"LibvirtHostCrashBurst", "LibvirtConnectionFlapping"},
    "LibvirtHostCrashBurst": {
        f"LibvirtDomain{name}" for name in ("Crashed", "CrashLooping", "Outage", "Flapping")
    },
}
ALL_PAIRS = {(source, target) for source in ALERTS for target in ALERTS if source != target}


EXTRA_LABELS = {
    "LibvirtDomainCrashed": {"event": "stopped", "reason": "crashed"},
    "LibvirtDomainHung": {"signal": "emulator"},
}
SENTINEL = "sentinel"
PANICKED = {"event": "crashed", "reason": "panicked"}


def labels(alert: str, instance: str, domain: str = "web-1") -> dict[str, str]:
    """Return the labels of an alert that the inhibition rules use."""
    if alert == "LibvirtExporterAbsent":
        return {"alertname": alert}
    found = {"alertname": alert, "job": "libvirt-lifecycle"}
    if alert == "LibvirtFleetCrashRateHigh":
        return found
    found["instance"] = instance
    if alert in DOMAIN_ALERTS | CONNECTION_ALERTS:
        found["connection"] = "qemu:///system"
    if alert in DOMAIN_ALERTS:
        found["domain"] = domain
    return found | EXTRA_LABELS.get(alert, {})


@pytest.fixture(scope="module")
def alertmanager() -> Iterator[Alertmanager]:
    with short_root() as folder, Alertmanager(folder, EXAMPLE.read_text()) as alertmanager:
        yield alertmanager


def suppressed(alertmanager: Alertmanager) -> set[tuple[str, str]]:
    return {
        (found["labels"].get("instance", ""), found["labels"]["alertname"])
        for found in alertmanager.alerts()
        if found["status"]["state"] == "suppressed"
    }


def inhibited(alertmanager: Alertmanager) -> set[tuple[str, str]]:
    """Return (instance, alert) of the inhibited alerts, as soon as all posted alerts are processed.

    Alertmanager inhibits some time after it has accepted an alert, in the order of arrival. So a last pair is
    posted, and its inhibition awaited.
    """
    last = f"{SENTINEL}-{uuid.uuid4()}"
    alertmanager.post([labels("LibvirtExporterDown", last)])
    alertmanager.post([labels("LibvirtEventsDropped", last)])
    until(lambda: (last, "LibvirtEventsDropped") in suppressed(alertmanager), 30, "the last pair of alerts")
    return {found for found in suppressed(alertmanager) if not found[0].startswith(SENTINEL)}


def test_every_pair_of_alerts_on_one_host(alertmanager: Alertmanager) -> None:
    """Each pair has its own host."""
    pairs_with_instance = [
        (source, target) for source, target in ALL_PAIRS if "instance" in labels(target, "x")
    ]
    alertmanager.post(
        [
            labels(alert, f"{source}>{target}")
            for source, target in pairs_with_instance
            for alert in (source, target)
        ]
    )
    expected = {
        (f"{source}>{target}", target)
        for source, target in pairs_with_instance
        if target in INHIBITS.get(source, ())
    }
    # The target may also inhibit the source.
    expected |= {
        (f"{source}>{target}", source)
        for source, target in pairs_with_instance
        if source in INHIBITS.get(target, ())
    }
    assert inhibited(alertmanager) == expected


def test_panic_inhibits_guest_hangs_but_not_emulator_hangs(
    alertmanager: Alertmanager,
) -> None:
    """A guest that dumps its memory does not respond, but its emulator does."""
    hung = {"guest_agent": True, "vcpu": True, "emulator": False}
    for signal in hung:
        for crash_labels in ({}, PANICKED):
            instance = f"{signal} after {crash_labels.get('reason', 'crashed')}"
            alertmanager.post(
                [
                    labels("LibvirtDomainCrashed", instance) | crash_labels,
                    labels("LibvirtDomainHung", instance) | {"signal": signal},
                ]
            )
    inhibited_instances = {instance for instance, alert in inhibited(alertmanager) if " after " in instance}
    assert inhibited_instances == {
        f"{signal} after panicked" for signal, is_explained in hung.items() if is_explained
    }


def test_other_hosts_and_domains_are_not_inhibited(alertmanager: Alertmanager) -> None:
    before = inhibited(alertmanager)
    alertmanager.post(
        [
            *(labels(source, "here") for source in INHIBITS if source not in DOMAIN_ALERTS),
            *(labels(alert, "elsewhere", domain=alert) for alert in DOMAIN_ALERTS),
            labels("LibvirtExporterAbsent", ""),
            labels("LibvirtFleetCrashRateHigh", ""),
        ]
    )
    new = inhibited(alertmanager) - before
    assert {instance for instance, _ in new} == {"here"}
