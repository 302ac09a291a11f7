"""What is known of one domain. The one value that changes: the worker's thread owns it."""

from dataclasses import dataclass
from typing import NamedTuple

from libvirt_lifecycle_exporter.model.messages import NO_EVIDENCE, DomainDetails, RunEvidence


class DomainValues(NamedTuple):
    """A copy of what is exported of a domain. It never changes, whatever happens to the domain later."""

    connection: str
    uuid: str
    name: str
    state: str
    reason: str
    since: float
    """Unix time, seconds."""
    persistent: bool | None
    autostart: bool | None
    details: DomainDetails | None
    hung: tuple[str, ...]
    present: bool
    removed_at: float
    """Unix time, seconds; 0.0 if the domain is present."""


@dataclass(slots=True)
class Domain:
    """One domain of one connection."""

    connection: str
    uuid: str
    name: str
    state: str
    reason: str
    since: float
    """When it entered this state (or was first seen in it); Unix time, seconds."""
    confirmed: bool = False
    """Whether the reason is libvirt's answer; else it is what the newest event makes likely."""
    domain_id: int = -1
    """libvirt's number for this run."""
    persistent: bool | None = None
    """None: not known yet."""
    autostart: bool | None = None
    details: DomainDetails | None = None
    present: bool = True
    removed_at: float = 0.0
    newest: int = 0
    """The order of the newest observation about it."""
    origin_open: bool = False
    """Whether it is still open if this domain is new (added) or was there before the exporter looked."""
    run_id: str = ""
    """Names this run, from start to stop, in the journal."""
    rising: bool = False
    """Whether it was resumed while it was off: libvirt tells of a boot in this order."""
    ending: int = -1
    """libvirt's number of the run that was told to shut down before it was told to have begun."""
    run_evidence: RunEvidence = NO_EVIDENCE
    """What identifies the current run besides its id."""
    hung: tuple[str, ...] = ()
    """The hang signals that are open (``vocabulary.HANG_SIGNALS``)."""

    def values(self) -> DomainValues:
        """Return a copy of what is exported."""
        # By place, not by name: this is on the path of every event.
        return DomainValues(
            self.connection,
            self.uuid,
            self.name,
            self.state,
            self.reason,
            self.since,
            self.persistent,
            self.autostart,
            self.details,
            self.hung,
            self.present,
            self.removed_at,
        )

    def is_ending(self, domain_id: int) -> bool:
        """Tell whether this very run was told to shut down already, though not to have begun."""
        return 0 < self.ending == domain_id

    def enter(self, state: str, reason: str, at: float) -> None:
        """Note the state it is in now."""
        if state != self.state:
            self.since = at
        self.state, self.reason, self.confirmed = state, reason, False
