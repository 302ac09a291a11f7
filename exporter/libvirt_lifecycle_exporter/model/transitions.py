"""What is counted: transitions, inventory changes, incidents. Times are Unix time in seconds."""

from typing import NamedTuple


class Transition(NamedTuple):
    """One lifecycle transition of a domain."""

    at: float
    connection: str
    uuid: str
    name: str
    domain_id: int
    event: str
    reason: str
    """As determined by ``engine.classify``."""
    detail: str
    """libvirt's reason."""
    detail_code: int
    source: str
    """``callback``: a libvirt event; ``reconcile``: inferred from two states; ``probe``: a hang probe."""
    message: str = ""
    """Evidence for the cause, as text; "" if there is none."""
    run_id: str = ""
    """Identifies the run of the domain, from start to stop."""
    incident_id: str = ""
    """The incident that it belongs to, if any."""


class InventoryChange(NamedTuple):
    """A domain was added or removed (ADDED and REMOVED of libvirt's 2008 RFC)."""

    kind: str
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
