"""One domain whose hangs are told, and the time."""

from dataclasses import dataclass, field

from libvirt_lifecycle_exporter.engine.hang_signals import HangThresholds
from libvirt_lifecycle_exporter.engine.hangs import Hangs
from libvirt_lifecycle_exporter.engine.record import Domain, Records
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer, ProbeResults
from libvirt_lifecycle_exporter.model.transitions import Transition
from tests.unit.seen import HERE, transition

PATIENCE = HangThresholds(emulator=15, watchdog=30, vcpu=60)
Told = list[tuple[str, str]]


@dataclass
class Ward:
    """One domain, and who watches it."""

    records: Records = field(default_factory=Records)
    now: float = 1000.0
    domain: Domain = field(
        default_factory=lambda: Domain(HERE, "uuid-web", "web", "running", "booted", 1.0, domain_id=7)
    )
    told: list[Transition] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records.enter(self.domain)
        self.hangs = Hangs(PATIENCE, self.records)
        self.hangs.set_connection(HERE, 0.0, up=True)

    def take(self, changes: list[Transition]) -> Told:
        """As the pipeline does: what comes out goes in again."""
        self.told += changes
        for change in changes:
            self.take(self.hangs.apply(change))
        return [(change.event, change.reason) for change in changes]

    def later(self, seconds: float) -> Told:
        self.now += seconds
        return self.take(self.hangs.tick(self.now))

    def answer(self, signal: str, how: str, seconds: float = 0.0, *, by: str = "", ran: int = 0) -> Told:
        answers = (ProbeAnswer(self.domain.uuid, how, seconds, by, ran),)
        return self.take(self.hangs.evaluate_probes(ProbeResults(self.now, HERE, signal, answers)))

    def emulator(self, seconds: float | None) -> Told:
        """For how long the monitor has been waited for; None: it answers."""
        return self.answer(
            "emulator", "answered" if seconds is None else "silent", seconds or 0.0, by="a friend"
        )

    def happens(self, event: str, reason: str) -> Told:
        found = self.hangs.apply(transition(event, reason, at=self.now))
        return self.take(found)

    @property
    def signals(self) -> tuple[str, ...]:
        return self.hangs.signals(HERE, self.domain.uuid)


HUNG, WELL = [("hung", "emulator")], [("recovered", "emulator")]


def hung(ward: Ward) -> Ward:
    assert ward.emulator(14) == []
    ward.later(1)
    assert ward.emulator(15) == HUNG
    return ward
