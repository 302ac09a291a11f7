"""The series of one connection, and of all its domains together. Only formats; decides nothing.

Totals have the same kinds as in the journal: ``event``, ``raw``, ``inventory``, ``reconnect``,
``unobserved``, ``host_reboot``, ``operation``.
"""

from collections.abc import Callable  # noqa: TC003 - a small price for one way of importing
from typing import NamedTuple

from libvirt_lifecycle_exporter.engine.durations import BUCKETS, EXPECTED
from libvirt_lifecycle_exporter.metrics.exposition import CachedSeries, Family, labels, number, pairs, sample
from libvirt_lifecycle_exporter.metrics.families import (
    CONNECTION_EVENTS,
    CONNECTION_FAMILIES,
    CONNECTION_UP,
    HOST_REBOOTS,
    INVENTORY_CHANGES,
    LAST_HOST_REBOOT,
    OPERATIONS,
    RAW_EVENTS,
    RECONNECTS,
    UNOBSERVED,
)
from libvirt_lifecycle_exporter.model.vocabulary import ALL_PAIRS, COUNTED_PAIRS, raw_detail

Pair = tuple[str, str]

NO_PAIR: Pair = ("", "")
"""The pair of kinds that have only one total."""

SUM = "sum"
"""The key of the sum of seconds, beside those of the buckets."""


class _Kind(NamedTuple):
    """How a kind of total is exported: the family, the pairs that start at 0, the label names."""

    family: Family
    zeros: tuple[Pair, ...]
    first: str = ""
    second: str = ""


_KINDS = {
    "event": _Kind(CONNECTION_EVENTS, COUNTED_PAIRS, "event", "reason"),
    "raw": _Kind(RAW_EVENTS, ALL_PAIRS, "event", "detail"),
    "inventory": _Kind(
        INVENTORY_CHANGES,
        (("added", "started"), ("added", "defined"), ("removed", "shutdown"), ("removed", "undefined")),
        "change",
        "reason",
    ),
    "reconnect": _Kind(RECONNECTS, (NO_PAIR,)),
    "unobserved": _Kind(UNOBSERVED, (NO_PAIR,)),
    "host_reboot": _Kind(HOST_REBOOTS, (NO_PAIR,)),
    "operation": _Kind(OPERATIONS, tuple((f"{operation}/{outcome}", SUM) for operation, outcome in EXPECTED)),
}

_BITS = {kind: 1 << CONNECTION_FAMILIES.index(shown.family) for kind, shown in _KINDS.items()}
_UP = 1 << CONNECTION_FAMILIES.index(CONNECTION_UP)
_LAST_HOST_REBOOT = 1 << CONNECTION_FAMILIES.index(LAST_HOST_REBOOT)


class ConnectionSeries(CachedSeries):
    """One ``connection`` label value."""

    __slots__ = ("_is_up", "_labels", "_rebooted_at", "_totals", "_writers")

    def __init__(self, connection: str) -> None:
        super().__init__(len(CONNECTION_FAMILIES))
        self._labels = labels({"connection": connection})
        self._is_up = False
        self._rebooted_at = 0.0
        self._totals: dict[str, dict[Pair, float]] = {
            kind: dict.fromkeys(shown.zeros, 0) for kind, shown in _KINDS.items()
        }
        self._writers: dict[str, Callable[[], str]] = {
            CONNECTION_UP.name: self._write_up,
            LAST_HOST_REBOOT.name: self._write_rebooted_at,
        }
        for kind, shown in _KINDS.items():
            self._writers[shown.family.name] = lambda kind=kind: self._write_totals(kind)  # type: ignore[misc]
        self._writers[OPERATIONS.name] = self._write_operations

    def add(self, kind: str, pair: Pair, amount: float) -> None:
        """Increase a total."""
        totals = self._totals[kind]
        totals[pair] = totals.get(pair, 0) + amount
        self.mark_changed(_BITS[kind])

    def set_up(self, is_up: bool) -> None:  # noqa: FBT001 - the value itself
        """Set whether the connection is up."""
        self._is_up = is_up
        self.mark_changed(_UP)

    def set_host_reboot(self, at: float) -> None:
        """Set when a reboot of the host was last found; Unix time, seconds; 0: never."""
        self._rebooted_at = at
        self.mark_changed(_LAST_HOST_REBOOT)

    def restore(self, kind: str, pair: Pair, total: float) -> None:
        """Add a total from before a restart. Journals of older releases contain free-form details."""
        self.add(kind, (pair[0], raw_detail(*pair)) if kind == "raw" else pair, total)

    def total(self, kind: str, pair: Pair) -> int:
        """Return one total."""
        return int(self._totals[kind].get(pair, 0))

    def totals(self) -> dict[tuple[str, str, str], float]:
        """Return the totals that outlive a restart, by kind and pair."""
        return {
            (kind, *pair): total
            for kind, totals in self._totals.items()
            for pair, total in totals.items()
            if total
        }

    def write(self, family: int) -> str:
        return self._writers[CONNECTION_FAMILIES[family].name]()

    def _write_up(self) -> str:
        return sample(CONNECTION_UP.name, self._labels, self._is_up)

    def _write_rebooted_at(self) -> str:
        return sample(LAST_HOST_REBOOT.name, self._labels, self._rebooted_at)

    def _write_totals(self, kind: str) -> str:
        shown, totals = _KINDS[kind], self._totals[kind]
        if not shown.first:
            return sample(shown.family.name, self._labels, totals[NO_PAIR])
        return pairs(shown.family.name, self._labels, (shown.first, shown.second), totals)

    def _write_operations(self) -> str:
        totals = self._totals["operation"]
        return "".join(self._histogram(key) for key in dict.fromkeys(pair[0] for pair in totals))

    def _histogram(self, key: str) -> str:
        operation, _, outcome = key.partition("/")
        subject = f"{self._labels},{labels({'operation': operation, 'outcome': outcome})}"
        totals = self._totals["operation"]
        total, lines = 0.0, []
        for place, bound in enumerate((*map(number, BUCKETS), "+Inf")):
            total += totals.get((key, str(place)), 0)
            lines.append(sample(f"{OPERATIONS.name}_bucket", f'{subject},le="{bound}"', total))
        lines.append(sample(f"{OPERATIONS.name}_sum", subject, totals.get((key, SUM), 0)))
        lines.append(sample(f"{OPERATIONS.name}_count", subject, total))
        return "".join(lines)
