"""Count log lines of the exporter in logfmt."""

import pytest

from libvirt_lifecycle_exporter.runtime.log_format import Logfmt


def count_lines(caplog: pytest.LogCaptureFixture, text: str) -> int:
    """Return the number of log lines that contain a text, in the message or in a field."""
    formatter = Logfmt()
    return sum(text in formatter.format(record) for record in caplog.records)
