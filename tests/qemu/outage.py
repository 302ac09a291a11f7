"""Outages of the exporter or libvirt: how they begin and end, and what the exporter reports afterwards."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from tests.lab.daemon import Daemon
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import STOPS_WITHIN, Exporter
from tests.lab.guests import IDLE, Guest, Guests
from tests.lab.journal_reader import Incident, Row
from tests.lab.pairs import Pair
from tests.lab.waiting import until
from tests.qemu.domain_driver import TIMEOUT, DomainDriver, managed_domain
from tests.qemu.event_comparison import wait_counted
from tests.qemu.missed_events import MissedEvent, release

SHORT_INTERVALS = (
    *("--libvirt.snapshot-interval", "1s", "--libvirt.reconnect-max-delay", "1s"),
    *("--libvirt.keepalive-interval", "1s", "--libvirt.keepalive-count", "2"),
)
RECONCILED_WITHIN = 10.0
MARKER_DOMAIN = "listing-marker"
UNOBSERVED = "libvirt_connection_unobserved_seconds_total"
MONOTONIC_PREFIXES = ("libvirt_domain_", "libvirt_connection_")

Counters = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class RestartableExporter(Exporter):
    """An exporter that can be ended by different signals and restarted with the same journal."""

    def end(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)
        status = self._processes.wait(self.pid, STOPS_WITHIN)
        assert status == (0 if how == signal.SIGTERM else -how), self.log_text()

    def begin(self) -> None:
        self.start()
        self.wait_ready()

    def counters(self) -> Counters:
        """Return the samples that must never decrease."""
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.metrics().values()
            if family.type in ("counter", "histogram")
            for sample in family.samples
            if sample.name.startswith(MONOTONIC_PREFIXES)
        }


@dataclass(frozen=True)
class Outage:
    """How the exporter and libvirt end; None: they keep running."""

    name: str
    exporter: signal.Signals | None = None
    daemon: Callable[[Daemon], None] | None = None

    @property
    def libvirt_is_there(self) -> bool:
        return self.daemon is None


@dataclass(frozen=True)
class DomainReport:
    """Journal and metrics of one name."""

    rows: Sequence[Row]
    incidents: Sequence[Incident]
    shown: Counter[Pair]

    @property
    def counted(self) -> Counter[Pair]:
        return Counter((row.event, row.reason) for row in self.rows)


NO_REPORT = DomainReport((), (), Counter())


@dataclass
class Report:
    """Journal and metrics of the exporter at one time."""

    domains: dict[str, DomainReport]
    counters: Counters

    def of(self, name: str) -> DomainReport:
        return self.domains.get(name, NO_REPORT)

    def by(self, metric: str, *labels: str) -> Counter[str]:
        """Sum the samples of a counter by these labels."""
        found: Counter[str] = Counter()
        for (name, pairs), value in self.counters.items():
            if name == metric:
                found["/".join(dict(pairs)[label] for label in labels)] += int(value)
        return +found


@dataclass
class OutageResult:
    outage: Outage
    duration: float
    """Minimum unobserved time in seconds."""
    before: Report
    after: Report
    later: Report
    """After further listings."""
    restarted: Report
    """After another restart of the exporter without events, and further listings."""
    other_names: dict[str, list[str]] = field(default_factory=dict)
    """Later names of each domain."""

    def new_rows(self, name: str) -> Sequence[Row]:
        return self.after.of(name).rows[len(self.before.of(name).rows) :]

    def new_incidents(self, name: str) -> Sequence[Incident]:
        return self.after.of(name).incidents[len(self.before.of(name).incidents) :]


class OutageHarness:
    """An exporter on a daemon of the test, and a driver for each domain."""

    def __init__(
        self, daemon: Daemon, guests: Guests, recorder: EventRecorder, exporter: RestartableExporter
    ) -> None:
        self.daemon = daemon
        self.guests = guests
        self.recorder = recorder
        self.exporter = exporter
        self.drivers: dict[str, DomainDriver] = {}
        self._open = ExitStack()
        self._autostart = False

    def close(self) -> None:
        self._open.close()

    def driver(self, name: str, guest: Guest = IDLE) -> DomainDriver:
        driver = DomainDriver(name, guest, self.daemon, self.guests, self.recorder)
        self.drivers[name] = self._open.enter_context(managed_domain(driver))
        return driver

    def wait_listings(self, times: int) -> None:
        """Wait for this number of listings. Only a listing reports a changed autostart flag."""
        if MARKER_DOMAIN not in self.drivers:
            self.driver(MARKER_DOMAIN).define()
        for _ in range(times):
            self._autostart = not self._autostart
            self.drivers[MARKER_DOMAIN].domain.setAutostart(self._autostart)
            self.exporter.wait_until(self._autostart_is_shown, what="another listing")

    def settle(self) -> None:
        """Wait until all events are counted and every domain has been listed since."""
        wait_counted(self.exporter, self.recorder.settle())
        self.wait_listings(2)

    def report(self) -> Report:
        names = [name for driver in self.drivers.values() for name in (driver.name, *driver.other_names)]
        journal, exporter = self.exporter.journal, self.exporter
        return Report(
            {
                name: DomainReport(
                    journal.rows(name), journal.incidents(name), exporter.lifecycle_counts(name)
                )
                for name in names
            },
            exporter.counters(),
        )

    def begin_outage(self, outage: Outage) -> None:
        if outage.exporter is not None:
            self.exporter.end(outage.exporter)
        if outage.daemon is not None:
            outage.daemon(self.daemon)
        if outage.exporter is None:
            self.exporter.wait_until(
                lambda: self.exporter.value("libvirt_connection_up") == 0, what="the loss to show"
            )

    def end_outage(self, outage: Outage) -> None:
        """Start the exporter first and libvirt last, as at the boot of a host."""
        if outage.exporter is not None:
            self.exporter.start()
            self.exporter.wait_serving()
        if outage.daemon is not None:
            self.daemon.start()
            self.recorder.wait_connected(2)
            for driver in self.drivers.values():
                driver.reopen()
        self.exporter.wait_until(
            lambda: self.exporter.value("libvirt_connection_up") == 1, TIMEOUT, "the connection to be up"
        )
        self.exporter.wait_ready()

    def _autostart_is_shown(self) -> bool:
        shown = "true" if self._autostart else "false"
        return self.exporter.value("libvirt_domain_meta", domain=MARKER_DOMAIN, autostart=shown) == 1


@contextmanager
def outage_harness(daemon: Daemon, guests: Guests, recorder: EventRecorder) -> Iterator[OutageHarness]:
    with RestartableExporter(daemon.root, [daemon.uri], extra_args=SHORT_INTERVALS) as exporter:
        harness = OutageHarness(daemon, guests, recorder, exporter)
        try:
            yield harness
        finally:
            harness.close()


def run_outage(harness: OutageHarness, outage: Outage, cases: Sequence[MissedEvent]) -> OutageResult:
    """Run all cases in one outage."""
    for missed in cases:
        missed.before(harness.driver(missed.name, missed.guest))
    harness.settle()
    before = harness.report()
    harness.begin_outage(outage)
    began = time.monotonic()
    perform(harness, outage, cases)
    duration = time.monotonic() - began
    harness.end_outage(outage)
    wait_reconciled(harness, outage, cases, before)
    harness.wait_listings(2)
    after = harness.report()
    harness.wait_listings(2)
    later = harness.report()
    harness.exporter.end(outage.exporter or signal.SIGKILL)
    harness.exporter.begin()
    harness.wait_listings(3)
    others = {name: driver.other_names for name, driver in harness.drivers.items()}
    return OutageResult(outage, duration, before, after, later, harness.report(), others)


def perform(harness: OutageHarness, outage: Outage, cases: Sequence[MissedEvent]) -> None:
    for missed in cases:
        release(harness.drivers[missed.name])
    for missed in cases:
        driver = harness.drivers[missed.name]
        missed.meanwhile(driver)
        if missed.libvirt_event and outage.libvirt_is_there:
            driver.wait_event(missed.libvirt_event)


def wait_reconciled(
    harness: OutageHarness, outage: Outage, cases: Sequence[MissedEvent], before: Report
) -> None:
    """Wait for the expected number of transitions. On a timeout the test of each case reports the
    difference.
    """

    def all_counted() -> bool:
        journal = harness.exporter.journal
        return all(
            len(journal.rows(missed.name)) - len(before.of(missed.name).rows)
            >= len(missed.expected(libvirt_is_there=outage.libvirt_is_there))
            for missed in cases
        )

    with suppress(TimeoutError):
        until(all_counted, RECONCILED_WITHIN, "what was missed to be counted")
