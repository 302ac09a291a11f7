"""A domain's life as diagnosis is told it, and what it says of it."""

from collections.abc import Iterable

from libvirt_lifecycle_exporter.engine.classify import VERDICT_WAIT, Classifier
from libvirt_lifecycle_exporter.engine.hangs import Hangs
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.engine.translate import translate
from libvirt_lifecycle_exporter.model.messages import DomainFacts, Observation
from libvirt_lifecycle_exporter.model.states import state_after
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import (
    WATCHDOG_ACTIONS,
)
from tests.unit.hang_state import set_hung
from tests.unit.seen import HERE, lifecycle, look, observation

BOOT = ("resumed/unpaused", "started/booted")


GONE: DomainFacts | None = None


UNPROVEN = ("unknown", "daemon", "destroyed", "shutdown")


def sent(pair: str, *, name: str = "web", at: float = 1000.0) -> Observation:
    """What libvirt sends for a pair, whatever its event id."""
    event, _, reason = pair.partition("/")
    if event == "watchdog":
        return observation("watchdog", WATCHDOG_ACTIONS.index(reason), name=name, at=at)
    if event == "io_error":
        return observation("io_error_reason", 1, name=name, at=at, word=reason)
    if event in ("rebooted", "control_error"):
        return observation(event.replace("rebooted", "reboot"), name=name, at=at)
    return lifecycle(event, reason, name=name, at=at)


def words(changes: Iterable[Transition]) -> list[str]:
    return [f"{change.event}/{change.reason}" for change in changes]


def see(diagnosis: Classifier, seen: Observation, state: str = "", reason: str = "") -> list[Transition]:
    """As the pipeline does."""
    change = translate(seen)
    return [] if change is None else diagnosis.classify(seen, change, state, reason)


class Scene:
    """A domain's life as the worker tells it: state before, observation; its answers when asked."""

    def __init__(self, state: str = "shutoff", reason: str = "shutdown", at: float = 1000.0) -> None:
        self.records = Records()
        self.diagnosis = Classifier(self.records)
        self.hangs = Hangs(records=self.records)
        self.state = (state, reason)
        self.at = at
        self.told: list[Transition] = []

    def sees(self, *pairs: str, apart: float = 0.1) -> "Scene":
        for pair in pairs:
            self.at += apart
            seen = sent(pair, at=self.at)
            told = see(self.diagnosis, seen, *self.state)
            self.told += told
            for change in told:
                self.hangs.apply(change)
            self.state = state_after(*pair.split("/")) or self.state
        return self

    def is_hung(self, *signals: str) -> "Scene":
        set_hung(self.records, "uuid-web", *signals, connection=HERE)
        return self

    def asks(self, found: DomainFacts | None) -> "Scene":
        self.told += self.diagnosis.apply_lookup(look("web", found))
        return self

    def waits(self, seconds: float = VERDICT_WAIT) -> "Scene":
        self.told += self.diagnosis.tick(self.at + seconds)
        return self

    @property
    def last(self) -> str:
        return words(self.told)[-1]


def running() -> Scene:
    return Scene().sees(*BOOT)


def pair(seen: Observation, diagnosis: Classifier | None = None) -> tuple[str, str] | None:
    """The one pair that an observation of a domain about which nothing is known comes out as, at the latest
    when the wait is over."""
    diagnosis = diagnosis or Classifier()
    changes = see(diagnosis, seen) + diagnosis.tick(seen.at + VERDICT_WAIT)
    assert len(changes) <= 1
    return (changes[0].event, changes[0].reason) if changes else None
