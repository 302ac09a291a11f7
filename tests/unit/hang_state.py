"""Sets and clears hang signals in a record, as ``hangs`` does when probes find a domain hung or recovered."""

from libvirt_lifecycle_exporter.engine.record import HangSignal, Records


def set_hung(records: Records, uuid: str, *signals: str, connection: str = "here", at: float = 0.0) -> None:
    """Let exactly these signals be hung."""
    record = records.get(connection, uuid)
    record.hang_signals = {signal: HangSignal(hung_at=at) for signal in signals}
