"""Who is blind, how it begins and ends, and what the exporter made of the time between."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt

from tests.lab.daemon import Daemon
from tests.lab.exporter import STOPS_WITHIN, Exporter
from tests.lab.guests import IDLE, Guests
from tests.lab.journal import Incident, Row
from tests.lab.pairs import Pair
from tests.lab.witness import Witness
from tests.qemu.ledger import wait_counted
from tests.qemu.stage import Stage, on_stage
from tests.qemu.unseen import Unseen

OFTEN = (
    *("--libvirt.snapshot-interval", "1s", "--libvirt.reconnect-max-delay", "1s"),
    *("--libvirt.keepalive-interval", "1s", "--libvirt.keepalive-count", "2"),
)
RECONCILED_WITHIN = 15.0
CANARY = "canary"
UNOBSERVED = "libvirt_connection_unobserved_seconds_total"

Counters = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Mortal(Exporter):
    """An exporter that can be killed: what its journal and its last page know of is all that is left."""

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._reaper.wait(self.pid, STOPS_WITHIN)

    def end(self, how: signal.Signals) -> None:
        if how == signal.SIGKILL:
            self.kill()
        else:
            assert self.stop() == 0

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
            if sample.name.startswith(("libvirt_domain_", "libvirt_connection_"))
            and not sample.name.endswith("_created")
        }


class Canary:
    """Shows when libvirt has been listed: nothing else tells of a domain's autostart."""

    def __init__(self, stage: Stage, exporter: Exporter) -> None:
        self._stage = stage
        self._exporter = exporter
        self._autostart = False

    def listings(self, times: int) -> None:
        for _ in range(times):
            self._autostart = not self._autostart
            self._stage.domain.setAutostart(self._autostart)
            self._exporter.wait_until(self._is_shown, what="another listing")

    def _is_shown(self) -> bool:
        shown = "true" if self._autostart else "false"
        return self._exporter.value("libvirt_domain_meta", domain=CANARY, autostart=shown) == 1


@dataclass(frozen=True)
class Blindness:
    """How the exporter and libvirt end, if they do."""

    name: str
    exporter: signal.Signals | None
    daemon: Callable[[Daemon], None] | None

    @property
    def libvirt_is_there(self) -> bool:
        return self.daemon is None


@dataclass
class Account:
    """What is counted of one domain, by pairs; in which rows."""

    counted: Counter[Pair]
    rows: list[Row]
    incidents: list[Incident]
    shown: Counter[Pair]


@dataclass
class Aftermath:
    blindness: Blindness
    before: dict[str, Account] = field(default_factory=dict)
    after: dict[str, Account] = field(default_factory=dict)
    later: dict[str, Account] = field(default_factory=dict)
    """After more listings and a further restart."""
    pages: list[Counters] = field(default_factory=list)
    """Before, after, after more listings, after a further restart."""

    def news(self, name: str) -> Counter[Pair]:
        return self.after[name].counted - self.before[name].counted

    def new_rows(self, name: str) -> list[Row]:
        old = len(self.before[name].rows)
        return self.after[name].rows[old:]


class Theatre:
    """A daemon, an exporter on it, and a stage for each happening."""

    def __init__(self, daemon: Daemon, guests: Guests, witness: Witness, exporter: Mortal) -> None:
        self.daemon = daemon
        self.guests = guests
        self.witness = witness
        self.exporter = exporter
        self.stages: dict[str, Stage] = {}
        self._open = ExitStack()
        self.canary = Canary(self.stage(CANARY), exporter)
        self.stages[CANARY].define()

    def stage(self, name: str, guest: Any = IDLE) -> Stage:
        stage = Stage(name, guest, self.daemon, self.guests, self.witness)
        self.stages[name] = self._open.enter_context(on_stage(stage))
        return stage

    def close(self) -> None:
        self._open.close()

    def settle(self) -> None:
        """All that libvirt has sent is counted, and has been confirmed by a listing."""
        wait_counted(self.exporter, self.witness.settle())
        self.canary.listings(2)

    def account(self, name: str) -> Account:
        journal = self.exporter.journal
        return Account(
            journal.counted(name),
            journal.rows(name),
            journal.incidents(name),
            self.exporter.lifecycle_counts(name),
        )

    def accounts(self) -> dict[str, Account]:
        names = {name for stage in self.stages.values() for name in (stage.name, *stage.others)}
        return {name: self.account(name) for name in names}
