"""Links lead to existing dashboards and variables, and Grafana's Explore can read their panes."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tests.dashboards.dashboard_files import (
    UIDS,
    VARIABLE,
    Json,
    classic,
    interpolate,
    panels,
    schema_v2,
    variables,
)
from tests.dashboards.promql import RULES

GRAFANA_VARIABLES = ("__from", "__to", "__url_time_range", "__data", "__field")
"""Variables of Grafana: https://grafana.com/docs/grafana/latest/panels-visualizations/configure-data-links/"""
EXPLORE_SOURCES = {"tempo": "tempo_datasource", "loki": "loki_datasource"}


def links(board: Json) -> Iterator[tuple[str, str]]:
    """Yield the links of panels and of the dashboard: the title of the panel (or "top") and the URL."""
    for panel in panels(board):
        config = panel["fieldConfig"]
        found = list(config["defaults"].get("links", []))
        for override in config["overrides"]:
            found += [
                one for each in override["properties"] if each["id"] == "links" for one in each["value"]
            ]
        yield from ((panel["title"], one["url"]) for one in found)
    yield from (("top", one["url"]) for one in board["links"] if one["type"] == "link")


ALL_LINKS = [(uid, *one) for uid in UIDS for one in links(classic(uid))]
TO_BOARDS = [one for one in ALL_LINKS if one[2].startswith("/d/")]
TO_EXPLORE = [one for one in ALL_LINKS if one[2].startswith("/explore?")]
TO_PAGES = [one for one in ALL_LINKS if one not in (*TO_BOARDS, *TO_EXPLORE)]


def test_links_of_each_kind_exist() -> None:
    assert TO_BOARDS
    assert {one[0] for one in TO_EXPLORE} == {"libvirt-domain"}
    assert {one[0] for one in TO_PAGES} == {"libvirt-domain", "libvirt-exporter"}


@pytest.mark.parametrize(("uid", "where", "url"), ALL_LINKS)
def test_variables_in_links_exist(uid: str, where: str, url: str) -> None:
    del where
    used = {found[1] or found[2] for found in VARIABLE.finditer(url)}
    assert used <= {*variables(classic(uid)), *GRAFANA_VARIABLES}


@pytest.mark.parametrize(("uid", "where", "url"), TO_BOARDS)
def test_linked_dashboards_have_the_uid_and_variables(uid: str, where: str, url: str) -> None:
    del uid, where
    target = urlsplit(url).path.removeprefix("/d/")
    assert target in UIDS
    set_variables = {
        part.partition("=")[0] for part in urlsplit(url).query.split("&") if part.startswith("var-")
    }
    assert {name.removeprefix("var-") for name in set_variables} <= set(variables(classic(target)))
    assert "${__url_time_range}" in url


@pytest.mark.parametrize(("uid", "where", "url"), TO_EXPLORE)
def test_explore_links_query_the_selected_data_source(uid: str, where: str, url: str) -> None:
    del where
    values = dict.fromkeys(variables(classic(uid)), "web-1") | {"__from": "1", "__to": "2"}
    panes = json.loads(parse_qs(urlsplit(interpolate(url, values)).query)["panes"][0])
    (pane,) = panes.values()
    (query,) = pane["queries"]
    source = EXPLORE_SOURCES[query["datasource"]["type"]]
    assert variables(classic(uid))[source]["query"] == query["datasource"]["type"]
    assert pane["datasource"] == query["datasource"]["uid"] == values[source]
    assert url.count(f"${{{source}}}") == 2
    assert '"web-1"' in (query.get("query") or query["expr"])
    assert pane["range"] == {"from": "1", "to": "2"}


@pytest.mark.parametrize(("uid", "where", "url"), TO_PAGES)
def test_exporter_link_uses_the_scraped_address(uid: str, where: str, url: str) -> None:
    del where
    assert url == "${scheme}://${__data.fields.instance}/"
    choices = variables(classic(uid))["scheme"]
    assert (choices["query"], choices["current"]["value"]) == ("http,https", "http")


def test_alert_links_lead_to_existing_dashboards() -> None:
    links_of_alerts = [
        one["dashboard_url"] for one in (rule.get("annotations", {}) for rule in alerts()) if one
    ]
    assert links_of_alerts
    for url in links_of_alerts:
        target = urlsplit(url).path.removeprefix("/d/")
        assert target in UIDS, url
        query = urlsplit(url).query
        set_variables = {part.partition("=")[0] for part in query.split("&") if query}
        assert {name.removeprefix("var-") for name in set_variables} <= set(variables(classic(target))), url


def alerts() -> Iterator[Json]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


@pytest.mark.parametrize("uid", UIDS)
def test_dashboards_link_to_each_other(uid: str) -> None:
    (first, *_) = classic(uid)["links"]
    assert (first["type"], first["includeVars"], first["keepTime"]) == ("dashboards", True, True)
    for other in UIDS:
        assert set(first["tags"]) <= set(classic(other)["tags"])


@pytest.mark.parametrize("uid", UIDS)
def test_both_formats_have_the_same_dashboard_links(uid: str) -> None:
    def short(board: Json) -> list[tuple[str, str]]:
        return [(one["title"], one["url"]) for one in board["links"]]

    assert short(classic(uid)) == short(schema_v2(uid)["spec"])
