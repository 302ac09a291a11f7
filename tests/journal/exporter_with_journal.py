"""An exporter process with a journal that a test kills and restarts, and a monitor of its counters."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.journal.disk import Disk
from tests.lab.exporter import Exporter
from tests.lab.page import Page

SHORT_INTERVALS = (
    *("--libvirt.keepalive-interval", "1s", "--libvirt.keepalive-count", "2"),
    *("--libvirt.reconnect-max-delay", "1s", "--libvirt.snapshot-interval", "5s"),
)
ERRORS = "libvirt_lifecycle_exporter_journal_errors_total"
EVENTS = "libvirt_lifecycle_exporter_journal_events"
COUNTERS = (
    "libvirt_domain_lifecycle_events_total",
    "libvirt_connection_lifecycle_events_total",
    "libvirt_domain_inventory_changes_total",
    "libvirt_connection_reconnects_total",
)


class ExporterWithJournal(Exporter):
    """An exporter process whose --journal.path is ``journal``."""

    def __init__(
        self,
        folder: Path,
        uris: Iterable[str],
        journal: Path | str,
        *,
        disk: Disk | None = None,
        extra_args: Sequence[str] = (),
        ready: bool = True,
        environment: Mapping[str, str] | None = None,
        enter: Sequence[str] = (),
    ) -> None:
        """``enter``: command prefix for the exporter process."""
        flags = ("--journal.path", str(journal), *SHORT_INTERVALS, *extra_args)
        super().__init__(folder, uris, extra_args=flags, ready=ready, environment=environment)
        self._argv = [*enter, *(disk.command_prefix if disk is not None else ()), *self._argv]

    def figure(self, name: str) -> float:
        value = self.value(name)
        assert value is not None
        return value

    def log_count(self, text: str) -> int:
        return self.log_text().count(text)


class CounterMonitor:
    """Scrape a page continuously in a thread and record each counter that decreases."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._seen: dict[tuple[object, ...], float] = {}
        self.decreases: list[str] = []
        self.scrapes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="counter-monitor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            try:
                families = self._page.metrics()
            except (OSError, ValueError):  # the exporter is down, or was killed during the response
                continue
            self.scrapes += 1
            for family in families.values():
                for sample in family.samples:
                    if sample.name in COUNTERS:
                        self._note((sample.name, *sorted(sample.labels.items())), sample.value)

    def _note(self, series: tuple[object, ...], value: float) -> None:
        before = self._seen.get(series, value)
        if value < before:
            self.decreases.append(f"{series}: {before:g}, now {value:g}")
        self._seen[series] = value
