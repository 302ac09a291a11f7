"""The JSON text of spans and span states is what json.dumps writes, and is read back unchanged."""

import json

from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.engine.span_operations import OPERATIONS, SPAN_NAMES
from libvirt_lifecycle_exporter.engine.spans import (
    DomainSpanState,
    Link,
    LinkTarget,
    OpenOperation,
    Span,
    SpanRef,
)
from libvirt_lifecycle_exporter.journal.span_recorder import read_span, read_state, span_text, state_text

HEX = st.sampled_from("0123456789abcdef")
REFS = st.builds(
    SpanRef,
    st.lists(HEX, min_size=32, max_size=32).map("".join),
    st.lists(HEX, min_size=16, max_size=16).map("".join),
)
TIMES = st.floats(0, 1e10)
ROWS = st.lists(st.integers(1, 2**63 - 1), max_size=4).map(tuple)
RELATIONS = st.lists(st.sampled_from(["previous", "run", "entry", "peer"]), min_size=1, max_size=2).map(tuple)
LINKS = st.lists(st.builds(Link, REFS, RELATIONS), max_size=3).map(tuple)
TARGETS = st.builds(LinkTarget, REFS, TIMES)
SPANS = st.builds(
    Span,
    st.integers(1, 2**63 - 1),
    REFS,
    st.sampled_from([*SPAN_NAMES.values(), *OPERATIONS]),
    TIMES,
    TIMES,
    st.sampled_from(["", "success", "failed", "timeout"]),
    st.none() | TIMES,
    LINKS,
    ROWS,
)
OPEN_OPERATIONS = st.builds(
    OpenOperation, st.sampled_from([*OPERATIONS]), st.integers(1, 9), REFS, TIMES, ROWS, LINKS
)
STATES = st.builds(
    DomainSpanState,
    st.none()
    | st.builds(OpenOperation, st.sampled_from([*OPERATIONS]), st.integers(1, 9), REFS, TIMES, ROWS, LINKS),
    st.none() | REFS,
    st.none() | TARGETS,
    st.none() | TARGETS,
    st.dictionaries(st.text(max_size=20), TARGETS, max_size=3),
)


@given(SPANS)
def test_span_text_is_json_and_reads_back(span: Span) -> None:
    text = span_text(span)
    assert text == json.dumps(span, separators=(",", ":"))
    assert read_span(text) == span


@given(STATES)
def test_state_text_is_json_and_reads_back(state: DomainSpanState) -> None:
    text = state_text(state)
    assert text == json.dumps(state, separators=(",", ":"))
    assert read_state(text) == state
