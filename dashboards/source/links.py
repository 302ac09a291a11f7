"""Where one can go from here: the other dashboards, the traces and logs, the exporter's own page.

Law: what a link takes with it is percent-encoded, since names of domains may be anything. Fields keep the names of
their labels, so that ``__data.fields`` finds them.
"""

import json
import re
from typing import Final
from urllib.parse import quote

from dashboards.source.panels import Link

FLEET: Final = "libvirt-fleet"
DOMAIN: Final = "libvirt-domain"
CRASHES: Final = "libvirt-crashes"
EXPORTER: Final = "libvirt-exporter"

TAG: Final = "libvirt-lifecycle"

_CARRIED: Final = "var-prometheus_datasource=${prometheus_datasource}&var-job=${__data.fields.job:percentencode}&var-instance=${__data.fields.instance:percentencode}"
_RANGE: Final = "${__url_time_range}"


def _link(title: str, url: str, *, new: bool = False) -> Link:
    return {"title": title, "url": url, "targetBlank": new}


def to_domain() -> Link:
    """From a row or series of one domain."""
    more = "&var-connection=${__data.fields.connection:percentencode}&var-domain=${__data.fields.domain:percentencode}"
    return _link("This domain", f"/d/{DOMAIN}?{_CARRIED}{more}&{_RANGE}")


def series_to_domain() -> Link:
    """The same from a picture, where labels belong to the field."""
    labels = ("job", "instance", "connection", "domain")
    carried = "&".join(f"var-{label}=${{__field.labels.{label}:percentencode}}" for label in labels)
    source = "var-prometheus_datasource=${prometheus_datasource}"
    return _link("This domain", f"/d/{DOMAIN}?{source}&{carried}&{_RANGE}")


def to_host(uid: str, title: str) -> Link:
    """From a row of one host."""
    return _link(title, f"/d/{uid}?{_CARRIED}&{_RANGE}")


def to_exporters() -> Link:
    """From a number of all that is chosen."""
    chosen = "&".join(f"${{{name}:queryparam}}" for name in ("job", "instance", "connection"))
    source = "var-prometheus_datasource=${prometheus_datasource}"
    return _link("Which ones", f"/d/{EXPORTER}?{source}&{chosen}&{_RANGE}")


def to_page() -> Link:
    """The exporter's own page: its address is the ``instance`` that Prometheus scrapes."""
    return _link("The exporter's own page", "${scheme}://${__data.fields.instance}/", new=True)


def _explore(datasource: str, kind: str, query: dict[str, object]) -> str:
    source = f"${{{datasource}}}"
    asked = {"refId": "A", "datasource": {"type": kind, "uid": source}, **query}
    pane = {"datasource": source, "queries": [asked], "range": {"from": "${__from}", "to": "${__to}"}}
    # Percent-encoded, but for the variables: Grafana fills those in first.
    parts = re.split(r"(\$\{[^}]*\})", json.dumps({"one": pane}, separators=(",", ":")))
    panes = "".join(part if part.startswith("${") else quote(part, safe="") for part in parts)
    return f"/explore?schemaVersion=1&panes={panes}"


def traces(domain: str = "${domain:percentencode}") -> str:
    """Tempo, asked for the operations of a domain."""
    wanted = f'{{ span."libvirt.domain.name" = "{domain}" }}'
    return _explore("tempo_datasource", "tempo", {"queryType": "traceql", "query": wanted, "limit": 50})


def logs(domain: str = "${domain:percentencode}") -> str:
    """Loki, asked for the log records of a domain."""
    wanted = f'{{service_name="libvirt-lifecycle-exporter"}} | libvirt_domain_name="{domain}"'
    return _explore("loki_datasource", "loki", {"expr": wanted, "queryType": "range"})


def to_traces() -> Link:
    """From a row of the Domain dashboard."""
    return _link("Its traces (Tempo)", traces(), new=True)


def to_logs() -> Link:
    """From a row of the Domain dashboard."""
    return _link("Its log records (Loki)", logs(), new=True)
