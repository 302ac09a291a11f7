"""The worker recovers from every exception: each one is counted, and nothing after it is lost."""

import threading
from collections.abc import Callable, Container, Mapping

import pytest

from libvirt_lifecycle_exporter.app.worker import Worker
from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.record import DomainValues
from libvirt_lifecycle_exporter.engine.saved_state import NOTHING, Name, SavedState
from libvirt_lifecycle_exporter.engine.series_budget import SeriesBudget
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest, Message
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.runtime.threads import WORKER, ThreadRegistry
from tests.lab.log_lines import count_lines
from tests.lab.waiting import until
from tests.unit.exposition_reader import EVENTS, value
from tests.unit.rig import Asked, Notebook
from tests.unit.seen import HERE, facts, lifecycle, snapshot


class Faults:
    """Raises RuntimeError at the places that are switched on."""

    def __init__(self) -> None:
        self.on: set[str] = set()

    def at(self, place: str) -> None:
        if place in self.on:
            raise RuntimeError(f"injected at {place}")


class FaultyNotebook(Notebook):
    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults
        self.tended = 0

    def append(self, effects: ChangeBatch) -> None:
        self._faults.at("append")
        super().append(effects)

    def recover(self, now: Callable[[], SavedState]) -> None:
        self._faults.at("recover")
        self.tended += 1
        super().recover(now)


class FaultyStore(MetricsStore):
    def __init__(self, faults: Faults) -> None:
        super().__init__((HERE,))
        self._faults = faults

    def show(self, connection: str, name: str, values: DomainValues | None) -> None:
        self._faults.at("show")
        super().show(connection, name, values)

    def restore(self, state: SavedState, own_names: Container[Name]) -> None:
        self._faults.at("restore")
        super().restore(state, own_names)


class FaultyBudget(SeriesBudget):
    def __init__(self, faults: Faults) -> None:
        super().__init__(1000, 900)
        self._faults = faults

    def place(self, change: Transition) -> str:
        self._faults.at("place")
        return super().place(change)

    def take_aggregation_changes(self) -> dict[Name, bool]:
        self._faults.at("settle")
        return super().take_aggregation_changes()

    def expire(self, now: float) -> list[Name]:
        self._faults.at("expire")
        return super().expire(now)


class FaultyAsked(Asked):
    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    def request_lookups(self, uuids: Mapping[str, EvidenceRequest | None]) -> None:
        self._faults.at("request_lookups")
        super().request_lookups(uuids)

    def request_listing(self) -> None:
        self._faults.at("request_listing")
        super().request_listing()


class Bench:
    """A worker whose journal, sink, connection and clock raise on demand."""

    def __init__(self) -> None:
        self.faults, self.threads, self.message_queue = Faults(), ThreadRegistry(), MessageQueue(1000)
        self.journal, self.sink = FaultyNotebook(self.faults), FaultyStore(self.faults)
        self.asked = FaultyAsked(self.faults)
        self.worker = Worker(
            self.message_queue,
            self.sink,
            self.journal,
            {HERE: self.asked},
            DomainFilter(".*", ""),
            series=FaultyBudget(self.faults),
            memory=900,
            clock=self._clock,
            threads=self.threads,
        )

    def _clock(self) -> float:
        self.faults.at("clock")
        return 1000.0

    def feed(self, *messages: Message) -> None:
        for message in messages:
            self.message_queue.put(message)
        while self.worker.work():
            pass

    def errors(self) -> int:
        return self.threads.errors[WORKER]

    def crashes(self) -> float | None:
        return value(self.sink, EVENTS, domain="web", event="stopped", reason="crashed")


STEPS = (
    "append",
    "recover",
    "show",
    "place",
    "settle",
    "expire",
    "request_lookups",
    "request_listing",
    "clock",
)


@pytest.mark.parametrize("place", STEPS)
def test_running_worker_recovers_from_a_fault(place: str) -> None:
    bench = Bench()
    bench.worker.restore(NOTHING)
    bench.worker.start()
    try:
        bench.message_queue.put(snapshot(facts("web")))
        bench.faults.on = {place, "place"} if place == "request_listing" else {place}
        bench.message_queue.put(lifecycle("stopped", "crashed"))
        until(bench.errors, 10, f"the fault at {place}")
        bench.faults.on = set()
        before = bench.crashes() or 0
        bench.message_queue.put(lifecycle("started", "booted"))
        bench.message_queue.put(lifecycle("stopped", "crashed"))
        until(lambda: (bench.crashes() or 0) > before, 10, "the next crash to be counted")
        assert bench.worker.is_alive()
        assert bench.threads.ended() == []
    finally:
        bench.worker.stop(10)


def test_failing_callback_does_not_stop_the_others() -> None:
    bench = Bench()
    bench.feed(snapshot(facts("web")))
    bench.faults.on = {"show"}
    bench.feed(lifecycle("stopped", "crashed"))
    assert bench.crashes() == 1
    assert bench.errors() > 0


def test_failing_message_is_counted_and_listed_anew(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.feed(snapshot(facts("web")))
    bench.faults.on = {"place"}
    bench.feed(*(lifecycle("stopped", "crashed") for _ in range(3)))
    assert (bench.message_queue.dropped["worker_error"], bench.asked.snapshots, bench.errors()) == (3, 3, 3)
    assert sum(record.exc_info is not None for record in caplog.records) == 1


def test_failing_step_does_not_stop_the_later_steps() -> None:
    bench = Bench()
    bench.feed(snapshot(facts("web")), lifecycle("stopped", "failed"))
    bench.faults.on = {"expire"}
    bench.worker.tick()
    assert bench.errors() == 1
    assert bench.journal.tended == 1


def test_effects_survive_a_failure_while_they_are_settled() -> None:
    bench = Bench()
    bench.feed(snapshot(facts("web")))
    bench.faults.on = {"settle"}
    bench.feed(lifecycle("stopped", "crashed"))
    assert bench.journal.pairs("callback") == [("stopped", "crashed")]
    assert bench.errors() > 0


def test_worker_starts_although_restoring_fails() -> None:
    bench = Bench()
    bench.faults.on = {"restore"}
    bench.worker.restore(NOTHING)
    bench.feed(snapshot(facts("web")), lifecycle("stopped", "crashed"))
    assert bench.crashes() == 1
    assert bench.errors() == 1


def test_drops_start_at_zero_for_every_cause() -> None:
    assert dict(MessageQueue(1).dropped) == dict.fromkeys(
        ("queue_full", "callback_error", "worker_error", "shutdown"), 0
    )


class BlockedNotebook(Notebook):
    """A journal that does not answer until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.released = threading.Event(), threading.Event()

    def append(self, effects: ChangeBatch) -> None:
        self.entered.set()
        self.released.wait()
        super().append(effects)


def _worker(message_queue: MessageQueue, journal: Notebook) -> Worker:
    store, series = MetricsStore((HERE,)), SeriesBudget(1000, 900)
    return Worker(
        message_queue, store, journal, {HERE: Asked()}, DomainFilter(".*", ""), series=series, memory=900
    )


def test_stopping_worker_drains_the_queue() -> None:
    message_queue, journal = MessageQueue(1000), Notebook()
    worker = _worker(message_queue, journal)
    for message in (snapshot(facts("web")), lifecycle("stopped", "crashed")):
        message_queue.put(message)
    worker.start()
    assert worker.stop(10) == 0
    assert journal.pairs("callback") == [("stopped", "crashed")]
    assert message_queue.dropped["shutdown"] == 0


def test_messages_left_in_the_queue_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    message_queue, journal = MessageQueue(1000), BlockedNotebook()
    worker = _worker(message_queue, journal)
    worker.start()
    try:
        message_queue.put(snapshot(facts("web")))
        message_queue.put(lifecycle("stopped", "crashed"))
        assert journal.entered.wait(10)
        for _ in range(4):
            message_queue.put(lifecycle("resumed", "unpaused"))
        assert worker.stop(0.1) == 5
        assert message_queue.dropped["shutdown"] == 5
        assert count_lines(caplog, "events=5") == 1
    finally:
        journal.released.set()
