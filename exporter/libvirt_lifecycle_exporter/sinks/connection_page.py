"""What is shown of one connection, and of all its domains together.

Law: a page only formats what it was told; it decides nothing.
"""

from libvirt_lifecycle_exporter.operations import BUCKETS, Duration
from libvirt_lifecycle_exporter.sinks.exposition import Family, Page, labels, number, pairs, sample
from libvirt_lifecycle_exporter.sinks.families import (
    CONNECTION_EVENTS,
    CONNECTION_FAMILIES,
    CONNECTION_UP,
    INVENTORY_CHANGES,
    OPERATIONS,
    RAW_EVENTS,
    RECONNECTS,
    UNOBSERVED,
)
from libvirt_lifecycle_exporter.transition import InventoryChange
from libvirt_lifecycle_exporter.vocabulary import ALL_PAIRS, COUNTED_PAIRS

Pair = tuple[str, str]

_INVENTORY_PAIRS: tuple[Pair, ...] = (
    ("added", "started"),
    ("added", "defined"),
    ("removed", "shutdown"),
    ("removed", "undefined"),
)


def _bits(*families: Family) -> int:
    return sum(1 << CONNECTION_FAMILIES.index(family) for family in families)


_EVENTS = _bits(CONNECTION_EVENTS)
_RAW = _bits(RAW_EVENTS)
_INVENTORY = _bits(INVENTORY_CHANGES)
_LINK = _bits(CONNECTION_UP, RECONNECTS)
_BLIND = _bits(UNOBSERVED)
_OPERATIONS = _bits(OPERATIONS)


class ConnectionPage(Page):
    """One ``connection`` label value."""

    __slots__ = (
        "_operations",
        "_sums",
        "_changes",
        "_counts",
        "_labels",
        "_raw",
        "_reconnects",
        "_unobserved",
        "_up",
    )

    def __init__(self, connection: str) -> None:
        super().__init__(len(CONNECTION_FAMILIES))
        self._labels = labels({"connection": connection})
        self._counts: dict[Pair, int] = dict.fromkeys(COUNTED_PAIRS, 0)
        self._changes: dict[Pair, int] = dict.fromkeys(_INVENTORY_PAIRS, 0)
        self._up = False
        self._reconnects = 0
        self._raw: dict[Pair, int] = dict.fromkeys(ALL_PAIRS, 0)
        self._unobserved = 0.0
        self._operations: dict[Pair, list[int]] = {}
        """Of each (operation, outcome): how many fell into each bucket."""
        self._sums: dict[Pair, float] = {}

    def count(self, pair: Pair) -> None:
        self._counts[pair] = self._counts.get(pair, 0) + 1
        self.touch(_EVENTS)

    def note(self, change: InventoryChange) -> None:
        self._changes[change.change, change.reason] += 1
        self.touch(_INVENTORY)

    def link(self, *, up: bool) -> None:
        self._up = up
        self.touch(_LINK)

    def reconnect(self) -> None:
        self._reconnects += 1
        self.touch(_LINK)

    def took(self, duration: Duration) -> None:
        """Count an operation's duration."""
        pair = (duration.operation, duration.outcome)
        self._buckets(pair)[duration.bucket] += 1
        self._sums[pair] = self._sums.get(pair, 0.0) + duration.seconds
        self.touch(_OPERATIONS)

    def _buckets(self, pair: Pair) -> list[int]:
        return self._operations.setdefault(pair, [0] * (len(BUCKETS) + 1))

    def raw(self, pair: Pair) -> None:
        self._raw[pair] = self._raw.get(pair, 0) + 1
        self.touch(_RAW)

    def blind(self, seconds: float) -> None:
        self._unobserved += seconds
        self.touch(_BLIND)

    def restore(self, kind: str, pair: Pair, total: float) -> None:
        """Take over a total from before a restart."""
        if kind == "unobserved":
            self._unobserved = total
        elif kind == "reconnect":
            self._reconnects = int(total)
        elif kind == "operation":
            self._restore_operation(pair, total)
        else:
            {"event": self._counts, "inventory": self._changes, "raw": self._raw}[kind][pair] = int(total)
        self.touch(_EVENTS | _INVENTORY | _LINK | _BLIND | _OPERATIONS | _RAW)

    def _restore_operation(self, pair: Pair, total: float) -> None:
        operation, _, outcome = pair[0].partition("/")
        buckets = self._buckets((operation, outcome))
        if pair[1] == "sum":
            self._sums[operation, outcome] = total
        else:
            self._sums.setdefault((operation, outcome), 0.0)
            buckets[int(pair[1])] = int(total)

    def totals(self) -> dict[tuple[str, str, str], float]:
        """Return what outlives a restart, by kind and pair."""
        found: dict[tuple[str, str, str], float] = {
            ("unobserved", "", ""): self._unobserved,
            ("reconnect", "", ""): self._reconnects,
        }
        found.update({("event", *pair): count for pair, count in self._counts.items() if count})
        found.update({("raw", *pair): count for pair, count in self._raw.items() if count})
        found.update({("inventory", *pair): count for pair, count in self._changes.items() if count})
        for pair, buckets in self._operations.items():
            what = "/".join(pair)
            found["operation", what, "sum"] = self._sums[pair]
            found.update({("operation", what, str(n)): count for n, count in enumerate(buckets) if count})
        return found

    def write(self, family: int) -> str:
        name = CONNECTION_FAMILIES[family].name
        if name == CONNECTION_EVENTS.name:
            return pairs(name, self._labels, "event", self._counts)
        if name == RAW_EVENTS.name:
            return pairs(name, self._labels, "event", self._raw, second="detail")
        if name == INVENTORY_CHANGES.name:
            return pairs(name, self._labels, "change", self._changes)
        if name == CONNECTION_UP.name:
            return sample(name, self._labels, self._up)
        if name == OPERATIONS.name:
            return "".join(self._histogram(pair) for pair in self._operations)
        if name == UNOBSERVED.name:
            return sample(name, self._labels, self._unobserved)
        return sample(name, self._labels, self._reconnects)

    def _histogram(self, pair: Pair) -> str:
        subject = f"{self._labels},{labels({'operation': pair[0], 'outcome': pair[1]})}"
        total, lines = 0, []
        for bound, count in zip((*map(number, BUCKETS), "+Inf"), self._operations[pair], strict=True):
            total += count
            lines.append(sample(f"{OPERATIONS.name}_bucket", f'{subject},le="{bound}"', total))
        lines.append(sample(f"{OPERATIONS.name}_sum", subject, self._sums[pair]))
        lines.append(sample(f"{OPERATIONS.name}_count", subject, total))
        return "".join(lines)
