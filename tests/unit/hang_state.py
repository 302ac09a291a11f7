"""Helper that sets the hang signals of a record, as ``hangs`` does after probes."""

from libvirt_lifecycle_exporter.engine.record import HangSignal, Records


def set_hung(records: Records, uuid: str, *signals: str, connection: str = "here", at: float = 0.0) -> None:
    """Set exactly these signals."""
    record = records.get(connection, uuid)
    record.hang_signals = {signal: HangSignal(hung_at=at) for signal in signals}
