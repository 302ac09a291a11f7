"""A journal that cannot be written for a day: bounded memory, exact counters, retries with backoff."""

import fcntl
import gc
import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.saved_state import NOTHING
from libvirt_lifecycle_exporter.journal.buffer import HistoryBuffer
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.model.transitions import Incident
from tests.journal.simulated_exporter import SimulatedExporter
from tests.journal.values import AT, batch, messages, transition
from tests.journal.writer import Writer
from tests.lab.waiting import until
from tests.unit.factories import HERE, facts, lifecycle, listing

MIB = 1024 * 1024
DAY = 86_400
TICK = 5
"""Seconds between two simulated ticks."""
DOMAINS = 50
EVENTS_EVERY = 20
"""Seconds between two domains that are started and stopped: about 13,000 transitions a day."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a journal, as another process does."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def tick_journal(exporter: SimulatedExporter) -> Journal:
    exporter.tick()
    return exporter.journal


def traced_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def run_for(exporter: SimulatedExporter, seconds: int) -> None:
    """Simulate this many seconds in which domains start and stop in turn."""
    for second in range(0, seconds, TICK):
        exporter.clock.now += TICK
        if second % EVENTS_EVERY == 0:
            name = f"domain-{second // EVENTS_EVERY % DOMAINS}"
            exporter.enqueue(
                lifecycle("resumed", "unpaused", name=name), lifecycle("started", "booted", name=name)
            )
            exporter.enqueue(lifecycle("stopped", "destroyed", name=name))
        exporter.tick()


@pytest.mark.timeout(600)
def test_memory_is_bounded_while_degraded_for_24_hours(tmp_path: Path) -> None:
    with locked(tmp_path / "journal-0.db"), SimulatedExporter(tmp_path) as exporter:
        exporter.connect_and_list(
            listing(*(facts(f"domain-{number}", state="shutoff") for number in range(DOMAINS)))
        )
        tracemalloc.start()
        try:
            run_for(exporter, 60)
            first = traced_bytes()
            run_for(exporter, DAY)
            grown = (traced_bytes() - first) / MIB
        finally:
            tracemalloc.stop()
        print(f"memory of a degraded journal over 24 simulated hours: {grown:.1f} MiB more")
        assert grown < 24


def test_counters_are_exact_after_recovery(tmp_path: Path) -> None:
    with ExitStack() as lock, SimulatedExporter(tmp_path) as exporter:
        exporter.journal.close()
        lock.enter_context(locked(exporter.path))
        exporter.connect_and_list(
            listing(*(facts(f"domain-{number}", state="shutoff") for number in range(DOMAINS)))
        )
        exporter.tick()
        run_for(exporter, 3600)
        assert exporter.journal.errors
        lock.close()
        until(lambda: tick_journal(exporter).is_open(), 30, "the next attempt")
        shown = exporter.exported_counts()
        assert exporter.saved_state().counts == shown.counts
        assert exporter.saved_state().totals == {key: total for key, total in shown.totals.items() if total}


def test_full_buffer_drops_the_oldest_and_counts_them(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(path, max_buffer_bytes=20_000)
    with closing(writer.journal):
        path.rename(path.with_name("away"))
        path.mkdir()
        writer.recover()
        before = writer.journal.errors
        for _ in range(200):
            writer.append()
        dropped = writer.journal.errors - before
        path.rmdir()
        writer.recover()
        remaining = messages(path)
        assert remaining == [str(number) for number in range(dropped, 200)]
        assert 0 < dropped < 200
        assert sum("journal buffer full" in record.getMessage() for record in caplog.records) == 1
        assert writer.restores_everything()


@pytest.mark.parametrize("unit", ["transitions", "incidents", "messages"])
def test_buffer_holds_at_most_its_bytes(unit: str) -> None:
    buffer = HistoryBuffer(100_000)
    tracemalloc.start()
    try:
        before = traced_bytes()
        for number in range(5000):
            buffer.add(history_of(unit, number))
        grown = traced_bytes() - before
    finally:
        tracemalloc.stop()
    assert 20_000 < grown < 120_000


def history_of(unit: str, number: int) -> ChangeBatch:
    text = f"{number:05}" * 10
    if unit == "transitions":
        return batch([transition(number)._replace(uuid=text, name=f"n{text}", run_id=f"r{text}")])
    effects = ChangeBatch()
    if unit == "incidents":
        incident = Incident(text, HERE, f"u{text}", f"n{text}", "crashed", AT + number, None, "c")
        effects.open_incident(incident, incident.name)
    else:
        effects.messages.append((HERE, text, AT + number, f"m{text}"))
    return effects


def test_idle_ticks_are_not_buffered() -> None:
    buffer = HistoryBuffer(1000)
    effects = ChangeBatch()
    effects.observed_until[HERE] = AT
    effects.totals[HERE, "raw", "started", "booted"] = 1
    assert not buffer.add(effects)
    assert not buffer


def test_degraded_journal_is_retried_with_growing_delay(path: Path) -> None:
    path.mkdir(parents=True)
    now = 0.0
    attempts = []
    journal = Journal(path, monotonic=lambda: now)
    journal.restore()
    for tick in range(4 * 120):
        now = tick / 4
        before = journal.errors
        journal.recover(lambda: NOTHING)
        if journal.errors > before:
            attempts.append(now)
    delays = [later - earlier for earlier, later in pairwise(attempts)]
    assert delays[:5] == [1, 2, 4, 8, 15]
    assert set(delays[5:]) == {15}
    path.rmdir()
    now += 15
    journal.recover(lambda: NOTHING)
    assert journal.is_open()
    journal.close()


def test_messages_reach_only_the_transitions_before_them(
    path: Path, open_writer: Callable[[Path], Writer]
) -> None:
    writer = open_writer(path)
    crash = transition(event="stopped", reason="crashed")._replace(message="")
    writer.journal.close()
    with locked(path):
        writer.write(batch([crash]))
        crash_message = ChangeBatch()
        crash_message.messages.append((crash.connection, crash.uuid, crash.at, "out of memory"))
        writer.write(crash_message)
        writer.write(batch([crash._replace(at=crash.at + 1)]))
    writer.recover()
    assert messages(path) == ["out of memory", ""]
