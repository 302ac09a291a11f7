"""Series of the metadata that a cloud platform writes into the domain XML.

Invariant: a domain has at most one of these series, because one platform manages it. Where the XML contains
several, the first of OpenStack, OpenNebula and oVirt is exported. ``engine.series_limit`` counts one series.
"""

from typing import Final

from libvirt_lifecycle_exporter.engine.record import DomainValues
from libvirt_lifecycle_exporter.metrics.exposition import labels, sample
from libvirt_lifecycle_exporter.metrics.families import OPENNEBULA_META, OPENSTACK_META, OVIRT_META
from libvirt_lifecycle_exporter.model.messages import Nova, OpenNebula, Ovirt

PLATFORM_METAS: Final = frozenset((OPENSTACK_META.name, OPENNEBULA_META.name, OVIRT_META.name))
"""Names of the families."""


def platform_of(domain: DomainValues) -> tuple[str, Nova | OpenNebula | Ovirt] | None:
    """Return the family and the metadata of the platform that manages the domain; None if there is none."""
    details = domain.details
    if details is None:
        return None
    if details.nova is not None:
        return OPENSTACK_META.name, details.nova
    if details.opennebula is not None:
        return OPENNEBULA_META.name, details.opennebula
    if details.ovirt is not None:
        return OVIRT_META.name, details.ovirt
    return None


def platform_meta(family: str, subject: str, domain: DomainValues) -> str:
    """Render the sample of one family; "" if the domain's platform is another one.

    ``subject``: rendered labels that name the domain.
    """
    found = platform_of(domain)
    if found is None or found[0] != family:
        return ""
    rest = labels({"uuid": domain.uuid, **found[1]._asdict()})
    return sample(family, f"{subject},{rest}", 1)
