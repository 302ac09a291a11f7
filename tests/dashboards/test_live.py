"""Every question of every panel, asked of a real Prometheus that watched real guests live through it all."""

import re
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.dashboards.grafana import Grafana, Series
from tests.dashboards.linter import RULES
from tests.dashboards.reading import (
    UIDS,
    Question,
    all_questions,
    annotations,
    classic,
    filled,
    panels,
    questions,
    variables,
)
from tests.dashboards.story import CRASHES, FULL, GONE, HANGS, HUNG, LOST, TESTED, Lived, lived
from tests.lab.guests import Guests
from tests.lab.programs import Programs

pytestmark = pytest.mark.timeout(300)

EMPTY: Mapping[str, str] = {}
"""Questions that have no answer even so, and why. There are none."""

MARKED = {"crashed": "db", "hung": "stuck", "io_error": "full", "migrated": "moves"}
"""Whose marks are looked for on the Domain dashboard."""


@pytest.fixture(scope="module")
def life(guests: Guests, programs: Programs) -> Iterator[Lived]:
    with lived(guests, programs) as life:
        yield life


@pytest.fixture(scope="module")
def grafana(life: Lived) -> Grafana:
    """Looks back to when Prometheus was started."""
    first, *_ = life.prometheus.query("min(min_over_time(timestamp(libvirt_connection_up)[1h:1s]))")
    return Grafana(life.prometheus, since=first[1] - 1, chosen={"domain": "db"})


@pytest.fixture(scope="module")
def answers(grafana: Grafana) -> dict[str, list[Series]]:
    """As Grafana has them when the step that is under way is over: the story is shorter than a bar."""
    return {str(question): grafana.answer(question, late=True) for question in all_questions()}


@pytest.mark.parametrize("question", all_questions(), ids=str)
def test_every_query_has_data(question: Question, answers: dict[str, list[Series]]) -> None:
    assert bool(answers[str(question)]) != (str(question) in EMPTY), question.expr


def test_series_of_other_programs_are_not_shown(life: Lived, answers: dict[str, list[Series]]) -> None:
    exporters = {f"127.0.0.1:{exporter.port}" for exporter in (life.qemu, life.driver)}
    assert len(life.prometheus.query('up{job="other"}')) == 2
    for question, rows in answers.items():
        assert {row.labels.get("job", "libvirt") for row in rows} <= {"libvirt"}, question
        # A timeline's row that says that there is nothing has no job.
        assert {row.labels.get("instance") for row in rows if "job" in row.labels} <= {None, *exporters}


def test_summary_is_printed(answers: dict[str, list[Series]], capsys: pytest.CaptureFixture[str]) -> None:
    shown = {(question.board, question.panel) for question in all_questions()}
    answered = sum(map(bool, answers.values()))
    findings = [finding for rule in RULES for uid in UIDS for finding in rule(classic(uid))]
    with capsys.disabled():
        print(
            f"\n{len(UIDS)} dashboards, {len(shown)} panels, {len(answers)} questions, "
            f"{answered} with data: {answered / len(answers):.0%}; "
            f"{len(findings)} findings of {len(RULES)} rules of the linter"
        )


class TestHeadlines:
    """What was done is what is shown."""

    @pytest.fixture
    def shown(self, answers: dict[str, list[Series]]) -> Any:
        def number(panel: str, board: str = "libvirt-fleet", ref: str = "A") -> float:
            (one,) = answers[f"{board}: {panel} ({ref})"]
            return one.last

        return number

    def test_current_incidents_are_counted(self, shown: Any) -> None:
        assert shown("Crashed now") == 3  # web, app and the test driver's; db runs again
        assert shown("Hung now") == len(HUNG)
        assert shown("Failed or paused by an I/O error now") == len(FULL)
        assert shown("Hosts disconnected") == 0

    def test_current_incidents_name_their_domains(self, answers: dict[str, list[Series]]) -> None:
        rows = answers["libvirt-fleet: Who is crashed, hung or failed now (A)"]
        assert {(row.labels["domain"], row.labels["kind"]) for row in rows} == {
            *((name, "crashed") for name in ("web", "app", TESTED)),
            *((name, "hung") for name in HUNG),
            *((name, "io_error") for name in FULL),
        }

    def test_incidents_in_range_are_counted(self, shown: Any) -> None:
        assert shown("Crashes in range") == sum(CRASHES.values())
        assert shown("Hangs in range") == sum(HANGS.values())
        assert shown("Disk and start failures in range") == len(FULL | LOST)

    def test_crashes_are_counted_by_cause(self, shown: Any) -> None:
        wanted = {
            "Panics": 1,
            "Crash kernels": 1,
            "Emulator crashes": CRASHES["db"],
            "Hung": sum(HANGS.values()),
            "Pauses after I/O errors": 1,
            "Failed": 1,
        }
        assert {panel: shown(panel, "libvirt-crashes") for panel in wanted} == wanted

    def test_domain_dashboard_shows_one_domain(self, shown: Any) -> None:
        assert shown("Incidents in range", "libvirt-domain") == CRASHES["db"]
        assert shown("Starts in range", "libvirt-domain") == 1 + CRASHES["db"]
        assert shown("Open incidents", "libvirt-domain") == 0
        assert shown("State", "libvirt-domain") == 1  # running
        assert 0 < shown("Availability", "libvirt-domain") < 1

    def test_exporter_dashboard_shows_no_faults(self, shown: Any) -> None:
        assert shown("Connections up", "libvirt-exporter") == 3
        assert shown("Connections down", "libvirt-exporter") == 0
        assert shown("Events dropped in range", "libvirt-exporter") == 0
        assert shown("Journal errors in range", "libvirt-exporter") == 0

    def test_unobserved_time_is_shown_after_reconnect(
        self, grafana: Grafana, answers: dict[str, list[Series]]
    ) -> None:
        """In seconds, not as a share of the step: an hour is told of at once."""
        missed = {one.labels["connection"]: one.last for one in answers["libvirt-exporter: Connections (C)"]}
        (blind,) = (one for one in questions("libvirt-exporter") if one.panel == "Unobserved time")
        rows = grafana.answer(replace(blind, interval=10.0), late=True)
        shown = {one.labels["connection"]: sum(one.values) for one in rows}
        assert missed["test:///default"] > 0
        # Both extrapolate, each in its own window.
        assert shown == pytest.approx(missed, rel=0.3, abs=0.1)

    def test_states_add_up_to_the_domains(self, answers: dict[str, list[Series]], shown: Any) -> None:
        by_state = answers["libvirt-fleet: Domains by state (A)"]
        assert sum(one.last for one in by_state) == shown("Domains")

    def test_first_event_is_counted(self, answers: dict[str, list[Series]]) -> None:
        shown: dict[tuple[str, str], float] = {}
        for one in answers["libvirt-domain: Events by event and reason (A)"]:
            shown[one.labels["event"], one.labels["reason"]] = sum(one.values)
        # rate() extrapolates to the edges of its window, more so after a late scrape.
        wanted = {"defined/added": 1, "started/booted": 3, "resumed/unpaused": 3, "stopped/crashed": 2}
        for pair, times in wanted.items():
            event, _, reason = pair.partition("/")
            assert shown[event, reason] == pytest.approx(times, abs=0.4), pair

    def test_flapping_and_repeatedly_crashing_domains_are_listed(
        self, answers: dict[str, list[Series]]
    ) -> None:
        starts = {one.labels["domain"]: one.last for one in answers["libvirt-fleet: Top flappers (A)"]}
        assert starts["db"] == 1 + CRASHES["db"]
        assert starts["saves"] == 2
        assert "stuck" not in starts
        (offender,) = answers["libvirt-crashes: Repeat offenders (A)"]
        assert (offender.labels["domain"], offender.labels["kind"], offender.last) == ("db", "crashed", 2)

    def test_abnormal_events_are_listed_with_their_reason(self, answers: dict[str, list[Series]]) -> None:
        listed = {
            (one.labels["domain"], one.labels["event"], one.labels["reason"])
            for one in answers["libvirt-fleet: Last abnormal events (A)"]
        }
        assert {
            ("db", "stopped", "crashed"),
            ("web", "crashed", "panicked"),
            ("app", "crashed", "crashloaded"),
            ("stuck", "hung", "emulator"),
            ("dog", "hung", "watchdog"),
            ("full", "suspended", "ioerror"),
            ("lost", "stopped", "failed"),
            (GONE, "stopped", "crashed"),
            (TESTED, "stopped", "crashed"),
        } <= listed
        assert not {name for name, _, _ in listed} & {"busy", "saves", "moves", "boots"}

    def test_worst_domains_are_those_with_incidents(self, answers: dict[str, list[Series]]) -> None:
        shown = {one.labels["domain"] for one in answers["libvirt-fleet: The worst domains (A)"]}
        assert shown == {*CRASHES, *HANGS, *FULL, *LOST}

    def test_durations_of_ended_incidents_are_shown(self, answers: dict[str, list[Series]]) -> None:
        for panel, ended in (("Recovery time", CRASHES["db"]), ("Hang durations", 1)):
            buckets = {one.labels["le"]: one.last for one in answers[f"libvirt-crashes: {panel} (A)"]}
            assert buckets["+Inf"] == ended

    def test_affected_hosts_are_counted(self, answers: dict[str, list[Series]]) -> None:
        rows = answers["libvirt-crashes: Correlated: hosts with several domains hit (A)"]
        hit = {one.labels["connection"]: one.last for one in rows}
        ended = {TESTED, GONE}
        assert hit == {"here": len({*CRASHES, *HANGS, *FULL} - ended), "test:///default": len(ended)}

    def test_bars_add_up_to_the_number_of_events(self, grafana: Grafana) -> None:
        wanted = {
            ("libvirt-fleet", "Migrations", "A"): {"": 2},  # one of them dies on arrival
            ("libvirt-fleet", "Migrations", "B"): {"": 1},
            ("libvirt-crashes", "Crashes by cause", "A"): {"": 1},
            ("libvirt-crashes", "Hangs by signal", "A"): {"emulator": 2, "watchdog": 1},
        }
        for question in all_questions():
            key = (question.board, question.panel, question.ref)
            for one in grafana.answer(question, late=True) if key in wanted else ():
                expected = wanted[key].get(one.labels.get("reason", ""), 0)
                # rate() extrapolates to the edges of its window, more so after a late scrape.
                assert sum(one.values) == pytest.approx(expected, abs=0.4), (question, one)


@pytest.mark.parametrize("name", MARKED)
def test_annotations_are_at_the_time_of_the_event(name: str, life: Lived, grafana: Grafana) -> None:
    (mark,) = (one for one in annotations("libvirt-domain") if one.panel == name)
    here = Grafana(life.prometheus, grafana.since, chosen={"domain": MARKED[name]}, now=grafana.now)
    found = here.answer(mark)
    assert found
    for one in found:
        assert grafana.since <= one.last / 1000 <= grafana.now


def test_name_with_regex_characters_is_found(life: Lived, grafana: Grafana) -> None:
    there = Grafana(life.prometheus, grafana.since, chosen={"domain": TESTED}, now=grafana.now)
    shown = {question.panel: there.answer(question, late=True) for question in questions("libvirt-domain")}
    assert [one.last for one in shown["State"]] == [5]  # shut off
    assert [one.last for one in shown["Incidents in range"]] == [1]
    assert ("stopped", "crashed") in {
        (one.labels["event"], one.labels["reason"]) for one in shown["Events by event and reason"]
    }


def test_removed_domain_still_has_its_last_events(life: Lived, grafana: Grafana) -> None:
    there = Grafana(life.prometheus, grafana.since, chosen={"domain": GONE}, now=grafana.now)
    (domain,) = (one for one in classic("libvirt-domain")["templating"]["list"] if one["name"] == "domain")
    assert GONE in there.options(domain, there.variables("libvirt-domain"))
    shown = {question.panel: there.answer(question) for question in questions("libvirt-domain")}
    assert not shown["State"]
    told = {(one.labels["event"], one.labels["reason"]) for one in shown["Last events"]}
    assert ("stopped", "crashed") in told


MANY = ("Event rate by libvirt's event id", "OTLP drops and failed attempts", "Probe rounds")
"""Panels that have more names than there are colours; so have those that name instances."""


@pytest.mark.parametrize("uid", UIDS)
def test_series_have_the_colour_of_their_meaning(uid: str, answers: dict[str, list[Series]]) -> None:
    shown = {panel["title"]: panel for panel in panels(classic(uid)) if panel["type"] == "timeseries"}
    for question in questions(uid):
        if question.panel not in shown or question.panel in MANY or "{{instance}}" in question.legend:
            continue
        overrides = shown[question.panel]["fieldConfig"]["overrides"]
        coloured = [
            re.escape(str(one["matcher"]["options"]))
            if one["matcher"]["id"] == "byName"
            else one["matcher"]["options"].strip("/")
            for one in overrides
            if [each["id"] for each in one["properties"]] == ["color"]
        ]
        for row in answers[str(question)]:
            name = question.legend
            for label, value in row.labels.items():
                name = name.replace(f"{{{{{label}}}}}", value)
            assert any(re.search(one, name) for one in coloured), (question.panel, name)


@pytest.mark.parametrize("uid", UIDS)
def test_every_variable_has_options(uid: str, grafana: Grafana) -> None:
    values = grafana.variables(uid)
    for name, variable in variables(classic(uid)).items():
        if variable["type"] == "query":
            assert grafana.options(variable, values), name


def test_exporter_page_is_served_at_the_linked_address(answers: dict[str, list[Series]]) -> None:
    rows = answers["libvirt-exporter: Connections (A)"]
    assert len({row.labels["instance"] for row in rows}) == 2
    for row in rows:
        address = filled("${scheme}://${instance}/", {"scheme": "http", **row.labels})
        with urllib.request.urlopen(address, timeout=10) as page:
            assert b"<title>libvirt-lifecycle-exporter</title>" in page.read()


def test_exemplars_refer_to_exported_traces(life: Lived, grafana: Grafana) -> None:
    (question,) = (one for one in questions("libvirt-domain") if one.panel == "Events by event and reason")
    expr = filled(question.expr, grafana.variables(question.board))
    found = life.prometheus.ask("query_exemplars", query=expr, start=str(grafana.since), end=str(grafana.now))
    kept = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
    assert kept
    assert kept <= {span.trace_id.hex() for span in life.traces.accepted("traces")}
