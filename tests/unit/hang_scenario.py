"""Scenario for ``Hangs``: one domain, its probe results and events, and the clock."""

from dataclasses import dataclass, field

from libvirt_lifecycle_exporter.engine.hang_signals import HangThresholds
from libvirt_lifecycle_exporter.engine.hangs import Hangs
from libvirt_lifecycle_exporter.engine.record import Domain, Records
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer, ProbeResults
from libvirt_lifecycle_exporter.model.transitions import Transition
from tests.unit.factories import HERE, transition

THRESHOLDS = HangThresholds(emulator=15, watchdog=30, vcpu=60)
Pairs = list[tuple[str, str]]


@dataclass
class HangScenario:
    """One running domain and its hang detection."""

    records: Records = field(default_factory=Records)
    now: float = 1000.0
    domain: Domain = field(
        default_factory=lambda: Domain(HERE, "uuid-web", "web", "running", "booted", 1.0, domain_id=7)
    )
    transitions: list[Transition] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records.enter(self.domain)
        self.hangs = Hangs(THRESHOLDS, self.records)
        self.hangs.set_connection(HERE, 0.0, up=True)

    def record(self, changes: list[Transition]) -> Pairs:
        """Record the transitions, and apply them to the hang detection as the worker does."""
        self.transitions += changes
        for change in changes:
            self.record(self.apply(change))
        return [(change.event, change.reason) for change in changes]

    def advance(self, seconds: float) -> Pairs:
        self.now += seconds
        return self.record(self.hangs.tick(self.now))

    def answer(self, signal: str, how: str, seconds: float = 0.0, *, by: str = "", ran: int = 0) -> Pairs:
        answers = (ProbeAnswer(self.domain.uuid, how, seconds, by, ran),)
        return self.record(self.hangs.evaluate_probes(ProbeResults(self.now, HERE, signal, answers)))

    def emulator(self, seconds: float | None) -> Pairs:
        """Give the result of an emulator probe: seconds without an answer of the monitor; None if it
        answers.
        """
        return self.answer(
            "emulator", "answered" if seconds is None else "silent", seconds or 0.0, by="a friend"
        )

    def apply_event(self, event: str, reason: str) -> Pairs:
        return self.record(self.apply(transition(event, reason, at=self.now)))

    def apply(self, change: Transition) -> list[Transition]:
        return self.hangs.apply(self.records.get(change.connection, change.uuid), change)

    @property
    def signals(self) -> tuple[str, ...]:
        return self.hangs.signals(HERE, self.domain.uuid)


HUNG, RECOVERED = [("hung", "emulator")], [("recovered", "emulator")]


def make_hung(scenario: HangScenario) -> HangScenario:
    assert scenario.emulator(14) == []
    scenario.advance(1)
    assert scenario.emulator(15) == HUNG
    return scenario
