"""Hypothesis strategies for the values in a journal."""

from hypothesis import strategies as st

from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.model.messages import DomainDetails, Nova, OpenNebula, Ovirt, RunEvidence
from libvirt_lifecycle_exporter.model.transitions import Transition

# text.clean removes lone surrogates from all texts before they reach the journal.
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TIMES = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.integers(-(2**31), 2**31 - 1)
TRANSITIONS = st.builds(
    Transition,
    at=TIMES,
    connection=WORDS,
    uuid=WORDS,
    name=WORDS,
    domain_id=NUMBERS,
    event=WORDS,
    reason=WORDS,
    detail=WORDS,
    detail_code=NUMBERS,
    source=WORDS,
    message=WORDS,
    run_id=WORDS,
    incident_id=WORDS,
)
DETAILS = st.builds(
    DomainDetails,
    WORDS,
    WORDS,
    st.none() | st.builds(Nova, *[WORDS] * len(Nova._fields)),
    st.none() | st.builds(OpenNebula, *[WORDS] * len(OpenNebula._fields)),
    st.none() | st.builds(Ovirt, *[WORDS] * len(Ovirt._fields)),
)
DOMAINS = st.builds(
    Domain,
    connection=WORDS,
    uuid=WORDS,
    name=WORDS,
    state=WORDS,
    reason=WORDS,
    since=TIMES,
    confirmed=st.booleans(),
    domain_id=NUMBERS,
    persistent=st.none() | st.booleans(),
    autostart=st.none() | st.booleans(),
    details=st.none() | DETAILS,
    present=st.booleans(),
    removed_at=TIMES,
    run_id=WORDS,
    run_evidence=st.builds(RunEvidence, st.integers(0, 2**62), st.integers(0, 2**62)),
)
