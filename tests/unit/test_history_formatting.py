"""Formatting of journal rows, and the words that the selectors accept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.cli.formatting import escape, format_duration, format_utc, one_line
from libvirt_lifecycle_exporter.cli.outputs import column_widths
from libvirt_lifecycle_exporter.cli.selectors import EVENTS, REASONS, one_of
from libvirt_lifecycle_exporter.cli.views import Column, is_failure, note
from libvirt_lifecycle_exporter.model.vocabulary import ALERT_PAIRS, ALL_PAIRS, EXPLAINED
from tests.journal.journal_fixture import change


@given(st.text(st.characters(exclude_categories=())))
def test_escaped_text_is_printable(text: str) -> None:
    assert escape(text).isprintable()
    assert one_line(text).isprintable()


def test_ordinary_names_are_not_escaped() -> None:
    for name in ("web-1", "[red]", "a b", "žluťoučký", "🐎", "back\\slash"):
        assert escape(name) == name
    assert escape("a\x1b[31m\n\u202eb\x9b") == r"a\x1b[31m\n\u202eb\x9b"
    assert one_line("two\n  lines\x1b") == r"two lines\x1b"


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [(0, "0s"), (-3, "0s"), (59.6, "1m 0s"), (192, "3m 12s"), (3600, "1h 0m"), (187_300, "2d 4h")],
)
def test_durations_have_two_units(seconds: float, spelled: str) -> None:
    assert format_duration(seconds) == spelled


def test_times_are_formatted_in_utc() -> None:
    assert format_utc(1_700_000_000.1234) == "2023-11-14T22:13:20.123Z"


def test_note_lists_what_differs_from_the_default() -> None:
    assert note(change()) == ""
    odd = change(reason="crashed", detail="failed", source="reconcile", message="signal 9\nof pid 1")
    assert note(odd) == "libvirt: failed; source: reconcile; signal 9 of pid 1"


def test_pairs_that_alert_are_failures() -> None:
    for event, reason in ALERT_PAIRS:
        assert is_failure(change(event=event, reason=reason))
    assert not is_failure(change(event="stopped", reason="shutdown"))


def test_every_word_of_a_journal_can_be_selected() -> None:
    for event, reason in [*ALL_PAIRS, *EXPLAINED, ("hung", "vcpu"), ("stopped", "unknown")]:
        assert one_of("event", EVENTS)(event) == event
        assert one_of("reason", REASONS)(reason) == reason
    assert one_of("reason", REASONS)("unknown_17") == "unknown_17"
    for wrong in ("crashd", "unknown_", "unknown_x", "Started"):
        with pytest.raises(ValueError, match=r"invalid event .*: use one of defined, undefined"):
            one_of("event", EVENTS)(wrong)


COLUMNS = (
    Column("A", 4),
    Column("B", 4, is_shrinkable=True),
    Column("C", 4, is_shrinkable=True),
    Column("D", 10),
)


def test_columns_share_the_terminal_width() -> None:
    rows = [["x" * 6, "y" * 40, "z" * 20, "long " * 9]]
    assert column_widths(COLUMNS, rows, None) == [6, 40, 20, 45]
    assert column_widths(COLUMNS, rows, 200) == [6, 40, 20, 128]
    assert column_widths(COLUMNS, rows, 60) == [6, 19, 19, 10]
    assert column_widths(COLUMNS, rows, 10) == [6, 10, 10, 10]
    assert column_widths(COLUMNS, [], 80) == [4, 4, 4, 62]
