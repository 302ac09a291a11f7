"""Pure: of which domains something may have been missed, and since when no more.

Law: after a gap a domain is sure again when one of its own events told how it is, or an answer that was asked
for after the gap. An answer can overtake events, and agree by chance with what they will say: those that
arrive soon after it are still taken for the first ones after the gap.
"""

import math
from typing import Final

from libvirt_lifecycle_exporter.engine.record import NEVER, Certainty, Key, Records

SETTLED: Final = 5.0
"""Seconds after an answer in which events may arrive that it has overtaken."""


class Gaps:
    """The observation gaps of each connection, and which domains are certain again after them."""

    def __init__(self, records: Records | None = None) -> None:
        self._records = records if records is not None else Records()
        self._newest: dict[str, int] = {}
        """By connection: the order up to which events may have been missed."""
        self._listed: dict[str, Certainty] = {}
        """By connection: from when on its domains are completely known."""

    def note(self, connection: str, order: int) -> None:
        """Note that events of the connection may have been missed until now."""
        self._newest[connection] = max(order, self._newest.get(connection, 0))

    def told(self, key: Key, order: int) -> None:
        """Note an event that tells how the domain is; ``order``: of its arrival."""
        if order > self._newest.get(key[0], 0):
            self._records.get(*key).certain_since = order, -math.inf

    def answered(self, key: Key, began: int, at: float) -> None:
        """Note an answer that agrees with what is known; ``began``: the order at which libvirt was asked."""
        record = self._records.get(*key)
        if began > self._newest.get(key[0], 0) > record.certain_since[0]:
            record.certain_since = began, at

    def listed(self, connection: str, began: int, at: float) -> None:
        """Note a complete listing; ``began``: the order at which libvirt was asked."""
        if began > self._newest.get(connection, 0) > self._listed.get(connection, NEVER)[0]:
            self._listed[connection] = began, at

    def adopted(self, key: Key) -> None:
        """Note that the domain is taken as it was found."""
        self._records.get(*key).certain_since = self._newest.get(key[0], 0), -math.inf

    def may_hide(self, key: Key, at: float) -> bool:
        """Return whether something may have been missed before an event of that time; Unix time, seconds."""
        record = self._records.find(*key)
        return self._is_open(key[0], NEVER if record is None else record.certain_since, at)

    def may_hide_domains(self, connection: str, at: float) -> bool:
        """Return whether domains may exist that were never listed; ``at``: Unix time, seconds."""
        return self._is_open(connection, self._listed.get(connection, NEVER), at)

    def shift(self, jump: float) -> None:
        """Follow a jump of the wall clock, in seconds."""
        for connection, (order, since) in self._listed.items():
            self._listed[connection] = order, since + jump
        for record in self._records:
            order, since = record.certain_since
            record.certain_since = order, since + jump

    def _is_open(self, connection: str, certain_since: Certainty, at: float) -> bool:
        order, since = certain_since
        return self._newest.get(connection, 0) > order or at <= since + SETTLED
