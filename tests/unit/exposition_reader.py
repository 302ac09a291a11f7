"""Reader of the exposition of a ``MetricsStore``."""

from prometheus_client.parser import text_string_to_metric_families as text_families

from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from tests.unit.factories import HERE

EVENTS = "libvirt_domain_lifecycle_events_total"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def domain(name: str = "web", *, uuid: str = "", state: str = "running", present: bool = True) -> Domain:
    removed_at = 0.0 if present else 1000.0
    return Domain(
        HERE, uuid or f"uuid-{name}", name, state, "booted", 5.5, present=present, removed_at=removed_at
    )


def samples(shown: MetricsStore) -> Samples:
    families = list(text_families(shown.render(openmetrics=False)))
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(shown: MetricsStore, name: str, **labels: str) -> float | None:
    return samples(shown).get((name, frozenset({"connection": HERE, **labels}.items())))


def names(shown: MetricsStore) -> set[str]:
    return {dict(labels).get("domain", "") for _, labels in samples(shown)} - {""}
