"""docs/performance.md, its plots and the printed table, from docs/performance/figures.json."""

import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.bench import svg
from tests.bench.fit import Growth, fit, number, spread
from tests.bench.goals import goal_rows
from tests.bench.page_text import CRASHES, EVENTS, GROWTH, HEAD, METHOD, REPEAT, SCRAPES, SOAK

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "performance.md"
FIGURES = DOCS / "performance/figures.json"
PROGRAMS = {
    "exporter": "this exporter",
    "exporter_gzip": "this exporter, as Prometheus asks (gzip)",
    "static": "floor: static response of the same server",
    "static_gzip": "floor: static response, gzip",
    "naive": "naive exporter",
    "debian": "Debian's prometheus-libvirt-exporter",
}
VARIANTS = {
    "callback": "floor: a callback that only counts",
    "naive": "naive exporter, with OTLP",
    "without_journal": "this exporter without a journal",
    "exporter": "this exporter",
    "exporting": "this exporter, with OTLP",
    "scraped": "this exporter, with OTLP, scraped every second",
    "scraped_many": "the same with 1,000 domains",
}
GROWN = {
    "scrape_ms": "scrape, ms",
    "rss_mib": "RSS, MiB",
    "idle_cpu_percent": "idle CPU, % of a core",
    "daemon_idle_cpu_percent": "idle CPU of libvirtd, %",
    "events_per_second": "events/s",
    "ready_s": "first start to ready, s",
    "restart_s": "restart to ready, s",
}
CRASH_NOTES = {
    "exporter": "counted as stopped/crashed, starting at 0",
    "naive": "counted as stopped/failed, which libvirt also sends for other failures; the first one of each "
    "domain creates the series, and Prometheus' increase() does not see it",
    "debian": "guests that were off or missing at a scrape, as after a shutdown",
}
MISSING = "unavailable"

Row = Sequence[str]


def table(header: Row, rows: Sequence[Row]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def aligned(header: Row, rows: Sequence[Row]) -> str:
    """Return a table for a terminal."""
    widths = [max(len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    )


SCRAPE_HEADER = (
    *("program", "scrape p50, ms", "p99, ms", "CPU per scrape, ms", "CPU of libvirtd, ms"),
    *("RSS, MiB", "samples", "domains"),
)


def scrape_rows(scrapes: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for key, name in PROGRAMS.items():
        one = scrapes["programs"].get(key)
        if one is None:
            rows.append((name, scrapes["debian"], *[MISSING] * 6))
            continue
        rows.append(
            (
                name,
                spread(one["p50_ms"]),
                number(one["p99_ms"]),
                spread(one["cpu_ms"]),
                spread(one["daemon_cpu_ms"]),
                number(statistics.median(one["rss_mib"])),
                f"{one['samples']:,}" if "samples" in one else "the same",
                f"{one['delivered']:,} of {scrapes['domains']:,}" if "delivered" in one else "the same",
            )
        )
    callback = ("floor: a callback that does nothing", "-", "-", "-", "-")
    return [*rows, (*callback, number(scrapes["callback_rss_mib"]), "-", "-")]


def event_rows(events: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for key, name in VARIANTS.items():
        found = events["variants"].get(key)
        if found is None:
            rows.append((name, events["collector"], MISSING, MISSING))
            continue
        rate = spread(found["events_per_second"]) if "events_per_second" in found else "-"
        rows.append((name, rate, spread(found["p50_ms"]), spread(found["p99_ms"])))
    return rows


def crash_rows(crashes: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for key in ("exporter", "naive", "debian"):
        found = crashes["exporters"].get(key)
        if found is None:
            rows.append((PROGRAMS[key], MISSING, crashes["debian"]))
            continue
        note = CRASH_NOTES[key]
        if "restarts" in found:
            note += f"; {found['restarts']} restarts of any cause show as a reset of a counter"
        rows.append((PROGRAMS[key], f"{found['visible']:.0f} of {crashes['crashes']}", note))
    return rows


def growth_points(growth: dict[str, Any], figure: str) -> list[tuple[float, float]]:
    """Return the figure by the number of domains, over one connection."""
    return [(row["domains"], row[figure]) for row in growth["rows"] if row["connections"] == 1]


def _grown(growth: dict[str, Any], figure: str) -> Growth | None:
    try:
        return fit(growth_points(growth, figure))
    except ValueError:  # the kernel counts CPU time in steps of 10 ms: some are 0
        return None


def growth_rows(growth: dict[str, Any]) -> list[Row]:
    """Return a row for each figure: its values, exponent, steps and bend."""
    rows: list[Row] = []
    for figure, name in GROWN.items():
        values = [number(row[figure]) for row in growth["rows"]]
        fitted = _grown(growth, figure)
        if fitted is None:
            rows.append((name, *values, "-", "-"))
            continue
        bend = f"at {fitted.bends_at:,.0f}" if fitted.bends_at else "no"
        steps = ", ".join(f"{step:.2f}" for step in fitted.steps)
        rows.append((name, *values, f"{fitted.exponent:.2f} ({steps})", bend))
    return rows


def growth_header(growth: dict[str, Any]) -> Row:
    steps = [
        f"{row['domains']:,}" + (f" over {row['connections']}" if row["connections"] > 1 else "")
        for row in growth["rows"]
    ]
    return ("domains", *steps, "exponent (from step to step)", "bends")


def soak_rows(soak: dict[str, Any]) -> list[Row]:
    return [
        (name, number(one["first"]), number(one["last"]), "yes" if one["is_flat"] else "no")
        for name, one in soak["figures"].items()
    ]


SECTIONS: dict[str, Callable[[dict[str, Any]], tuple[Row, list[Row]]]] = {
    "scrapes": lambda part: (SCRAPE_HEADER, scrape_rows(part)),
    "crashes": lambda part: (("exporter", "crashes in its data", "how"), crash_rows(part)),
    "events": lambda part: (("variant", "events/s", "event to counter p50, ms", "p99, ms"), event_rows(part)),
    "growth": lambda part: (growth_header(part), growth_rows(part)),
    "soak": lambda part: (("figure", "first third", "last third", "flat"), soak_rows(part)),
}
GOAL_HEADER = ("goal", "bound", "measured", "met")


def plots(parts: dict[str, Any]) -> dict[str, str]:
    """Return the plots by file name."""
    found = {}
    if "scrapes" in parts:
        costs = {
            PROGRAMS[key]: statistics.median(one["cpu_ms"]) + statistics.median(one["daemon_cpu_ms"])
            for key, one in parts["scrapes"]["programs"].items()
            if not key.endswith("_gzip")
        }
        title = "CPU time of a scrape, exporter and libvirtd, 1,000 domains"
        found["scrapes.svg"] = svg.bars(title, costs, "{:,.1f} ms")
    if "events" in parts:
        rates = {
            VARIANTS[key]: statistics.median(one["events_per_second"])
            for key, one in parts["events"]["variants"].items()
            if "events_per_second" in one
        }
        found["events.svg"] = svg.bars("Events per second, in-process driver", rates, "{:,.0f}")
    if "crashes" in parts:
        seen = {PROGRAMS[key]: one["visible"] for key, one in parts["crashes"]["exporters"].items()}
        title = f"Crashes in the data, of {parts['crashes']['crashes']}"
        found["crashes.svg"] = svg.bars(title, seen, "{:.0f}")
    if "growth" in parts:
        drawn = ("scrape_ms", "rss_mib", "idle_cpu_percent", "restart_s")
        series = {GROWN[figure]: growth_points(parts["growth"], figure) for figure in drawn}
        found["growth.svg"] = svg.lines("Growth by the number of domains", series, "domains")
    return found


def figures_of(document: dict[str, Any]) -> dict[str, Any]:
    return {name: part["figures"] for name, part in document["parts"].items()}


def console(document: dict[str, Any]) -> str:
    """Return the tables for a terminal."""
    parts = figures_of(document)
    blocks = [f"{name}\n{aligned(*SECTIONS[name](part))}" for name, part in parts.items()]
    return "\n\n".join([*blocks, "goals\n" + aligned(GOAL_HEADER, goal_rows(parts))])


def page(document: dict[str, Any]) -> str:
    """Return docs/performance.md."""
    return "\n\n".join(_blocks(document)) + "\n"


def _blocks(document: dict[str, Any]) -> Iterator[str]:
    parts = figures_of(document)
    machine, versions = document["machine"], document["versions"]
    yield HEAD.format(**machine, versions=", ".join(f"{key} {value}" for key, value in versions.items()))
    measured = [
        (name, part["date"], f"{part['seconds'] / 60:.0f} min", part["load"])
        for name, part in document["parts"].items()
    ]
    yield table(("part", "measured", "took", "load average before"), measured)
    if "events" in parts:
        rates = parts["events"]["variants"]["callback"]["events_per_second"]
        noise = 100 * (max(rates) / min(rates) - 1)
        yield f"Noise: between rounds, the events/s of the do-nothing callback differed by {noise:.0f} %."
    yield "## Goals\n\n" + table(GOAL_HEADER, goal_rows(parts))
    texts = {"scrapes": SCRAPES, "crashes": CRASHES, "events": EVENTS, "growth": GROWTH, "soak": SOAK}
    drawn = plots(parts)
    for name, text in texts.items():
        if name not in parts:
            continue
        yield text.format(**parts[name])
        yield table(*SECTIONS[name](parts[name]))
        if f"{name}.svg" in drawn:
            yield f"![{name}](performance/{name}.svg)"
        if name == "growth":
            history = parts[name]["history"]
            yield (
                f"With a journal of {history['rows']:,} rows ({history['bytes_a_row']:.0f} bytes each) and "
                f"1,000 domains, start to ready takes {spread(history['ready_s']['full'])} s; "
                f"with an empty one {spread(history['ready_s']['empty'])} s."
            )
    yield METHOD
    yield REPEAT


def load() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FIGURES.read_text()) if FIGURES.exists() else {"parts": {}}
    return document


def write(document: dict[str, Any]) -> None:
    """Write figures, plots and page."""
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(document, indent=1) + "\n")
    for name, plot in plots(figures_of(document)).items():
        (FIGURES.parent / name).write_text(plot)
    PAGE.write_text(page(document))
