"""The log records of a test, with the values of their fields."""

import pytest


def log_text(caplog: pytest.LogCaptureFixture) -> str:
    """Return the messages and all fields of the captured records; caplog.text lacks the fields."""
    return "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
