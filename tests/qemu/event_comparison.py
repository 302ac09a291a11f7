"""Comparison of the counters and the journal of the exporter with the recorded events."""

from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.pairs import Pair

POSSIBLE_REASONS: dict[Pair, set[str]] = {
    ("stopped", "failed"): {"failed", "crashed", "hung"},
    ("stopped", "shutdown"): {"shutdown", "quit"},
    ("stopped", "destroyed"): {"destroyed", "hung"},
}
"""libvirt's pair -> the reasons under which the exporter may count it; all others keep their reason."""

INFERRED: set[Pair] = {("undefined", "removed"), ("stopped", "failed")}
"""Pairs without an event of libvirt, which two answers prove: a domain that is undefined by its migration, a
failed start.
"""


def assert_counts_match(
    exporter: Exporter, recorder: EventRecorder, domain: str, connection: str | None = None
) -> None:
    """Assert that recorder, journal and metrics have the same pairs with the same counts.

    Called after the domain was removed. An exporter that has counted a marker has received all earlier
    events; a verdict may still be open. The journal is compared after two markers, and the metrics with
    the journal.
    """
    journal = exporter.journal
    for _ in range(2):
        wait_counted(exporter, recorder.settle(), connection)
        exporter.wait_until(
            lambda: journal.sent(domain, connection).total() >= recorder.pairs(domain).total(), what=domain
        )
        summary = f"{domain}: libvirt sent {recorder.summary(domain)}"
        assert journal.sent(domain, connection) == recorder.pairs(domain), summary
        exporter.wait_until(
            lambda: exporter.lifecycle_counts(domain, connection) == journal.counted(domain, connection),
            what=domain,
        )
    for row in journal.rows(domain, connection):
        if row.source == "reconcile":
            assert (row.event, row.reason) in INFERRED, row
        else:
            assert row.reason in POSSIBLE_REASONS.get(row.raw, {row.raw[1]}), row


def wait_counted(exporter: Exporter, marker: str, connection: str | None = None) -> None:
    exporter.wait_until(
        lambda: exporter.lifecycle_counts(marker, connection)["undefined", "removed"],
        what=f"the exporter to count {marker}",
    )
