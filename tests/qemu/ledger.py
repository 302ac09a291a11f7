"""The comparison that everything here comes down to: the exporter's counters against the witness's log."""

from tests.lab.exporter import Exporter
from tests.lab.witness import Witness


def counts_agree(exporter: Exporter, witness: Witness, domain: str, connection: str | None = None) -> None:
    """Pair by pair, nothing more, nothing less; AssertionError with both accounts otherwise.

    Called when the domain is gone. First the marker: when the exporter has counted it, it has counted all
    that libvirt sent before. What is shown then must be the truth, and still be it a marker later.
    """
    for _ in range(2):
        wait_counted(exporter, witness.settle(), connection)
        shown = exporter.lifecycle_counts(domain, connection)
        assert shown == witness.pairs(domain), f"{domain}: libvirt said {witness.story(domain)}"


def wait_counted(exporter: Exporter, marker: str, connection: str | None = None) -> None:
    exporter.wait_until(
        lambda: exporter.lifecycle_counts(marker, connection)["undefined", "removed"],
        what=f"the exporter to count {marker}",
    )
