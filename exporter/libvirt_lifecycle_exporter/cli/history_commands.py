"""The commands ``events`` and ``incidents``: queries of the journal, also while the exporter runs.

Exit codes: 0 success, also after a signal or if the reader closes the pipe (``| head``); 1 the journal cannot
be read; 2 invalid options.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from libvirt_lifecycle_exporter.cli import views
from libvirt_lifecycle_exporter.cli.follow import follow, read_range
from libvirt_lifecycle_exporter.cli.formatting import escape
from libvirt_lifecycle_exporter.cli.journal_path import candidate_paths, find
from libvirt_lifecycle_exporter.cli.outputs import FORMATS, Output
from libvirt_lifecycle_exporter.cli.selectors import (
    EVENTS,
    REASONS,
    one_of,
    parse_domain_pattern,
    parse_incident,
    parse_time,
)
from libvirt_lifecycle_exporter.cli.termination import PollInterval, flushed_output, until_terminated
from libvirt_lifecycle_exporter.config.options import OPTIONS, Choice, ParsedType, add_options
from libvirt_lifecycle_exporter.journal.history import History, MissingError, UnreadableError
from libvirt_lifecycle_exporter.journal.history_query import Selection
from libvirt_lifecycle_exporter.model.vocabulary import INCIDENT_KINDS

_JOURNAL_PATH = next(option for option in OPTIONS if option.name == "--journal.path")
_POLL_INTERVAL = 0.2
"""Seconds between two queries of a followed journal."""
_FOLLOW_LIMIT = 10
"""Number of entries that ``--follow`` starts with, as ``tail -f`` does."""

Item = TypeVar("Item")

_REASON = ParsedType("word", one_of("reason", REASONS))
_EVENT = ParsedType("word", one_of("event", EVENTS))
_INCIDENT = ParsedType("id", parse_incident)
_TIME = ParsedType("time", parse_time)
_SINCE = click.option(
    "--since",
    type=_TIME,
    help="Only entries since a duration ago (15m, 24h, 7d) or since a date or time in ISO 8601.",
)
_UNTIL = click.option(
    "--until",
    type=_TIME,
    help="Only entries before a date or time (2026-01-31T10:00Z). Without a time zone: local time.",
)
_DOMAIN = click.option(
    "--domain",
    type=ParsedType("regex", parse_domain_pattern),
    help="Regular expression; only domains whose whole name matches.",
)
_CONNECTION = click.option(
    "--connection", multiple=True, help="Only this value of the connection label; repeatable."
)
_OUTPUT = click.option(
    "--output",
    type=Choice(list(FORMATS)),
    default="table",
    show_default=True,
    help="Output format. json: one object per line, exact. csv, table: unprintable characters are escaped.",
)
_PATH = add_options(without=tuple(option.name for option in OPTIONS if option is not _JOURNAL_PATH))


@click.command()
@_DOMAIN
@click.option("--event", type=_EVENT, multiple=True, help="Only this event; repeatable.")
@click.option("--reason", type=_REASON, multiple=True, help="Only this reason; repeatable.")
@click.option(
    "--incident", type=_INCIDENT, help="Only transitions of the incident with this id (or beginning of it)."
)
@_CONNECTION
@_SINCE
@_UNTIL
@click.option("--limit", type=click.IntRange(0), help="Only the newest transitions, at most this many.")
@click.option(
    "--follow",
    "is_following",
    is_flag=True,
    help=f"Continue with new transitions. Starts with the newest {_FOLLOW_LIMIT} unless --since or "
    "--limit is set.",
)
@_OUTPUT
@_PATH
@click.pass_context
def events(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - click passes any type
    """Show the transitions in the journal, oldest first. The exporter need not be running."""
    is_following, limit = options["is_following"], options["limit"]
    if is_following and options["until"] is not None:
        raise click.UsageError("--follow cannot be combined with --until")
    if is_following and limit is None and options["since"] is None:
        limit = _FOLLOW_LIMIT
    with _missing_journal_explained(), flushed_output():
        history = _open_history(context, options)
        selection, has_several = _selection(history, options, "event", "reason")
        entry_range = history.entry_range(selection, limit)
        output = FORMATS[options["output"]](views.entries(connections=has_several), sys.stdout)
        if is_following:
            with until_terminated():
                wait = PollInterval(_POLL_INTERVAL)
                _write_pages(output, follow(history, selection, entry_range.start, wait, _warn))
        else:
            _write_all(output, read_range(history, selection, entry_range), options, history)


@click.command()
@_DOMAIN
@click.option("--kind", type=Choice(INCIDENT_KINDS), multiple=True, help="Only this kind; repeatable.")
@_CONNECTION
@click.option("--open", "only_open", is_flag=True, help="Only open incidents.")
@_SINCE
@_UNTIL
@_OUTPUT
@_PATH
@click.pass_context
def incidents(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - click passes any type
    """Show the incidents in the journal, oldest first.

    --since selects incidents that were open at that time or later, --until those that were opened before it.
    """
    with _missing_journal_explained(), flushed_output():
        history = _open_history(context, options)
        selection, has_several = _selection(history, options, "kind")
        found = history.incidents(selection, only_open=options["only_open"])
        output = FORMATS[options["output"]](views.incidents(time.time(), connections=has_several), sys.stdout)
        _write_all(output, iter([found]), options, history)


def _open_history(context: click.Context, options: dict[str, Any]) -> History:
    """Find the journal. --journal.path may also stand before the command."""
    field = _JOURNAL_PATH.field
    paths = candidate_paths(options[field] or (context.obj or {}).get(field) or "")
    if not paths:
        raise click.UsageError(f"{_JOURNAL_PATH.name}=none disables the journal: there is no history to show")
    return History(find(paths))


def _selection(history: History, options: dict[str, Any], *columns: str) -> tuple[Selection, bool]:
    """Return the selection, and whether it can contain several connections."""
    known, wanted = history.connections(), options["connection"]
    for name in wanted:
        if name not in known:
            raise click.UsageError(
                f'connection "{escape(name)}" is not in the journal: '
                f"use one of {', '.join(map(escape, known)) or '(no connections yet)'}"
            )
    return Selection(
        options["domain"],
        {column: options[column] for column in (*columns, "connection")},
        options["since"],
        options["until"],
        options.get("incident") or "",
    ), len(wanted or known) > 1


def _write_all(
    output: Output[Item], pages: Iterator[Sequence[Item]], options: dict[str, Any], history: History
) -> None:
    """Write all pages. For a table without rows, write a sentence to standard error instead."""
    count = 0
    for page in pages:
        if page:
            output.write(page)
            count += len(page)
    if not count and options["output"] == "table":
        _warn(f"no matching entries in {history.path}")


def _write_pages(output: Output[Item], pages: Iterator[Sequence[Item]]) -> None:
    """Write and flush each page; also an empty first page, because of the header."""
    for number, page in enumerate(pages):
        if page or not number:
            output.write(page)
            sys.stdout.flush()


def _warn(sentence: str) -> None:
    click.echo(escape(sentence), err=True)


@contextmanager
def _missing_journal_explained() -> Iterator[None]:
    """Add to MissingError how to set the path of the journal."""
    try:
        yield
    except MissingError as error:
        raise UnreadableError(
            f"{error}: set the path with {_JOURNAL_PATH.name} or {_JOURNAL_PATH.variable}"
        ) from None
