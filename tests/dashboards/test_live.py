"""Every query of every panel, run on a real Prometheus after a scenario with real guests."""

import re
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.dashboards.dashboard_files import (
    UIDS,
    Query,
    all_queries,
    annotations,
    classic,
    interpolate,
    panels,
    queries,
    variables,
)
from tests.dashboards.grafana import Grafana, Series
from tests.dashboards.linter import RULES
from tests.dashboards.scenario import (
    CRASHES,
    DISK_FULL,
    FAILED_MIGRATION,
    HANGS,
    REGEX_NAME,
    REMOVED,
    STILL_HUNG,
    ScenarioResult,
    run_scenario,
)
from tests.lab.guests import Guests
from tests.lab.programs import Programs

pytestmark = pytest.mark.timeout(300)

WITHOUT_DATA: Mapping[str, str] = {}
"""Queries without data in the scenario, and the reason. There are none."""

ANNOTATED_DOMAINS = {"crashed": "db", "hung": "stuck", "io_error": "full", "migrated": "moves"}
"""Annotations of the Domain dashboard, and the domain that has them."""


@pytest.fixture(scope="module")
def scenario(guests: Guests, programs: Programs) -> Iterator[ScenarioResult]:
    with run_scenario(guests, programs) as scenario:
        yield scenario


@pytest.fixture(scope="module")
def grafana(scenario: ScenarioResult) -> Grafana:
    """The range begins when Prometheus started."""
    first, *_ = scenario.prometheus.query("min(min_over_time(timestamp(libvirt_connection_up)[1h:1s]))")
    return Grafana(scenario.prometheus, since=first[1] - 1, chosen={"domain": "db"})


@pytest.fixture(scope="module")
def results(grafana: Grafana) -> dict[str, list[Series]]:
    """Results including the current step, because the whole scenario is shorter than one bar."""
    return {str(query): grafana.run_query(query, include_future=True) for query in all_queries()}


@pytest.mark.parametrize("query", all_queries(), ids=str)
def test_every_query_has_data(query: Query, results: dict[str, list[Series]]) -> None:
    assert bool(results[str(query)]) != (str(query) in WITHOUT_DATA), query.expr


def test_series_of_other_programs_are_not_shown(
    scenario: ScenarioResult, results: dict[str, list[Series]]
) -> None:
    exporters = {f"127.0.0.1:{exporter.port}" for exporter in (scenario.qemu, scenario.driver)}
    assert len(scenario.prometheus.query('up{job="other"}')) == 2
    for query, rows in results.items():
        assert {row.labels.get("job", "libvirt") for row in rows} <= {"libvirt"}, query
        # The row of an empty timeline has no job label.
        assert {row.labels.get("instance") for row in rows if "job" in row.labels} <= {None, *exporters}


def test_summary_is_printed(results: dict[str, list[Series]], capsys: pytest.CaptureFixture[str]) -> None:
    shown = {(query.board, query.panel) for query in all_queries()}
    answered = sum(map(bool, results.values()))
    findings = [finding for rule in RULES for uid in UIDS for finding in rule(classic(uid))]
    with capsys.disabled():
        print(
            f"\n{len(UIDS)} dashboards, {len(shown)} panels, {len(results)} queries, "
            f"{answered} with data: {answered / len(results):.0%}; "
            f"{len(findings)} findings of {len(RULES)} rules of the linter"
        )


class TestPanels:
    """The panels show what happened in the scenario."""

    @pytest.fixture
    def shown(self, results: dict[str, list[Series]]) -> Any:
        def number(panel: str, board: str = "libvirt-fleet", ref: str = "A") -> float:
            (one,) = results[f"{board}: {panel} ({ref})"]
            return one.last

        return number

    def test_current_incidents_are_counted(self, shown: Any) -> None:
        assert shown("Crashed now") == 3  # web, app and one of the test driver; db runs again
        assert shown("Hung now") == len(STILL_HUNG)
        assert shown("Failed or paused by an I/O error now") == len(DISK_FULL)
        assert shown("Hosts disconnected") == 0

    def test_current_incidents_name_their_domains(self, results: dict[str, list[Series]]) -> None:
        rows = results["libvirt-fleet: Domains crashed, hung or failed now (A)"]
        assert {(row.labels["domain"], row.labels["kind"]) for row in rows} == {
            *((name, "crashed") for name in ("web", "app", REGEX_NAME)),
            *((name, "hung") for name in STILL_HUNG),
            *((name, "io_error") for name in DISK_FULL),
        }

    def test_incidents_in_range_are_counted(self, shown: Any) -> None:
        assert shown("Crashes in range") == sum(CRASHES.values())
        assert shown("Hangs in range") == sum(HANGS.values())
        assert shown("Disk and start failures in range") == len(DISK_FULL | FAILED_MIGRATION)

    def test_crashes_are_counted_by_cause(self, shown: Any) -> None:
        expected_values = {
            "Panics": 1,
            "Crash kernels": 1,
            "Emulator crashes": CRASHES["db"],
            "Hung": sum(HANGS.values()),
            "Pauses after I/O errors": 1,
            "Failed": 1,
        }
        assert {panel: shown(panel, "libvirt-crashes") for panel in expected_values} == expected_values

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
        self, grafana: Grafana, results: dict[str, list[Series]]
    ) -> None:
        """The panel shows seconds, not a share of the step."""
        expected = {
            one.labels["connection"]: one.last for one in results["libvirt-exporter: Connections (C)"]
        }
        (unobserved,) = (one for one in queries("libvirt-exporter") if one.panel == "Unobserved time")
        rows = grafana.run_query(replace(unobserved, interval=10.0), include_future=True)
        shown = {one.labels["connection"]: sum(one.values) for one in rows}
        assert expected["test:///default"] > 0
        # Both values are extrapolated, it is compared with extrapolates.
        assert shown == pytest.approx(expected, rel=0.3, abs=0.1)

    def test_states_add_up_to_the_domains(self, results: dict[str, list[Series]], shown: Any) -> None:
        by_state = results["libvirt-fleet: Domains by state (A)"]
        assert sum(one.last for one in by_state) == shown("Domains")

    def test_first_event_is_counted(self, results: dict[str, list[Series]]) -> None:
        shown: dict[tuple[str, str], float] = {}
        for one in results["libvirt-domain: Events by event and reason (A)"]:
            shown[one.labels["event"], one.labels["reason"]] = sum(one.values)
        # rate() extrapolates to the edges of its window, more after a late scrape.
        expected_values = {
            "defined/added": 1,
            "started/booted": 3,
            "resumed/unpaused": 3,
            "stopped/crashed": 2,
        }
        for pair, times in expected_values.items():
            event, _, reason = pair.partition("/")
            assert shown[event, reason] == pytest.approx(times, abs=0.4), pair

    def test_flapping_and_repeatedly_crashing_domains_are_listed(
        self, results: dict[str, list[Series]]
    ) -> None:
        starts = {
            one.labels["domain"]: one.last for one in results["libvirt-fleet: Most restarted domains (A)"]
        }
        assert starts["db"] == 1 + CRASHES["db"]
        assert starts["saves"] == 2
        assert "stuck" not in starts
        (repeated,) = results["libvirt-crashes: Domains with repeated incidents (A)"]
        assert (repeated.labels["domain"], repeated.labels["kind"], repeated.last) == ("db", "crashed", 2)

    def test_abnormal_events_are_listed_with_their_reason(self, results: dict[str, list[Series]]) -> None:
        listed = {
            (one.labels["domain"], one.labels["event"], one.labels["reason"])
            for one in results["libvirt-fleet: Last abnormal events (A)"]
        }
        assert {
            ("db", "stopped", "crashed"),
            ("web", "crashed", "panicked"),
            ("app", "crashed", "crashloaded"),
            ("stuck", "hung", "emulator"),
            ("dog", "hung", "watchdog"),
            ("full", "suspended", "ioerror"),
            ("lost", "stopped", "failed"),
            (REMOVED, "stopped", "crashed"),
            (REGEX_NAME, "stopped", "crashed"),
        } <= listed
        assert not {name for name, _, _ in listed} & {"busy", "saves", "moves", "boots"}

    def test_worst_domains_are_those_with_incidents(self, results: dict[str, list[Series]]) -> None:
        shown = {one.labels["domain"] for one in results["libvirt-fleet: Domains with most incidents (A)"]}
        assert shown == {*CRASHES, *HANGS, *DISK_FULL, *FAILED_MIGRATION}

    def test_durations_of_ended_incidents_are_shown(self, results: dict[str, list[Series]]) -> None:
        for panel, ended in (("Recovery time", CRASHES["db"]), ("Hang durations", 1)):
            buckets = {one.labels["le"]: one.last for one in results[f"libvirt-crashes: {panel} (A)"]}
            assert buckets["+Inf"] == ended

    def test_affected_hosts_are_counted(self, results: dict[str, list[Series]]) -> None:
        rows = results["libvirt-crashes: Hosts with several affected domains (A)"]
        hit = {one.labels["connection"]: one.last for one in rows}
        ended = {REGEX_NAME, REMOVED}
        assert hit == {"here": len({*CRASHES, *HANGS, *DISK_FULL} - ended), "test:///default": len(ended)}

    def test_bars_add_up_to_the_number_of_events(self, grafana: Grafana) -> None:
        expected_values = {
            ("libvirt-fleet", "Migrations", "A"): {"": 2},  # one of them fails on the destination
            ("libvirt-fleet", "Migrations", "B"): {"": 1},
            ("libvirt-crashes", "Crashes by cause", "A"): {"": 1},
            ("libvirt-crashes", "Hangs by signal", "A"): {"emulator": 2, "watchdog": 1},
        }
        found = {(query.board, query.panel, query.ref): query for query in all_queries()}
        for key, by_reason in expected_values.items():
            for one in grafana.run_query(found[key], include_future=True):
                assert sum(one.values) == by_reason.get(one.labels.get("reason", ""), 0), (key, one)


@pytest.mark.parametrize("name", ANNOTATED_DOMAINS)
def test_annotations_are_at_the_time_of_the_event(
    name: str, scenario: ScenarioResult, grafana: Grafana
) -> None:
    (annotation,) = (one for one in annotations("libvirt-domain") if one.panel == name)
    domain_view = Grafana(
        scenario.prometheus, grafana.since, chosen={"domain": ANNOTATED_DOMAINS[name]}, now=grafana.now
    )
    found = domain_view.run_query(annotation)
    assert found
    for one in found:
        assert grafana.since <= one.last / 1000 <= grafana.now


def test_name_with_regex_characters_is_found(scenario: ScenarioResult, grafana: Grafana) -> None:
    domain_view = Grafana(scenario.prometheus, grafana.since, chosen={"domain": REGEX_NAME}, now=grafana.now)
    shown = {
        query.panel: domain_view.run_query(query, include_future=True) for query in queries("libvirt-domain")
    }
    assert [one.last for one in shown["State"]] == [5]  # shut off
    assert [one.last for one in shown["Incidents in range"]] == [1]
    assert ("stopped", "crashed") in {
        (one.labels["event"], one.labels["reason"]) for one in shown["Events by event and reason"]
    }


def test_removed_domain_still_has_its_last_events(scenario: ScenarioResult, grafana: Grafana) -> None:
    domain_view = Grafana(scenario.prometheus, grafana.since, chosen={"domain": REMOVED}, now=grafana.now)
    (domain,) = (one for one in classic("libvirt-domain")["templating"]["list"] if one["name"] == "domain")
    assert REMOVED in domain_view.options(domain, domain_view.variables("libvirt-domain"))
    shown = {query.panel: domain_view.run_query(query) for query in queries("libvirt-domain")}
    assert not shown["State"]
    last_events = {(one.labels["event"], one.labels["reason"]) for one in shown["Last events"]}
    assert ("stopped", "crashed") in last_events


MANY_SERIES = ("Event rate by libvirt's event id", "OTLP drops and failed attempts", "Probe rounds")
"""Panels with more series than colours, as those whose legend has the instance."""


@pytest.mark.parametrize("uid", UIDS)
def test_series_have_the_colour_of_their_meaning(uid: str, results: dict[str, list[Series]]) -> None:
    shown = {panel["title"]: panel for panel in panels(classic(uid)) if panel["type"] == "timeseries"}
    for query in queries(uid):
        if query.panel not in shown or query.panel in MANY_SERIES or "{{instance}}" in query.legend:
            continue
        overrides = shown[query.panel]["fieldConfig"]["overrides"]
        coloured = [
            re.escape(str(one["matcher"]["options"]))
            if one["matcher"]["id"] == "byName"
            else one["matcher"]["options"].strip("/")
            for one in overrides
            if [each["id"] for each in one["properties"]] == ["color"]
        ]
        for row in results[str(query)]:
            name = query.legend
            for label, value in row.labels.items():
                name = name.replace(f"{{{{{label}}}}}", value)
            assert any(re.search(one, name) for one in coloured), (query.panel, name)


@pytest.mark.parametrize("uid", UIDS)
def test_every_variable_has_options(uid: str, grafana: Grafana) -> None:
    values = grafana.variables(uid)
    for name, variable in variables(classic(uid)).items():
        if variable["type"] == "query":
            assert grafana.options(variable, values), name


def test_exporter_page_is_served_at_the_linked_address(results: dict[str, list[Series]]) -> None:
    rows = results["libvirt-exporter: Connections (A)"]
    assert len({row.labels["instance"] for row in rows}) == 2
    for row in rows:
        address = interpolate("${scheme}://${instance}/", {"scheme": "http", **row.labels})
        with urllib.request.urlopen(address, timeout=10) as page:
            assert b"<title>libvirt-lifecycle-exporter</title>" in page.read()


def test_exemplars_refer_to_exported_traces(scenario: ScenarioResult, grafana: Grafana) -> None:
    (query,) = (one for one in queries("libvirt-domain") if one.panel == "Events by event and reason")
    expr = interpolate(query.expr, grafana.variables(query.board))
    found = scenario.prometheus.ask(
        "query_exemplars", query=expr, start=str(grafana.since), end=str(grafana.now)
    )
    trace_ids = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
    assert trace_ids
    assert trace_ids <= {span.trace_id.hex() for span in scenario.traces.accepted("traces")}
