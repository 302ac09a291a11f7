"""Hangs through the whole pipeline: counted, shown, journalled once, and taken over after a restart."""

from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.model.messages import ConnectionUp, ProbeAnswer, ProbeResults
from tests.unit.exposition_reader import EVENTS, domain, value
from tests.unit.metrics_harness import ExportedDomains
from tests.unit.rig import Rig
from tests.unit.seen import HERE, facts, lifecycle, observation, snapshot

HUNG = "libvirt_domain_hung"
OPEN = "libvirt_domain_incident_open"


class HangRig(Rig):
    """Says that a domain's emulator is silent, or answers."""

    def probe(self, how: str, seconds: float = 0.0) -> None:
        answer = ProbeAnswer("uuid-web", how, seconds, "a friend")
        self.feed(ProbeResults(self.now, HERE, "emulator", (answer,)))

    def hang(self) -> None:
        self.feed(ConnectionUp(0.0, HERE), snapshot(facts("web")))
        self.later(60)
        self.probe("silent", 30)
        self.later(1)
        self.probe("silent", 31)

    def pairs_told(self) -> list[tuple[str, str]]:
        return self.notebook.pairs("probe")

    def shown(self, name: str = HUNG, **labels: str) -> float | None:
        return value(self.sink, name, domain="web", **labels)


def rig(**options: SavedState) -> HangRig:
    return HangRig(**options)  # type: ignore[arg-type]


def test_only_enabled_signals_have_series() -> None:
    shown = ExportedDomains(signals=("emulator", "vcpu"))
    shown.update(domain().values(hung=("vcpu",)))
    assert value(shown, HUNG, domain="web", signal="emulator") == 0
    assert value(shown, HUNG, domain="web", signal="vcpu") == 1
    assert value(shown, HUNG, domain="web", signal="watchdog") is None
    assert value(shown, EVENTS, domain="web", event="hung", reason="vcpu") == 0
    assert value(shown, EVENTS, domain="web", event="hung", reason="watchdog") is None


def test_hang_is_counted_and_opens_an_incident() -> None:
    one = rig()
    one.hang()
    assert value(one.sink, EVENTS, domain="web", event="hung", reason="emulator") == 1
    assert one.shown(OPEN, kind="hung") == 1
    one.probe("answered")
    assert one.shown(OPEN, kind="hung") == 0
    assert one.pairs_told() == [("hung", "emulator"), ("recovered", "emulator")]
    ids = {change.incident_id for change in one.notebook.transitions}
    assert len(ids) == 1
    assert "" not in ids


def test_destroyed_hung_domain_is_counted_as_stopped_hung() -> None:
    one = rig()
    one.hang()
    one.feed(lifecycle("stopped", "destroyed", at=one.now))
    assert value(one.sink, EVENTS, domain="web", event="stopped", reason="hung") == 1
    assert one.worker.hung_signals(HERE, "uuid-web") == ()
    assert one.shown("libvirt_domain_incidents_total", kind="hung") == 1


def test_destroyed_recovered_domain_is_stopped_destroyed() -> None:
    one = rig()
    one.hang()
    one.probe("answered")
    one.feed(lifecycle("stopped", "destroyed", at=one.now))
    assert value(one.sink, EVENTS, domain="web", event="stopped", reason="destroyed") == 1


def test_hang_continues_after_a_restart() -> None:
    first = rig()
    first.hang()
    first.later()
    again = rig(restored=first.notebook.memory())
    again.now = first.now
    again.feed(ConnectionUp(again.now, HERE), snapshot(facts("web")))
    again.probe("silent", 40)
    again.later(2)
    again.probe("silent", 42)
    assert again.pairs_told() == []
    assert again.shown(OPEN, kind="hung") == 1
    again.probe("answered")
    assert again.pairs_told() == [("recovered", "emulator")]
    assert again.shown(OPEN, kind="hung") == 0


def test_stopped_domain_is_not_hung_after_a_restart() -> None:
    first = rig()
    first.hang()
    first.feed(lifecycle("stopped", "destroyed", at=first.now))
    first.later()
    again = rig(restored=first.notebook.memory())
    again.feed(ConnectionUp(again.now, HERE), snapshot(facts("web", "shutoff", "destroyed")))
    again.probe("answered")
    assert again.pairs_told() == []


def test_guest_that_closes_the_agent_channel_has_recovered() -> None:
    one = rig()
    one.feed(ConnectionUp(0.0, HERE), snapshot(facts("web")))
    for how in ("answered", "silent", "silent", "silent"):
        one.feed(ProbeResults(one.now, HERE, "guest_agent", (ProbeAnswer("uuid-web", how, 5.0),)))
        one.later(30)
    one.feed(observation("agent_lifecycle", 2, 2, at=one.now))
    told = [(change.event, change.source) for change in one.notebook.transitions]
    assert told == [("hung", "probe"), ("recovered", "callback")]
