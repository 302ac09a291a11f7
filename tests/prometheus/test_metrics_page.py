"""docs/metrics.md and metrics.golden match the code."""

import re
from pathlib import Path

import pytest

from docs.generate_metrics import HERE, NOTES, Metric, metrics, pages

ROOT = HERE.parent
PAGES = sorted(
    (ROOT / "README.md", *HERE.glob("*.md"), *ROOT.glob("alerts/**/*.md"), *ROOT.glob("helm/*.md"))
)
NAME = r"\blibvirt_(?:domain|connection|lifecycle_exporter)_[a-z_]*[a-z]\b(?!:)"
BEGINNINGS = {
    "counter": ("Total number of ", "Total time in seconds "),
    "histogram": ("Duration of ",),
    "gauge": ("Whether ", "Unix timestamp of ", "Always 1. ", "Number of ", "Size of "),
}
GOLDEN = Path(__file__).with_name("metrics.golden")


@pytest.mark.parametrize("path", sorted(pages()), ids=lambda path: path.name)
def test_generated_page_is_up_to_date(path: Path) -> None:
    """If this fails: make docs."""
    assert path.read_text() == pages()[path]


def test_notes_and_metrics_match() -> None:
    assert set(NOTES) == {metric.name for metric in metrics()}


def test_golden_file_has_the_same_names_types_labels_and_help() -> None:
    golden = set()
    for line in GOLDEN.read_text().splitlines():
        ((name, kind, labels, text),) = re.findall(r"^(\S+) (\S+) \{(.*?)\} (.*)$", line)
        golden.add((name, kind, frozenset(labels.split(", ")) - {"", "le"}, text))
    assert golden == {
        (metric.name.removesuffix("_total"), metric.type, frozenset(metric.labels), metric.help)
        for metric in metrics()
    }


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric.name)
def test_help_text_follows_the_conventions(metric: Metric) -> None:
    assert metric.help.startswith(BEGINNINGS[metric.type])
    assert metric.help.endswith(".")
    is_timestamp = metric.name.endswith("_timestamp_seconds")
    assert is_timestamp == metric.help.startswith("Unix timestamp of ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_documentation_names_only_existing_metrics(page: Path) -> None:
    """Names with a colon are recording rules."""
    known = {metric.name for metric in metrics()}
    known |= {
        f"{metric.name}{part}"
        for metric in metrics()
        if metric.type == "histogram"
        for part in ("_bucket", "_sum", "_count")
    }
    assert set(re.findall(NAME, page.read_text())) <= known
