"""Pure: of which domains something may have been missed, and since when no more.

Law: after a gap a domain is sure again when one of its own events told how it is, or an answer that was asked
for after the gap. An answer can overtake events, and agree by chance with what they will say: those that
arrive soon after it are still taken for the first ones after the gap.
"""

import math
from typing import Final

SETTLED: Final = 5.0
"""Seconds after an answer in which events may arrive that it has overtaken."""

Key = tuple[str, str]
"""connection, uuid; no uuid: of domains that are not known"""


class Gaps:
    """Remembers gaps."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        """By connection: the order up to which events may have been missed."""
        self._sure: dict[Key, tuple[int, float]] = {}
        """The order from which on a domain is sure, and the time of the answer that said so."""

    def note(self, connection: str, order: int) -> None:
        """Note that events of the connection may have been missed until now."""
        self._newest[connection] = max(order, self._newest.get(connection, 0))

    def told(self, key: Key, order: int) -> None:
        """Note an event that tells how the domain is; ``order``: of its arrival."""
        if order > self._newest.get(key[0], 0):
            self._sure[key] = order, -math.inf

    def answered(self, key: Key, began: int, at: float) -> None:
        """Note an answer that agrees with what is known; ``began``: the order at which libvirt was asked."""
        newest = self._newest.get(key[0], 0)
        if began > newest > self._sure.get(key, (0, 0.0))[0]:
            self._sure[key] = began, at

    def adopted(self, key: Key) -> None:
        """Note that the domain is taken as it was found."""
        self._sure[key] = self._newest.get(key[0], 0), -math.inf

    def may_hide(self, key: Key, at: float) -> bool:
        """Tell whether something may have been missed before an event of that time; Unix time, seconds."""
        order, since = self._sure.get(key, (0, -math.inf))
        return self._newest.get(key[0], 0) > order or at <= since + SETTLED

    def shift(self, jump: float) -> None:
        """Follow a jump of the wall clock, in seconds."""
        for key, (order, since) in self._sure.items():
            self._sure[key] = order, since + jump

    def forget(self, key: Key) -> None:
        """Let go of a domain."""
        self._sure.pop(key, None)
