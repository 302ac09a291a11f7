"""What is shown of one domain.

Law: a page only formats what it was told; it decides nothing.
"""

from libvirt_lifecycle_exporter.domain import Domain
from libvirt_lifecycle_exporter.sinks.exposition import Family, Page, labels, number, pairs, sample
from libvirt_lifecycle_exporter.sinks.families import (
    DOMAIN_FAMILIES,
    EVENTS,
    INCIDENT_OPEN,
    INCIDENTS,
    LAST_EVENT,
    LAST_INCIDENT,
    META,
    OPENSTACK_META,
    STATE,
    STATE_REASON,
    STATE_SINCE,
)
from libvirt_lifecycle_exporter.states import STATES
from libvirt_lifecycle_exporter.vocabulary import ALERT_PAIRS, INCIDENT_KINDS

Pair = tuple[str, str]


_NAMES = ("event", "reason")


def _bits(*families: Family) -> int:
    return sum(1 << DOMAIN_FAMILIES.index(family) for family in families)


EXEMPLIFIED = len(DOMAIN_FAMILIES)
"""Where a page has the counters once more, with exemplars, which only OpenMetrics knows."""
_COUNTED = _bits(EVENTS, LAST_EVENT) | 1 << EXEMPLIFIED
_FACTS = _bits(STATE, STATE_REASON, STATE_SINCE, META, OPENSTACK_META)
_INCIDENTS = _bits(INCIDENTS, INCIDENT_OPEN, LAST_INCIDENT)


class DomainPage(Page):
    """One ``domain`` label value of one connection; several domains may bear the name in turn."""

    __slots__ = (
        "_domain",
        "_facts",
        "_labels",
        "counts",
        "exemplars",
        "expires",
        "incidents",
        "last",
        "opened",
        "uuid",
    )

    def __init__(self, connection: str, name: str, *, zeros: tuple[Pair, ...] = ALERT_PAIRS) -> None:
        super().__init__(len(DOMAIN_FAMILIES) + 1)
        self._labels = labels({"connection": connection, "domain": name})
        self._domain: Domain | None = None
        self._facts = 0
        self.counts: dict[Pair, int] = dict.fromkeys(zeros, 0)
        self.exemplars: dict[Pair, str] = {}
        """The newest transition of a pair, as OpenMetrics names it behind the sample."""
        self.last: dict[Pair, float] = {}
        self.incidents: dict[str, int] = dict.fromkeys(INCIDENT_KINDS if zeros else (), 0)
        """How many of each kind."""
        self.opened: dict[str, tuple[float, bool]] = {}
        """Of the newest of each kind: when it began, and whether it is open."""
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

    def exemplify(self, pair: Pair, at: float, trace_id: str, span_id: str) -> None:
        """Name the span that the newest transition of a pair is on."""
        if pair in self.last:
            names = labels({"trace_id": trace_id, "span_id": span_id})
            self.exemplars[pair] = f" # {{{names}}} 1 {number(at)}"
            self.touch(1 << EXEMPLIFIED)

    def incident(self, kind: str, at: float, *, is_open: bool, more: int) -> None:
        """Show the newest incident of a kind; ``more``: how many it is more than before."""
        self.incidents[kind] = self.incidents.get(kind, 0) + more
        self.opened[kind] = (at, is_open)
        self.touch(_INCIDENTS)

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
        return len(self.counts) + len(self.last) + self._facts + 2 * len(self.incidents) + len(self.opened)

    def write(self, family: int) -> str:
        if family == EXEMPLIFIED:
            return pairs(EVENTS.name, self._labels, _NAMES, self.counts, self.exemplars)
        name = DOMAIN_FAMILIES[family].name
        if name == EVENTS.name:
            return pairs(name, self._labels, _NAMES, self.counts)
        if name == LAST_EVENT.name:
            return pairs(name, self._labels, _NAMES, self.last)
        if name in _OF_INCIDENTS:
            return _OF_INCIDENTS[name](self._labels, self)
        return "" if self._domain is None else _WRITERS[name](self._labels, self._domain)


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


def _incidents(subject: str, page: DomainPage) -> str:
    return "".join(
        sample(INCIDENTS.name, f'{subject},kind="{kind}"', n) for kind, n in page.incidents.items()
    )


def _incident_open(subject: str, page: DomainPage) -> str:
    return "".join(
        sample(INCIDENT_OPEN.name, f'{subject},kind="{kind}"', page.opened.get(kind, (0, False))[1])
        for kind in page.incidents
    )


def _last_incident(subject: str, page: DomainPage) -> str:
    return "".join(
        sample(LAST_INCIDENT.name, f'{subject},kind="{kind}"', at) for kind, (at, _) in page.opened.items()
    )


_OF_INCIDENTS = {
    INCIDENTS.name: _incidents,
    INCIDENT_OPEN.name: _incident_open,
    LAST_INCIDENT.name: _last_incident,
}
