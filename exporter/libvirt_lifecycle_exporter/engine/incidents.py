"""Pure: transitions become incidents: what happened becomes what it means.

Law: one open incident at the most for each domain and kind; one cause opens one. A migration, a planned
stop or a destroy opens none. What was opened is closed once, when the domain runs healthily again or is
gone, never before it was opened. No clock, no I/O, no libvirt.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from libvirt_lifecycle_exporter.model.severity import CRASHED, FAILED, HUNG, IO_ERROR, meaning_of
from libvirt_lifecycle_exporter.model.transitions import Transition

Pair = tuple[str, str]
Key = tuple[str, str]
"""connection, uuid"""

KINDS: Final = (CRASHED, HUNG, IO_ERROR, FAILED)

HEALS: Final = frozenset({"started", "resumed"})
"""Events after which the domain runs."""

HEALS_NOT: Final = frozenset({("started", "migrated"), ("resumed", "postcopy_failed")})
"""Those of them after which it does not run yet: coming in, or with half of its memory elsewhere."""

LEAVES: Final = ("stopped", "migrated")
"""It goes on elsewhere: nothing is open here any more."""

REBOOTS: Final = ("rebooted", "reset")
CRASHLOADED: Final = "crashed/crashloaded"
"""The guest's own crash kernel ran, and ends with a reboot; nothing else will tell of it."""

CONSEQUENCES: Final[Mapping[str, str]] = MappingProxyType({HUNG: CRASHED})
"""Kind -> the kind whose open incident explains it: a guest that panicked answers nobody."""

ENDS_OF: Final[Mapping[Pair, str]] = MappingProxyType({("stopped", "crashed"): "hung/emulator"})
"""(event, reason) -> the cause of an open incident that it puts an end to: what hangs gets killed."""

DESCRIBES: Final = frozenset({"defined", "undefined"})
"""Events that are about the description, and so belong to no incident."""


class Incident(NamedTuple):
    """What an operator is told of: from the first evidence until all is well again."""

    id: str
    connection: str
    uuid: str
    name: str
    kind: str
    opened_at: float
    """Unix time, seconds."""
    closed_at: float | None
    """None: it is open."""
    cause: str
    """``event/reason`` of the first evidence."""


class Incidents:
    """Opens, joins and closes incidents."""

    def __init__(self) -> None:
        self._open: dict[Key, dict[str, Incident]] = {}
        """Of each domain: by kind, in the order of opening."""
        self._signals: dict[Key, set[str]] = {}
        """What of each hung domain does not answer now."""

    def take(self, change: Transition) -> tuple[str, list[Incident]]:
        """Return the id of the incident that ``change`` belongs to, if any, and what it opened or closed."""
        key = (change.connection, change.uuid)
        self._watch(key, change)
        kind = meaning_of(change).incident_kind
        if kind:
            return self._evidence(key, kind, change)
        of_domain = self._open.get(key)
        if not of_domain or change.event in DESCRIBES:
            return "", []
        newest = next(reversed(of_domain.values()))
        closed = [self._close(key, one, change.at) for one in self._healed(key, change)]
        return (closed[-1] if closed else newest).id, closed

    def removed(self, connection: str, uuid: str, at: float) -> list[Incident]:
        """Close what is open of a domain that is gone; return it."""
        key = (connection, uuid)
        self._signals.pop(key, None)
        return [self._close(key, one, at) for one in list(self._open.get(key, {}).values())]

    def rename(self, connection: str, uuid: str, name: str) -> list[tuple[Incident, Incident]]:
        """Let the open incidents of a domain follow its name; return each as it was and as it is now."""
        of_domain = self._open.get((connection, uuid), {})
        renamed = [(one, one._replace(name=name)) for one in of_domain.values() if one.name != name]
        of_domain.update({new.kind: new for _, new in renamed})
        return renamed

    def shift(self, jump: float, kinds: Collection[str]) -> list[Incident]:
        """Let the beginnings of open incidents follow a jump of the wall clock, in seconds; return them."""
        shifted = []
        for of_domain in self._open.values():
            for kind, one in of_domain.items():
                if kind in kinds:
                    of_domain[kind] = one._replace(opened_at=one.opened_at + jump)
                    shifted.append(of_domain[kind])
        return shifted

    def restore(self, incidents: Iterable[Incident], hung: Callable[[str, str], Iterable[str]]) -> None:
        """Take in what was open when the exporter ended; ``hung``: what of a domain did not answer then."""
        for one in incidents:
            if one.closed_at is None:
                key = (one.connection, one.uuid)
                self._open.setdefault(key, {})[one.kind] = one
                signals = set(hung(*key))
                if one.kind == HUNG and signals:
                    self._signals[key] = signals

    def open(self) -> list[Incident]:
        """Return those that are open, those of a domain together."""
        return [one for of_domain in self._open.values() for one in of_domain.values()]

    def _watch(self, key: Key, change: Transition) -> None:
        if change.event == "hung":
            self._signals.setdefault(key, set()).add(change.reason)
        elif change.event == "recovered" and key in self._signals:
            self._signals[key].discard(change.reason)
            if not self._signals[key]:
                del self._signals[key]
        elif change.event in ("stopped", "started") and change.reason != "wakeup":
            self._signals.pop(key, None)

    def _evidence(self, key: Key, kind: str, change: Transition) -> tuple[str, list[Incident]]:
        of_domain = self._open.setdefault(key, {})
        known = of_domain.get(kind) or _explanation(of_domain, kind, change)
        if known is not None:
            return known.id, []
        opened = _opened(change, kind)
        of_domain[kind] = opened
        return opened.id, [opened]

    def _healed(self, key: Key, change: Transition) -> list[Incident]:
        return [one for one in self._open[key].values() if self._is_healed(key, one, change)]

    def _is_healed(self, key: Key, one: Incident, change: Transition) -> bool:
        pair = (change.event, change.reason)
        if pair == LEAVES:
            return True
        if pair == REBOOTS:
            return one.cause == CRASHLOADED
        if one.kind == HUNG and key in self._signals:
            # Pausing and resuming does not cure what does not answer.
            return False
        if change.event == "recovered":
            return one.kind == HUNG
        return change.event in HEALS and pair not in HEALS_NOT

    def _close(self, key: Key, one: Incident, at: float) -> Incident:
        of_domain = self._open[key]
        del of_domain[one.kind]
        if not of_domain:
            del self._open[key]
        # max(): the clock may have stepped back meanwhile.
        return one._replace(closed_at=max(at, one.opened_at))


def incident_id(connection: str, uuid: str, kind: str, opened_at: float) -> str:
    """Return the id: the same after a restart, another for the next incident."""
    return hashlib.sha256("\0".join((connection, uuid, kind, repr(opened_at))).encode()).hexdigest()[:16]


def _explanation(of_domain: Mapping[str, Incident], kind: str, change: Transition) -> Incident | None:
    ended = ENDS_OF.get((change.event, change.reason))
    for one in of_domain.values():
        if one.kind == CONSEQUENCES.get(kind) or one.cause == ended:
            return one
    return None


def _opened(change: Transition, kind: str) -> Incident:
    return Incident(
        incident_id(change.connection, change.uuid, kind, change.at),
        change.connection,
        change.uuid,
        change.name,
        kind,
        change.at,
        None,
        f"{change.event}/{change.reason}",
    )
