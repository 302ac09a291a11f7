"""Model of the exporter: the worker without threads on a real journal. It can be stopped, killed and
restarted.
"""

import shutil
import sqlite3
from collections import Counter, deque
from collections.abc import Callable
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
from libvirt_lifecycle_exporter.model.messages import Message, Observation
from libvirt_lifecycle_exporter.model.transitions import Transition
from tests.unit.factories import HERE, lifecycle, observation
from tests.unit.hypervisor_state import ModelEvent
from tests.unit.worker_harness import RequestRecorder

FOREVER = 1e12


class Clock:
    """Unix time in seconds, and the number of iterations of the event loop."""

    def __init__(self) -> None:
        self.now, self.turns = 1000.0, 0

    def tick(self) -> float:
        """Advance the clock by a millisecond; return a unique time."""
        self.now += 0.001
        return self.now


class NonBlockingQueue(MessageQueue):
    """A message queue that does not wait for messages."""

    def take(self, limit: int, timeout: float) -> list[Message]:  # noqa: ARG002 - that is the point
        return super().take(limit, 0.0)


class ExportedCounts(NamedTuple):
    """Counters as a scrape returns them."""

    counts: dict[CountKey, tuple[int, float]]
    totals: dict[TotalKey, float]


class Exporter:
    """A series of exporter processes on one journal."""

    connections: tuple[str, ...] = (HERE,)
    names = DomainFilter()
    series_limit = 100_000
    ttl = FOREVER
    """Seconds for which a removed domain is remembered."""

    def __init__(self, folder: Path, clock: Clock, limit: int) -> None:
        self._folder, self._clock, self._limit = folder, clock, limit
        self._generation = 0
        self.path = folder / "journal-0.db"
        self.restored = self._restart()

    def work(self) -> None:
        while self.worker.process_batch():
            pass

    def tick(self) -> None:
        self.work()
        self.worker.tick()

    def stop(self) -> ExportedCounts:
        """End as on SIGTERM, and restart. Returns the last counts of the ended process."""
        self.worker.start()
        self.worker.stop(5.0)
        self.journal.close()
        last = self.exported_counts()
        self.restored = self._restart()
        return last

    def kill(self) -> None:
        """End as on SIGKILL: the next process gets a copy of the journal as it is in the file now."""
        self._generation += 1
        path = self._folder / f"journal-{self._generation}.db"
        for companion in ("", "-wal"):
            shutil.copy(f"{self.path}{companion}", f"{path}{companion}")
        self.journal.close()
        self.path = path
        self.restored = self._restart()

    def close(self) -> None:
        self.journal.close()

    def exported_counts(self) -> ExportedCounts:
        return ExportedCounts(*self.metrics.counted())

    def rows(self) -> list[Transition]:
        fields = ", ".join(Transition._fields)
        statement = f"SELECT {fields} FROM transitions ORDER BY seq"
        return [Transition(*row) for row in self._query(statement)]

    def incidents(self) -> list[tuple[str, str, bool]]:
        """Return UUID, kind and whether the incident is open."""
        return [
            (*row[:2], row[2] is None) for row in self._query("SELECT uuid, kind, closed_at FROM incidents")
        ]

    def saved_state(self) -> SavedState:
        with closing(sqlite3.connect(self.path)) as database:
            return tables.read(database, [])

    def _query(self, statement: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as database:
            return database.execute(statement).fetchall()

    def _restart(self) -> SavedState:
        self.message_queue, self.requests = NonBlockingQueue(self._limit), RequestRecorder()
        self.journal = Journal(self.path, RunScope(self.connections, self.names), first_retry=0)
        self.metrics, self.series = MetricsStore(self.connections), SeriesLimit(self.series_limit, self.ttl)
        self.worker = Worker(
            self.message_queue,
            self.metrics,
            self.journal,
            dict.fromkeys(self.connections, self.requests),
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
    """Events that libvirt has sent and the exporter has not received; they are lost with the connection."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.open = False
        self._sent: deque[ModelEvent] = deque()
        self.delivered: dict[float, ModelEvent] = {}
        """Events that were put into the message queue, by the unique time of their callback."""
        self.lost = False

    def send(self, event: ModelEvent) -> None:
        if self.open:
            self._sent.append(event)
        else:
            self.lost = True

    def disconnect(self) -> None:
        self.lost = self.lost or bool(self._sent)
        self.open = False
        self._sent.clear()

    def deliver(
        self,
        message_queue: MessageQueue,
        on_loss: Callable[[], None],
        *,
        limit: int = 1000,
        until: float = FOREVER,
    ) -> None:
        while self._sent and limit and self._sent[0].at <= until:
            event, limit = self._sent.popleft(), limit - 1
            received = to_observation(event)._replace(order=message_queue.next_order(), at=self._clock.tick())
            if message_queue.offer(received):
                self.delivered[received.at] = event
            else:
                self.lost = True
                on_loss()


def to_observation(event: ModelEvent) -> Observation:
    if event.event == "rebooted":
        received = observation("reboot", name=event.name, uuid=event.uuid)
    elif event.event == "io_error":
        received = observation("io_error_reason", 1, name=event.name, uuid=event.uuid, word=event.detail)
    else:
        received = lifecycle(event.event, event.detail, name=event.name, uuid=event.uuid)
    return received._replace(domain_id=event.domain_id)


def counted(rows: list[Transition]) -> Counter[CountKey]:
    return Counter((row.connection, row.name, row.event, row.reason) for row in rows)
