"""The variables: data sources, then from the whole to the part."""

from typing import Final

from grafana_foundation_sdk.models import dashboard

from dashboards.source.panels import PROMETHEUS
from dashboards.source.promql import (
    BY_DOMAIN,
    BY_HOST,
    HOST,
    LAST_INCIDENT,
    OPEN,
    SCOPE,
    happened,
    incidents,
    pick,
    recent,
)

ALL: Final = "$__all"
_KNOWN: Final = "libvirt_connection_up"

Variable = dashboard.VariableModel


def datasource(kind: str, description: str) -> Variable:
    """Which data source of a kind; named as the dashboard linter wants it."""
    return Variable(
        type_val=dashboard.VariableType.DATASOURCE,
        name=f"{kind}_datasource",
        label=f"{kind.title()} data source",
        description=description,
        query=kind,
        multi=False,
        include_all=False,
        refresh=dashboard.VariableRefresh.ON_DASHBOARD_LOAD,
        regex="",
        options=[],
        current=dashboard.VariableOption(selected=False, text="", value=""),
    )


def _asked(name: str, label: str, description: str, query: str) -> Variable:
    return Variable(
        type_val=dashboard.VariableType.QUERY,
        name=name,
        label=label,
        description=description,
        datasource=PROMETHEUS,
        query=query,
        refresh=dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED,
        sort=dashboard.VariableSort.ALPHABETICAL_ASC,
        regex="",
        options=[],
    )


def several(name: str, label: str, description: str, query: str) -> Variable:
    """Any number of values of a label; all of them to begin with."""
    made = _asked(name, label, description, query)
    made.multi, made.include_all, made.all_value = True, True, ".+"
    made.current = dashboard.VariableOption(selected=True, text=["All"], value=[ALL])
    return made


def hidden(name: str, description: str, query: str, label: str = "domain") -> Variable:
    """Names of domains or hosts that panels narrow themselves down to; nobody chooses them."""
    made = _asked(name, name.title(), description, f"query_result({query})")
    made.regex = f'/{label}="([^"]+)"/'
    made.hide = dashboard.VariableHide.HIDE_VARIABLE
    made.multi, made.include_all = True, True
    made.skip_url_sync = True
    made.current = dashboard.VariableOption(selected=True, text=["All"], value=[ALL])
    return made


def sources(*, links: bool = False) -> list[Variable]:
    """Prometheus; with ``links``, those to go on with."""
    found = [datasource("prometheus", "Data source of the exporter's metrics.")]
    if links:
        found.append(datasource("tempo", "Optional data source of traces, for links."))
        found.append(datasource("loki", "Optional data source of log records, for links."))
    return found


def scope() -> list[Variable]:
    """Which exporters, and which of their connections."""
    return [
        several("job", "Job", "Job label of the exporters.", f"label_values({_KNOWN}, job)"),
        several(
            "instance",
            "Instance",
            "Instance label of the exporters. With one exporter per host, the hosts.",
            f'label_values({_KNOWN}{{job=~"$job"}}, instance)',
        ),
        several(
            "connection",
            "Connection",
            "libvirt connections. The same value on every host, unless a name is configured.",
            f"label_values({pick(_KNOWN, SCOPE)}, connection)",
        ),
    ]


def domain() -> Variable:
    """One domain."""
    made = _asked(
        "domain",
        "Domain",
        "Name of the domain.",
        f"label_values({pick('libvirt_domain_state_since_timestamp_seconds')}, domain)",
    )
    made.multi, made.include_all = False, False
    return made


def scheme() -> Variable:
    """How the exporter's own page is reached."""
    choices = ("http", "https")
    return Variable(
        type_val=dashboard.VariableType.CUSTOM,
        name="scheme",
        label="Exporter's page by",
        description="https if the exporters use TLS.",
        query=",".join(choices),
        options=[
            dashboard.VariableOption(selected=one == choices[0], text=one, value=one) for one in choices
        ],
        current=dashboard.VariableOption(selected=True, text=choices[0], value=choices[0]),
    )


def worst() -> Variable:
    """Those that had most incidents."""
    return hidden("worst", "Domains with most incidents in the range.", f"topk(15, {incidents()} > 0)")


def troubled() -> Variable:
    """Hosts with an open incident, by the recording rules; what is too new for these; all, where there are none."""
    recorded = pick(OPEN)
    lately = recent(f"max by ({BY_HOST}) ({pick(LAST_INCIDENT)})", "180")
    unknown = f"{pick(_KNOWN)} unless on ({BY_HOST}) {recorded}"
    query = f"sum by ({BY_HOST}) ({recorded}) > 0 or {lately} or max by ({BY_HOST}) ({unknown})"
    return hidden("troubled", "Hosts with an open incident.", query, "instance")


def restarted() -> Variable:
    """Those that started more than once."""
    starts = pick("libvirt_domain_last_event_timestamp_seconds", HOST, 'event="started"')
    lately = recent(f"max by ({BY_DOMAIN}) ({starts})", "$__range_s")
    return hidden("restarted", "Most recently started domains in the range.", f"topk(200, {lately})")


__all__ = ["Variable", "domain", "happened", "restarted", "scheme", "scope", "sources", "troubled", "worst"]
