"""Listings and lookups: which domains exist, and in which state.

Invariant: a listing is complete, or an error is raised. A domain that is removed during the listing is
omitted.
"""

import time
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

import libvirt

from libvirt_lifecycle_exporter.hypervisor.metadata import parse_details
from libvirt_lifecycle_exporter.model.messages import NO_EVIDENCE, DomainDetails, DomainFacts, RunEvidence
from libvirt_lifecycle_exporter.model.states import INACTIVE, state_pair
from libvirt_lifecycle_exporter.model.text import clean

_NO_DOMAIN = libvirt.VIR_ERR_NO_DOMAIN
_CPU_TIME_LIMIT = 0.5
"""Seconds per listing for reading CPU times, which takes one call per domain."""
PROCESS_DRIVERS: Final = frozenset({"QEMU"})
"""Drivers whose domains can be identified by their emulator process and its CPU time."""
_NO_STARTS: Final[Mapping[str, int]] = MappingProxyType({})


class ProcessTable(Protocol):
    """Provides the start times of emulator processes."""

    def process_starts(self, uuids: Collection[str]) -> Mapping[str, int]:
        """Return when the emulators of these domains started, in clock ticks since boot, by UUID."""


class NoProcesses:
    """The process table of a connection whose emulators run on another host."""

    def process_starts(self, uuids: Collection[str]) -> Mapping[str, int]:  # noqa: ARG002 - no process is visible
        """Return nothing."""
        return _NO_STARTS


NO_PROCESSES: Final = NoProcesses()


def domain_name(domain: Any) -> str:
    """Return the sanitized name of a domain, even if it is not valid UTF-8."""
    try:
        return clean(domain.name())
    except UnicodeDecodeError as error:
        # libvirt's Python binding requires UTF-8; the exception holds the bytes of the name.
        return clean(bytes(error.object).decode("utf-8", "surrogateescape"))


def list_domains(connection: Any, processes: ProcessTable = NO_PROCESSES) -> tuple[DomainFacts, ...]:
    """Return all domains. The number of libvirt calls is constant if the driver supports bulk statistics.

    ``processes``: identifies the runs of domains. Without visible processes, CPU times identify them, as many
    as can be read in 0.5 s.

    Raises libvirtError if a call fails.
    """
    persistent = _uuids(connection, libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT)
    autostart = _uuids(connection, libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)
    found: list[DomainFacts] = []
    active: dict[str, Any] = {}
    for domain, state, reason in _states(connection):
        uuid = domain.UUIDString()
        facts = DomainFacts(
            uuid,
            domain_name(domain),
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


def look_up(
    connection: Any, uuid: str, processes: ProcessTable = NO_PROCESSES
) -> tuple[DomainFacts, DomainDetails | None] | None:
    """Return the state and details of one domain; None if it does not exist.

    Raises libvirtError if a call fails for another reason.
    """
    try:
        domain = connection.lookupByUUIDString(uuid)
        state, reason = domain.state()
        persistent = bool(domain.isPersistent())
        facts = DomainFacts(
            uuid,
            domain_name(domain),
            domain.ID(),
            *state_pair(state, reason),
            persistent=persistent,
            # libvirt returns an error for a transient domain.
            autostart=persistent and bool(domain.autostart()),
        )
        if facts.state != INACTIVE:
            evidence = _run_evidence(connection, {uuid: domain}, processes)
            facts = facts._replace(run_evidence=evidence.get(uuid, NO_EVIDENCE))
        return facts, parse_details(domain.XMLDesc(0))
    except libvirt.libvirtError as error:
        if error.get_error_code() == _NO_DOMAIN:
            return None
        raise


def _run_evidence(
    connection: Any, active: Mapping[str, Any], processes: ProcessTable
) -> Mapping[str, RunEvidence]:
    """Return the evidence that identifies the current runs of these domains, by UUID, as far as known."""
    if not active or connection.getType() not in PROCESS_DRIVERS:
        return {}
    starts = processes.process_starts(active.keys())
    found = {uuid: RunEvidence(process_start=start) for uuid, start in starts.items()}
    deadline = time.monotonic() + _CPU_TIME_LIMIT
    for uuid, domain in active.items():
        if uuid not in found and time.monotonic() < deadline:
            found[uuid] = RunEvidence(cpu_time=_cpu_time(domain))
    return found


def _cpu_time(domain: Any) -> int:
    """Return the CPU time that the run has used, in nanoseconds; 0: unknown.

    virDomainGetInfo returns 0 while a domain ends. It does not use the monitor, so it returns even if the
    emulator hangs.
    """
    try:
        return int(domain.info()[4])
    except libvirt.libvirtError:
        return 0


def _uuids(connection: Any, flags: int) -> set[str]:
    return {domain.UUIDString() for domain in connection.listAllDomains(flags)}


def _states(connection: Any) -> list[tuple[Any, int, int]]:
    """Return every domain with state and reason: by one call, or one per domain if the driver lacks it."""
    try:
        statistics = connection.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise
    else:
        return [(domain, values["state.state"], values["state.reason"]) for domain, values in statistics]
    found = []
    for domain in connection.listAllDomains(0):
        try:
            found.append((domain, *domain.state()))
        except libvirt.libvirtError as error:
            if error.get_error_code() != _NO_DOMAIN:
                raise
    return found
