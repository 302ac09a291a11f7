"""Observation gaps: for which domains events may have been missed.

After a gap, the state of a domain is certain again when one of its events determines it, or when an answer
that was requested after the gap agrees with it. An answer can overtake events, and agree by chance: events
that arrive within ``SETTLED`` seconds of an answer still count as the first ones after the gap.
"""

import math
from typing import Final

from libvirt_lifecycle_exporter.engine.record import NEVER, Certainty, Key, Records

SETTLED: Final = 5.0
"""Seconds after an answer in which events that it has overtaken may arrive."""


class Gaps:
    """The observation gaps of each connection, and which domains are certain again after them."""

    def __init__(self, records: Records | None = None) -> None:
        self._records = records if records is not None else Records()
        self._newest: dict[str, int] = {}
        """By connection: the order up to which events may have been missed."""
        self._listed: dict[str, Certainty] = {}
        """By connection: from when on its domains are completely known."""

    def note(self, connection: str, order: int) -> None:
        """Record that events of the connection may have been missed up to ``order``."""
        self._newest[connection] = max(order, self._newest.get(connection, 0))

    def told(self, key: Key, order: int) -> None:
        """Record an event that determines the state of a domain; ``order``: of its arrival."""
        if order > self._newest.get(key[0], 0):
            self._records.get(*key).certain_since = order, -math.inf

    def answered(self, key: Key, began: int, at: float) -> None:
        """Record an answer that agrees with what is known; ``began``: the order of the request."""
        record = self._records.get(*key)
        if began > self._newest.get(key[0], 0) > record.certain_since[0]:
            record.certain_since = began, at

    def listed(self, connection: str, began: int, at: float) -> None:
        """Record a complete listing; ``began``: the order of the request."""
        if began > self._newest.get(connection, 0) > self._listed.get(connection, NEVER)[0]:
            self._listed[connection] = began, at

    def adopted(self, key: Key) -> None:
        """Record that a domain was taken over as it was found."""
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
