"""The commands ``events`` and ``incidents``: what the journal holds, asked by an operator.

Exit codes as everywhere: 1 where the journal cannot be read, 2 for a bad question. Being told to end, and a
reader that has had enough (``| head``), are good ends.

* ``words``     what may be asked
* ``places``    where the journal is
* ``follow``    the journal, from a place on
* ``views``     what is shown of each entry
* ``spelling``  how times, durations and strangers' words are written
* ``outputs``   table, JSON, CSV
* ``ending``    pipes that close, signals
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from libvirt_lifecycle_exporter.cli import views
from libvirt_lifecycle_exporter.cli.choices import EVENTS, REASONS, incident, moment, names, one_of
from libvirt_lifecycle_exporter.cli.follow import endless, finished
from libvirt_lifecycle_exporter.cli.formatting import harmless
from libvirt_lifecycle_exporter.cli.journal_path import find, places
from libvirt_lifecycle_exporter.cli.outputs import FORMS, Output
from libvirt_lifecycle_exporter.cli.termination import Rest, until_told, written_out
from libvirt_lifecycle_exporter.config.options import FLAGS, Choice, Parsed, common
from libvirt_lifecycle_exporter.journal.history import History, MissingError, UnreadableError
from libvirt_lifecycle_exporter.journal.history_query import Selection
from libvirt_lifecycle_exporter.model.vocabulary import INCIDENT_KINDS

_JOURNAL = next(flag for flag in FLAGS if flag.name == "--journal.path")
_EVERY = 0.2
"""Seconds between two looks at a followed journal."""
_FEW = 10
"""Entries that ``--follow`` begins with, as tail does."""

Shown = TypeVar("Shown")

_REASON = Parsed("word", one_of("reason", REASONS))
_EVENT = Parsed("word", one_of("event", EVENTS))
_INCIDENT = Parsed("id", incident)
_KIND = Choice(INCIDENT_KINDS)
_MOMENT = Parsed("time", moment)
_SINCE = click.option(
    "--since", type=_MOMENT, help="Only of the last 15m, 24h, 7d, ..., or since a date or time in ISO 8601."
)
_UNTIL = click.option(
    "--until", type=_MOMENT, help="Only before a date or time (2026-01-31T10:00Z; local without a zone)."
)
_DOMAIN = click.option(
    "--domain",
    type=Parsed("regex", names),
    help="Only domains whose whole name matches this regular expression.",
)
_CONNECTION = click.option("--connection", multiple=True, help="Only this connection label; repeatable.")
_OUTPUT = click.option(
    "--output",
    type=Choice(list(FORMS)),
    default="table",
    show_default=True,
    help="json: an object a line, exact; csv: characters that do not print are spelled, as in the table.",
)


_PATH = common(without=tuple(flag.name for flag in FLAGS if flag is not _JOURNAL))


@click.command()
@_DOMAIN
@click.option("--event", type=_EVENT, multiple=True, help="Only this event; repeatable.")
@click.option("--reason", type=_REASON, multiple=True, help="Only this reason; repeatable.")
@click.option("--incident", type=_INCIDENT, help="Only what belongs to the incident whose id begins so.")
@_CONNECTION
@_SINCE
@_UNTIL
@click.option("--limit", type=click.IntRange(0), help="Only the newest so many.")
@click.option(
    "--follow",
    is_flag=True,
    help=f"Go on with what is appended; begins with the newest {_FEW} unless --since or --limit is given.",
)
@_OUTPUT
@_PATH
@click.pass_context
def events(context: click.Context, /, **asked: Any) -> None:  # noqa: ANN401 - click hands over any type
    """Show the transitions in the journal, oldest first, whether the exporter runs or not."""
    follow, limit = asked["follow"], asked["limit"]
    if follow and asked["until"] is not None:
        raise click.UsageError("--follow has no end; use --until without it")
    if follow and limit is None and asked["since"] is None:
        limit = _FEW
    with _answering(), written_out():
        history = _history(context, asked)
        selection, several = _selection(history, asked, "event", "reason")
        span = history.span(selection, limit)
        output = FORMS[asked["output"]](views.entries(connections=several), sys.stdout)
        if follow:
            with until_told():
                _go_on(output, endless(history, selection, span.start, Rest(_EVERY), _complain))
        else:
            _write(output, finished(history, selection, span), asked, history)


@click.command()
@_DOMAIN
@click.option("--kind", type=Choice(INCIDENT_KINDS), multiple=True, help="Only this kind; repeatable.")
@_CONNECTION
@click.option("--open", "only_open", is_flag=True, help="Only those that are open.")
@_SINCE
@_UNTIL
@_OUTPUT
@_PATH
@click.pass_context
def incidents(context: click.Context, /, **asked: Any) -> None:  # noqa: ANN401 - click hands over any type
    """Show the incidents in the journal, oldest first; --since asks for those open at some time since."""
    with _answering(), written_out():
        history = _history(context, asked)
        selection, several = _selection(history, asked, "kind")
        found = history.incidents(selection, only_open=asked["only_open"])
        output = FORMS[asked["output"]](views.incidents(time.time(), connections=several), sys.stdout)
        _write(output, iter([found]), asked, history)


def _history(context: click.Context, asked: dict[str, Any]) -> History:
    """Find the journal; its flag may also stand before the command's name."""
    where = places(asked[_JOURNAL.field] or (context.obj or {}).get(_JOURNAL.field) or "")
    if not where:
        raise click.UsageError(f"{_JOURNAL.name}=none means that there is no journal, so there is no history")
    return History(find(where))


def _selection(history: History, asked: dict[str, Any], *columns: str) -> tuple[Selection, bool]:
    """Return what is asked for, and whether it can be of several connections."""
    known, wanted = history.connections(), asked["connection"]
    for name in wanted:
        if name not in known:
            raise click.UsageError(
                f'no connection "{harmless(name)}" is in the journal; '
                f"there are {', '.join(map(harmless, known)) or 'none yet'}"
            )
    return Selection(
        asked["domain"],
        {column: asked[column] for column in (*columns, "connection")},
        asked["since"],
        asked["until"],
        asked.get("incident") or "",
    ), len(wanted or known) > 1


def _write(
    output: Output[Shown], parts: Iterator[Sequence[Shown]], asked: dict[str, Any], history: History
) -> None:
    """Write all of it; a table without rows is a sentence instead."""
    shown = 0
    for part in parts:
        if part:
            output.write(part)
            shown += len(part)
    if not shown and asked["output"] == "table":
        _complain(f"nothing in {history.path} fits")


def _go_on(output: Output[Shown], parts: Iterator[Sequence[Shown]]) -> None:
    """Write each part at once; the first one also if it is empty, for the header."""
    for number, part in enumerate(parts):
        if part or not number:
            output.write(part)
            sys.stdout.flush()


def _complain(sentence: str) -> None:
    click.echo(harmless(sentence), err=True)


@contextmanager
def _answering() -> Iterator[None]:
    """Say more where there is no journal."""
    try:
        yield
    except MissingError as error:
        raise UnreadableError(
            f"{error}; if it is elsewhere, say where with {_JOURNAL.name} or {_JOURNAL.variable}"
        ) from None
