"""Each numeric option refuses 0 with a one-line error, or its help explains the value 0."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from libvirt_lifecycle_exporter.cli.main import command
from libvirt_lifecycle_exporter.config.options import DURATION, OPTIONS, SIZE, Option
from libvirt_lifecycle_exporter.config.settings import Settings, parse_size

REFUSED = {
    "--libvirt.keepalive-interval": "must be at least 1s",
    "--libvirt.keepalive-count": "0 is not in the range",
    "--libvirt.connect-timeout": "must be at least 100ms",
    "--libvirt.reconnect-max-delay": "must be at least 100ms",
    "--events.queue-size": "0 is not in the range",
    "--hang.emulator-interval": "must be at least 100ms",
    "--hang.emulator-threshold": "must be at least 1ms",
    "--hang.guest-agent-interval": "must be at least 100ms",
    "--hang.guest-agent-timeout": "must be at least 1s",
    "--hang.vcpu-window": "must be at least 100ms",
}
NUMERIC = [option for option in OPTIONS if option.type in (DURATION, SIZE) or hasattr(option.type, "min")]


@pytest.mark.parametrize("option", NUMERIC, ids=lambda option: option.name)
def test_zero_is_refused_or_explained(option: Option) -> None:
    if option.name not in REFUSED:
        assert "0" in option.help
        values: dict[str, Any] = {option.field: 0}
        Settings(**values)
        return
    ended = CliRunner().invoke(command, [option.name, "0", "check"], standalone_mode=False)
    assert isinstance(ended.exception, click.ClickException)
    assert REFUSED[option.name] in ended.exception.format_message()


def test_short_snapshot_interval_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--libvirt\.snapshot-interval must be 0"):
        Settings(snapshot_interval=0.001)


def test_demo_refuses_a_pace_of_zero() -> None:
    ended = CliRunner().invoke(command, ["demo", "--pace", "0"], standalone_mode=False)
    assert "--pace must be more than 0" in str(ended.exception)


def test_sizes_are_read_in_bytes() -> None:
    assert parse_size("0") == 0
