"""One domain of a test, and the exporters that watch it."""

from collections.abc import Callable

from tests.journal.driver import Driver
from tests.journal.mortal import Mortal

Start = Callable[..., Mortal]
"""Starts an exporter on a journal, which may be on a disk of its own."""


class Guest:
    """One domain of a test; counts with the exporter what it did."""

    def __init__(self, driver: Driver, name: str) -> None:
        self.driver = driver
        self.name = name
        self.cycles = 0
        self.domain = driver.define(name)

    def cycle(self, *exporters: Mortal) -> None:
        self.driver.cycle(self.name)
        self.cycles += 1
        for exporter in exporters:
            exporter.wait_until(lambda: self.shown(exporter) == self.cycles, what=f"cycle {self.cycles}")  # noqa: B023

    def shown(self, exporter: Mortal) -> int:
        return exporter.lifecycle_counts(self.name)["stopped", "destroyed"]


def well(exporter: Mortal) -> None:
    """In trouble it errs again with every attempt."""
    exporter.wait_until(lambda: exporter.said("journal recovered"), what="the journal to heal")
