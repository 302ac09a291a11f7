"""What is known of one domain: one ``DomainRecord``, which the worker thread owns.

Every fact about a domain is a field of its record, and is stored once. The other modules of this package
are functions and tables over records and transitions; the others keep only indexes of records.
Dropping a record forgets the domain.

Times are Unix time in seconds.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.model.messages import NO_EVIDENCE, DomainDetails, Lookup, RunEvidence
from libvirt_lifecycle_exporter.model.transitions import Incident, InventoryChange, Transition

Key = tuple[str, str]
"""connection, uuid"""

Certainty = tuple[int, float]
"""The order since which nothing can have been missed, and the time of the answer that proved it."""
NEVER: Final[Certainty] = (0, -math.inf)

MAX_UNLISTED: Final = 65_536
"""Records of domains that are not in the inventory. An event that names an unknown domain creates one."""


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
    """Identity and state of a domain."""

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
    newest_order: int = 0
    """The order of the newest observation about it."""
    origin_unknown: bool = False
    """Whether it is unknown if the domain is new or existed before the first listing."""
    run_id: str = ""
    """Names this run, from start to stop, in the journal."""
    start_pending: bool = False
    """Whether it was resumed while shut off: at a boot, libvirt sends resumed before started."""
    early_shutdown_id: int = -1
    """Id of the run whose shutdown was reported before its start; -1: none."""
    run_evidence: RunEvidence = NO_EVIDENCE
    """What identifies the current run besides its id."""

    def copy(self) -> "Domain":
        """Return a copy."""
        # By position, not with dataclasses.replace(): this is on the path of every stop.
        return Domain(
            self.connection,
            self.uuid,
            self.name,
            self.state,
            self.reason,
            self.since,
            self.confirmed,
            self.domain_id,
            self.persistent,
            self.autostart,
            self.details,
            self.present,
            self.removed_at,
            self.newest_order,
            self.origin_unknown,
            self.run_id,
            self.start_pending,
            self.early_shutdown_id,
            self.run_evidence,
        )

    def values(self, hung: tuple[str, ...] = ()) -> DomainValues:
        """Return a copy of what is exported. ``hung``: the hang signals by which the domain is hung now."""
        # By position, not by name: this is on the path of every event.
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
            hung,
            self.present,
            self.removed_at,
        )

    def has_early_shutdown(self, domain_id: int) -> bool:
        """Return whether the shutdown of this run was reported before its start."""
        return 0 < self.early_shutdown_id == domain_id

    def enter(self, state: str, reason: str, at: float) -> None:
        """Set the state. ``at``: Unix time, seconds."""
        if state != self.state:
            self.since = at
        self.state, self.reason, self.confirmed = state, reason, False


@dataclass(slots=True)
class RunHistory:
    """What was observed of the current run of a domain; ``classify`` decides by it why the run ends."""

    newest_order: int = 0
    """The order of the newest transition that said something about the run."""
    is_incoming: bool = False
    """Whether the domain is an incoming migration that has not arrived."""
    has_run: bool = False
    shutdown_reason: str = ""
    """The reason of the last shutdown event."""
    shutdown_domain_id: int = -1
    """libvirt's id of the run that the last shutdown event was about."""
    watchdog_fired_at: float | None = None
    """When a watchdog whose action is poweroff fired."""


class OpenVerdict(NamedTuple):
    """A stop whose reason is not decided, or the shutdown of a run whose start is not known yet."""

    order: int
    change: Transition
    default_reason: str
    """The reason if no answer of libvirt proves another one."""
    since: float
    """When the wait began. Follows jumps of the wall clock."""


@dataclass(slots=True)
class Contradiction:
    """An answer of libvirt that contradicts what is known, and waits for confirmation."""

    newest_order: int
    """The order of the newest observation of the domain at that time."""
    answer: Lookup
    since: float
    iteration: int
    """The iteration of the event loop at that time."""
    asked: int | None = None
    """The order at which libvirt was asked again."""


@dataclass(slots=True)
class HangSignal:
    """One hang signal of one domain."""

    hung_at: float | None = None
    """Since when the domain is hung by this signal; None: it is not."""
    since: float = 0.0
    """When the silence began."""
    first_seen: float = 0.0
    """When the silence was first observed; emulator."""
    missed: int = 0
    """Missed answers in a row; guest agent."""
    has_answered: bool = False
    """Whether the guest agent has answered in this run."""
    cpu_time: int = -1
    """CPU time of all virtual CPUs at the newest sample; nanoseconds."""
    sampled_at: float = 0.0
    """When the virtual CPUs were sampled last."""
    last_ran: float | None = None
    """When a guest that is hung by its virtual CPUs ran a little."""
    recovering_since: float | None = None
    """Since when a guest whose watchdog fired has run on."""

    def shift(self, jump: float) -> None:
        """Shift the stored times by a jump of the wall clock, in seconds."""
        self.since += jump
        self.sampled_at += jump
        if self.first_seen:
            self.first_seen += jump
        if self.hung_at is not None:
            self.hung_at += jump
        if self.last_ran is not None:
            self.last_ran += jump
        if self.recovering_since is not None:
            self.recovering_since += jump

    def restart(self) -> None:
        """Measure silence from zero."""
        self.first_seen, self.missed, self.cpu_time, self.last_ran = 0.0, 0, -1, None


@dataclass(frozen=True, eq=False, slots=True)
class Operation:
    """One kind of operation that is measured: how it begins, and with which outcome it ends."""

    name: str
    begins: frozenset[tuple[str, str]]
    """(event, reason) pairs."""
    ends: Mapping[tuple[str, str], str]
    """(event, reason or ``*`` for any other) -> the outcome."""

    def outcome(self, change: Transition) -> str | None:
        """Return the outcome if ``change`` ends the operation."""
        outcome = self.ends.get((change.event, change.reason))
        return self.ends.get((change.event, "*")) if outcome is None else outcome


@dataclass(slots=True, eq=False)
class DomainRecord:
    """Everything that is known of one domain of one connection."""

    connection: str
    uuid: str
    domain: Domain | None = None
    """Identity and state; None while the domain is not in the inventory."""
    certain_since: Certainty = NEVER
    """The order since which nothing can have been missed, and the time of the answer that proved it."""
    run: RunHistory | None = None
    rebooted_at: float | None = None
    """When a guest reboot was last counted."""
    verdict: OpenVerdict | None = None
    contradiction: Contradiction | None = None
    before_stop: Domain | None = None
    """The domain before its newest stop, while the stop is not written."""
    held_changes: list[InventoryChange] = field(default_factory=list)
    """Changes of the inventory that are counted together with the stop."""
    hang_signals: dict[str, HangSignal] = field(default_factory=dict)
    """By signal (``vocabulary.HANG_SIGNALS``)."""
    silence_excused_until: float = 0.0
    """When something last happened to the domain that excuses earlier silence."""
    hang_began: float | None = None
    """When the current hang began, which lasts from the first signal to the end of the last one."""
    incidents: dict[str, Incident] = field(default_factory=dict)
    """The open incidents, by kind, in the order of opening."""
    operations: dict[Operation, float] = field(default_factory=dict)
    """The operations in progress, and when each began."""
    causes: list[Transition] = field(default_factory=list)
    """Events that may explain the next pause or stop."""

    @property
    def key(self) -> Key:
        return self.connection, self.uuid

    @property
    def hung(self) -> tuple[str, ...]:
        """The signals by which the domain is hung now."""
        if not self.hang_signals:
            return ()
        return tuple(name for name, signal in self.hang_signals.items() if signal.hung_at is not None)


class Records:
    """The records of all domains of all connections."""

    def __init__(self, max_unlisted: int = MAX_UNLISTED) -> None:
        """``max_unlisted``: records of domains that are not in the inventory; the oldest is dropped."""
        self._records: dict[Key, DomainRecord] = {}
        self._unlisted: dict[Key, None] = {}
        """The keys of the records without a domain, in the order of creation."""
        self._max_unlisted = max_unlisted
        self.open_verdicts: dict[Key, DomainRecord] = {}
        """The records with an open verdict, in the order in which they were opened."""
        self.under_review: dict[Key, DomainRecord] = {}
        """The records with a contradiction, in the order in which they came up."""
        self.recovering: dict[Key, DomainRecord] = {}
        """The records whose watchdog signal is hung: the guest may run on and recover."""

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[DomainRecord]:
        return iter(self._records.values())

    def find(self, connection: str, uuid: str) -> DomainRecord | None:
        """Return the record of a domain, if there is one."""
        return self._records.get((connection, uuid))

    def get(self, connection: str, uuid: str) -> DomainRecord:
        """Return the record of a domain; create it if there is none."""
        record = self._records.get((connection, uuid))
        if record is None:
            record = self._records[connection, uuid] = DomainRecord(connection, uuid)
            self._unlisted[connection, uuid] = None
            if len(self._unlisted) > self._max_unlisted:
                self._drop_oldest()
        return record

    def enter(self, domain: Domain) -> DomainRecord:
        """Take a domain into the inventory."""
        record = self.get(domain.connection, domain.uuid)
        record.domain = domain
        self._unlisted.pop(record.key, None)
        return record

    def drop(self, connection: str, uuid: str) -> None:
        """Forget a domain. A record with an open verdict stays until the verdict is given."""
        record = self._records.pop((connection, uuid), None)
        for index in (self._unlisted, self.under_review, self.recovering):
            index.pop((connection, uuid), None)
        if record is not None and record.verdict is not None:
            self._records[connection, uuid] = self.open_verdicts[connection, uuid] = DomainRecord(
                connection,
                uuid,
                verdict=record.verdict,
                before_stop=record.before_stop,
                held_changes=record.held_changes,
                incidents=record.incidents,
            )
            self._unlisted[connection, uuid] = None

    def set_verdict(self, record: DomainRecord, verdict: OpenVerdict | None) -> None:
        """Open a verdict (which is then the newest one), or close it."""
        record.verdict = verdict
        self.open_verdicts.pop(record.key, None)
        if verdict is not None:
            self.open_verdicts[record.key] = record

    def _drop_oldest(self) -> None:
        oldest = next((key for key in self._unlisted if self._records[key].verdict is None), None)
        if oldest is not None:
            self.drop(*oldest)
