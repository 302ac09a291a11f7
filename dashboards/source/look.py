"""How things look: colours with a meaning, words for states, legends. Values only.

Law: a colour means the same on every dashboard, and can be told from its neighbours by the colour-blind too.
The palette is Okabe and Ito's, https://jfly.uni-koeln.de/color/; the tests simulate the three kinds of blindness.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from grafana_foundation_sdk.models import common, dashboard

GOOD: Final = "#0072B2"
"""Blue: as it should be."""
CALM: Final = "#56B4E9"
"""Sky blue: somebody wanted it so."""
WARN: Final = "#E69F00"
"""Orange: look at it when there is time."""
BAD: Final = "#D55E00"
"""Vermillion: crashed, failed."""
HUNG: Final = "#CC79A7"
"""Purple: does not answer."""
STORAGE: Final = "#F0E442"
"""Yellow: the disk."""
MOVED: Final = "#009E73"
"""Green: went or came, and is well."""
OFF: Final = "#666666"
"""Grey: off, or nothing to say."""

PALETTE: Final = (GOOD, CALM, WARN, BAD, HUNG, STORAGE, MOVED, OFF)

STATES: Final[Mapping[str, tuple[int, str]]] = {
    "nostate": (0, OFF),
    "running": (1, GOOD),
    "blocked": (2, MOVED),
    "paused": (3, WARN),
    "shutdown": (4, CALM),
    "shutoff": (5, OFF),
    "crashed": (6, BAD),
    "pmsuspended": (7, STORAGE),
    "unknown": (100, HUNG),
}
"""The states: the number (virDomainState; ``unknown`` is the exporter's own) and the colour."""

NOTHING: Final = -1
"""The value of the row that says that there is none."""

WORDS: Final[Mapping[str, str]] = {
    **{state: colour for state, (_, colour) in STATES.items()},
    "cause unknown": MOVED,
    "panicked": WARN,
    "crashloaded": CALM,
    "emulator died": BAD,
    "failed": OFF,
    "hung": HUNG,
    "ioerror": STORAGE,
    "in": GOOD,
    "out": MOVED,
    "emulator": HUNG,
    "watchdog": WARN,
    "guest_agent": CALM,
    "vcpu": GOOD,
    "none": OFF,
    "pause": WARN,
    "reset": CALM,
    "poweroff": BAD,
    "debug": MOVED,
    "inject_nmi": STORAGE,
    "error: enospc": STORAGE,
    "error: other": BAD,
    "held up": WARN,
    "hosts": WARN,
    "one event and reason": CALM,
    "all together": GOOD,
    "reconnects": WARN,
    "queue_full": BAD,
    "callback_error": WARN,
    "worker_error": MOVED,
    "shutdown": OFF,
    "refused": WARN,
    "traces": GOOD,
    "logs": MOVED,
    "writing, 99 % of all": OFF,
}
"""Names of series that have a colour of their own."""

EVENTS: Final = (
    ("^started ", GOOD),
    ("^(resumed|recovered) ", CALM),
    ("^(suspended|watchdog|control_error|rebooted) ", WARN),
    ("^(stopped|shutdown|pmsuspended|defined|undefined) ", OFF),
    (" migrated$", MOVED),
    ("^io_error | ioerror$", STORAGE),
    ("^hung | hung$", HUNG),
    ("^crashed | (crashed|failed|postcopy_failed|api_error)$", BAD),
)
"""Event and reason, with a slash between them; what comes later holds."""


def steps(*above: tuple[float, str], base: str = GOOD) -> dashboard.ThresholdsConfig:
    """Colour by value: ``base`` below the first bound."""
    bounds = [dashboard.Threshold(value=None, color=base)]
    bounds += [dashboard.Threshold(value=bound, color=colour) for bound, colour in above]
    return dashboard.ThresholdsConfig(mode=dashboard.ThresholdsMode.ABSOLUTE, steps=bounds)


def words(named: Mapping[float, tuple[str, str]]) -> list[dashboard.ValueMapping]:
    """Words and colours for values."""
    return [
        dashboard.ValueMap(
            options={
                f"{value:g}": dashboard.ValueMappingResult(text=text, color=colour, index=place)
                for place, (value, (text, colour)) in enumerate(named.items())
            }
        )
    ]


STATE_WORDS: Final[Mapping[float, tuple[str, str]]] = {
    number: (state, colour) for state, (number, colour) in STATES.items()
}
"""Libvirt's states, where a query gives their numbers."""


def legend(calcs: Iterable[str]) -> common.VizLegendOptions:
    """A table below the picture. The SDK's own default would hide it."""
    return common.VizLegendOptions(
        display_mode=common.LegendDisplayMode.TABLE,
        placement=common.LegendPlacement.BOTTOM,
        show_legend=True,
        calcs=list(calcs),
    )


def no_legend() -> common.VizLegendOptions:
    """Where every bar has its name beside it."""
    return common.VizLegendOptions(
        display_mode=common.LegendDisplayMode.LIST,
        placement=common.LegendPlacement.BOTTOM,
        show_legend=False,
        calcs=[],
    )


def tooltip() -> common.VizTooltipOptions:
    """All series of a moment, the largest first."""
    return common.VizTooltipOptions(mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING)


def override(
    matcher: str, options: object, **properties: object
) -> dashboard.DashboardFieldConfigSourceOverrides:
    """Properties for the fields that match; ``custom_x`` stands for ``custom.x``."""
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig(id_val=matcher, options=options),
        properties=[
            dashboard.DynamicConfigValue(id_val=name.replace("custom_", "custom."), value=value)
            for name, value in properties.items()
        ],
    )


def painted(names: Iterable[str]) -> list[dashboard.DashboardFieldConfigSourceOverrides]:
    """The colours of the series that have one."""
    return [
        override("byName", name, color={"mode": "fixed", "fixedColor": WORDS[name]})
        for name in names
        if name in WORDS
    ]


def events() -> list[dashboard.DashboardFieldConfigSourceOverrides]:
    """The colours of events, by what they mean."""
    return [
        override("byRegexp", f"/{words}/", color={"mode": "fixed", "fixedColor": colour})
        for words, colour in EVENTS
    ]
