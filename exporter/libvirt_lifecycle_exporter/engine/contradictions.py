"""Contradictions between what is known and what libvirt answers, and when they are accepted.

An answer can overtake the event that explains it. So a contradiction is accepted only if libvirt gives
exactly the same answer to a second request, which is sent ``CONFIRM_DELAY`` seconds and
``CONFIRM_ITERATIONS`` iterations of the event loop later: by then every event that libvirt had sent has been
processed. Another answer is a new contradiction, whose event may still be on its way.
"""

from collections import defaultdict

from libvirt_lifecycle_exporter.engine.record import Contradiction, DomainRecord, Records
from libvirt_lifecycle_exporter.model.messages import DomainFacts, Lookup

CONFIRM_DELAY = 1.0
"""Seconds until a contradiction is requested again."""
CONFIRM_ITERATIONS = 2
"""Iterations of the event loop until a contradiction is requested again."""


class Contradictions:
    """The contradictions under review; each is a field of its domain's record."""

    def __init__(self, records: Records | None = None) -> None:
        self._records = records if records is not None else Records()

    def confirm(
        self, record: DomainRecord, lookup: Lookup, *, newest_order: int, now: float, iteration: int
    ) -> bool:
        """Record an answer that contradicts what is known; return whether it is accepted now.

        ``newest_order``: the order of the newest observation of the domain; after another one it is another
        contradiction. ``now``: Unix time, seconds. ``iteration``: the number of iterations of the event loop.
        """
        current = record.contradiction
        if (
            current is None
            or current.newest_order != newest_order
            or _comparable_facts(current.answer) != _comparable_facts(lookup)
        ):
            record.contradiction = Contradiction(newest_order, lookup, now, iteration)
            self._records.under_review.setdefault(record.key, record)
            return False
        if current.asked is None or lookup.began < current.asked:
            return False
        self.clear(record)
        return True

    @staticmethod
    def pending(record: DomainRecord, newest_order: int) -> Lookup | None:
        """Return the answer that waits for confirmation, if nothing newer was observed."""
        current = record.contradiction
        return current.answer if current is not None and current.newest_order == newest_order else None

    def clear(self, record: DomainRecord) -> None:
        """Drop the contradiction of a domain, if there is one."""
        if record.contradiction is not None:
            record.contradiction = None
            self._records.under_review.pop(record.key, None)

    def clear_all(self, connection: str) -> None:
        """Drop the contradictions of a connection: it is lost, and will be listed again."""
        for record in [one for one in self._records.under_review.values() if one.connection == connection]:
            self.clear(record)

    def shift(self, jump: float) -> None:
        """Shift the stored times by a jump of the wall clock, in seconds."""
        for record in self._records.under_review.values():
            if record.contradiction is not None:
                record.contradiction.since += jump

    def due_requests(self, order: int, now: float, iteration: int) -> dict[str, list[str]]:
        """Return the UUIDs of the domains to request again now, by connection.

        ``order``: the place of the request in the order of arrival.
        """
        found: dict[str, list[str]] = defaultdict(list)
        for (connection, uuid), record in self._records.under_review.items():
            current = record.contradiction
            if (
                current is not None
                and now - current.since >= CONFIRM_DELAY
                and iteration - current.iteration >= CONFIRM_ITERATIONS
            ):
                current.asked = current.asked or order
                found[connection].append(uuid)
        return found


def _comparable_facts(lookup: Lookup) -> DomainFacts | None:
    """Return the facts that events report."""
    return None if lookup.facts is None else lookup.facts._replace(autostart=False)
