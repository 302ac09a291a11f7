"""Hangs through the whole worker: counted, exported, in the journal once, and restored after a restart."""

from libvirt_lifecycle_exporter.engine.saved_state import SavedState
from libvirt_lifecycle_exporter.model.messages import ConnectionUp, ProbeAnswer, ProbeResults
from tests.unit.exposition_reader import EVENTS, domain, value
from tests.unit.factories import HERE, facts, lifecycle, listing, observation
from tests.unit.metrics_harness import ExportedDomains
from tests.unit.worker_harness import WorkerHarness

HUNG = "libvirt_domain_hung"
OPEN = "libvirt_domain_incident_open"


class HangHarness(WorkerHarness):
    """Worker harness with results of emulator probes."""

    def probe(self, how: str, seconds: float = 0.0) -> None:
        answer = ProbeAnswer("uuid-web", how, seconds, "a friend")
        self.feed(ProbeResults(self.now, HERE, "emulator", (answer,)))

    def hang(self) -> None:
        self.feed(ConnectionUp(0.0, HERE), listing(facts("web")))
        self.advance(60)
        self.probe("silent", 30)
        self.advance(1)
        self.probe("silent", 31)

    def probe_pairs(self) -> list[tuple[str, str]]:
        return self.journal.pairs("probe")

    def shown(self, name: str = HUNG, **labels: str) -> float | None:
        return value(self.metrics, name, domain="web", **labels)


def make_harness(**options: SavedState) -> HangHarness:
    return HangHarness(**options)  # type: ignore[arg-type]


def test_only_enabled_signals_have_series() -> None:
    shown = ExportedDomains(signals=("emulator", "vcpu"))
    shown.update(domain().values(hung=("vcpu",)))
    assert value(shown, HUNG, domain="web", signal="emulator") == 0
    assert value(shown, HUNG, domain="web", signal="vcpu") == 1
    assert value(shown, HUNG, domain="web", signal="watchdog") is None
    assert value(shown, EVENTS, domain="web", event="hung", reason="vcpu") == 0
    assert value(shown, EVENTS, domain="web", event="hung", reason="watchdog") is None


def test_hang_is_counted_and_opens_an_incident() -> None:
    one = make_harness()
    one.hang()
    assert value(one.metrics, EVENTS, domain="web", event="hung", reason="emulator") == 1
    assert one.shown(OPEN, kind="hung") == 1
    one.probe("answered")
    assert one.shown(OPEN, kind="hung") == 0
    assert one.probe_pairs() == [("hung", "emulator"), ("recovered", "emulator")]
    ids = {change.incident_id for change in one.journal.transitions}
    assert len(ids) == 1
    assert "" not in ids


def test_destroyed_hung_domain_is_counted_as_stopped_hung() -> None:
    one = make_harness()
    one.hang()
    one.feed(lifecycle("stopped", "destroyed", at=one.now))
    assert value(one.metrics, EVENTS, domain="web", event="stopped", reason="hung") == 1
    assert one.worker.hung_signals(HERE, "uuid-web") == ()
    assert one.shown("libvirt_domain_incidents_total", kind="hung") == 1


def test_destroyed_recovered_domain_is_stopped_destroyed() -> None:
    one = make_harness()
    one.hang()
    one.probe("answered")
    one.feed(lifecycle("stopped", "destroyed", at=one.now))
    assert value(one.metrics, EVENTS, domain="web", event="stopped", reason="destroyed") == 1


def test_hang_continues_after_a_restart() -> None:
    first = make_harness()
    first.hang()
    first.advance()
    again = make_harness(restored=first.journal.memory())
    again.now = first.now
    again.feed(ConnectionUp(again.now, HERE), listing(facts("web")))
    again.probe("silent", 40)
    again.advance(2)
    again.probe("silent", 42)
    assert again.probe_pairs() == []
    assert again.shown(OPEN, kind="hung") == 1
    again.probe("answered")
    assert again.probe_pairs() == [("recovered", "emulator")]
    assert again.shown(OPEN, kind="hung") == 0


def test_stopped_domain_is_not_hung_after_a_restart() -> None:
    first = make_harness()
    first.hang()
    first.feed(lifecycle("stopped", "destroyed", at=first.now))
    first.advance()
    again = make_harness(restored=first.journal.memory())
    again.feed(ConnectionUp(again.now, HERE), listing(facts("web", "shutoff", "destroyed")))
    again.probe("answered")
    assert again.probe_pairs() == []


def test_guest_that_closes_the_agent_channel_has_recovered() -> None:
    one = make_harness()
    one.feed(ConnectionUp(0.0, HERE), listing(facts("web")))
    for how in ("answered", "silent", "silent", "silent"):
        one.feed(ProbeResults(one.now, HERE, "guest_agent", (ProbeAnswer("uuid-web", how, 5.0),)))
        one.advance(30)
    one.feed(observation("agent_lifecycle", 2, 2, at=one.now))
    events = [(change.event, change.source) for change in one.journal.transitions]
    assert events == [("hung", "probe"), ("recovered", "callback")]
