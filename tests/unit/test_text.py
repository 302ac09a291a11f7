from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.model.text import LABEL_LIMIT, OTHER, clean, plain

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=2 * LABEL_LIMIT)


def test_ordinary_names_are_unchanged() -> None:
    for name in ("web-1", 'say "hi"', "back\\slash", "two\nlines", "žluťoučký", "🐎" * 64, ""):
        assert clean(name) == name


@given(ANYTHING)
def test_label_value_is_utf8_and_bounded(name: str) -> None:
    cleaned = clean(name)
    cleaned.encode()
    assert len(cleaned) <= LABEL_LIMIT


@given(ANYTHING, ANYTHING)
def test_different_names_stay_different(one: str, other: str) -> None:
    assert (clean(one) == clean(other)) == (one == other)


def test_long_names_with_the_same_beginning_stay_different() -> None:
    one, other = clean("x" * 10_000), clean("x" * 9_999)
    assert one != other
    assert one.startswith("x" * 100)


def test_lone_surrogates_are_replaced() -> None:
    assert clean("a\udcffb").startswith("a?b~")
    assert clean("a\udcffb") != clean("a\udcfeb")


def test_no_domain_can_have_the_label_other() -> None:
    assert clean(OTHER) != OTHER


@given(ANYTHING, st.integers(20, 100))
def test_message_is_one_printable_line_within_its_limit(words: str, limit: int) -> None:
    message = plain(words, limit)
    assert message.isprintable()
    assert len(message) <= limit
    assert message == message.strip()
    assert plain(message, limit) == message


def test_printable_message_is_unchanged() -> None:
    assert plain("žluť 🐎: No space left on device") == "žluť 🐎: No space left on device"
