"""Every question of every panel, asked of a real Prometheus that watched real guests live through it all."""

import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.dashboards.grafana import Grafana, Series
from tests.dashboards.reading import (
    UIDS,
    Question,
    all_questions,
    annotations,
    classic,
    filled,
    questions,
    variables,
)
from tests.dashboards.story import CRASHES, FULL, HANGS, HUNG, LOST, Lived, lived
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
def test_every_question_has_an_answer(question: Question, answers: dict[str, list[Series]]) -> None:
    assert bool(answers[str(question)]) != (str(question) in EMPTY), question.expr


def test_figures(answers: dict[str, list[Series]], capsys: pytest.CaptureFixture[str]) -> None:
    panels = {(question.board, question.panel) for question in all_questions()}
    answered = sum(map(bool, answers.values()))
    with capsys.disabled():
        print(
            f"\n{len(UIDS)} dashboards, {len(panels)} panels, {len(answers)} questions, "
            f"{answered} with data: {answered / len(answers):.0%}"
        )


class TestHeadlines:
    """What was done is what is shown."""

    @pytest.fixture
    def shown(self, answers: dict[str, list[Series]]) -> Any:
        def number(panel: str, board: str = "libvirt-fleet", ref: str = "A") -> float:
            (one,) = answers[f"{board}: {panel} ({ref})"]
            return one.last

        return number

    def test_now(self, shown: Any) -> None:
        assert shown("Crashed now") == 3  # web, app and the test driver's; db runs again
        assert shown("Hung now") == len(HUNG)
        assert shown("Failed or paused by their disk now") == len(FULL)
        assert shown("Hosts disconnected") == 0

    def test_in_range(self, shown: Any) -> None:
        assert shown("Crashes in range") == sum(CRASHES.values())
        assert shown("Hangs in range") == sum(HANGS.values())
        assert shown("Disk and start failures in range") == len(FULL | LOST)

    def test_crashes_by_cause(self, shown: Any) -> None:
        wanted = {
            "Panicked": 1,
            "Crashloaded": 1,
            "Emulator died": CRASHES["db"],
            "Hung": sum(HANGS.values()),
            "I/O pauses": 1,
            "Failed": 1,
        }
        assert {panel: shown(panel, "libvirt-crashes") for panel in wanted} == wanted

    def test_of_one_domain(self, shown: Any) -> None:
        assert shown("Incidents in range", "libvirt-domain") == CRASHES["db"]
        assert shown("Starts in range", "libvirt-domain") == 1 + CRASHES["db"]
        assert shown("Open incidents", "libvirt-domain") == 0
        assert shown("State", "libvirt-domain") == 1  # running
        assert 0 < shown("Availability", "libvirt-domain") < 1

    def test_of_the_exporters(self, shown: Any) -> None:
        assert shown("Connections up", "libvirt-exporter") == 3
        assert shown("Connections down", "libvirt-exporter") == 0
        assert shown("Events dropped in range", "libvirt-exporter") == 0
        assert shown("Journal errors in range", "libvirt-exporter") == 0

    def test_states_add_up_to_the_domains(self, answers: dict[str, list[Series]], shown: Any) -> None:
        by_state = answers["libvirt-fleet: Domains by state (A)"]
        assert sum(one.last for one in by_state) == shown("Domains")

    def test_flappers_and_repeat_offenders(self, answers: dict[str, list[Series]]) -> None:
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
            ("tested", "stopped", "crashed"),
        } <= listed
        assert not {name for name, _, _ in listed} & {"busy", "saves", "moves", "boots"}

    def test_the_worst_domains_are_those_that_had_incidents(self, answers: dict[str, list[Series]]) -> None:
        shown = {one.labels["domain"] for one in answers["libvirt-fleet: The worst domains (A)"]}
        assert shown == {*CRASHES, *HANGS, *FULL, *LOST}

    def test_outages_and_hangs_that_ended(self, answers: dict[str, list[Series]]) -> None:
        for panel, ended in (("Time to recover", CRASHES["db"]), ("Length of hangs", 1)):
            buckets = {one.labels["le"]: one.last for one in answers[f"libvirt-crashes: {panel} (A)"]}
            assert buckets["+Inf"] == ended

    def test_hosts_hit(self, answers: dict[str, list[Series]]) -> None:
        (host,) = answers["libvirt-crashes: Correlated: hosts with several domains hit (A)"]
        assert host.labels["connection"] == "here"
        assert host.last == len({*CRASHES, *HANGS, *FULL} - {"tested"})

    def test_the_sum_of_bars_is_what_happened(self, grafana: Grafana) -> None:
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
def test_marks_are_where_it_happened(name: str, life: Lived, grafana: Grafana) -> None:
    (mark,) = (one for one in annotations("libvirt-domain") if one.panel == name)
    here = Grafana(life.prometheus, grafana.since, chosen={"domain": MARKED[name]}, now=grafana.now)
    found = here.answer(mark)
    assert found
    for one in found:
        assert grafana.since <= one.last / 1000 <= grafana.now


@pytest.mark.parametrize("uid", UIDS)
def test_every_variable_has_something_to_choose(uid: str, grafana: Grafana) -> None:
    values = grafana.variables(uid)
    for name, variable in variables(classic(uid)).items():
        if variable["type"] == "query":
            assert grafana.options(variable, values), name


def test_the_exporters_own_page_answers_at_the_address_of_the_rows(answers: dict[str, list[Series]]) -> None:
    rows = answers["libvirt-exporter: Connections (A)"]
    assert len({row.labels["instance"] for row in rows}) == 2
    for row in rows:
        address = filled("${scheme}://${instance}/", {"scheme": "http", **row.labels})
        with urllib.request.urlopen(address, timeout=10) as page:
            assert b"<title>libvirt-lifecycle-exporter</title>" in page.read()


def test_exemplars_lead_to_traces_that_were_sent(life: Lived, grafana: Grafana) -> None:
    (question,) = (one for one in questions("libvirt-domain") if one.panel == "Events by event and reason")
    expr = filled(question.expr, grafana.variables(question.board))
    found = life.prometheus.ask("query_exemplars", query=expr, start=str(grafana.since), end=str(grafana.now))
    kept = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
    assert kept
    assert kept <= {span.trace_id.hex() for span in life.traces.taken("traces")}
