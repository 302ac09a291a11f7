"""What is shown of one domain and of one connection.

Law: a page only formats what it was told; it decides nothing.
"""

from functools import cache

from libvirt_lifecycle_exporter.domain import Domain
from libvirt_lifecycle_exporter.sinks.exposition import Page, labels, sample
from libvirt_lifecycle_exporter.sinks.families import (
    CONNECTION_EVENTS,
    CONNECTION_FAMILIES,
    CONNECTION_UP,
    DOMAIN_FAMILIES,
    EVENTS,
    INVENTORY_CHANGES,
    LAST_EVENT,
    META,
    OPENSTACK_META,
    STATE,
    STATE_REASON,
    STATE_SINCE,
    UNOBSERVED,
)
from libvirt_lifecycle_exporter.states import STATES
from libvirt_lifecycle_exporter.transition import InventoryChange
from libvirt_lifecycle_exporter.vocabulary import ALERT_PAIRS, ALL_PAIRS

Pair = tuple[str, str]

_COUNTED = 0b11
"""The bits of DOMAIN_FAMILIES that a transition changes; all others are facts."""
_FACTS = (1 << len(DOMAIN_FAMILIES)) - 1 & ~_COUNTED

_C_EVENTS, _C_INVENTORY, _C_LINK, _C_BLIND = 0b00001, 0b00010, 0b01100, 0b10000
"""The bits of CONNECTION_FAMILIES."""

_INVENTORY_PAIRS: tuple[Pair, ...] = (
    ("added", "started"),
    ("added", "defined"),
    ("removed", "shutdown"),
    ("removed", "undefined"),
)


@cache
def _pair_labels(first: str, pair: Pair) -> str:
    return labels({first: pair[0], "reason": pair[1]})


class DomainPage(Page):
    """One ``domain`` label value of one connection; several domains may bear the name in turn."""

    __slots__ = ("_domain", "_facts", "_labels", "counts", "expires", "last", "uuid")

    def __init__(self, connection: str, name: str, *, zeros: tuple[Pair, ...] = ALERT_PAIRS) -> None:
        super().__init__(len(DOMAIN_FAMILIES))
        self._labels = labels({"connection": connection, "domain": name})
        self._domain: Domain | None = None
        self._facts = 0
        self.counts: dict[Pair, int] = dict.fromkeys(zeros, 0)
        self.last: dict[Pair, float] = {}
        self.uuid = ""
        self.expires: float | None = None
        """When all its series leave, if the domain is gone; Unix time, seconds."""

    def again(self, pair: Pair, at: float) -> bool:
        """Count a pair that was counted before; False if it was not. The hot path."""
        if pair not in self.last:
            return False
        self.counts[pair] += 1
        self.last[pair] = at
        self.touch(_COUNTED)
        return True

    def first(self, pair: Pair, at: float) -> None:
        """Count a pair for the first time: this brings series."""
        self.counts[pair] = 1
        self.last[pair] = at
        self.touch(_COUNTED)

    def restore(self, pair: Pair, count: int, at: float) -> None:
        """Take over a count from before a restart."""
        self.counts[pair] = self.counts.get(pair, 0) + count
        self.last[pair] = max(at, self.last.get(pair, at))
        self.touch(_COUNTED)

    def show(self, domain: Domain) -> int:
        """Take over what is known of the domain now; return how many series that brings."""
        self._domain = domain
        self.uuid = domain.uuid
        self.touch(_FACTS)
        before = self._facts
        # state set, its reason, since, meta; and OpenStack's.
        self._facts = len(STATES) + 3 + (domain.details is not None and domain.details.nova is not None)
        return self._facts - before

    @property
    def series(self) -> int:
        """How many series it has."""
        return len(self.counts) + len(self.last) + self._facts

    def write(self, family: int) -> str:
        name = DOMAIN_FAMILIES[family].name
        if name == EVENTS.name:
            return _pairs(name, self._labels, "event", self.counts)
        if name == LAST_EVENT.name:
            return _pairs(name, self._labels, "event", self.last)
        return "" if self._domain is None else _WRITERS[name](self._labels, self._domain)


def _pairs(name: str, subject: str, first: str, values: dict[Pair, int] | dict[Pair, float]) -> str:
    return "".join(
        sample(name, f"{subject},{_pair_labels(first, pair)}", value) for pair, value in values.items()
    )


def _state(subject: str, domain: Domain) -> str:
    return "".join(
        sample(STATE.name, f'{subject},state="{state}"', state == domain.state) for state in STATES
    )


def _state_reason(subject: str, domain: Domain) -> str:
    rest = labels({"state": domain.state, "reason": domain.reason})
    return sample(STATE_REASON.name, f"{subject},{rest}", 1)


def _state_since(subject: str, domain: Domain) -> str:
    return sample(STATE_SINCE.name, subject, domain.since)


def _meta(subject: str, domain: Domain) -> str:
    details = domain.details
    rest = labels(
        {
            "uuid": domain.uuid,
            "persistent": _yes_no(domain.persistent),
            "autostart": _yes_no(domain.autostart),
            "type": details.type if details else "",
            "title": details.title if details else "",
        }
    )
    return sample(META.name, f"{subject},{rest}", 1)


def _openstack_meta(subject: str, domain: Domain) -> str:
    if domain.details is None or domain.details.nova is None:
        return ""
    rest = labels({"uuid": domain.uuid, **domain.details.nova._asdict()})
    return sample(OPENSTACK_META.name, f"{subject},{rest}", 1)


def _yes_no(value: bool | None) -> str:  # noqa: FBT001 - the value itself, not a switch
    return {True: "true", False: "false", None: ""}[value]


_WRITERS = {
    STATE.name: _state,
    STATE_REASON.name: _state_reason,
    STATE_SINCE.name: _state_since,
    META.name: _meta,
    OPENSTACK_META.name: _openstack_meta,
}


class ConnectionPage(Page):
    """One ``connection`` label value."""

    __slots__ = ("_changes", "_counts", "_labels", "_reconnects", "_unobserved", "_up")

    def __init__(self, connection: str) -> None:
        super().__init__(len(CONNECTION_FAMILIES))
        self._labels = labels({"connection": connection})
        self._counts: dict[Pair, int] = dict.fromkeys(ALL_PAIRS, 0)
        self._changes: dict[Pair, int] = dict.fromkeys(_INVENTORY_PAIRS, 0)
        self._up = False
        self._reconnects = 0
        self._unobserved = 0.0

    def count(self, pair: Pair) -> None:
        self._counts[pair] = self._counts.get(pair, 0) + 1
        self.touch(_C_EVENTS)

    def note(self, change: InventoryChange) -> None:
        self._changes[change.change, change.reason] += 1
        self.touch(_C_INVENTORY)

    def link(self, *, up: bool) -> None:
        self._up = up
        self.touch(_C_LINK)

    def reconnect(self) -> None:
        self._reconnects += 1
        self.touch(_C_LINK)

    def blind(self, seconds: float) -> None:
        self._unobserved += seconds
        self.touch(_C_BLIND)

    def restore(self, kind: str, pair: Pair, total: float) -> None:
        """Take over a total from before a restart."""
        if kind == "unobserved":
            self._unobserved = total
        elif kind == "reconnect":
            self._reconnects = int(total)
        else:
            {"event": self._counts, "inventory": self._changes}[kind][pair] = int(total)
        self.touch(_C_EVENTS | _C_INVENTORY | _C_LINK | _C_BLIND)

    def totals(self) -> dict[tuple[str, str, str], float]:
        """Return what outlives a restart, by kind and pair."""
        found: dict[tuple[str, str, str], float] = {
            ("unobserved", "", ""): self._unobserved,
            ("reconnect", "", ""): self._reconnects,
        }
        found.update({("event", *pair): count for pair, count in self._counts.items() if count})
        found.update({("inventory", *pair): count for pair, count in self._changes.items() if count})
        return found

    def write(self, family: int) -> str:
        name = CONNECTION_FAMILIES[family].name
        if name == CONNECTION_EVENTS.name:
            return _pairs(name, self._labels, "event", self._counts)
        if name == INVENTORY_CHANGES.name:
            return _pairs(name, self._labels, "change", self._changes)
        if name == CONNECTION_UP.name:
            return sample(name, self._labels, self._up)
        if name == UNOBSERVED.name:
            return sample(name, self._labels, self._unobserved)
        return sample(name, self._labels, self._reconnects)
