"""An exporter without threads, with a real journal: fed, asked, killed, begun anew."""

import shutil
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from libvirt_lifecycle_exporter.app.worker import Worker
from libvirt_lifecycle_exporter.engine.saved_state import CountKey, SavedState, TotalKey
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.journal import tables
from libvirt_lifecycle_exporter.journal.run_scope import RunScope
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest, Message, Observation
from libvirt_lifecycle_exporter.model.transitions import Transition
from tests.unit.hypervisor_stage import Happened
from tests.unit.seen import HERE, lifecycle, observation

FOR_EVER = 1e12


class Clock:
    """Time, and the turns of the event loop."""

    def __init__(self) -> None:
        self.now, self.turns = 1000.0, 0

    def tick(self) -> float:
        """Return a time that nothing else has."""
        self.now += 0.001
        return self.now


class Prompt(MessageQueue):
    """Does not wait for what is not there."""

    def take(self, most: int, timeout: float) -> list[Message]:  # noqa: ARG002 - that is the point
        return super().take(most, 0.0)


class Wishes:
    """What the worker asks of its connection."""

    def __init__(self) -> None:
        self.snapshot = False
        self.looks: dict[str, EvidenceRequest | None] = {}

    def request_listing(self) -> None:
        self.snapshot = True

    def request_lookups(self, uuids: Mapping[str, EvidenceRequest | None]) -> None:
        self.looks.update(uuids)


class Figures(NamedTuple):
    """What Prometheus would have seen."""

    counts: dict[CountKey, tuple[int, float]]
    totals: dict[TotalKey, float]


class Exporter:
    """One after the other, on one journal."""

    connections: tuple[str, ...] = (HERE,)
    names = DomainFilter()
    series_limit = 100_000
    ttl = FOR_EVER
    """Seconds that what is gone is remembered."""

    def __init__(self, folder: Path, clock: Clock, limit: int) -> None:
        self._folder, self._clock, self._limit = folder, clock, limit
        self._life = 0
        self.path = folder / "journal-0.db"
        self.restored = self._begin()

    def work(self) -> None:
        while self.worker.process_batch():
            pass

    def tick(self) -> None:
        self.work()
        self.worker.tick()

    def ends(self) -> Figures:
        """Told to end: SIGTERM; return the last that Prometheus could have seen."""
        self.worker.start()
        self.worker.stop(5.0)
        self.journal.close()
        last = self.figures()
        self.restored = self._begin()
        return last

    def is_killed(self) -> None:
        """What is not in the file by now never will be: the next one gets a copy of it as it is."""
        self._life += 1
        path = self._folder / f"journal-{self._life}.db"
        for companion in ("", "-wal"):
            shutil.copy(f"{self.path}{companion}", f"{path}{companion}")
        self.journal.close()
        self.path = path
        self.restored = self._begin()

    def close(self) -> None:
        self.journal.close()

    def figures(self) -> Figures:
        return Figures(*self.sink.counted())

    def rows(self) -> list[Transition]:
        fields = ", ".join(Transition._fields)
        words = f"SELECT {fields} FROM transitions ORDER BY seq"
        return [Transition(*row) for row in self._query(words)]

    def incidents(self) -> list[tuple[str, str, bool]]:
        """uuid, kind and whether it is open."""
        return [
            (*row[:2], row[2] is None) for row in self._query("SELECT uuid, kind, closed_at FROM incidents")
        ]

    def memory(self) -> SavedState:
        with closing(sqlite3.connect(self.path)) as database:
            return tables.read(database, [])

    def _query(self, words: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as database:
            return database.execute(words).fetchall()

    def _begin(self) -> SavedState:
        self.message_queue, self.asked = Prompt(self._limit), Wishes()
        self.journal = Journal(self.path, RunScope(self.connections, self.names), first_retry=0)
        self.sink, self.series = MetricsStore(self.connections), SeriesLimit(self.series_limit, self.ttl)
        self.worker = Worker(
            self.message_queue,
            self.sink,
            self.journal,
            dict.fromkeys(self.connections, self.asked),
            self.names,
            series=self.series,
            series_ttl=self.ttl,
            loop_iterations=lambda: self._clock.turns,
            clock=lambda: self._clock.now,
        )
        restored = self.journal.restore()
        self.worker.restore(restored)
        self.worker.tick()
        return restored


class Channel:
    """What libvirt has sent and nobody has got yet: late, in order, and lost with the connection."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.open = False
        self._sent: deque[Happened] = deque()
        self.given: dict[float, Happened] = {}
        """What was put into the message_queue, by the time of the callback, which is another for each."""
        self.lost = False

    def send(self, happened: Happened) -> None:
        if self.open:
            self._sent.append(happened)
        else:
            self.lost = True

    def breaks(self) -> None:
        self.lost = self.lost or bool(self._sent)
        self.open = False
        self._sent.clear()

    def deliver(
        self,
        message_queue: MessageQueue,
        on_loss: Callable[[], None],
        *,
        most: int = 1000,
        until: float = FOR_EVER,
    ) -> None:
        while self._sent and most and self._sent[0].at <= until:
            happened, most = self._sent.popleft(), most - 1
            seen = spelled(happened)._replace(order=message_queue.next_order(), at=self._clock.tick())
            if message_queue.offer(seen):
                self.given[seen.at] = happened
            else:
                self.lost = True
                on_loss()


def spelled(happened: Happened) -> Observation:
    if happened.event == "rebooted":
        seen = observation("reboot", name=happened.name, uuid=happened.uuid)
    elif happened.event == "io_error":
        seen = observation("io_error_reason", 1, name=happened.name, uuid=happened.uuid, word=happened.detail)
    else:
        seen = lifecycle(happened.event, happened.detail, name=happened.name, uuid=happened.uuid)
    return seen._replace(domain_id=happened.domain_id)


def counted(rows: list[Transition]) -> Counter[CountKey]:
    return Counter((row.connection, row.name, row.event, row.reason) for row in rows)
