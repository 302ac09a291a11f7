"""The series limit: which domain names have series of their own, how long, and which domain each one shows.

Invariants:

* What exceeds the limit is counted under ``_other``, to which the limit does not apply. Nothing is lost.
* A name is admitted with all series that it may need at any time, so the limit holds, and everything that had
  series before a restart gets them again.
* The decision is made before the journal is written, so counters have the same names after a restart.

Used by the worker thread only; the numbers may be read by any thread.
"""

from collections.abc import Iterable

from libvirt_lifecycle_exporter.engine.changes import DomainUpdated
from libvirt_lifecycle_exporter.engine.record import DomainValues
from libvirt_lifecycle_exporter.engine.saved_state import INCIDENT, Name, SavedState
from libvirt_lifecycle_exporter.model.states import SHOWN_STATES
from libvirt_lifecycle_exporter.model.text import OTHER
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import INCIDENT_KINDS, alert_pairs

Pair = tuple[str, str]
"""event, reason"""

_STATE_SERIES = 4
"""Series about a domain in addition to its state: reason, since, meta, platform."""
_INCIDENT_SERIES = 3
"""Series of an incident kind: counter, open, time of the newest."""


class NameSeries:
    """The series of one name of a connection."""

    __slots__ = ("cost", "domains", "expires", "pairs")

    def __init__(self, cost: int, expires: float | None = None) -> None:
        self.cost = cost
        """Number of series that the name has or may get."""
        self.domains: dict[str, DomainValues] = {}
        """uuid -> domain with this name, the newest last. More than one only while a swap of names is
        incompletely known."""
        self.pairs: set[Pair] = set()
        """The (event, reason) pairs that are counted under this name."""
        self.expires = expires
        """When the series are removed; Unix time, seconds. None: not while a present domain has the name."""

    def exported_domain(self) -> DomainValues | None:
        """Return the domain that is exported under this name."""
        return next(reversed(self.domains.values()), None)


class SeriesLimit:
    """Admits names and pairs up to a limit."""

    def __init__(
        self, limit: int, ttl: float, signals: tuple[str, ...] = (), *, has_state_set: bool = False
    ) -> None:
        """``limit``: maximum number of domain series. ``ttl``: seconds from the removal of a domain to the
        removal of its series. ``signals``: the enabled hang signals. ``has_state_set``: whether every state
        has a series.
        """
        self.refused = 0
        """Number of names and pairs that were refused series of their own."""
        self._limit = limit
        self._ttl = ttl
        self._alert_pairs = frozenset(alert_pairs(signals))
        self._name_cost = (
            len(self._alert_pairs)
            + (len(SHOWN_STATES) if has_state_set else 1)
            + _STATE_SERIES
            + len(signals)
            + _INCIDENT_SERIES * len(INCIDENT_KINDS)
        )
        self._used = 0
        self._names: dict[Name, NameSeries] = {}
        self._aggregated: set[Name] = set()
        """Names of domains that are counted under ``_other``."""
        self._aggregation_changes: dict[Name, bool] = {}
        self._refused: set[tuple[str, ...]] = set()
        """Names and (name, pair)s that are included in ``refused``, so that each is counted once."""
        self._now = 0.0
        """The newest time that ``expire`` was called with."""

    def names(self) -> frozenset[Name]:
        """Return the names that have series of their own."""
        return frozenset(self._names)

    def admit(self, connection: str, name: str) -> str:
        """Return the name under which a domain is exported: its own, or ``_other``."""
        return OTHER if self._admit((connection, name)) is None else name

    def counting_name(self, change: Transition) -> str:
        """Return the name under which a transition is counted: its own, or ``_other``."""
        name, pair = (change.connection, change.name), (change.event, change.reason)
        series = self._names.get(name) or self._admit(name)
        if series is None:
            return OTHER
        if pair in series.pairs:
            return change.name
        cost = self._pair_cost(pair)
        if self._used + cost > self._limit:
            self._refuse(*name, *pair)
            return OTHER
        self._add_pair(series, pair)
        return change.name

    def update_domain(self, values: DomainValues) -> DomainUpdated | None:
        """Return how the export changes when a domain is added, changed or removed; None: not at all."""
        name = (values.connection, values.name)
        series = self._admit(name) if values.present else self._names.get(name)
        if series is None:
            return None
        has_others = len(series.domains) > (values.uuid in series.domains)
        if has_others and not values.present:
            # Another domain has the name now.
            return self._withdraw(name, series, values.uuid, values.removed_at)
        if has_others:
            series.domains = {uuid: one for uuid, one in series.domains.items() if one.present}
        series.domains[values.uuid] = values
        return self._update(name, series, values.removed_at)

    def release(self, connection: str, name: str, uuid: str, at: float) -> DomainUpdated | None:
        """Return how the export changes when a domain loses this name at a Unix time; None: not at all."""
        self._set_aggregated((connection, name), is_aggregated=False)
        series = self._names.get((connection, name))
        return None if series is None else self._withdraw((connection, name), series, uuid, at)

    def forget(self, connection: str, name: str) -> None:
        """Forget a domain that was removed long ago."""
        self._set_aggregated((connection, name), is_aggregated=False)

    def expire(self, now: float) -> list[Name]:
        """Return the names whose series are to be removed now (Unix time, seconds)."""
        self._now = now
        expired = [
            name
            for name, series in self._names.items()
            if series.expires is not None and series.expires <= now
        ]
        for name in expired:
            self._used -= self._names.pop(name).cost
            self._refused = {refused for refused in self._refused if refused[:2] != name}
        return expired

    def shift(self, jump: float) -> None:
        """Adjust the times of expiry to a jump of the wall clock, in seconds."""
        self._now += jump
        for series in self._names.values():
            if series.expires is not None:
                series.expires += jump

    def restore(self, state: SavedState, now: float) -> None:
        """Admit the names from before a restart (``now``: Unix time). Those that no domain has expire."""
        self._aggregated |= state.aggregated
        pairs: dict[Name, set[Pair]] = {}
        for connection, name, event, reason in state.counts:
            counted = pairs.setdefault((connection, name), set())
            if event != INCIDENT:
                counted.add((event, reason))
        # Domains without series of their own come last: they had none before the restart either.
        domains = sorted(state.domains, key=lambda domain: domain.present)
        names = [(domain.connection, domain.name) for domain in domains]
        own = [*pairs, *(name for name in names if name not in pairs and name not in state.aggregated)]
        for key in dict.fromkeys(own):
            if key[1] != OTHER:
                self._restore_name(key, pairs.get(key, set()), now + self._ttl)

    def aggregated(self) -> frozenset[Name]:
        """Return the names of domains that are counted under ``_other``."""
        return frozenset(self._aggregated)

    def take_aggregation_changes(self) -> dict[Name, bool]:
        """Return the names that lost their series (True) or got some (False) since the last call."""
        changes, self._aggregation_changes = self._aggregation_changes, {}
        return changes

    def _admit(self, name: Name) -> NameSeries | None:
        series = self._names.get(name)
        if series is None:
            is_admitted = self._used + self._name_cost <= self._limit
            self._set_aggregated(name, is_aggregated=not is_admitted)
            if not is_admitted:
                self._refuse(*name)
                return None
            series = self._names[name] = NameSeries(self._name_cost)
            self._used += series.cost
        return series

    def _restore_name(self, name: Name, pairs: Iterable[Pair], expires: float) -> None:
        series = NameSeries(self._name_cost, expires)
        if self._used + series.cost + sum(map(self._pair_cost, pairs)) <= self._limit:
            self._names[name] = series
            self._used += series.cost
            for pair in pairs:
                self._add_pair(series, pair)

    def _pair_cost(self, pair: Pair) -> int:
        """Return the number of series that a pair adds. The counters of alert pairs exist from the start."""
        return 1 if pair in self._alert_pairs else 2

    def _add_pair(self, series: NameSeries, pair: Pair) -> None:
        cost = self._pair_cost(pair)
        series.pairs.add(pair)
        series.cost += cost
        self._used += cost

    def _withdraw(self, name: Name, series: NameSeries, uuid: str, at: float) -> DomainUpdated | None:
        before = series.exported_domain()
        series.domains.pop(uuid, None)
        update = self._update(name, series, at)
        return None if series.exported_domain() is before else update

    def _update(self, name: Name, series: NameSeries, at: float) -> DomainUpdated:
        """Set the time of expiry. ``at``: when the domain lost the name; Unix time, seconds."""
        exported = series.exported_domain()
        if exported is not None and exported.present:
            series.expires = None
        elif series.expires is None:
            # max(): the time stamp may be from right before a jump of the wall clock.
            series.expires = max(at, self._now) + self._ttl
        return DomainUpdated(*name, exported)

    def _set_aggregated(self, name: Name, *, is_aggregated: bool) -> None:
        if (name in self._aggregated) == is_aggregated:
            return
        self._aggregation_changes[name] = is_aggregated
        if is_aggregated:
            self._aggregated.add(name)
        else:
            self._aggregated.discard(name)
            self._refused.discard(name)

    def _refuse(self, *what: str) -> None:
        if what not in self._refused:
            self._refused.add(what)
            self.refused += 1
