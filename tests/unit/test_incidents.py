"""What transitions mean: one incident for one cause, from the first evidence until all is well again."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.incidents import KINDS, Incident, Incidents, incident_id
from libvirt_lifecycle_exporter.transition import Transition
from libvirt_lifecycle_exporter.vocabulary import ALL_PAIRS, IO_ERROR_ACTIONS
from tests.unit.seen import HERE, transition

BOOT = ("resumed/unpaused", "started/booted")
HANGS = ("emulator", "watchdog", "guest_agent", "vcpu")


def happened(pair: str, *, at: float = 1000.0, name: str = "web", action: str = "pause") -> Transition:
    event, _, reason = pair.partition("/")
    code = IO_ERROR_ACTIONS.index(action) if event == "io_error" else 0
    return transition(event, reason, at=at, name=name)._replace(detail_code=code)


class Account:
    """What became of a domain's transitions: an hour apart, unless told otherwise."""

    def __init__(self, incidents: Incidents | None = None) -> None:
        self.incidents = incidents or Incidents()
        self.at = 0.0
        self.opened: list[Incident] = []
        self.closed: list[Incident] = []
        self.ids: list[str] = []

    def takes(self, *pairs: str, action: str = "pause") -> "Account":
        for pair in pairs:
            self.at += 3600
            belongs, incidents = self.incidents.take(happened(pair, at=self.at, action=action))
            self.ids.append(belongs)
            self.note(incidents)
        return self

    def is_removed(self) -> "Account":
        self.at += 3600
        self.note(self.incidents.removed(HERE, "uuid-web", self.at))
        return self

    def note(self, incidents: list[Incident]) -> None:
        for one in incidents:
            (self.opened if one.closed_at is None else self.closed).append(one)

    @property
    def kinds(self) -> list[str]:
        return [one.kind for one in self.opened]

    @property
    def still_open(self) -> list[str]:
        return [one.kind for one in self.incidents.open()]


def account(*pairs: str) -> Account:
    return Account().takes(*pairs)


@pytest.mark.parametrize(
    ("pairs", "kind"),
    [
        pytest.param(("stopped/crashed", *BOOT), "crashed", id="emulator killed, started again"),
        pytest.param(
            ("crashed/panicked", "stopped/crashed", *BOOT), "crashed", id="panic, on_crash=destroy, 9.0"
        ),
        pytest.param(
            ("crashed/panicked", "shutdown/host", "stopped/crashed", *BOOT),
            "crashed",
            id="panic, on_crash=coredump-destroy, 11.3",
        ),
        pytest.param(
            ("crashed/panicked", "rebooted/guest", "resumed/unpaused"),
            "crashed",
            id="panic, on_crash=restart",
        ),
        pytest.param(
            ("crashed/panicked", "stopped/destroyed", *BOOT), "crashed", id="panic, preserved, started anew"
        ),
        pytest.param(("crashed/crashloaded", "rebooted/guest"), "crashed", id="guest's own crash kernel"),
        pytest.param(
            ("crashed/crashloaded", "crashed/panicked", "stopped/crashed", *BOOT),
            "crashed",
            id="crash kernel panics too",
        ),
        pytest.param(("crashed/unknown", "resumed/unknown"), "crashed", id="found crashed, found running"),
        pytest.param(("watchdog/poweroff", "stopped/hung", *BOOT), "hung", id="watchdog switched it off"),
        pytest.param(
            ("watchdog/pause", "suspended/watchdog", "resumed/unpaused"), "hung", id="watchdog paused it"
        ),
        pytest.param(("hung/emulator", "recovered/emulator"), "hung", id="emulator answers again"),
        pytest.param(("hung/emulator", "stopped/hung", *BOOT), "hung", id="hung, destroyed"),
        pytest.param(
            ("hung/emulator", "shutdown/host", "stopped/hung", *BOOT), "hung", id="hung, destroyed, 11.3"
        ),
        pytest.param(("hung/emulator", "stopped/crashed", *BOOT), "hung", id="emulator hung, killed"),
        pytest.param(
            ("hung/vcpu", "hung/guest_agent", "recovered/vcpu", "recovered/guest_agent"),
            "hung",
            id="two signs of one hang",
        ),
        pytest.param(
            ("io_error/enospc", "suspended/ioerror", "resumed/unpaused"), "io_error", id="disk full, resumed"
        ),
        pytest.param(
            ("io_error/other", "io_error/other", "suspended/ioerror", "resumed/unpaused"),
            "io_error",
            id="several requests failed",
        ),
        pytest.param(("suspended/ioerror", "resumed/unpaused"), "io_error", id="network disk lost"),
        pytest.param(("stopped/failed", *BOOT), "failed", id="start failed, then did not"),
        pytest.param(
            ("started/migrated", "stopped/failed", "started/migrated", "resumed/migrated"),
            "failed",
            id="incoming migration died, then arrived",
        ),
        pytest.param(
            ("started/migrated", "stopped/failed") * 2 + ("started/migrated", "resumed/migrated"),
            "failed",
            id="incoming migration died twice before it arrived",
        ),
        pytest.param(
            ("suspended/postcopy", "suspended/postcopy_failed", "stopped/migrated"),
            "failed",
            id="post-copy broke and was taken up again, source",
        ),
        pytest.param(
            ("resumed/postcopy", "resumed/postcopy_failed", "resumed/migrated"),
            "failed",
            id="post-copy broke and was taken up again, destination",
        ),
        pytest.param(("stopped/crashed", "started/unknown"), "crashed", id="started unseen"),
        pytest.param(("stopped/crashed", "started/restored"), "crashed", id="restored"),
    ],
)
def test_one_cause_is_one_incident_that_closes(pairs: tuple[str, ...], kind: str) -> None:
    told = account(*pairs)
    assert told.kinds == [kind]
    assert [one.kind for one in told.closed] == [kind]
    assert told.still_open == []
    (opened,), (closed,) = told.opened, told.closed
    assert opened._replace(closed_at=closed.closed_at) == closed
    assert {belongs for belongs in told.ids if belongs} == {opened.id}


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param((*BOOT, "suspended/paused", "resumed/unpaused"), id="pause"),
        pytest.param(("shutdown/guest", "stopped/shutdown", *BOOT), id="planned shutdown"),
        pytest.param(("shutdown/host", "stopped/quit"), id="told to quit"),
        pytest.param(("stopped/destroyed",), id="destroy, 9.0"),
        pytest.param(("shutdown/host", "stopped/destroyed"), id="destroy, 11.3"),
        pytest.param(
            ("suspended/paused", "stopped/saved", "started/restored", "resumed/unpaused"), id="save"
        ),
        pytest.param(("shutdown/host", "stopped/saved"), id="save, 11.3"),
        pytest.param(("suspended/migrated", "stopped/migrated"), id="migration out"),
        pytest.param(("shutdown/host", "stopped/migrated"), id="migration out, 11.3"),
        pytest.param(("started/migrated", "resumed/migrated"), id="migration in"),
        pytest.param(("suspended/migrated", "resumed/migrated"), id="migration called off"),
        pytest.param(("suspended/postcopy", "stopped/migrated"), id="post-copy out"),
        pytest.param(("started/migrated", "resumed/postcopy", "resumed/migrated"), id="post-copy in"),
        pytest.param(("stopped/from_snapshot", "started/from_snapshot"), id="revert"),
        pytest.param(("rebooted/guest",), id="reboot"),
        pytest.param(("pmsuspended/memory", "started/wakeup"), id="suspend to memory"),
        pytest.param(("watchdog/none", "watchdog/inject_nmi"), id="watchdog that does nothing to it"),
        pytest.param(("control_error/control_error",), id="control error"),
        pytest.param(("stopped/unknown", "started/unknown"), id="stopped unseen, nobody knows why"),
        pytest.param(("defined/added", "defined/updated", "undefined/removed"), id="description"),
    ],
)
def test_what_was_meant_to_be_is_no_incident(pairs: tuple[str, ...]) -> None:
    told = account(*pairs)
    assert (told.opened, told.closed, set(told.ids)) == ([], [], {""})


@pytest.mark.parametrize("action", ["none", "report"])
def test_an_io_error_with_which_the_domain_runs_on_is_no_incident(action: str) -> None:
    assert Account().takes("io_error/enospc", action=action).opened == []


def test_an_io_error_with_an_action_from_the_future_is_none() -> None:
    assert Incidents().take(happened("io_error/enospc")._replace(detail_code=99)) == ("", [])


def test_a_host_that_shuts_its_guests_down_is_no_burst() -> None:
    incidents = Incidents()
    for number in range(10):
        for pair in ("shutdown/guest", "stopped/shutdown"):
            assert incidents.take(happened(pair, name=f"vm-{number}")) == ("", [])


def test_it_says_what_of_whom_since_when_and_why() -> None:
    (opened,) = account("crashed/panicked").opened
    named = incident_id(HERE, "uuid-web", "crashed", 3600.0)
    assert opened == Incident(named, HERE, "uuid-web", "web", "crashed", 3600.0, None, "crashed/panicked")


def test_its_id_is_the_same_in_every_process_and_of_no_other() -> None:
    assert incident_id(HERE, "uuid-web", "crashed", 1000.5) == "3bbba48ba11c9047"
    others = {
        incident_id(connection, uuid, kind, at)
        for connection in (HERE, "lxc:///system")
        for uuid in ("uuid-web", "uuid-db")
        for kind in KINDS
        for at in (1000.0, 1000.5)
    }
    assert len(others) == 2 * 2 * len(KINDS) * 2


def test_all_that_happens_meanwhile_belongs_to_it() -> None:
    told = account(
        "crashed/panicked", "control_error/control_error", "shutdown/host", "stopped/crashed", *BOOT
    )
    (opened,) = told.opened
    assert told.ids == [opened.id] * 5 + [""]


def test_a_new_description_does_not() -> None:
    assert account("stopped/crashed", "defined/updated").ids[1] == ""


def test_the_next_crash_is_another_incident() -> None:
    told = account("stopped/crashed", *BOOT, "stopped/crashed", *BOOT)
    assert told.kinds == ["crashed", "crashed"]
    assert told.opened[0].id != told.opened[1].id
    assert len(told.closed) == 2


def test_one_that_stays_off_stays_open() -> None:
    assert account("crashed/panicked", "stopped/destroyed", "rebooted/guest").still_open == ["crashed"]


def test_a_start_that_fails_after_a_crash_is_something_new() -> None:
    told = account("stopped/crashed", "stopped/failed", *BOOT)
    assert told.kinds == ["crashed", "failed"]
    assert sorted(one.kind for one in told.closed) == ["crashed", "failed"]


def test_a_domain_paused_for_its_disk_that_crashes_has_two() -> None:
    told = account("suspended/ioerror", "stopped/crashed")
    assert told.kinds == ["io_error", "crashed"]
    assert told.ids == [one.id for one in told.opened]


@pytest.mark.parametrize("evidence", ["hung/guest_agent", "watchdog/poweroff", "suspended/watchdog"])
def test_a_guest_that_panicked_and_answers_nobody_is_not_hung_as_well(evidence: str) -> None:
    told = account("crashed/panicked", evidence)
    assert told.kinds == ["crashed"]
    assert told.ids[0] == told.ids[1]


def test_a_silent_agent_does_not_hide_a_crash() -> None:
    assert account("hung/guest_agent", "stopped/crashed").kinds == ["hung", "crashed"]


def test_pausing_and_resuming_does_not_cure_a_hang() -> None:
    told = account("hung/vcpu", "suspended/paused", "resumed/unpaused")
    assert told.still_open == ["hung"]
    assert told.takes("recovered/vcpu").still_open == []


def test_a_hang_ends_when_all_that_hung_has_recovered() -> None:
    told = account("hung/vcpu", "hung/guest_agent", "recovered/vcpu")
    assert told.still_open == ["hung"]
    assert told.takes("recovered/guest_agent").still_open == []


def test_a_recovery_cures_nothing_else() -> None:
    assert account("stopped/failed", "recovered/vcpu").still_open == ["failed"]


def test_a_removed_domain_has_no_open_incidents() -> None:
    told = account("suspended/ioerror", "hung/vcpu", "stopped/crashed").is_removed()
    assert sorted(one.kind for one in told.closed) == ["crashed", "hung", "io_error"]
    assert {one.closed_at for one in told.closed} == {told.at}
    assert told.is_removed().still_open == []
    assert len(told.closed) == 3


def test_what_hung_of_a_removed_domain_says_nothing_of_the_next_one() -> None:
    told = account("hung/vcpu").is_removed().takes("suspended/watchdog", "resumed/unpaused")
    assert told.kinds == ["hung", "hung"]
    assert told.still_open == []


def test_a_clock_that_steps_back_closes_nothing_before_it_was_opened() -> None:
    incidents = Incidents()
    incidents.take(happened("stopped/crashed", at=5000.0))
    assert [one.closed_at for one in incidents.take(happened("started/booted", at=1000.0))[1]] == [5000.0]


def test_incidents_of_other_domains_are_their_own() -> None:
    incidents = Incidents()
    incidents.take(happened("stopped/crashed", name="web"))
    assert incidents.take(happened("started/booted", name="db")) == ("", [])
    assert incidents.take(happened("stopped/crashed")._replace(connection="lxc:///system"))[1]
    assert len(incidents.open()) == 2


class TestRestart:
    """The exporter ends, and begins again with what was open."""

    @pytest.mark.parametrize(
        ("before", "after", "kind"),
        [
            (("crashed/panicked",), ("stopped/crashed", *BOOT), "crashed"),
            (("crashed/crashloaded",), ("rebooted/guest",), "crashed"),
            (("hung/vcpu",), ("resumed/unpaused", "hung/vcpu", "recovered/vcpu"), "hung"),
            (("hung/emulator",), ("stopped/crashed", *BOOT), "hung"),
            (("suspended/ioerror",), ("resumed/unpaused",), "io_error"),
        ],
    )
    def test_makes_no_difference(self, before: tuple[str, ...], after: tuple[str, ...], kind: str) -> None:
        first = account(*before)
        signals = [reason for event, _, reason in (what.partition("/") for what in before) if event == "hung"]
        again = Account()
        again.at = first.at
        again.incidents.restore(first.incidents.open(), lambda _, __: signals)
        assert again.incidents.open() == first.incidents.open()
        again.takes(*after)
        assert again.opened == []
        assert [one.kind for one in again.closed] == [kind]
        assert [one.id for one in again.closed] == [first.opened[0].id]

    def test_brings_back_nothing_that_was_closed(self) -> None:
        closed = account("stopped/crashed", *BOOT).closed
        incidents = Incidents()
        incidents.restore(closed, lambda _, __: ("emulator",))
        assert incidents.open() == []


HAPPENINGS = (
    *(f"{event}/{reason}" for event, reason in ALL_PAIRS),
    *("stopped/hung", "stopped/quit", "stopped/unknown", "started/unknown", "resumed/unknown"),
    *(f"{event}/{reason}" for event in ("hung", "recovered") for reason in HANGS),
)
STEPS = st.one_of(
    st.tuples(st.sampled_from(HAPPENINGS), st.sampled_from(("web", "db")), st.sampled_from(IO_ERROR_ACTIONS)),
    st.tuples(st.sampled_from(("(removed)", "(restart)")), st.sampled_from(("web", "db")), st.just("")),
)


@given(st.lists(STEPS, max_size=60), st.lists(st.sampled_from((-50.0, 0.001, 1.0, 3600.0)), min_size=60))
def test_whatever_happens_incidents_are_opened_and_closed_once_and_in_this_order(
    steps: list[tuple[str, str, str]], pauses: list[float]
) -> None:
    incidents, at = Incidents(), 1e9
    opened: dict[str, Incident] = {}
    closed: Counter[str] = Counter()
    for (what, name, action), pause in zip(steps, pauses, strict=False):
        at += pause + len(opened) * 1e-3  # no two incidents of a kind begin at the same instant
        if what == "(restart)":
            restored = Incidents()
            restored.restore(incidents.open(), lambda _, __: ())
            assert restored.open() == incidents.open()
            incidents = restored
            continue
        before = {one.id for one in incidents.open()}
        if what == "(removed)":
            told = incidents.removed(HERE, f"uuid-{name}", at)
            assert all(one.closed_at is not None for one in told)
        else:
            belongs, told = incidents.take(happened(what, at=at, name=name, action=action))
            assert belongs in {"", *before, *(one.id for one in told)}
            assert belongs or not told
        for one in told:
            if one.closed_at is None:
                assert one.id not in opened
                opened[one.id] = one
            else:
                closed[one.id] += 1
                assert one == opened[one.id]._replace(closed_at=one.closed_at)
                assert one.closed_at >= one.opened_at
        assert set(closed.values()) <= {1}
        open_now = incidents.open()
        assert {one.id for one in open_now} == set(opened) - set(closed)
        of_domain = defaultdict(list)
        for one in open_now:
            of_domain[one.uuid].append(one.kind)
        assert all(len(kinds) == len(set(kinds)) for kinds in of_domain.values())
