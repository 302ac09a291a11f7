"""The comparison that everything here comes down to: the exporter's account against the recorder's log."""

from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter
from tests.lab.pairs import Pair

DIAGNOSED: dict[Pair, set[str]] = {
    ("stopped", "failed"): {"failed", "crashed", "hung"},
    ("stopped", "shutdown"): {"shutdown", "quit"},
    ("stopped", "destroyed"): {"destroyed", "hung"},
}
"""libvirt's pair -> the reasons that it may be counted under; all others keep theirs."""

INFERRED: set[Pair] = {("undefined", "removed"), ("stopped", "failed")}
"""What libvirt sends no event for, so that only two answers prove it: a domain that is undefined by its own
migration, a start that failed."""


def counts_agree(
    exporter: Exporter, recorder: EventRecorder, domain: str, connection: str | None = None
) -> None:
    """Pair by pair, nothing more, nothing less; AssertionError with both accounts otherwise.

    Called when the domain is gone. First the marker: when the exporter has counted it, it has seen all
    that libvirt sent before; a verdict may still be open. What is in the journal then must be the truth, and
    still be it a marker later; and what is shown must be what is in the journal.
    """
    journal = exporter.journal
    for _ in range(2):
        wait_counted(exporter, recorder.settle(), connection)
        exporter.wait_until(
            lambda: journal.sent(domain, connection).total() >= recorder.pairs(domain).total(), what=domain
        )
        story = f"{domain}: libvirt said {recorder.summary(domain)}"
        assert journal.sent(domain, connection) == recorder.pairs(domain), story
        exporter.wait_until(
            lambda: exporter.lifecycle_counts(domain, connection) == journal.counted(domain, connection),
            what=domain,
        )
    for row in journal.rows(domain, connection):
        if row.source == "reconcile":
            assert (row.event, row.reason) in INFERRED, row
        else:
            assert row.reason in DIAGNOSED.get(row.raw, {row.raw[1]}), row


def wait_counted(exporter: Exporter, marker: str, connection: str | None = None) -> None:
    exporter.wait_until(
        lambda: exporter.lifecycle_counts(marker, connection)["undefined", "removed"],
        what=f"the exporter to count {marker}",
    )
