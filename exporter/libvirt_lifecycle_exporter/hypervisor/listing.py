"""libvirt's answer to: which domains are there, and how are they?

Law: a listing is complete or it is none (an error is raised). A domain that ends while it is being
listed is left out, which is the truth by then.
"""

import time
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

import libvirt

from libvirt_lifecycle_exporter.hypervisor.domain_name import name_of
from libvirt_lifecycle_exporter.hypervisor.metadata import details
from libvirt_lifecycle_exporter.model.messages import NO_EVIDENCE, DomainDetails, DomainFacts, RunEvidence
from libvirt_lifecycle_exporter.model.states import INACTIVE, state_pair

_GONE = libvirt.VIR_ERR_NO_DOMAIN
_CPU_TIME_LIMIT = 0.5
"""Seconds per listing for reading CPU times, which takes one call per domain."""
WITH_PROCESSES: Final = frozenset({"QEMU"})
"""Drivers whose domains can be identified by their emulator process and its CPU time."""
_NO_STARTS: Final[Mapping[str, int]] = MappingProxyType({})


class ProcessTable(Protocol):
    """Where the start times of emulator processes come from."""

    def process_starts(self, uuids: Collection[str]) -> Mapping[str, int]: ...


class NoProcesses:
    """The emulators run on another host."""

    def process_starts(self, uuids: Collection[str]) -> Mapping[str, int]:  # noqa: ARG002 - none is visible
        """Return nothing."""
        return _NO_STARTS


NO_PROCESSES: Final = NoProcesses()


def list_domains(connection: Any, processes: ProcessTable = NO_PROCESSES) -> tuple[DomainFacts, ...]:
    """List all domains; a handful of calls, whatever their number, where the driver allows.

    ``processes``: identify runs. Where they are not visible, CPU times do, as many as 0.5 s allow.

    Raises libvirtError where a call fails.
    """
    persistent = _uuids(connection, libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT)
    autostart = _uuids(connection, libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)
    found: list[DomainFacts] = []
    active: dict[str, Any] = {}
    for domain, state, reason in _states(connection):
        uuid = domain.UUIDString()
        facts = DomainFacts(
            uuid,
            name_of(domain),
            domain.ID(),
            *state_pair(state, reason),
            persistent=uuid in persistent,
            autostart=uuid in autostart,
        )
        found.append(facts)
        if facts.state != INACTIVE:
            active[uuid] = domain
    evidence = _run_evidence(connection, active, processes)
    return tuple(facts._replace(run_evidence=evidence.get(facts.uuid, NO_EVIDENCE)) for facts in found)


def look_at(
    connection: Any, uuid: str, processes: ProcessTable = NO_PROCESSES
) -> tuple[DomainFacts, DomainDetails | None] | None:
    """Look at one domain closely; None if it does not exist (any more).

    Raises libvirtError where a call fails for another reason.
    """
    try:
        domain = connection.lookupByUUIDString(uuid)
        state, reason = domain.state()
        persistent = bool(domain.isPersistent())
        facts = DomainFacts(
            uuid,
            name_of(domain),
            domain.ID(),
            *state_pair(state, reason),
            persistent=persistent,
            # A transient domain cannot be asked: libvirt answers with an error.
            autostart=persistent and bool(domain.autostart()),
        )
        if facts.state != INACTIVE:
            evidence = _run_evidence(connection, {uuid: domain}, processes)
            facts = facts._replace(run_evidence=evidence.get(uuid, NO_EVIDENCE))
        return facts, details(domain.XMLDesc(0))
    except libvirt.libvirtError as error:
        if error.get_error_code() == _GONE:
            return None
        raise


def _run_evidence(
    connection: Any, active: Mapping[str, Any], processes: ProcessTable
) -> Mapping[str, RunEvidence]:
    """Return what identifies the runs of these domains, by UUID, as far as it is known."""
    if not active or connection.getType() not in WITH_PROCESSES:
        return {}
    starts = processes.process_starts(active.keys())
    found = {uuid: RunEvidence(process_start=start) for uuid, start in starts.items()}
    deadline = time.monotonic() + _CPU_TIME_LIMIT
    for uuid, domain in active.items():
        if uuid not in found and time.monotonic() < deadline:
            found[uuid] = RunEvidence(cpu_time=_cpu_time(domain))
    return found


def _cpu_time(domain: Any) -> int:
    """Return the CPU time that the run has used, in nanoseconds; 0: not known.

    virDomainGetInfo returns 0 while a domain ends. It does not ask the emulator: a hung one does not
    block it.
    """
    try:
        return int(domain.info()[4])
    except libvirt.libvirtError:
        return 0


def _uuids(connection: Any, flags: int) -> set[str]:
    return {domain.UUIDString() for domain in connection.listAllDomains(flags)}


def _states(connection: Any) -> list[tuple[Any, int, int]]:
    """Every domain with its state: in one call, or one by one for drivers that lack that call."""
    try:
        answers = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
    else:
        return [(domain, said["state.state"], said["state.reason"]) for domain, said in answers]
    found = []
    for domain in connection.listAllDomains(0):
        try:
            found.append((domain, *domain.state()))
        except libvirt.libvirtError as error:
            if error.get_error_code() != _GONE:
                raise
    return found
