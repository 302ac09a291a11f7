"""Which facts prove that an active domain is in another run than the known one.

libvirt numbers domains from 1 again after a host reboot, and after a daemon restart while no domain runs. So
an equal id proves nothing, and other facts decide. A fact that is unknown, or that can change within one run,
proves nothing.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.model.messages import DomainFacts, RunEvidence


class Proofs(NamedTuple):
    """Which facts prove another run with one driver."""

    domain_id: bool = True
    """Another id. Not where a guest's reboot gives the domain a new id without a stop and a start."""
    process_start: bool = False
    """Another emulator process. Not where a guest's reboot replaces the process."""
    cpu_time: bool = False
    """CPU time that fell. Not where a reboot resets it, or where it is the wall clock (test driver)."""
    reason: bool = False
    """A reason for running that only a new run can have (``_ONLY_OF_A_NEW_RUN``)."""


_BY_ID: Final = Proofs()
_REBOOT_CHANGES_ID: Final = Proofs(domain_id=False)
PROOFS: Final[Mapping[str, Proofs]] = MappingProxyType(
    {
        "QEMU": Proofs(process_start=True, cpu_time=True, reason=True),
        # The id is the pid of the container's controller, which a reboot replaces; libvirt sends REBOOT only.
        "LXC": _REBOOT_CHANGES_ID,
        # The id is the pid of the bhyve process, which a reboot replaces; libvirt sends nothing.
        "BHYVE": _REBOOT_CHANGES_ID,
    }
)
"""By driver, as virConnectGetType names it. All others: the id."""

_STARTED_OTHERWISE: Final = frozenset(
    {"booted", "migrated", "from_snapshot", "unpaused", "wakeup", "save_canceled"}
)
_ONLY_OF_A_NEW_RUN: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "restored": _STARTED_OTHERWISE,
        "migrated": frozenset({"booted", "restored"}),
    }
)
"""Reason for running now -> the reasons that the same run cannot have had before.

``booted`` is not here: libvirt sets it again when it restarts a guest in the same process after an ACPI
reboot. Nor is ``from_snapshot``: a snapshot can be loaded into a running process. The others arise
within a run.
"""


def proofs_of(driver: str) -> Proofs:
    """Return what proves another run with this driver."""
    return PROOFS.get(driver, _BY_ID)


def is_another_run(known: Domain, found: DomainFacts, driver: str) -> bool:
    """Return whether an active domain that is found active is proven to be in another run."""
    proofs, before, now = proofs_of(driver), known.run_evidence, found.run_evidence
    return (
        (proofs.domain_id and 0 < known.domain_id != found.domain_id)
        or (proofs.process_start and 0 < before.process_start != now.process_start > 0)
        or (proofs.cpu_time and before.cpu_time > now.cpu_time > 0)
        or (proofs.reason and _has_reason_of_a_new_run(known, found))
    )


def is_another_id(known: Domain, domain_id: int, driver: str) -> bool:
    """Return whether an event with this id is proven to be of another run."""
    return proofs_of(driver).domain_id and 0 < known.domain_id != domain_id > 0


def merged(known: RunEvidence, found: RunEvidence) -> RunEvidence:
    """Return the evidence after an answer; unknown facts keep their previous value."""
    return RunEvidence(found.process_start or known.process_start, found.cpu_time or known.cpu_time)


def _has_reason_of_a_new_run(known: Domain, found: DomainFacts) -> bool:
    is_sure = known.confirmed and known.state == found.state == "running"
    return is_sure and known.reason in _ONLY_OF_A_NEW_RUN.get(found.reason, ())
