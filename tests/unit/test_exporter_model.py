"""Model-based test: no event is lost that could be known, none is counted twice, and no reason is invented.

LAB_EXAMPLES=5000 runs more examples, different each time; without it the examples are always the same.
"""

import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from libvirt_lifecycle_exporter.model.messages import (
    ConnectionDown,
    ConnectionUp,
    DomainFacts,
    HostIdentified,
    Listing,
    Lookup,
)
from tests.unit.exporter_model import Channel, Clock, Exporter
from tests.unit.factories import HERE, facts, lifecycle, listing, lookup, order
from tests.unit.hypervisor_model import Hypervisor
from tests.unit.hypervisor_state import runs
from tests.unit.model_checks import check_counts, check_history, step
from tests.unit.worker_harness import WorkerHarness

EXAMPLES = int(os.environ.get("LAB_EXAMPLES", "0"))
LATENCY = 0.4
"""Seconds within which libvirt's events arrive while the process runs."""
GUESTS = st.sampled_from(("uuid-a", "uuid-b", "uuid-c"))
FEW = st.integers(0, 3)
TEMPORARY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - emptied afterwards


class PendingAnswer:
    """An answer of libvirt about one domain or, with an empty `about`, about all."""

    def __init__(self, began: int, about: str, at: float, facts: list[DomainFacts], happened: int) -> None:
        self.began, self.about, self.at = began, about, at
        self.facts = {one.uuid: one for one in facts}
        self.happened = happened
        """Number of events of the model before the answer."""


class ExporterModelMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=TEMPORARY))
        self.clock = Clock()
        self.channel = Channel(self.clock)
        self.hypervisor = Hypervisor(self.clock.tick, self.channel.send)
        self.pending: PendingAnswer | None = None
        self.up = self.listed = False
        self.adopted_at = float("inf")
        self.known_since: dict[str, tuple[float, set[int], int]] = {}
        """See ``ModelRun``. Two numbers of runs if the answer leaves both possible."""
        self.killed_at: list[float] = []
        self.ended_at: list[float] = []
        """When the exporter ended, killed or not."""
        self.lost_with: set[float] = set()
        self.unobserved_min = self.unobserved_max = 0.0
        self.observed_until = 0.0
        self.recorded_until = 0.0

    @initialize(limit=st.sampled_from((1000, 1, 2, 4)))
    def begin(self, limit: int) -> None:
        self.exporter = Exporter(self.folder, self.clock, limit)

    @rule(uuid=GUESTS, data=st.data())
    def something_happens(self, uuid: str, data: st.DataObject) -> None:
        self.hypervisor.run_operation(uuid, data.draw(st.sampled_from(self.hypervisor.possible(uuid))))

    @rule(most=st.integers(1, 4))
    def deliver(self, most: int) -> None:
        self._deliver(most=most)

    @rule()
    def work(self) -> None:
        self.exporter.work()

    @rule(seconds=st.sampled_from((0.25, 0.5, 1.25, 2.0, 5.0)))
    def wait(self, seconds: float) -> None:
        self.hypervisor.settle(long=False)
        until = self.clock.now + seconds
        while self.clock.now < until:
            step = min(0.5, until - self.clock.now)
            self._deliver(until=self.clock.now + step - LATENCY)
            self.clock.now += step
            self.clock.turns += 1
            self._tick()

    @rule()
    def freeze(self) -> None:
        """The exporter's process is stopped for ten seconds."""
        self.hypervisor.settle(long=False)
        self.clock.now += 10.0

    @precondition(lambda self: self.channel.open and self.up)
    @rule(uuid=GUESTS, all_of_them=st.booleans(), before=FEW)
    def ask(self, uuid: str, all_of_them: bool, before: int) -> None:  # noqa: FBT001 - drawn
        """One request at a time; the first one after a connect is a listing."""
        if self.pending is not None:
            self.answer()
        about = "" if all_of_them or not self.listed else uuid
        if about and about not in self.exporter.requests.lookups:
            return
        began = self.exporter.message_queue.next_order()
        self._deliver(most=before)
        if about:
            self.exporter.requests.lookups.pop(about)
        hypervisor = self.hypervisor
        self.pending = PendingAnswer(
            began, about, self.clock.tick(), hypervisor.facts(), len(hypervisor.events)
        )

    @precondition(lambda self: self.pending is not None)
    @rule(torn=st.booleans())
    def answer(self, torn: bool = False) -> None:  # noqa: FBT001, FBT002 - drawn
        """``torn``: a listing takes several calls; which domains are persistent is an older state."""
        pending, self.pending = self.pending, None
        assert pending is not None
        message_queue, at = self.exporter.message_queue, self.clock.tick()
        if pending.about:
            found = pending.facts.get(pending.about)
            message_queue.put(Lookup(pending.began, at, HERE, pending.about, found, None))
            return
        facts = list(pending.facts.values())
        if torn:
            persistent = {one.uuid for one in facts if one.persistent}
            facts = [one._replace(persistent=one.uuid in persistent) for one in self.hypervisor.facts()]
        message_queue.put(Listing(pending.began, at, HERE, tuple(facts)))
        self.listed = True
        self.exporter.work()
        if self.up:
            self.recorded_until = at
        if self.adopted_at > at:
            self.adopted_at, self.recorded_until = (at if torn else pending.at), at
            self.observed_until = max(self.observed_until, at)
            self._note_adopted(pending, {one.uuid: one for one in facts}, at, torn=torn)

    @precondition(lambda self: not self.up)
    @rule()
    def connect(self) -> None:
        self.channel.open = self.up = True
        self.listed, self.pending = False, None
        at = self.clock.tick()
        message_queue = self.exporter.message_queue
        message_queue.put(HostIdentified(message_queue.next_order(), at, HERE, "QEMU", ""))
        message_queue.put(ConnectionUp(at, HERE))
        self.exporter.work()
        if self.adopted_at < at:
            self.unobserved_min += at - self.observed_until
            self.unobserved_max += at - self.recorded_until
        self.observed_until = self.recorded_until = at

    @precondition(lambda self: self.channel.open)
    @rule()
    def connection_breaks(self) -> None:
        self.hypervisor.settle(long=False)
        self.channel.disconnect()

    @precondition(lambda self: self.channel.open)
    @rule(deaths=st.dictionaries(GUESTS, st.sampled_from(("killed", "panicked")), max_size=2))
    def daemon_restarts(self, deaths: dict[str, str]) -> None:
        self._deliver()
        self.channel.disconnect()
        self.hypervisor.restart_daemon(deaths)
        self.channel.lost = True

    @precondition(lambda self: not self.channel.open)
    @rule()
    def loss_is_noticed(self) -> None:
        """Also reported again at each failed attempt to connect."""
        at = self.clock.tick()
        self.exporter.message_queue.put(ConnectionDown(at, HERE, "lost"))
        self.exporter.work()
        if self.up:
            self.observed_until = self.recorded_until = at
        self.up = False

    @rule()
    def exporter_is_killed(self) -> None:
        """SIGKILL: queued messages are lost, exported counts are kept."""
        before = self.exporter.exported_counts()
        self.lost_with |= {message.at for message in self.exporter.message_queue.take(1000, 0.0)}
        self._exporter_ended()
        self.killed_at.append(self.clock.now)
        self.exporter.kill()
        assert self.exporter.exported_counts() == before

    @rule()
    def exporter_ends(self) -> None:
        self._exporter_ended()
        last = self.exporter.stop()
        assert self.exporter.exported_counts() == last

    def teardown(self) -> None:
        try:
            if hasattr(self, "exporter"):
                self._quiesce()
                check_counts(self)
                check_history(self)
        finally:
            if hasattr(self, "exporter"):
                self.exporter.close()
            shutil.rmtree(self.folder)

    def _reported_runs(self, uuid: str, most: int) -> int:
        happened = self.hypervisor.events[:most]
        return sum(step(one.event, one.verdict) for one in happened if one.uuid == uuid)

    def _note_adopted(
        self, pending: PendingAnswer, facts: dict[str, DomainFacts], at: float, *, torn: bool
    ) -> None:
        """An answer is ignored for a domain of which a later event was received."""
        happened = self.hypervisor.events
        for uuid in self.hypervisor.guests:
            received = [
                at for at, event in self.channel.delivered.items() if event.uuid == uuid and at > pending.at
            ]
            if not received:
                # Two: it runs, and its start is not reported yet.
                most = len(happened) if torn else pending.happened
                reported = self._reported_runs(uuid, most)
                since = at if torn else pending.at
                self.known_since[uuid] = since, {int(uuid in facts and runs(facts[uuid])), reported}, most
                continue
            first = self.channel.delivered[received[0]]
            most = happened.index(first)
            running = self._reported_runs(uuid, most)
            # Two: it boots, or it was paused.
            runs_before = {running, 1} if first.event == "resumed" else {running}
            self.known_since[uuid] = received[0], runs_before, most

    def _deliver(self, most: int = 1000, until: float = 1e12) -> None:
        self.channel.deliver(
            self.exporter.message_queue, self.exporter.requests.request_listing, limit=most, until=until
        )

    def _tick(self) -> None:
        self.exporter.tick()
        if self.up and self.listed and self.clock.now - self.recorded_until >= 1.0:
            self.recorded_until = self.clock.now

    def _exporter_ended(self) -> None:
        self.hypervisor.settle(long=False)
        self.channel.disconnect()
        if self.up:
            self.observed_until = self.clock.now
        self.up = self.listed = False
        self.pending = None
        self.ended_at.append(self.clock.tick())

    def _quiesce(self) -> None:
        self.hypervisor.settle(long=True)
        if not self.channel.open and self.up:
            self.loss_is_noticed()
        if not self.up:
            self.connect()
        for _ in range(8):
            self._deliver()
            self.exporter.work()
            for uuid in ("", *self.exporter.requests.lookups):
                self.ask(uuid or "uuid-a", all_of_them=not uuid, before=0)
                self.answer()
                self.exporter.work()
            self.wait(2.0)


ExporterModelMachine.TestCase.settings = settings(
    max_examples=EXAMPLES or 150,
    stateful_step_count=40,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    report_multiple_bugs=False,
)
TestModel = ExporterModelMachine.TestCase


def test_answer_newer_than_its_event_proves_nothing_yet() -> None:
    """A pause was lost; at the second lookup the domain has just been destroyed, and that event is on its
    way.
    """
    harness = WorkerHarness()
    harness.feed(listing(facts("web")), lookup("web", facts("web", "paused", "user")))
    harness.advance()
    destroyed = facts("web", "shutoff", "destroyed")
    harness.feed(lookup("web", destroyed, began=harness.message_queue.next_order() + order()))
    harness.feed(lifecycle("stopped", "destroyed"))
    assert harness.journal.pairs("reconcile") == []
    assert harness.journal.pairs("callback") == [("stopped", "destroyed")]


def test_transient_domain_that_never_ran_counts_nothing() -> None:
    harness = WorkerHarness()
    harness.feed(listing(facts("web", "paused", "starting_up", persistent=False)))
    for _ in range(2):
        harness.feed(listing())
        harness.advance()
    harness.feed(listing())
    assert harness.journal.transitions == []
