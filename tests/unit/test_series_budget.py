"""How many series a domain has: idle, after events, and with the whole state set."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.config.settings import Settings
from libvirt_lifecycle_exporter.engine.changes import (
    IncidentClosed,
    IncidentOpened,
    IncidentRestored,
    StatesKnownChanged,
)
from libvirt_lifecycle_exporter.model.states import SHOWN_STATES
from libvirt_lifecycle_exporter.model.text import OTHER
from libvirt_lifecycle_exporter.model.transitions import Incident
from libvirt_lifecycle_exporter.model.vocabulary import HANG_SIGNALS, INCIDENT_KINDS, alert_pairs
from tests.unit.exposition_reader import EVENTS, domain, samples, value
from tests.unit.factories import HERE, transition
from tests.unit.metrics_harness import ExportedDomains

DEFAULT_SIGNALS = Settings().hang_signals
STATE, REASON = "libvirt_domain_state", "libvirt_domain_state_reason"
OPEN, INCIDENTS = "libvirt_domain_incident_open", "libvirt_domain_incidents_total"
HUNG = "libvirt_domain_hung"


def incident(kind: str = "crashed", name: str = "web", number: int = 1) -> Incident:
    return Incident(f"{kind}-{name}-{number}", HERE, f"uuid-{name}", name, kind, 1000.0, None, "")


def families(shown: ExportedDomains, name: str = "web") -> Counter[str]:
    """Return the number of series of each metric of a domain."""
    return Counter(family for family, labels in samples(shown) if dict(labels).get("domain") == name)


def states(shown: ExportedDomains) -> dict[str, float]:
    """Return every state that has a series, and its value."""
    return {dict(labels)["state"]: v for (name, labels), v in samples(shown).items() if name == STATE}


def counted_series(shown: ExportedDomains) -> int:
    return sum("domain" in dict(labels) for _, labels in samples(shown))


def count_incident(shown: ExportedDomains, one: Incident, counted_as: str) -> None:
    shown._change(lambda batch: batch.open_incident(one, counted_as))  # noqa: SLF001 - of the harness


def test_idle_domain_has_at_most_18_series() -> None:
    shown = ExportedDomains(signals=DEFAULT_SIGNALS)
    shown.update(domain().values())
    assert families(shown).total() == shown.series == 18
    assert families(shown) == {
        EVENTS: len(alert_pairs(DEFAULT_SIGNALS)),
        INCIDENTS: len(INCIDENT_KINDS),
        STATE: 1,
        REASON: 1,
        "libvirt_domain_state_since_timestamp_seconds": 1,
        "libvirt_domain_meta": 1,
        HUNG: 1,
    }


def test_every_counter_of_an_alert_starts_at_zero() -> None:
    """So increase() includes the first event and the first incident."""
    shown = ExportedDomains(signals=DEFAULT_SIGNALS)
    shown.update(domain().values())
    for event, reason in alert_pairs(DEFAULT_SIGNALS):
        assert value(shown, EVENTS, domain="web", event=event, reason=reason) == 0
    for kind in INCIDENT_KINDS:
        assert value(shown, INCIDENTS, domain="web", kind=kind) == 0


def test_change_of_state_removes_the_old_state_at_once() -> None:
    shown = ExportedDomains()
    for state in ("running", "paused", "running", "shutoff"):
        shown.update(domain(state=state).values())
        assert states(shown) == {state: 1}


def test_state_set_has_every_state() -> None:
    shown = ExportedDomains(has_state_set=True)
    for state in ("running", "paused"):
        shown.update(domain(state=state).values())
        assert states(shown) == {one: one == state for one in SHOWN_STATES}


@pytest.mark.parametrize("has_state_set", [False, True])
def test_state_is_unknown_while_unobserved(*, has_state_set: bool) -> None:
    shown = ExportedDomains(has_state_set=has_state_set)
    shown.update(domain().values())
    for since, state in ((5.0, "unknown"), (None, "running")):
        shown.add(StatesKnownChanged(HERE, since))
        assert {one for one, is_set in states(shown).items() if is_set} == {state}
        assert shown.series == counted_series(shown)


def test_state_of_a_newer_libvirt_is_exported() -> None:
    """The state set cannot have it, but its reason does."""
    shown, whole = ExportedDomains(), ExportedDomains(has_state_set=True)
    for one in (shown, whole):
        one.update(domain(state="unknown_8").values())
        assert value(one, REASON, domain="web", state="unknown_8", reason="booted") == 1
        assert one.series == counted_series(one)
    assert states(shown) == {"unknown_8": 1}
    assert not any(states(whole).values())


def test_incident_kind_is_shown_from_its_first_incident_on() -> None:
    shown = ExportedDomains()
    shown.update(domain().values())
    assert families(shown)[OPEN] == 0
    count_incident(shown, incident(), "web")
    assert value(shown, OPEN, domain="web", kind="crashed") == 1
    assert value(shown, INCIDENTS, domain="web", kind="crashed") == 1
    shown.add(IncidentClosed(incident()))
    assert value(shown, OPEN, domain="web", kind="crashed") == 0
    assert families(shown)[OPEN] == 1


def test_incident_that_continues_under_a_new_name_is_shown() -> None:
    """It is counted under the old name."""
    shown = ExportedDomains()
    shown.update(domain().values())
    shown.add(IncidentRestored(incident(), "web"))
    assert value(shown, OPEN, domain="web", kind="crashed") == 1
    assert value(shown, INCIDENTS, domain="web", kind="crashed") == 0
    shown.add(IncidentClosed(incident()))
    assert value(shown, OPEN, domain="web", kind="crashed") == 0


def test_aggregated_domains_keep_their_series() -> None:
    shown = ExportedDomains(0)
    for number in range(2):
        count_incident(shown, incident(name=f"vm-{number}", number=number), OTHER)
        shown.transition(transition("stopped", "crashed", name=f"vm-{number}"))
    assert families(shown, OTHER) == {
        EVENTS: 1,
        INCIDENTS: 1,
        OPEN: 1,
        "libvirt_domain_last_event_timestamp_seconds": 1,
        "libvirt_domain_last_incident_timestamp_seconds": 1,
    }
    assert value(shown, OPEN, domain=OTHER, kind="crashed") == 1
    assert shown.series == counted_series(shown)


def test_watchdog_signal_is_shown_from_its_first_expiry_on() -> None:
    shown = ExportedDomains(signals=DEFAULT_SIGNALS)
    shown.update(domain().values())
    assert value(shown, HUNG, domain="web", signal="emulator") == 0
    assert value(shown, HUNG, domain="web", signal="watchdog") is None
    assert value(shown, EVENTS, domain="web", event="hung", reason="watchdog") == 0
    shown.transition(transition("hung", "watchdog"))
    shown.update(domain().values(hung=("watchdog",)))
    assert value(shown, HUNG, domain="web", signal="watchdog") == 1
    shown.update(domain().values())
    assert value(shown, HUNG, domain="web", signal="watchdog") == 0
    assert shown.series == counted_series(shown)


NAMES = ("web", "db")
PAIRS = (("hung", "watchdog"), ("hung", "emulator"), ("stopped", "crashed"), ("started", "booted"))
ACTION = st.one_of(
    st.tuples(st.just("count"), st.sampled_from(NAMES), st.sampled_from(PAIRS)),
    st.tuples(
        st.just("show"),
        st.sampled_from(NAMES),
        st.tuples(
            st.sampled_from((*SHOWN_STATES[:-1], "unknown_8")),
            st.booleans(),
            st.sets(st.sampled_from(HANG_SIGNALS)),
        ),
    ),
    st.tuples(
        st.sampled_from(("open", "continue", "close")),
        st.sampled_from((*NAMES, OTHER)),
        st.sampled_from(INCIDENT_KINDS),
    ),
    st.tuples(st.just("unobserved"), st.just(""), st.sampled_from((5.0, None))),
    st.tuples(st.just("expire"), st.just(""), st.just(1e9)),
)


def perform(shown: ExportedDomains, action: str, name: str, detail: object) -> None:
    match action, detail:
        case "count", (str(event), str(reason)):
            shown.transition(transition(event, reason, name=name))
        case "show", (str(state), bool(present), set(hung)):
            shown.update(domain(name, state=state, present=present).values(hung=tuple(hung)))
        case "open", str(kind):
            count_incident(shown, incident(kind, name), name)
        case "continue", str(kind):
            shown.add(IncidentOpened(incident(kind, name), name))
        case "close", str(kind):
            shown.add(IncidentClosed(incident(kind, name)))
        case "unobserved", (float() | None) as since:
            shown.add(StatesKnownChanged(HERE, since))
        case _:
            shown.remove_expired(1e9)


@settings(deadline=None, max_examples=60)
@given(
    actions=st.lists(ACTION, max_size=25),
    signals=st.sampled_from(((), DEFAULT_SIGNALS, HANG_SIGNALS)),
    has_state_set=st.booleans(),
)
def test_number_of_series_is_right_after_any_sequence(
    actions: list[tuple[str, str, object]], signals: tuple[str, ...], *, has_state_set: bool
) -> None:
    shown = ExportedDomains(1000, signals, has_state_set=has_state_set)
    for action in actions:
        perform(shown, *action)
        assert shown.series == counted_series(shown), action


@settings(deadline=None, max_examples=60)
@given(
    actions=st.lists(ACTION.filter(lambda action: action[1] != OTHER), max_size=25),
    limit=st.integers(0, 120),
    has_state_set=st.booleans(),
)
def test_series_never_exceed_the_limit(
    actions: list[tuple[str, str, object]], limit: int, *, has_state_set: bool
) -> None:
    shown = ExportedDomains(limit, HANG_SIGNALS, has_state_set=has_state_set)
    for action, name, detail in actions:
        own = name if not name or shown.budget.admit(HERE, name) != OTHER else OTHER
        if own != OTHER:
            perform(shown, action, name, detail)
        of_names = counted_series(shown) - families(shown, OTHER).total()
        assert of_names <= limit, (action, name, detail)
