"""The worker recovers from every exception: each is counted, and no later message is lost."""

import threading
from collections.abc import Callable, Container, Mapping

import pytest

from libvirt_lifecycle_exporter.app.worker import Worker
from libvirt_lifecycle_exporter.engine.changes import ChangeBatch, DomainUpdated
from libvirt_lifecycle_exporter.engine.saved_state import NOTHING, Name, SavedState
from libvirt_lifecycle_exporter.engine.series_limit import SeriesLimit
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.domain_filter import DomainFilter
from libvirt_lifecycle_exporter.model.messages import EvidenceRequest, Message
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.runtime.threads import WORKER, ThreadRegistry
from tests.lab.log_lines import count_lines
from tests.lab.waiting import until
from tests.unit.exposition_reader import EVENTS, value
from tests.unit.factories import HERE, facts, lifecycle, listing
from tests.unit.worker_harness import FakeJournal, RequestRecorder


class Faults:
    """Raises RuntimeError at the places that are switched on."""

    def __init__(self) -> None:
        self.on: set[str] = set()

    def at(self, place: str) -> None:
        if place in self.on:
            raise RuntimeError(f"injected at {place}")


class FaultyJournal(FakeJournal):
    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults
        self.recover_calls = 0

    def append(self, effects: ChangeBatch) -> None:
        self._faults.at("append")
        super().append(effects)

    def recover(self, now: Callable[[], SavedState]) -> None:
        self._faults.at("recover")
        self.recover_calls += 1
        super().recover(now)


class FaultyStore(MetricsStore):
    def __init__(self, faults: Faults) -> None:
        super().__init__((HERE,))
        self._faults = faults

    def _show(self, change: DomainUpdated) -> None:
        self._faults.at("show")
        super()._show(change)

    def restore(self, state: SavedState, own_names: Container[Name]) -> None:
        self._faults.at("restore")
        super().restore(state, own_names)


class FaultySeriesLimit(SeriesLimit):
    def __init__(self, faults: Faults) -> None:
        super().__init__(1000, 900)
        self._faults = faults

    def counting_name(self, change: Transition) -> str:
        self._faults.at("place")
        return super().counting_name(change)

    def take_aggregation_changes(self) -> dict[Name, bool]:
        self._faults.at("confirm")
        return super().take_aggregation_changes()

    def expire(self, now: float) -> list[Name]:
        self._faults.at("expire")
        return super().expire(now)


class FaultyRequestRecorder(RequestRecorder):
    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    def request_lookups(self, uuids: Mapping[str, EvidenceRequest | None]) -> None:
        self._faults.at("request_lookups")
        super().request_lookups(uuids)

    def request_listing(self) -> None:
        self._faults.at("request_listing")
        super().request_listing()


class FaultHarness:
    """A worker whose journal, metrics, connection and clock raise on demand."""

    def __init__(self) -> None:
        self.faults, self.threads, self.message_queue = Faults(), ThreadRegistry(), MessageQueue(1000)
        self.journal, self.metrics = FaultyJournal(self.faults), FaultyStore(self.faults)
        self.requests = FaultyRequestRecorder(self.faults)
        self.worker = Worker(
            self.message_queue,
            self.metrics,
            self.journal,
            {HERE: self.requests},
            DomainFilter(".*", ""),
            series=FaultySeriesLimit(self.faults),
            series_ttl=900,
            clock=self._clock,
            threads=self.threads,
        )

    def _clock(self) -> float:
        self.faults.at("clock")
        return 1000.0

    def feed(self, *messages: Message) -> None:
        for message in messages:
            self.message_queue.put(message)
        while self.worker.process_batch():
            pass

    def errors(self) -> int:
        return self.threads.errors[WORKER]

    def crashes(self) -> float | None:
        return value(self.metrics, EVENTS, domain="web", event="stopped", reason="crashed")


STEPS = (
    "append",
    "recover",
    "show",
    "place",
    "confirm",
    "expire",
    "request_lookups",
    "request_listing",
    "clock",
)


@pytest.mark.parametrize("place", STEPS)
def test_running_worker_recovers_from_a_fault(place: str) -> None:
    harness = FaultHarness()
    harness.worker.restore(NOTHING)
    harness.worker.start()
    try:
        harness.message_queue.put(listing(facts("web")))
        harness.faults.on = {place, "place"} if place == "request_listing" else {place}
        harness.message_queue.put(lifecycle("stopped", "crashed"))
        until(harness.errors, 10, f"the fault at {place}")
        harness.faults.on = set()
        before = harness.crashes() or 0
        harness.message_queue.put(lifecycle("started", "booted"))
        harness.message_queue.put(lifecycle("stopped", "crashed"))
        until(lambda: (harness.crashes() or 0) > before, 10, "the next crash to be counted")
        assert harness.worker.is_alive()
        assert harness.threads.ended() == []
    finally:
        harness.worker.stop(10)


def test_failing_callback_does_not_stop_the_others() -> None:
    harness = FaultHarness()
    harness.feed(listing(facts("web")))
    harness.faults.on = {"show"}
    harness.feed(lifecycle("stopped", "crashed"))
    assert harness.crashes() == 1
    assert harness.errors() > 0


def test_failing_message_is_counted_and_listed_anew(caplog: pytest.LogCaptureFixture) -> None:
    harness = FaultHarness()
    harness.feed(listing(facts("web")))
    harness.faults.on = {"place"}
    harness.feed(*(lifecycle("stopped", "crashed") for _ in range(3)))
    assert (harness.message_queue.dropped["worker_error"], harness.requests.listings, harness.errors()) == (
        3,
        3,
        3,
    )
    assert sum(record.exc_info is not None for record in caplog.records) == 1


def test_failing_step_does_not_stop_the_later_steps() -> None:
    harness = FaultHarness()
    harness.feed(listing(facts("web")), lifecycle("stopped", "failed"))
    harness.faults.on = {"expire"}
    harness.worker.tick()
    assert harness.errors() == 1
    assert harness.journal.recover_calls == 1


def test_effects_survive_a_failure_while_they_are_settled() -> None:
    harness = FaultHarness()
    harness.feed(listing(facts("web")))
    harness.faults.on = {"confirm"}
    harness.feed(lifecycle("stopped", "crashed"))
    assert harness.journal.pairs("callback") == [("stopped", "crashed")]
    assert harness.errors() > 0


def test_worker_starts_although_restoring_fails() -> None:
    harness = FaultHarness()
    harness.faults.on = {"restore"}
    harness.worker.restore(NOTHING)
    harness.feed(listing(facts("web")), lifecycle("stopped", "crashed"))
    assert harness.crashes() == 1
    assert harness.errors() == 1


def test_drops_start_at_zero_for_every_cause() -> None:
    assert dict(MessageQueue(1).dropped) == dict.fromkeys(
        ("queue_full", "callback_error", "worker_error", "shutdown"), 0
    )


class BlockedJournal(FakeJournal):
    """A journal whose writes block until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.released = threading.Event(), threading.Event()

    def append(self, effects: ChangeBatch) -> None:
        self.entered.set()
        self.released.wait()
        super().append(effects)


def _worker(message_queue: MessageQueue, journal: FakeJournal) -> Worker:
    store, series = MetricsStore((HERE,)), SeriesLimit(1000, 900)
    return Worker(
        message_queue,
        store,
        journal,
        {HERE: RequestRecorder()},
        DomainFilter(".*", ""),
        series=series,
        series_ttl=900,
    )


def test_stopping_worker_drains_the_queue() -> None:
    message_queue, journal = MessageQueue(1000), FakeJournal()
    worker = _worker(message_queue, journal)
    for message in (listing(facts("web")), lifecycle("stopped", "crashed")):
        message_queue.put(message)
    worker.start()
    assert worker.stop(10) == 0
    assert journal.pairs("callback") == [("stopped", "crashed")]
    assert message_queue.dropped["shutdown"] == 0


def test_messages_left_in_the_queue_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    message_queue, journal = MessageQueue(1000), BlockedJournal()
    worker = _worker(message_queue, journal)
    worker.start()
    try:
        message_queue.put(listing(facts("web")))
        message_queue.put(lifecycle("stopped", "crashed"))
        assert journal.entered.wait(10)
        for _ in range(4):
            message_queue.put(lifecycle("resumed", "unpaused"))
        assert worker.stop(0.1) == 5
        assert message_queue.dropped["shutdown"] == 5
        assert count_lines(caplog, "events=5") == 1
    finally:
        journal.released.set()
