"""SeriesBudget for the series of domains: how many there may be, who was promised some, who found none.

Law: what is promised is kept free until it is needed, so that the limit holds and a restart finds room again
for all that had some. ``_other`` alone is not asked for its room.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from libvirt_lifecycle_exporter.engine.saved_state import Name
from libvirt_lifecycle_exporter.metrics.domain_series import DomainSeries, Pair
from libvirt_lifecycle_exporter.model.states import SHOWN_STATES
from libvirt_lifecycle_exporter.model.vocabulary import INCIDENT_KINDS, alert_pairs

_FACTS = len(SHOWN_STATES) + 4
"""Series that tell of a domain: state, reason, since, meta, the platform's; each hang signal is one more."""
_PAIR = 2
"""Series that a new (event, reason) of a domain brings: the counter and its newest time."""
_ANY_TIME: Pair = ("", "")
"""Stands for what is known of a domain, and its incidents."""


class SeriesBudget:
    """Keeps the account of series."""

    def __init__(self, limit: int, signals: tuple[str, ...] = ()) -> None:
        """``signals``: of hangs, those that are switched on."""
        self._limit = limit
        self._facts = _FACTS + len(signals)
        self._page = len(alert_pairs(signals)) + self._facts + 3 * len(INCIDENT_KINDS)
        """Series that a new domain brings, or may bring any time; admission asks for this much room."""
        self._promised = 0
        self.series = 0
        """Series there are now."""
        self.limited = 0
        """Domains and pairs that found no room."""
        self.folded: set[Name] = set()
        """Domains that have no series of their own."""
        self._folded_lately: dict[Name, bool] = {}
        self._refused: set[tuple[str, ...]] = set()
        """Domains, and pairs of domains that have some, that were refused series since the exporter began."""

    @contextmanager
    def growing(self, page: DomainSeries) -> Iterator[None]:
        """Take note of the series that a page gets in this block."""
        before = page.series
        yield
        self.series += page.series - before

    def admits(self, name: Name) -> bool:
        """Tell whether there is room for another domain."""
        admitted = self._has(self._page)
        self.fold(name, is_folded=not admitted)
        if not admitted:
            self._refuse(*name)
        return admitted

    def takes_back(self, page: DomainSeries) -> bool:
        """Tell whether there is room for a page as it was before a restart."""
        if not self._has(page.series):
            return False
        self.series += page.series
        return True

    def reserve(self, page: DomainSeries) -> None:
        """Promise a domain all that it may show any time."""
        more = self._facts - page.facts + len(INCIDENT_KINDS) - len(page.began)
        self.keep(page, _ANY_TIME)
        self._promise(page, _ANY_TIME, more)

    def takes(self, name: Name, page: DomainSeries, pair: Pair) -> bool:
        """Tell whether a pair has series on the page of a domain, or is to have some."""
        if pair in page.last or pair in page.promised:
            return True
        if not self._has(_PAIR):
            self._refuse(*name, *pair)
            return False
        self._promise(page, pair, _PAIR)
        return True

    def keep(self, page: DomainSeries, pair: Pair) -> None:
        """Keep a promise: the series come now."""
        self._promised -= page.promised.pop(pair, 0)

    def leave(self, name: Name, page: DomainSeries) -> None:
        """Take back all room of a page that ends."""
        self.series -= page.series
        self._promised -= sum(page.promised.values())
        self._refused = {what for what in self._refused if what[:2] != name}

    def fold(self, name: Name, *, is_folded: bool) -> None:
        """Note that a domain has no series of its own, or that it has some, or needs none any more."""
        if (name in self.folded) == is_folded:
            return
        self._folded_lately[name] = is_folded
        if is_folded:
            self.folded.add(name)
        else:
            self.folded.discard(name)
            self._refused.discard(name)

    def folded_lately(self) -> dict[Name, bool]:
        """Return what ``fold`` changed since this was asked last."""
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
