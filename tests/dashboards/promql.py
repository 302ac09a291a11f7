"""Analysis of PromQL: the selectors of an expression, and the labels of its result."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml
from prometheus_client import CollectorRegistry, ProcessCollector

GOLDEN: Final = Path(__file__).parents[1] / "prometheus/metrics.golden"
RULES: Final = Path(__file__).parents[2] / "alerts/libvirt-lifecycle.rules.yaml"
TARGET: Final = frozenset({"job", "instance"})
SCRAPED: Final = ("up", "scrape_duration_seconds", "scrape_samples_scraped")
"""Series that Prometheus adds to every target: https://prometheus.io/docs/concepts/jobs_instances/"""
PARTS: Final = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "gauge": ("",)}

Labels = frozenset[str]
NONE: Final = Labels()


def parse(expr: str) -> Any:
    return promql_parser.parse(expr)


def nodes(expr: Any) -> list[Any]:
    found: list[Any] = []
    promql_parser.walk(expr, found.append)
    return found


def selectors(expr: Any) -> Iterator[Any]:
    """Yield all selectors, including those of ranges."""
    yield from (node for node in nodes(expr) if isinstance(node, promql_parser.VectorSelector))


def exported_labels() -> dict[str, Labels]:
    """Return every series of the exporter and those that Prometheus adds, with their labels."""
    found: dict[str, Labels] = dict.fromkeys(SCRAPED, TARGET)
    for line in GOLDEN.read_text().splitlines():
        fields = re.match(r"(\w+) (\w+) \{(.*?)\}", line)
        assert fields is not None
        names = frozenset(filter(None, fields[3].split(", ")))
        for part in PARTS[fields[2]]:
            found[fields[1] + part] = names | TARGET
    for family in ProcessCollector(registry=CollectorRegistry()).collect():
        found[family.name + ("_total" if family.type == "counter" else "")] = TARGET
    return found


def recorded_labels(known: Mapping[str, Labels]) -> dict[str, Labels]:
    """Return the known metrics and every recording rule in alerts/, with their labels."""
    found = dict(known)
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            if "record" in rule:
                found[rule["record"]] = labels(parse(rule["expr"]), found) | frozenset(rule.get("labels", ()))
    return found


def labels(node: Any, known: Mapping[str, Labels]) -> Labels:
    """Return the labels that a result may have. Raises KeyError for an unknown metric."""
    match node:
        case promql_parser.VectorSelector():
            found = known[str(node.name)]
        case promql_parser.MatrixSelector():
            found = known[str(node.vector_selector.name)]
        case promql_parser.AggregateExpr():
            found = _aggregation_labels(node, labels(node.expr, known))
        case promql_parser.BinaryExpr():
            found = _join_labels(node, labels(node.lhs, known), labels(node.rhs, known))
        case promql_parser.Call():
            found = NONE.union(*(labels(one, known) for one in node.args))
            found -= {"le"} if node.func.name == "histogram_quantile" else NONE
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            found = labels(node.expr, known)
        case _:
            found = NONE  # a number
    return found


def _aggregation_labels(node: Any, inner: Labels) -> Labels:
    keeps_all = str(node.op) in {"topk", "bottomk"}
    if node.modifier is None:
        return inner if keeps_all else frozenset()
    named = frozenset(node.modifier.labels)
    if node.modifier.type == promql_parser.AggModifierType.By:
        unknown = named - inner
        if unknown:
            raise KeyError(f"nothing in {node} has {sorted(unknown)}")
        return named
    return inner - named


def _join_labels(node: Any, left: Labels, right: Labels) -> Labels:
    if str(node.op) == "or":
        return left | right
    return left or right
