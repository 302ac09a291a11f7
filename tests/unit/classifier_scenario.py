"""Scenario for ``Classifier``: a sequence of events and answers of one domain, and the resulting
transitions.
"""

from collections.abc import Iterable

from libvirt_lifecycle_exporter.engine.classify import VERDICT_WAIT, Classifier
from libvirt_lifecycle_exporter.engine.hangs import Hangs
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.engine.translate import translate
from libvirt_lifecycle_exporter.model.messages import DomainFacts, Lookup, Observation
from libvirt_lifecycle_exporter.model.states import state_after
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import (
    WATCHDOG_ACTIONS,
)
from tests.unit.factories import HERE, lifecycle, lookup, observation
from tests.unit.hang_state import set_hung

BOOT = ("resumed/unpaused", "started/booted")


GONE: DomainFacts | None = None


UNPROVEN = ("unknown", "daemon", "destroyed", "shutdown")


def make_observation(pair: str, *, name: str = "web", at: float = 1000.0) -> Observation:
    """Return the observation that libvirt sends for a pair, whatever its event id."""
    event, _, reason = pair.partition("/")
    if event == "watchdog":
        return observation("watchdog", WATCHDOG_ACTIONS.index(reason), name=name, at=at)
    if event == "io_error":
        return observation("io_error_reason", 1, name=name, at=at, word=reason)
    if event in ("rebooted", "control_error"):
        return observation(event.replace("rebooted", "reboot"), name=name, at=at)
    return lifecycle(event, reason, name=name, at=at)


def pair_names(changes: Iterable[Transition]) -> list[str]:
    return [f"{change.event}/{change.reason}" for change in changes]


class RecordedClassifier(Classifier):
    """A classifier and the records of its domains."""

    def __init__(self, records: Records | None = None) -> None:
        self.records = Records() if records is None else records
        super().__init__(self.records)


def classify(
    classifier: RecordedClassifier, observed: Observation, state: str = "", reason: str = ""
) -> list[Transition]:
    """Translate and classify an observation as the worker does."""
    change = translate(observed)
    if change is None:
        return []
    record = classifier.records.get(observed.connection, observed.uuid)
    return classifier.classify(record, observed, change, state, reason)


class ClassifierScenario:
    """Events of a domain with its state before each of them, answers to lookups, and the clock."""

    def __init__(self, state: str = "shutoff", reason: str = "shutdown", at: float = 1000.0) -> None:
        self.records = Records()
        self.classifier = RecordedClassifier(self.records)
        self.hangs = Hangs(records=self.records)
        self.state = (state, reason)
        self.at = at
        self.transitions: list[Transition] = []

    def observe(self, *pairs: str, interval: float = 0.1) -> "ClassifierScenario":
        for pair in pairs:
            self.at += interval
            observed = make_observation(pair, at=self.at)
            changes = classify(self.classifier, observed, *self.state)
            self.transitions += changes
            for change in changes:
                self.hangs.apply(self.records.get(HERE, change.uuid), change)
            self.state = state_after(*pair.split("/")) or self.state
        return self

    def set_hung(self, *signals: str) -> "ClassifierScenario":
        set_hung(self.records, "uuid-web", *signals, connection=HERE)
        return self

    def answer(self, facts: DomainFacts | None) -> "ClassifierScenario":
        self.transitions += self.apply_lookup(lookup("web", facts))
        return self

    def apply_lookup(self, answer: Lookup) -> list[Transition]:
        return self.classifier.apply_lookup(self.records.get(answer.connection, answer.uuid), answer)

    def wait(self, seconds: float = VERDICT_WAIT) -> "ClassifierScenario":
        self.transitions += self.classifier.tick(self.at + seconds)
        return self

    @property
    def last(self) -> str:
        return pair_names(self.transitions)[-1]


def running() -> ClassifierScenario:
    return ClassifierScenario().observe(*BOOT)


def classify_single(
    observed: Observation, classifier: RecordedClassifier | None = None
) -> tuple[str, str] | None:
    """Return the only pair that an observation of an unknown domain gives, at the latest after the verdict
    wait.
    """
    classifier = classifier or RecordedClassifier()
    changes = classify(classifier, observed) + classifier.tick(observed.at + VERDICT_WAIT)
    assert len(changes) <= 1
    return (changes[0].event, changes[0].reason) if changes else None
