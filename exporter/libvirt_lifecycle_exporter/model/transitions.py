"""What is counted: transitions, changes of the inventory, incidents. Times are Unix time in seconds."""

from typing import NamedTuple


class Transition(NamedTuple):
    """Something that happened to a domain: what is counted."""

    at: float
    connection: str
    uuid: str
    name: str
    domain_id: int
    event: str
    reason: str
    """The diagnosed reason."""
    detail: str
    """libvirt's own word for it."""
    detail_code: int
    source: str
    """``callback``: libvirt said so; ``reconcile``: two states prove it; ``probe``: it was asked for."""
    message: str = ""
    """Why, in words, where there is evidence."""
    run_id: str = ""
    """Names the domain's run, from start to stop."""
    incident_id: str = ""
    """The incident that it belongs to, if any."""


class InventoryChange(NamedTuple):
    """The RFC's ADDED and REMOVED: a domain came to exist, or ceased to."""

    change: str
    """``added`` or ``removed``."""
    reason: str
    """added: ``started`` or ``defined``; removed: ``shutdown`` or ``undefined``."""


class Incident(NamedTuple):
    """A problem of a domain, from the first evidence until the domain runs normally again."""

    id: str
    connection: str
    uuid: str
    name: str
    kind: str
    opened_at: float
    closed_at: float | None
    """None: the incident is open."""
    cause: str
    """``event/reason`` of the first evidence."""
