"""libvirt's answer to: which domains are there, and how are they?

Law: a listing is complete or it is none (an error is raised). A domain that ends while it is being
listed is left out, which is the truth by then.
"""

from typing import Any

import libvirt

from libvirt_lifecycle_exporter.sources.metadata import details
from libvirt_lifecycle_exporter.sources.names import name_of
from libvirt_lifecycle_exporter.states import state_pair
from libvirt_lifecycle_exporter.transition import DomainDetails, DomainFacts

_GONE = libvirt.VIR_ERR_NO_DOMAIN


def list_domains(connection: Any) -> tuple[DomainFacts, ...]:
    """List all domains; a handful of calls, whatever their number, where the driver allows.

    Raises libvirtError where a call fails.
    """
    persistent = _uuids(connection, libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT)
    autostart = _uuids(connection, libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)
    found = []
    for domain, state, reason in _states(connection):
        uuid = domain.UUIDString()
        found.append(
            DomainFacts(
                uuid,
                name_of(domain),
                domain.ID(),
                *state_pair(state, reason),
                persistent=uuid in persistent,
                autostart=uuid in autostart,
            )
        )
    return tuple(found)


def look_at(connection: Any, uuid: str) -> tuple[DomainFacts, DomainDetails | None] | None:
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
        return facts, details(domain.XMLDesc(0))
    except libvirt.libvirtError as error:
        if error.get_error_code() == _GONE:
            return None
        raise


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
