"""Whatever happens to libvirt, to the connection and to the exporter: nothing lost that could be known,
nothing counted twice, no reason invented.

LAB_EXAMPLES=5000 makes it a long run, each time another; otherwise it is the same every time.
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
from tests.unit.hypervisor_model import Hypervisor
from tests.unit.hypervisor_stage import runs
from tests.unit.model_checks import check_figures, check_history, step
from tests.unit.rig import Rig
from tests.unit.seen import HERE, facts, lifecycle, look, order, snapshot

EXAMPLES = int(os.environ.get("LAB_EXAMPLES", "0"))
LATENCY = 0.4
"""Seconds within which libvirt's events arrive if the process is there to take them."""
GUESTS = st.sampled_from(("uuid-a", "uuid-b", "uuid-c"))
FEW = st.integers(0, 3)
ROOM = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - emptied afterwards


class Question:
    """To libvirt: about one domain, or about all."""

    def __init__(self, began: int, about: str, at: float, facts: list[DomainFacts], happened: int) -> None:
        self.began, self.about, self.at = began, about, at
        self.facts = {one.uuid: one for one in facts}
        self.happened = happened
        """How much had happened by then."""


class Libvirt(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=ROOM))
        self.clock = Clock()
        self.channel = Channel(self.clock)
        self.hypervisor = Hypervisor(self.clock.tick, self.channel.send)
        self.question: Question | None = None
        self.up = self.listed = False
        self.adopted_at = float("inf")
        self.known_since: dict[str, tuple[float, set[int], int]] = {}
        """When each domain came to be known, how many runs were under way then (two: nobody can tell), and
        how much had happened by then."""
        self.killed_at: list[float] = []
        self.ended_at: list[float] = []
        """When the exporter ended, killed or not."""
        self.lost_with: set[float] = set()
        self.blind_least = self.blind_most = 0.0
        self.watched = 0.0
        self.noted = 0.0

    @initialize(limit=st.sampled_from((1000, 1, 2, 4)))
    def begin(self, limit: int) -> None:
        self.exporter = Exporter(self.folder, self.clock, limit)

    @rule(uuid=GUESTS, data=st.data())
    def something_happens(self, uuid: str, data: st.DataObject) -> None:
        self.hypervisor.play(uuid, data.draw(st.sampled_from(self.hypervisor.possible(uuid))))

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
        """The exporter's process does not run for a while."""
        self.hypervisor.settle(long=False)
        self.clock.now += 10.0

    @precondition(lambda self: self.channel.open and self.up)
    @rule(uuid=GUESTS, all_of_them=st.booleans(), before=FEW)
    def ask(self, uuid: str, all_of_them: bool, before: int) -> None:  # noqa: FBT001 - drawn
        """One question at a time; after a connect the first one is about all."""
        if self.question is not None:
            self.answer()
        about = "" if all_of_them or not self.listed else uuid
        if about and about not in self.exporter.asked.looks:
            return
        began = self.exporter.message_queue.next_order()
        self._deliver(most=before)
        if about:
            self.exporter.asked.looks.pop(about)
        else:
            self.exporter.asked.snapshot = False
        hypervisor = self.hypervisor
        self.question = Question(
            began, about, self.clock.tick(), hypervisor.facts(), len(hypervisor.happened)
        )

    @precondition(lambda self: self.question is not None)
    @rule(torn=st.booleans())
    def answer(self, torn: bool = False) -> None:  # noqa: FBT001, FBT002 - drawn
        """``torn``: a listing is several calls; who is persistent was asked first."""
        question, self.question = self.question, None
        assert question is not None
        message_queue, at = self.exporter.message_queue, self.clock.tick()
        if question.about:
            found = question.facts.get(question.about)
            message_queue.put(Lookup(question.began, at, HERE, question.about, found, None))
            return
        facts = list(question.facts.values())
        if torn:
            persistent = {one.uuid for one in facts if one.persistent}
            facts = [one._replace(persistent=one.uuid in persistent) for one in self.hypervisor.facts()]
        message_queue.put(Listing(question.began, at, HERE, tuple(facts)))
        self.listed = True
        self.exporter.work()
        if self.up:
            self.noted = at
        if self.adopted_at > at:
            self.adopted_at, self.noted = (at if torn else question.at), at
            self.watched = max(self.watched, at)
            self._note_adopted(question, {one.uuid: one for one in facts}, at, torn=torn)

    @precondition(lambda self: not self.up)
    @rule()
    def connect(self) -> None:
        self.channel.open = self.up = True
        self.listed, self.question = False, None
        at = self.clock.tick()
        message_queue = self.exporter.message_queue
        message_queue.put(HostIdentified(message_queue.next_order(), at, HERE, "QEMU", ""))
        message_queue.put(ConnectionUp(at, HERE))
        self.exporter.work()
        if self.adopted_at < at:
            self.blind_least += at - self.watched
            self.blind_most += at - self.noted
        self.watched = self.noted = at

    @precondition(lambda self: self.channel.open)
    @rule()
    def connection_breaks(self) -> None:
        self.hypervisor.settle(long=False)
        self.channel.breaks()

    @precondition(lambda self: self.channel.open)
    @rule(deaths=st.dictionaries(GUESTS, st.sampled_from(("killed", "panicked")), max_size=2))
    def daemon_restarts(self, deaths: dict[str, str]) -> None:
        self._deliver()
        self.channel.breaks()
        self.hypervisor.daemon_dies(deaths)
        self.channel.lost = True

    @precondition(lambda self: not self.channel.open)
    @rule()
    def loss_is_noticed(self) -> None:
        """Again at each attempt to connect that fails."""
        at = self.clock.tick()
        self.exporter.message_queue.put(ConnectionDown(at, HERE, "lost"))
        self.exporter.work()
        if self.up:
            self.watched = self.noted = at
        self.up = False

    @rule()
    def exporter_is_killed(self) -> None:
        """SIGKILL: what waits is lost, what was shown is not."""
        before = self.exporter.figures()
        self.lost_with |= {seen.at for seen in self.exporter.message_queue.take(1000, 0.0)}
        self._exporter_ended()
        self.killed_at.append(self.clock.now)
        self.exporter.is_killed()
        assert self.exporter.figures() == before

    @rule()
    def exporter_ends(self) -> None:
        self._exporter_ended()
        last = self.exporter.ends()
        assert self.exporter.figures() == last

    def teardown(self) -> None:
        try:
            if hasattr(self, "exporter"):
                self._quiesce()
                check_figures(self)
                check_history(self)
        finally:
            if hasattr(self, "exporter"):
                self.exporter.close()
            shutil.rmtree(self.folder)

    def _told_to_run(self, uuid: str, most: int) -> int:
        happened = self.hypervisor.happened[:most]
        return sum(step(one.event, one.verdict) for one in happened if one.uuid == uuid)

    def _note_adopted(
        self, question: Question, facts: dict[str, DomainFacts], at: float, *, torn: bool
    ) -> None:
        """What was asked before something of a domain was heard says nothing of that domain."""
        happened = self.hypervisor.happened
        for uuid in self.hypervisor.guests:
            heard = [
                seen for seen, what in self.channel.given.items() if what.uuid == uuid and seen > question.at
            ]
            if not heard:
                # Two: it runs, and that it has started is yet to be told.
                most = len(happened) if torn else question.happened
                told = self._told_to_run(uuid, most)
                since = at if torn else question.at
                self.known_since[uuid] = since, {int(uuid in facts and runs(facts[uuid])), told}, most
                continue
            first = self.channel.given[heard[0]]
            most = happened.index(first)
            running = self._told_to_run(uuid, most)
            # Two: it boots, or it was paused.
            runs_before = {running, 1} if first.event == "resumed" else {running}
            self.known_since[uuid] = heard[0], runs_before, most

    def _deliver(self, most: int = 1000, until: float = 1e12) -> None:
        self.channel.deliver(
            self.exporter.message_queue, self.exporter.asked.request_listing, most=most, until=until
        )

    def _tick(self) -> None:
        self.exporter.tick()
        if self.up and self.listed and self.clock.now - self.noted >= 1.0:
            self.noted = self.clock.now

    def _exporter_ended(self) -> None:
        self.hypervisor.settle(long=False)
        self.channel.breaks()
        if self.up:
            self.watched = self.clock.now
        self.up = self.listed = False
        self.question = None
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
            for uuid in ("", *self.exporter.asked.looks):
                self.ask(uuid or "uuid-a", all_of_them=not uuid, before=0)
                self.answer()
                self.exporter.work()
            self.wait(2.0)


Libvirt.TestCase.settings = settings(
    max_examples=EXAMPLES or 150,
    stateful_step_count=40,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    report_multiple_bugs=False,
)
TestModel = Libvirt.TestCase


def test_answer_newer_than_its_event_proves_nothing_yet() -> None:
    """A pause got lost; when libvirt is asked again, it was just destroyed: that event is on its way."""
    rig = Rig()
    rig.feed(snapshot(facts("web")), look("web", facts("web", "paused", "user")))
    rig.later()
    destroyed = facts("web", "shutoff", "destroyed")
    rig.feed(look("web", destroyed, began=rig.message_queue.next_order() + order()))
    rig.feed(lifecycle("stopped", "destroyed"))
    assert rig.notebook.pairs("reconcile") == []
    assert rig.notebook.pairs("callback") == [("stopped", "destroyed")]


def test_transient_domain_that_never_ran_counts_nothing() -> None:
    rig = Rig()
    rig.feed(snapshot(facts("web", "paused", "starting_up", persistent=False)))
    for _ in range(2):
        rig.feed(snapshot())
        rig.later()
    rig.feed(snapshot())
    assert rig.notebook.transitions == []
