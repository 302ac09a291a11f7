"""Colours with a meaning are distinguishable, also with colour vision deficiency."""

from itertools import combinations

import pytest

from dashboards.source.look import OFF, PALETTE, STATES, WORDS
from tests.dashboards.dashboard_files import UIDS, Json, classic, panels

Colour = tuple[float, float, float]

# Machado, Oliveira and Fernandes 2009, severity 1.0, for linear RGB:
# https://www.inf.ufrgs.br/~oliveira/pubs_files/CVD_Simulation/CVD_Simulation.html
COLOUR_VISION: dict[str, tuple[Colour, Colour, Colour]] = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
MIN_DISTANCE = 10.0
"""CIE76: a difference of about 2 is just noticeable side by side."""


def linear(colour: str) -> Colour:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return _curve(red), _curve(green), _curve(blue)


def _curve(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)


def simulate(colour: str, vision: str) -> Colour:
    rows, rgb = COLOUR_VISION[vision], linear(colour)
    red, green, blue = (min(1.0, max(0.0, sum(a * b for a, b in zip(row, rgb, strict=True)))) for row in rows)
    return red, green, blue


def lab(rgb: Colour) -> Colour:
    """Convert linear RGB to CIE L*a*b* (D65)."""
    to_xyz = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.9505, 1.0, 1.089)
    x, y, z = (
        _root(sum(a * b for a, b in zip(row, rgb, strict=True)) / whole)
        for row, whole in zip(to_xyz, white, strict=True)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _root(value: float) -> float:
    return float(value ** (1 / 3)) if value > 0.008856 else 7.787 * value + 16 / 116


def distance(one: str, other: str, vision: str) -> float:
    a, b = lab(simulate(one, vision)), lab(simulate(other, vision))
    return float(sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) ** 0.5)


@pytest.mark.parametrize("vision", COLOUR_VISION)
@pytest.mark.parametrize(("one", "other"), list(combinations(PALETTE, 2)))
def test_palette_colours_are_distinguishable(one: str, other: str, vision: str) -> None:
    assert distance(one, other, vision) > MIN_DISTANCE


def test_distance_detects_red_and_green() -> None:
    """The measure works: the usual pairs are distinct in normal vision, but not with deuteranopia."""
    assert distance("#37872D", "#C4162A", "none") > 5 * MIN_DISTANCE
    assert distance("#73BF69", "#FF9830", "deuteranopia") < distance("#0072B2", "#D55E00", "deuteranopia") / 3


def test_each_state_has_its_own_colour() -> None:
    colours = [colour for _, colour in STATES.values() if colour != OFF]
    assert len(set(colours)) == len(colours)


@pytest.mark.parametrize("uid", UIDS)
def test_panels_use_only_colours_of_the_palette(uid: str) -> None:
    for panel in panels(classic(uid)):
        assert set(_colours(panel["fieldConfig"])) <= set(PALETTE), panel["title"]


def _colours(value: object) -> list[str]:
    match value:
        case {"fixedColor": str(colour)} | {"color": str(colour)}:
            return [colour]
        case dict():
            return [colour for one in value.values() for colour in _colours(one)]
        case list():
            return [colour for one in value for colour in _colours(one)]
    return []


def test_value_colours_are_in_the_palette() -> None:
    assert set(WORDS.values()) <= set(PALETTE)


def json_colours(board: Json) -> list[str]:
    return [one["iconColor"] for one in board["annotations"]["list"]]


def test_annotation_colours_are_in_the_palette() -> None:
    assert set(json_colours(classic("libvirt-domain"))) <= set(PALETTE)
