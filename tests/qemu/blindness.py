"""Who is blind, how that begins and ends, and what the exporter makes of the time between."""

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
from tests.qemu.ledger import wait_counted
from tests.qemu.stage import PATIENCE, Stage, on_stage
from tests.qemu.unseen import Unseen, let_go

OFTEN = (
    *("--libvirt.snapshot-interval", "1s", "--libvirt.reconnect-max-delay", "1s"),
    *("--libvirt.keepalive-interval", "1s", "--libvirt.keepalive-count", "2"),
)
RECONCILED_WITHIN = 10.0
CANARY = "canary"
UNOBSERVED = "libvirt_connection_unobserved_seconds_total"
NEVER_BACK = ("libvirt_domain_", "libvirt_connection_")

Counters = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Mortal(Exporter):
    """An exporter that ends in more ways than one, and begins again with the same journal."""

    def end(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)
        status = self._processes.wait(self.pid, STOPS_WITHIN)
        assert status == (0 if how == signal.SIGTERM else -how), self.log_text()

    def begin(self) -> None:
        self.start()
        self.wait_ready()

    def counters(self) -> Counters:
        """Everything on the page that may never go back."""
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.metrics().values()
            if family.type in ("counter", "histogram")
            for sample in family.samples
            if sample.name.startswith(NEVER_BACK)
        }


@dataclass(frozen=True)
class Blindness:
    """How the exporter and libvirt end, if they do."""

    name: str
    exporter: signal.Signals | None = None
    daemon: Callable[[Daemon], None] | None = None

    @property
    def libvirt_is_there(self) -> bool:
        return self.daemon is None


@dataclass(frozen=True)
class Account:
    """What the exporter tells of one name."""

    rows: Sequence[Row]
    incidents: Sequence[Incident]
    shown: Counter[Pair]

    @property
    def counted(self) -> Counter[Pair]:
        return Counter((row.event, row.reason) for row in self.rows)


NO_ACCOUNT = Account((), (), Counter())


@dataclass
class Telling:
    """Everything the exporter tells at one time."""

    accounts: dict[str, Account]
    counters: Counters

    def of(self, name: str) -> Account:
        return self.accounts.get(name, NO_ACCOUNT)

    def by(self, metric: str, *labels: str) -> Counter[str]:
        """The samples of a counter, by these labels."""
        found: Counter[str] = Counter()
        for (name, pairs), value in self.counters.items():
            if name == metric:
                found["/".join(dict(pairs)[label] for label in labels)] += int(value)
        return +found


@dataclass
class Aftermath:
    blindness: Blindness
    blind_for: float
    """Seconds that nobody looked for, at the least."""
    before: Telling
    after: Telling
    later: Telling
    """After more listings."""
    restarted: Telling
    """After a further restart of the exporter in which nothing happened, and more listings."""
    others: dict[str, list[str]] = field(default_factory=dict)
    """The names that a domain came to bear."""

    def news(self, name: str) -> Sequence[Row]:
        return self.after.of(name).rows[len(self.before.of(name).rows) :]

    def new_incidents(self, name: str) -> Sequence[Incident]:
        return self.after.of(name).incidents[len(self.before.of(name).incidents) :]


class Theatre:
    """An exporter on a daemon of the test's own, and a stage for each happening."""

    def __init__(self, daemon: Daemon, guests: Guests, recorder: EventRecorder, exporter: Mortal) -> None:
        self.daemon = daemon
        self.guests = guests
        self.recorder = recorder
        self.exporter = exporter
        self.stages: dict[str, Stage] = {}
        self._open = ExitStack()
        self._autostart = False

    def close(self) -> None:
        self._open.close()

    def stage(self, name: str, guest: Guest = IDLE) -> Stage:
        stage = Stage(name, guest, self.daemon, self.guests, self.recorder)
        self.stages[name] = self._open.enter_context(on_stage(stage))
        return stage

    def listings(self, times: int) -> None:
        """Returns when libvirt has been listed so often: nothing else tells of a domain's autostart."""
        if CANARY not in self.stages:
            self.stage(CANARY).define()
        for _ in range(times):
            self._autostart = not self._autostart
            self.stages[CANARY].domain.setAutostart(self._autostart)
            self.exporter.wait_until(self._autostart_is_shown, what="another listing")

    def settle(self) -> None:
        """All that libvirt has said is counted, and it has been asked about every domain since."""
        wait_counted(self.exporter, self.recorder.settle())
        self.listings(2)

    def tell(self) -> Telling:
        names = [name for stage in self.stages.values() for name in (stage.name, *stage.others)]
        journal, exporter = self.exporter.journal, self.exporter
        return Telling(
            {
                name: Account(journal.rows(name), journal.incidents(name), exporter.lifecycle_counts(name))
                for name in names
            },
            exporter.counters(),
        )

    def go_blind(self, blindness: Blindness) -> None:
        if blindness.exporter is not None:
            self.exporter.end(blindness.exporter)
        if blindness.daemon is not None:
            blindness.daemon(self.daemon)
        if blindness.exporter is None:
            self.exporter.wait_until(
                lambda: self.exporter.value("libvirt_connection_up") == 0, what="the loss to show"
            )

    def see_again(self, blindness: Blindness) -> None:
        """libvirt comes last, as on a host that boots."""
        if blindness.exporter is not None:
            self.exporter.start()
            self.exporter.wait_serving()
        if blindness.daemon is not None:
            self.daemon.start()
            self.recorder.wait_connected(2)
            for stage in self.stages.values():
                stage.reopen()
        self.exporter.wait_until(
            lambda: self.exporter.value("libvirt_connection_up") == 1, PATIENCE, "the connection to be up"
        )
        self.exporter.wait_ready()

    def _autostart_is_shown(self) -> bool:
        shown = "true" if self._autostart else "false"
        return self.exporter.value("libvirt_domain_meta", domain=CANARY, autostart=shown) == 1


@contextmanager
def theatre(daemon: Daemon, guests: Guests, recorder: EventRecorder) -> Iterator[Theatre]:
    with Mortal(daemon.root, [daemon.uri], extra_args=OFTEN) as exporter:
        opened = Theatre(daemon, guests, recorder, exporter)
        try:
            yield opened
        finally:
            opened.close()


def play(theatre: Theatre, blindness: Blindness, happenings: Sequence[Unseen]) -> Aftermath:
    """All of them in one night."""
    for unseen in happenings:
        unseen.before(theatre.stage(unseen.name, unseen.guest))
    theatre.settle()
    before = theatre.tell()
    theatre.go_blind(blindness)
    began = time.monotonic()
    happen(theatre, blindness, happenings)
    blind_for = time.monotonic() - began
    theatre.see_again(blindness)
    wait_reconciled(theatre, blindness, happenings, before)
    theatre.listings(2)
    after = theatre.tell()
    theatre.listings(2)
    later = theatre.tell()
    theatre.exporter.end(blindness.exporter or signal.SIGKILL)
    theatre.exporter.begin()
    theatre.listings(3)
    others = {name: stage.others for name, stage in theatre.stages.items()}
    return Aftermath(blindness, blind_for, before, after, later, theatre.tell(), others)


def happen(theatre: Theatre, blindness: Blindness, happenings: Sequence[Unseen]) -> None:
    for unseen in happenings:
        let_go(theatre.stages[unseen.name])
    for unseen in happenings:
        stage = theatre.stages[unseen.name]
        unseen.meanwhile(stage)
        if unseen.then and blindness.libvirt_is_there:
            stage.sees(unseen.then)


def wait_reconciled(
    theatre: Theatre, blindness: Blindness, happenings: Sequence[Unseen], before: Telling
) -> None:
    """As many transitions as must come have come. If they do not, let each test say so for itself."""

    def all_counted() -> bool:
        journal = theatre.exporter.journal
        return all(
            len(journal.rows(unseen.name)) - len(before.of(unseen.name).rows)
            >= len(unseen.expected(libvirt_is_there=blindness.libvirt_is_there))
            for unseen in happenings
        )

    with suppress(TimeoutError):
        until(all_counted, RECONCILED_WITHIN, "what was missed to be counted")
