"""How much work an event, a batch and a scrape are: function calls and SQL statements, not time.

A bound that is exceeded means that a change has made the path of every event longer. Shorten the path, or
argue for the new bound in the commit.
"""

import cProfile
import pstats
from collections.abc import Callable, Iterable
from itertools import starmap
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch
from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.engine.spans import Link, Span, SpanRef
from libvirt_lifecycle_exporter.journal.export_items import LOGS, TRACES, ExportItem, Row
from libvirt_lifecycle_exporter.journal.span_recorder import SpanRecorder
from libvirt_lifecycle_exporter.journal.store import Journal
from libvirt_lifecycle_exporter.model.messages import Observation
from libvirt_lifecycle_exporter.otel.encoding import Encoder
from libvirt_lifecycle_exporter.otel.resource import build_resources
from tests.unit.factories import HERE, facts, lifecycle, listing, transition
from tests.unit.worker_harness import FakeJournal, WorkerHarness

DOMAINS = 20
ROUNDS = 20


def count_calls(action: Callable[[], object]) -> int:
    """Return the number of function calls, of Python and C functions."""
    profile = cProfile.Profile()
    profile.runcall(action)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def pauses(rounds: int) -> list[Observation]:
    """Return a pause and a resumption of every domain, ``rounds`` times."""
    return [
        lifecycle(event, reason, name=f"vm-{number}")
        for _ in range(rounds)
        for event, reason in (("suspended", "paused"), ("resumed", "unpaused"))
        for number in range(DOMAINS)
    ]


@pytest.fixture
def harness() -> WorkerHarness:
    """A worker that knows its domains, and has counted every pair that the test uses."""
    made = WorkerHarness(series_limit=10_000)
    made.feed(listing(*(facts(f"vm-{number}") for number in range(DOMAINS))), *pauses(1))
    return made


def test_function_calls_of_an_event_are_bounded(harness: WorkerHarness) -> None:
    events = pauses(ROUNDS)
    calls = count_calls(lambda: harness.feed(*events)) / len(events)
    assert 20 < calls < 70


def test_function_calls_of_an_event_do_not_grow_with_domains(harness: WorkerHarness) -> None:
    few = pauses(ROUNDS)
    calls_few = count_calls(lambda: harness.feed(*few)) / len(few)
    harness.feed(listing(*(facts(f"vm-{number}") for number in range(20 * DOMAINS))))
    many = pauses(ROUNDS)
    assert count_calls(lambda: harness.feed(*many)) / len(many) < 1.1 * calls_few


def test_function_calls_of_a_scrape_are_bounded(harness: WorkerHarness) -> None:
    harness.metrics.render(openmetrics=False)
    calls = count_calls(lambda: harness.metrics.render(openmetrics=False))
    assert calls < 150 + 3 * DOMAINS


def test_scrape_renders_only_what_has_changed(harness: WorkerHarness) -> None:
    harness.metrics.render(openmetrics=False)
    harness.feed(lifecycle("suspended", "paused", name="vm-1"))
    unchanged = count_calls(lambda: harness.metrics.render(openmetrics=False))
    harness.feed(*(lifecycle("resumed", "unpaused", name=f"vm-{number}") for number in range(DOMAINS)))
    assert unchanged < count_calls(lambda: harness.metrics.render(openmetrics=False)) / 3


class CountingJournal(FakeJournal):
    """A real journal that counts the SQL statements of its batches."""

    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal
        journal.restore()
        self.statements = 0
        self._journal._file.database.set_trace_callback(self._count)  # type: ignore[union-attr] # noqa: SLF001 - no other way

    def _count(self, _statement: str) -> None:
        self.statements += 1

    def append(self, batch: ChangeBatch) -> None:
        self._journal.append(batch)

    def recover(self, now: Callable[[], SavedState]) -> None:
        """Do nothing: it is open."""

    def close(self) -> None:
        self._journal.close()


@pytest.mark.parametrize(
    ("spans", "bound"),
    [pytest.param(False, 100, id="without export"), pytest.param(True, 200, id="with export")],
)
def test_statements_of_a_batch_are_bounded(tmp_path: Path, *, spans: bool, bound: int) -> None:
    """One statement inserts many rows: 800 events of 20 domains need far fewer statements than rows."""
    recorder = SpanRecorder("host", traces=True, logs=True, runs=False) if spans else None
    journal = CountingJournal(Journal(tmp_path / "journal.sqlite", span_recorder=recorder))
    made = WorkerHarness(series_limit=10_000, journal=journal)
    try:
        made.feed(listing(*(facts(f"vm-{number}") for number in range(DOMAINS))), *pauses(1))
        journal.statements = 0
        made.feed(*pauses(ROUNDS))
    finally:
        journal.close()
    assert 10 < journal.statements < bound


REF = SpanRef("1" * 32, "2" * 16)


def items(signal: str, names: Iterable[str]) -> list[ExportItem]:
    """Return one item for each name, as the sender reads them."""

    def item(number: int, name: str) -> ExportItem:
        change = transition("suspended", "paused", name=name)._replace(run_id="run")
        links = (Link(REF, ("previous",)), Link(REF, ("run",)))
        span = Span(number, REF, "pause domain", change.at, change.at, "", None, links, (number,))
        row = Row(number, change, REF, exported_without_message=False)
        return ExportItem(number, change.connection, change.uuid, span if signal == TRACES else None, (row,))

    return list(starmap(item, enumerate(names, 1)))


@pytest.mark.parametrize(("signal", "bound"), [(TRACES, 170), (LOGS, 110)])
def test_function_calls_of_an_encoded_item_are_bounded(signal: str, bound: int) -> None:
    encoder = Encoder(build_resources({HERE: HERE}, "host"))
    encoder.request(signal, items(signal, ["web"]))
    many = items(signal, ["web"] * 100)
    assert count_calls(lambda: encoder.request(signal, many)) / len(many) < bound
