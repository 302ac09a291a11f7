"""Evidence that a domain is in another run: by driver, and only if it cannot change within one run."""

from typing import Any

import pytest

from libvirt_lifecycle_exporter.engine.missed_transitions import infer_missed, infer_missed_before
from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.engine.run_identity import is_another_run
from libvirt_lifecycle_exporter.model.messages import DomainFacts, RunEvidence
from libvirt_lifecycle_exporter.model.states import STATE_REASONS
from tests.unit.factories import transition

STOP_AND_START = [("stopped", "unknown"), ("started", "booted")]


def known(reason: str = "booted", *, domain_id: int = 1, **evidence: int) -> Domain:
    return Domain(
        "here",
        "u",
        "web",
        "running",
        reason,
        0.0,
        confirmed=True,
        domain_id=domain_id,
        persistent=True,
        run_evidence=RunEvidence(**evidence),
    )


def found(reason: str = "booted", *, domain_id: int = 1, **evidence: int) -> DomainFacts:
    run = RunEvidence(**evidence)
    return DomainFacts(
        "u", "web", domain_id, "running", reason, persistent=True, autostart=False, run_evidence=run
    )


PROOFS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"process_start": 100}, {"process_start": 200}),
    ({"cpu_time": 9_000}, {"cpu_time": 10}),
    ({"reason": "booted"}, {"reason": "restored"}),
    ({"reason": "unpaused"}, {"reason": "restored"}),
    ({"reason": "booted"}, {"reason": "migrated"}),
    ({"domain_id": 1}, {"domain_id": 2}),
]
NO_PROOFS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"process_start": 100}, {}),
    ({}, {"process_start": 100}),
    ({"cpu_time": 10}, {"cpu_time": 9_000}),
    ({"cpu_time": 10}, {}),
    # libvirt restarts a guest in the same process after an ACPI reboot, and sets this reason again
    ({"reason": "unpaused"}, {"reason": "booted"}),
    ({"reason": "booted"}, {"reason": "unpaused"}),
    ({"reason": "booted"}, {"reason": "from_snapshot"}),
    ({"reason": "postcopy"}, {"reason": "migrated"}),
    ({"reason": "restored"}, {"reason": "restored"}),
    ({"reason": "unknown"}, {"reason": "restored"}),
]


@pytest.mark.parametrize(("before", "now"), PROOFS)
def test_same_id_with_other_evidence_is_another_run(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert is_another_run(known(**before), found(**now), "QEMU")


@pytest.mark.parametrize(("before", "now"), NO_PROOFS)
def test_what_may_change_within_a_run_proves_nothing(before: dict[str, Any], now: dict[str, Any]) -> None:
    assert not is_another_run(known(**before), found(**now), "QEMU")


def test_unconfirmed_reason_proves_nothing() -> None:
    likely = known("booted")
    likely.confirmed = False
    assert not is_another_run(likely, found("restored"), "QEMU")


def test_another_process_is_a_stop_and_a_start() -> None:
    assert infer_missed(known(process_start=100), found(process_start=200), "QEMU") == STOP_AND_START


@pytest.mark.parametrize("driver", ["LXC", "BHYVE"])
def test_reboot_that_changes_the_id_proves_no_run(driver: str) -> None:
    before, now = known(domain_id=100, cpu_time=900), found(domain_id=200, cpu_time=1)
    assert infer_missed(before, now, driver) == []
    event = transition("stopped", "shutdown")._replace(domain_id=200)
    assert infer_missed_before(before, event, driver) == []


@pytest.mark.parametrize("driver", ["TEST", "Xen", "", "a future driver"])
def test_other_drivers_prove_a_run_by_the_id_only(driver: str) -> None:
    assert is_another_run(known(domain_id=1), found(domain_id=2), driver)
    assert not is_another_run(known(cpu_time=900), found(cpu_time=1), driver)


@pytest.mark.parametrize("reason", STATE_REASONS["running"])
def test_repeated_reason_never_proves_a_run(reason: str) -> None:
    assert not is_another_run(known(reason), found(reason), "QEMU")
