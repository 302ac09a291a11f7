"""Recorder of the incidents that the transitions of one domain open and close."""

from libvirt_lifecycle_exporter.engine.hangs import Hangs
from libvirt_lifecycle_exporter.engine.record import Records
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition
from libvirt_lifecycle_exporter.model.vocabulary import IO_ERROR_ACTIONS
from tests.unit.factories import HERE, transition
from tests.unit.recorded_incidents import RecordedIncidents

BOOT = ("resumed/unpaused", "started/booted")


HANGS = ("emulator", "watchdog", "guest_agent", "vcpu")


def make_transition(pair: str, *, at: float = 1000.0, name: str = "web", action: str = "pause") -> Transition:
    event, _, reason = pair.partition("/")
    code = IO_ERROR_ACTIONS.index(action) if event == "io_error" else 0
    return transition(event, reason, at=at, name=name)._replace(detail_code=code)


class IncidentRecorder:
    """Applies transitions, one hour apart, and records the opened and closed incidents."""

    def __init__(self) -> None:
        self.records = Records()
        self.incidents = RecordedIncidents(self.records)
        self.hangs = Hangs(records=self.records)
        self.at = 0.0
        self.opened: list[Incident] = []
        self.closed: list[Incident] = []
        self.ids: list[str] = []

    def apply(self, *pairs: str, action: str = "pause") -> "IncidentRecorder":
        for pair in pairs:
            self.at += 3600
            change = make_transition(pair, at=self.at, action=action)
            if change.event != "watchdog":  # watchdog hangs have their own tests
                self.hangs.apply(self.records.get(HERE, change.uuid), change)
            belongs, incidents = self.incidents.apply(change)
            self.ids.append(belongs)
            self._note(incidents)
        return self

    def remove(self) -> "IncidentRecorder":
        self.at += 3600
        self._note(self.incidents.close_all(HERE, "uuid-web", self.at))
        self.records.drop(HERE, "uuid-web")
        return self

    def _note(self, incidents: list[Incident]) -> None:
        for one in incidents:
            (self.opened if one.closed_at is None else self.closed).append(one)

    @property
    def kinds(self) -> list[str]:
        return [one.kind for one in self.opened]

    @property
    def still_open(self) -> list[str]:
        return [one.kind for one in self.incidents.open()]


def record(*pairs: str) -> IncidentRecorder:
    return IncidentRecorder().apply(*pairs)
