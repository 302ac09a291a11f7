"""One domain of a test, and the exporters that watch it."""

from collections.abc import Callable

from tests.journal.driver import Driver
from tests.journal.exporter_with_journal import ExporterWithJournal

StartExporter = Callable[..., ExporterWithJournal]
"""Starts an exporter on a journal, which may be on a disk of its own."""


class CountedDomain:
    """One domain of a test; counts with the exporter what it did."""

    def __init__(self, driver: Driver, name: str) -> None:
        self.driver = driver
        self.name = name
        self.cycles = 0
        self.domain = driver.define(name)

    def cycle(self, *exporters: ExporterWithJournal) -> None:
        self.driver.cycle(self.name)
        self.cycles += 1
        for exporter in exporters:
            exporter.wait_until(lambda: self.stop_count(exporter) == self.cycles, what=f"cycle {self.cycles}")  # noqa: B023

    def stop_count(self, exporter: ExporterWithJournal) -> int:
        return exporter.lifecycle_counts(self.name)["stopped", "destroyed"]


def wait_recovered(exporter: ExporterWithJournal) -> None:
    """In trouble it errs again with every attempt."""
    exporter.wait_until(lambda: exporter.log_count("journal recovered"), what="the journal to heal")
