"""The pure parts of make bench: statistics, tables, plots, and the page from its figures."""

import pytest
from defusedxml import ElementTree as ET  # noqa: N817 - as the standard library's

from tests.bench import report, svg
from tests.bench.crashes import Values, increases, resets
from tests.bench.fit import fit, number, ratios, spread
from tests.bench.goals import GOALS, goal_rows
from tests.bench.soak import thirds


def test_fit_finds_the_exponent_of_a_power() -> None:
    growth = fit([(x, 3 * x**0.5) for x in (10, 100, 1000)])
    assert growth.exponent == pytest.approx(0.5)
    assert growth.steps == pytest.approx([0.5, 0.5])
    assert growth.bends_at is None


def test_fit_finds_the_bend() -> None:
    assert fit([(10, 1), (100, 1), (1000, 10)]).bends_at == 100


@pytest.mark.parametrize("points", [[], [(1, 1)], [(1, 0), (2, 1)]])
def test_fit_refuses_points_without_a_logarithm(points: list[tuple[float, float]]) -> None:
    with pytest.raises(ValueError, match="growth needs at least two points above 0"):
        fit(points)


def test_numbers_have_three_significant_digits() -> None:
    assert [number(value) for value in (0, 0.01234, 1.5, 12.34, 1234567.8)] == [
        *("0", "0.0123", "1.50", "12.3", "1,234,568")
    ]
    assert spread([3, 1, 2]) == "2.00 (1.00 to 3.00)"
    assert ratios([1, 4], [2, 2]) == [0.5, 2]


def test_tables_have_all_cells() -> None:
    assert report.table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert report.aligned(("a", "b"), [("long", "2")]) == "a     b\nlong  2"


def test_plots_are_valid_svg() -> None:
    bars = ET.fromstring(svg.bars("A <title>", {"one": 1.0, "none": 0.0}, "{:.0f}"))
    assert len([part for part in bars if part.tag.endswith("rect")]) == 3
    lines = ET.fromstring(svg.lines("Title", {"one": [(1, 1), (10, 0), (100, 5)]}, "x"))
    (drawn,) = (part for part in lines if part.tag.endswith("polyline"))
    assert len(drawn.attrib["points"].split()) == 2


def test_goal_without_figures_is_not_measured() -> None:
    assert {row[2] for row in goal_rows({})} == {"not measured"}


@pytest.mark.parametrize(("value", "met"), [(0.4, True), (0.39, False)])
def test_goal_is_met_at_its_bound(value: float, met: bool) -> None:  # noqa: FBT001 - expected value
    assert GOALS[0].is_met([value]) is met


def test_increase_needs_the_series_in_both_scrapes() -> None:
    first, second = (("domain", "a"),), (("domain", "b"),)
    pages: list[Values] = [{first: 0}, {first: 2, second: 5}, {first: 1, second: 6}]
    assert increases(pages) == 2 + 1 + 1
    assert resets(pages) == 1


def test_soak_compares_the_first_with_the_last_third() -> None:
    assert thirds([1, 1, 5, 5, 2, 2]) == {"first": 1, "last": 2, "is_flat": False}
    assert thirds([10, 10, 99, 99, 10, 10])["is_flat"]


def test_performance_page_and_plots_match_the_figures() -> None:
    """If this fails: make bench ARGS=page."""
    document = report.load()
    assert report.PAGE.read_text() == report.page(document)
    for name, plot in report.plots(report.figures_of(document)).items():
        assert (report.FIGURES.parent / name).read_text() == plot
    assert report.console(document)
