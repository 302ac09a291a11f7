"""A domain of libvirt's test driver whose stops are compared with the counters of exporters."""

from collections.abc import Callable

from tests.journal.driver import Driver
from tests.journal.exporter_with_journal import ExporterWithJournal

StartExporter = Callable[..., ExporterWithJournal]
"""Start an exporter with a journal; the second argument is an optional disk to run it on."""


class CountedDomain:
    """A domain and the number of its start-stop cycles."""

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
    """Wait until the exporter logs that the journal has recovered."""
    exporter.wait_until(lambda: exporter.log_count("journal recovered"), what="the journal to recover")
