"""Pure: contradictions between what is known and what libvirt answers, and when they are believed.

Law: an answer can overtake the event that explains it. So a contradiction is believed only if it is still
there in an answer to a question that was asked a while later, and after the event loop had turned: what
libvirt had sent by then has been taken in. Still there means the very same: another answer is about something
newer, whose event may be under way again.
"""

from collections import defaultdict
from dataclasses import dataclass

from libvirt_lifecycle_exporter.model.messages import DomainFacts, Lookup

GRACE = 1.0
"""Seconds before libvirt is asked again about a contradiction."""
TURNS = 2
"""Turns of the event loop before libvirt is asked again."""

Key = tuple[str, str]
"""connection, uuid"""


@dataclass(slots=True)
class _Doubt:
    newest: int
    answer: Lookup
    since: float
    turn: int
    asked: int | None = None


class Contradictions:
    """Remembers contradictions."""

    def __init__(self) -> None:
        self._doubts: dict[Key, _Doubt] = {}

    def confirm(self, look: Lookup, *, newest: int, now: float, turn: int) -> bool:
        """Note an answer that contradicts what is known; True if it is to be believed now.

        ``newest``: the order of the newest observation of the domain; after another one it is another
        contradiction. ``turn``: of the event loop.
        """
        key = (look.connection, look.uuid)
        doubt = self._doubts.get(key)
        if doubt is None or doubt.newest != newest or _core(doubt.answer) != _core(look):
            self._doubts[key] = _Doubt(newest, look, now, turn)
            return False
        if doubt.asked is None or look.began < doubt.asked:
            return False
        del self._doubts[key]
        return True

    def pending(self, key: Key, newest: int) -> Lookup | None:
        """Return the answer that is not believed yet, if nothing newer was observed."""
        doubt = self._doubts.get(key)
        return doubt.answer if doubt is not None and doubt.newest == newest else None

    def clear(self, key: Key) -> None:
        """Note that there is no contradiction (any more)."""
        self._doubts.pop(key, None)

    def clear_all(self, connection: str) -> None:
        """Drop the contradictions of a connection: it is lost, and will be listed anew."""
        for key in [key for key in self._doubts if key[0] == connection]:
            del self._doubts[key]

    def shift(self, jump: float) -> None:
        """Follow a jump of the wall clock, in seconds."""
        for doubt in self._doubts.values():
            doubt.since += jump

    def ask(self, order: int, now: float, turn: int) -> dict[str, list[str]]:
        """Return the domains, by connection, to ask libvirt about now, in the order in which they came up.

        ``order``: drawn for the question.
        """
        found: dict[str, list[str]] = defaultdict(list)
        for (connection, uuid), doubt in self._doubts.items():
            if now - doubt.since >= GRACE and turn - doubt.turn >= TURNS:
                doubt.asked = doubt.asked or order
                found[connection].append(uuid)
        return found


def _core(look: Lookup) -> DomainFacts | None:
    """Return what no event tells left out."""
    return None if look.facts is None else look.facts._replace(autostart=False)
