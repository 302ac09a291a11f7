"""The compressed page is the page, whatever has changed since the last scrape."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.engine.changes import TracedTransition
from libvirt_lifecycle_exporter.metrics import deflate
from libvirt_lifecycle_exporter.metrics.deflate import Deflated, DeflatedGroups
from libvirt_lifecycle_exporter.metrics.exposition import CachedSeries
from tests.unit.exposition_reader import domain
from tests.unit.factories import transition
from tests.unit.metrics_harness import ExportedDomains

NAMES = tuple(f"vm-{number}" for number in range(200))
STEP = st.one_of(
    st.tuples(st.just("event"), st.sampled_from(NAMES)),
    st.tuples(st.just("domain"), st.sampled_from(NAMES)),
    st.tuples(st.just("removed"), st.sampled_from(NAMES)),
    st.tuples(st.just("traced"), st.sampled_from(NAMES)),
    st.tuples(st.just("expire"), st.just("")),
    st.tuples(st.sampled_from(["text", "openmetrics"]), st.just("")),
)


def inflate(deflated: Deflated) -> bytes:
    """Return the text; check its size and its CRC-32."""
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    text = decompressor.decompress(deflated.data + zlib.compressobj(0, zlib.DEFLATED, -15).flush())
    assert decompressor.eof
    assert (len(text), zlib.crc32(text)) == (deflated.size, deflated.crc)
    return text


def check(shown: ExportedDomains) -> None:
    for openmetrics in (False, True):
        text = shown.render(openmetrics=openmetrics).encode()
        assert inflate(shown.deflate(openmetrics=openmetrics)) == text


@settings(deadline=None, max_examples=40)
@given(st.lists(STEP, max_size=30))
def test_compressed_page_is_the_page_after_any_change(steps: list[tuple[str, str]]) -> None:
    shown = ExportedDomains(100_000)
    for name in NAMES[:150]:
        shown.update(domain(name).values())
    for what, name in steps:
        change = transition("stopped", "crashed", name=name)
        if what == "event":
            shown.transition(change)
        elif what == "domain":
            shown.update(domain(name, state="paused").values())
        elif what == "removed":
            shown.update(domain(name, present=False).values())
        elif what == "traced":
            shown.trace(TracedTransition(1, change, "1" * 32, "2" * 16))
        elif what == "expire":
            shown.remove_expired(1e9)
        else:
            shown.deflate(openmetrics=what == "openmetrics")
    check(shown)


def test_unchanged_page_is_not_compressed_again() -> None:
    shown = ExportedDomains()
    shown.update(domain("web").values())
    first = shown.deflate(openmetrics=False)
    assert shown.deflate(openmetrics=False) is first
    shown.transition(transition("stopped", "crashed"))
    assert shown.deflate(openmetrics=False) is not first
    check(shown)


class Subject(CachedSeries):
    """A subject with two families."""

    def __init__(self) -> None:
        super().__init__(2)

    def write(self, family: int) -> str:
        return f"family {family}\n"


def test_change_compresses_one_family_of_one_group_again() -> None:
    subjects = [Subject() for _ in range(3 * deflate._GROUP_SIZE)]  # noqa: SLF001 - its size
    groups = DeflatedGroups(2)

    def parts() -> list[list[bytes]]:
        groups.update(subjects)
        return [groups.parts(family, [subject.write(family) for subject in subjects]) for family in (0, 1)]

    before = parts()
    subjects[deflate._GROUP_SIZE].mark_changed(0b10)  # noqa: SLF001 - the first of the second group
    after = parts()
    same = [
        [one is other for one, other in zip(*pair, strict=True)] for pair in zip(before, after, strict=True)
    ]
    assert same == [[True, True, True], [True, False, True]]


@pytest.mark.parametrize("number", [0, 1, 63, 64, 65, 200])
def test_any_number_of_subjects_is_complete(number: int) -> None:
    shown = ExportedDomains(100_000)
    for name in NAMES[:number]:
        shown.update(domain(name).values())
    check(shown)
