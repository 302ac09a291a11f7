"""How long something lasted: a bar for each bucket of a histogram, named in words."""

from collections.abc import Mapping
from typing import Final

from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.source import look
from dashboards.source.panels import Look, Query, spread
from dashboards.source.promql import grown

NAMES: Final[Mapping[str, str]] = {
    "0.1": "0.1 s",
    "0.5": "0.5 s",
    "1": "1 s",
    "2.5": "2.5 s",
    "5": "5 s",
    "10": "10 s",
    "30": "30 s",
    "60": "1 min",
    "120": "2 min",
    "300": "5 min",
    "600": "10 min",
    "1800": "30 min",
    "3600": "1 h",
    "+Inf": "longer",
}
"""The buckets of ``libvirt_domain_operation_duration_seconds``, by their upper bound."""


def lasted(title: str, description: str, bucket: str, size: tuple[int, int]) -> dashboard.Panel:
    """How many lasted how long, of those that ended within the range."""
    query = Query(grown(bucket), "{{le}}", form=PromQueryFormat.HEATMAP, instant=True)
    named = [
        # Prometheus 3 spells 1 as 1.0.
        look.override("byRegexp", f"/^{le.translate(_LITERAL)}(\\.0)?$/", displayName=name)
        for le, name in NAMES.items()
    ]
    return spread(title, description, query, Look(decimals=0, least=0, overrides=named), size)


_LITERAL: Final = str.maketrans({".": "\\.", "+": "\\+"})
