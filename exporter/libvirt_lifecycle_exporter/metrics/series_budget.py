"""The series limit: how many series exist, how many are reserved, and which domains got none.

Invariant: reserved series are kept free until they are created, so the limit holds and all series fit again
after a restart. Only ``_other`` is exempt from the limit.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from libvirt_lifecycle_exporter.engine.saved_state import Name
from libvirt_lifecycle_exporter.metrics.domain_series import DomainSeries, Pair
from libvirt_lifecycle_exporter.model.states import SHOWN_STATES
from libvirt_lifecycle_exporter.model.vocabulary import INCIDENT_KINDS, alert_pairs

_FACTS = len(SHOWN_STATES) + 4
"""Series about the state of a domain: state, reason, since, meta, platform; plus one for each hang signal."""
_PAIR = 2
"""Series of a new (event, reason) of a domain: the counter and its newest time."""
_ANY_TIME: Pair = ("", "")
"""Stands for the state of a domain, and its incidents."""


class SeriesBudget:
    """Counts existing and reserved series."""

    def __init__(self, limit: int, signals: tuple[str, ...] = ()) -> None:
        """``limit``: the most series. ``signals``: the hang signals that are enabled."""
        self._limit = limit
        self._facts = _FACTS + len(signals)
        self._page = len(alert_pairs(signals)) + self._facts + 3 * len(INCIDENT_KINDS)
        """Series that a new domain has, or may get at any time."""
        self._promised = 0
        self.series = 0
        """The number of existing series."""
        self.limited = 0
        """The number of domains and pairs that were refused series."""
        self.folded: set[Name] = set()
        """Domains that have no series of their own."""
        self._folded_lately: dict[Name, bool] = {}
        self._refused: set[tuple[str, ...]] = set()
        """Domains, and pairs of domains with series, that were refused series since the exporter started."""

    @contextmanager
    def growing(self, page: DomainSeries) -> Iterator[None]:
        """Count the series that are created in this block."""
        before = page.series
        yield
        self.series += page.series - before

    def admits(self, name: Name) -> bool:
        """Return whether the limit allows another domain."""
        admitted = self._has(self._page)
        self.fold(name, is_folded=not admitted)
        if not admitted:
            self._refuse(*name)
        return admitted

    def takes_back(self, page: DomainSeries) -> bool:
        """Return whether the limit allows the series of a domain from before a restart."""
        if not self._has(page.series):
            return False
        self.series += page.series
        return True

    def reserve(self, page: DomainSeries) -> None:
        """Reserve all series that a domain may need at any time."""
        more = self._facts - page.facts + len(INCIDENT_KINDS) - len(page.began)
        self.keep(page, _ANY_TIME)
        self._promise(page, _ANY_TIME, more)

    def takes(self, name: Name, page: DomainSeries, pair: Pair) -> bool:
        """Return whether a pair of a domain has series, or may get some; reserve them."""
        if pair in page.last or pair in page.promised:
            return True
        if not self._has(_PAIR):
            self._refuse(*name, *pair)
            return False
        self._promise(page, pair, _PAIR)
        return True

    def keep(self, page: DomainSeries, pair: Pair) -> None:
        """Release a reservation: the series are created now."""
        self._promised -= page.promised.pop(pair, 0)

    def leave(self, name: Name, page: DomainSeries) -> None:
        """Release all series of a domain that expires."""
        self.series -= page.series
        self._promised -= sum(page.promised.values())
        self._refused = {what for what in self._refused if what[:2] != name}

    def fold(self, name: Name, *, is_folded: bool) -> None:
        """Record whether a domain lacks series of its own because of the limit."""
        if (name in self.folded) == is_folded:
            return
        self._folded_lately[name] = is_folded
        if is_folded:
            self.folded.add(name)
        else:
            self.folded.discard(name)
            self._refused.discard(name)

    def folded_lately(self) -> dict[Name, bool]:
        """Return what ``fold`` changed since the last call."""
        lately, self._folded_lately = self._folded_lately, {}
        return lately

    def _has(self, series: int) -> bool:
        return self.series + self._promised + series <= self._limit

    def _promise(self, page: DomainSeries, pair: Pair, series: int) -> None:
        page.promised[pair] = series
        self._promised += series

    def _refuse(self, *what: str) -> None:
        if what not in self._refused:
            self._refused.add(what)
            self.limited += 1
