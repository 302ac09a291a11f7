"""The boot id of each connection's host, and reboots of the host.

The kernel creates a new boot id at each boot. A changed boot id proves that every running domain has stopped.
"""

from collections.abc import Mapping

from libvirt_lifecycle_exporter.engine.changes import ChangeBatch, HostRebooted
from libvirt_lifecycle_exporter.engine.saved_state import HostRecord
from libvirt_lifecycle_exporter.model.messages import HostIdentified


class HostReboots:
    """The host behind each connection, as far as it is known."""

    def __init__(self) -> None:
        self._records: dict[str, HostRecord] = {}

    def restore(self, records: Mapping[str, HostRecord]) -> None:
        """Load what was known before a restart."""
        self._records = dict(records)

    def records(self) -> dict[str, HostRecord]:
        """Return what must outlive a restart."""
        return dict(self._records)

    def update(self, host: HostIdentified, batch: ChangeBatch) -> bool:
        """Record the boot; return whether the host was rebooted since it was last seen."""
        if not host.boot_id:
            return False
        before = self._records.get(host.connection, HostRecord("", 0.0))
        if before.boot_id == host.boot_id:
            return False
        is_rebooted = before.boot_id != ""
        record = HostRecord(host.boot_id, host.at if is_rebooted else before.rebooted_at)
        self._records[host.connection] = batch.hosts[host.connection] = record
        if is_rebooted:
            batch.add(HostRebooted(host.connection, host.at))
        return is_rebooted
