"""The series of one domain name. Only formats; decides nothing."""

from collections.abc import Callable, Mapping
from functools import cache, partial

from libvirt_lifecycle_exporter.engine.changes import TracedTransition
from libvirt_lifecycle_exporter.engine.hangs import WATCHDOG
from libvirt_lifecycle_exporter.engine.record import DomainValues
from libvirt_lifecycle_exporter.engine.saved_state import INCIDENT
from libvirt_lifecycle_exporter.metrics.exposition import CachedSeries, Family, labels, number, pairs, sample
from libvirt_lifecycle_exporter.metrics.families import (
    DOMAIN_FAMILIES,
    EVENTS,
    HUNG,
    INCIDENT_OPEN,
    INCIDENTS,
    LAST_EVENT,
    LAST_INCIDENT,
    META,
    OPENNEBULA_META,
    OPENSTACK_META,
    OVIRT_META,
    STATE,
    STATE_REASON,
    STATE_SINCE,
)
from libvirt_lifecycle_exporter.metrics.platform_metadata import PLATFORM_METAS, platform_meta, platform_of
from libvirt_lifecycle_exporter.model.states import CONNECTION_DOWN, SHOWN_STATES, UNKNOWN
from libvirt_lifecycle_exporter.model.transitions import Incident
from libvirt_lifecycle_exporter.model.vocabulary import INCIDENT_KINDS, alert_pairs

Pair = tuple[str, str]
"""event, reason; or ``INCIDENT`` and its kind"""
Counted = tuple[int, float]
"""How often, and when last."""
_NAMES = ("event", "reason")
_EXPIRED: Pair = ("hung", WATCHDOG)


def _bits(*families: Family) -> int:
    return sum(1 << DOMAIN_FAMILIES.index(family) for family in families)


EVENTS_WITH_EXEMPLARS = len(DOMAIN_FAMILIES)
"""Where a page has the counters once more, with exemplars, which only OpenMetrics knows."""
_EVENT_FAMILIES = _bits(EVENTS, LAST_EVENT) | 1 << EVENTS_WITH_EXEMPLARS
_OBSERVED_FAMILIES = _bits(STATE, STATE_REASON, STATE_SINCE)
_STATE_FAMILIES = _OBSERVED_FAMILIES | _bits(META, OPENSTACK_META, OPENNEBULA_META, OVIRT_META, HUNG)
_INCIDENT_FAMILIES = _bits(INCIDENTS, INCIDENT_OPEN, LAST_INCIDENT)


class DomainSeries(CachedSeries):
    """One ``domain`` label value of one connection."""

    __slots__ = (
        "_domain",
        "_has_state_set",
        "_labels",
        "_signals",
        "_unobserved",
        "counts",
        "exemplars",
        "incidents",
        "is_own",
        "last_events",
        "last_incidents",
        "open_incidents",
        "state_series",
    )

    def __init__(
        self, connection: str, name: str, signals: tuple[str, ...], *, has_state_set: bool, is_own: bool
    ) -> None:
        """Create the series. ``signals``: the hang signals that are enabled.

        ``has_state_set``: whether every state has a series (0 or 1), or the current state only.
        ``is_own``: False for ``_other``, which stands for all domains without series of their own.
        """
        super().__init__(len(DOMAIN_FAMILIES) + 1)
        self._signals = signals
        self._has_state_set = has_state_set
        self._labels = labels({"connection": connection, "domain": name})
        self._domain: DomainValues | None = None
        """The domain that is exported under this name."""
        self._unobserved: float | None = None
        self.is_own = is_own
        self.state_series = 0
        """Series that say what is known of the domain."""
        self.counts: dict[Pair, int] = dict.fromkeys(alert_pairs(signals) if is_own else (), 0)
        self.exemplars: dict[Pair, TracedTransition] = {}
        """The newest transition of a pair."""
        self.last_events: dict[Pair, float] = {}
        self.incidents: dict[str, int] = dict.fromkeys(INCIDENT_KINDS if is_own else (), 0)
        """How many of each kind."""
        self.last_incidents: dict[str, float] = {}
        """When the newest of each kind began. A kind without one has no series but its counter."""
        self.open_incidents: dict[str, set[str]] = {}
        """Those that are open, by kind: of several domains under ``_other``."""

    def increase(self, pair: Pair, amount: int, at: float) -> bool:
        """Increase a counter that has counted before; return whether it had. This is the hot path."""
        if pair not in self.last_events:
            return False
        self.counts[pair] += amount
        self.last_events[pair] = at
        self.mark_changed(_EVENT_FAMILIES)
        return True

    def add_counter(self, pair: Pair, amount: int, at: float) -> None:
        """Increase a counter of incidents, or one that counts for the first time; this creates series."""
        event, reason = pair
        if event == INCIDENT:
            self.incidents[reason] = self.incidents.get(reason, 0) + amount
            self.last_incidents[reason] = at
            self.mark_changed(_INCIDENT_FAMILIES)
        else:
            self.counts[pair] = self.counts.get(pair, 0) + amount
            self.last_events[pair] = at
            self.mark_changed(_EVENT_FAMILIES)
            if pair == _EXPIRED:
                self.show(self._domain)

    def set_exemplar(self, traced: TracedTransition) -> bool:
        """Set the exemplar of a pair; return whether the pair is counted here."""
        pair = (traced.change.event, traced.change.reason)
        if pair not in self.last_events:
            return False
        self.exemplars[pair] = traced
        self.mark_changed(1 << EVENTS_WITH_EXEMPLARS)
        return True

    def open_incident(self, incident: Incident) -> None:
        """Record an open incident, which is counted separately."""
        self.incidents.setdefault(incident.kind, 0)
        self.last_incidents.setdefault(incident.kind, incident.opened_at)
        self.open_incidents.setdefault(incident.kind, set()).add(incident.id)
        self.mark_changed(_INCIDENT_FAMILIES)

    def close_incident(self, incident: Incident) -> None:
        """Record a closed incident, if it was opened here."""
        self.open_incidents.get(incident.kind, set()).discard(incident.id)
        self.mark_changed(_INCIDENT_FAMILIES)

    def restore(self, counts: Mapping[Pair, Counted]) -> None:
        """Add the counts from before a restart."""
        for (event, reason), (count, at) in counts.items():
            if event == INCIDENT:
                self.incidents[reason] = self.incidents.get(reason, 0) + count
                self.last_incidents[reason] = max(at, self.last_incidents.get(reason, at))
            else:
                pair = (event, reason)
                self.counts[pair] = self.counts.get(pair, 0) + count
                self.last_events[pair] = max(at, self.last_events.get(pair, at))
        self.mark_changed(_EVENT_FAMILIES | _INCIDENT_FAMILIES)
        self.show(self._domain)

    def counted(self) -> dict[Pair, Counted]:
        """Return the counts that outlive a restart."""
        pairs = {pair: (self.counts[pair], at) for pair, at in self.last_events.items()}
        # An incident that began under another name is not counted here.
        counted = {kind: at for kind, at in self.last_incidents.items() if self.incidents[kind]}
        return pairs | {(INCIDENT, kind): (self.incidents[kind], at) for kind, at in counted.items()}

    def show(self, domain: DomainValues | None) -> None:
        """Set the domain that is exported under this name; None: none."""
        self._domain = domain
        self.mark_changed(_STATE_FAMILIES)
        self.state_series = 0
        if domain is not None:
            # the state, its reason, since, meta; the hang signals; the platform's metadata
            states = len(SHOWN_STATES) if self._has_state_set else 1
            platform = platform_of(domain) is not None
            self.state_series = states + 3 + len(self._shown_signals(domain)) + platform

    def set_states_unknown(self, since: float | None) -> None:
        """Set the state to unknown since then (Unix time, seconds); None: to the last known state."""
        self._unobserved = since
        self.mark_changed(_OBSERVED_FAMILIES)

    @property
    def series(self) -> int:
        """The number of series."""
        incidents = len(self.incidents) + 2 * len(self.last_incidents)
        return len(self.counts) + len(self.last_events) + self.state_series + incidents

    def _shown_signals(self, domain: DomainValues) -> tuple[str, ...]:
        """Return the signals with a series: the watchdog, which nothing probes, from its first expiry on."""
        if _EXPIRED in self.last_events or WATCHDOG in domain.hung:
            return self._signals
        return _without_watchdog(self._signals)

    def write(self, family: int) -> str:
        name = EVENTS.name if family == EVENTS_WITH_EXEMPLARS else DOMAIN_FAMILIES[family].name
        if name == EVENTS.name:
            exemplars = {}
            if family == EVENTS_WITH_EXEMPLARS:
                exemplars = {pair: _exemplar(traced) for pair, traced in self.exemplars.items()}
            return pairs(name, self._labels, _NAMES, self.counts, exemplars)
        if name == LAST_EVENT.name:
            return pairs(name, self._labels, _NAMES, self.last_events)
        if name in _OF_INCIDENTS:
            return _OF_INCIDENTS[name](self._labels, self)
        domain = self._domain
        if domain is None:
            return ""
        if name == HUNG.name:
            return _hung(self._labels, domain, self._shown_signals(domain))
        if self._unobserved is not None and domain.present:
            domain = domain._replace(state=UNKNOWN, reason=CONNECTION_DOWN, since=self._unobserved)
        writers = _STATE_SET_WRITERS if self._has_state_set else _WRITERS
        return writers[name](self._labels, domain)


def _exemplar(traced: TracedTransition) -> str:
    """Render an exemplar as OpenMetrics appends it to a sample."""
    names = labels({"trace_id": traced.trace_id, "span_id": traced.span_id})
    return f" # {{{names}}} 1 {number(traced.change.at)}"


@cache
def _without_watchdog(signals: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(signal for signal in signals if signal != WATCHDOG)


def _hung(subject: str, domain: DomainValues, signals: tuple[str, ...]) -> str:
    return "".join(
        sample(HUNG.name, f'{subject},signal="{signal}"', signal in domain.hung) for signal in signals
    )


def _state(subject: str, domain: DomainValues, states: tuple[str, ...] = ()) -> str:
    return "".join(
        sample(STATE.name, f'{subject},state="{state}"', state == domain.state)
        for state in states or (domain.state,)
    )


def _state_reason(subject: str, domain: DomainValues) -> str:
    rest = labels({"state": domain.state, "reason": domain.reason})
    return sample(STATE_REASON.name, f"{subject},{rest}", 1)


def _state_since(subject: str, domain: DomainValues) -> str:
    return sample(STATE_SINCE.name, subject, domain.since)


def _meta(subject: str, domain: DomainValues) -> str:
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


def _yes_no(value: bool | None) -> str:  # noqa: FBT001 - the value itself, not a switch
    return {True: "true", False: "false", None: ""}[value]


_Writers = Mapping[str, Callable[[str, DomainValues], str]]
_WRITERS: _Writers = {
    STATE.name: _state,
    STATE_REASON.name: _state_reason,
    STATE_SINCE.name: _state_since,
    META.name: _meta,
    **{name: partial(platform_meta, name) for name in PLATFORM_METAS},
}
_STATE_SET_WRITERS: _Writers = {**_WRITERS, STATE.name: partial(_state, states=SHOWN_STATES)}


def _incidents(subject: str, domain: DomainSeries) -> str:
    return "".join(
        sample(INCIDENTS.name, f'{subject},kind="{kind}"', n) for kind, n in domain.incidents.items()
    )


def _incident_open(subject: str, domain: DomainSeries) -> str:
    return "".join(
        sample(INCIDENT_OPEN.name, f'{subject},kind="{kind}"', bool(domain.open_incidents.get(kind)))
        for kind in domain.last_incidents
    )


def _last_incident(subject: str, domain: DomainSeries) -> str:
    return "".join(
        sample(LAST_INCIDENT.name, f'{subject},kind="{kind}"', at)
        for kind, at in domain.last_incidents.items()
    )


_OF_INCIDENTS = {
    INCIDENTS.name: _incidents,
    INCIDENT_OPEN.name: _incident_open,
    LAST_INCIDENT.name: _last_incident,
}
