"""Two libvirts that migrate to each other, and the exporter that is connected to both."""

from dataclasses import dataclass

from tests.lab.daemon import Daemon
from tests.lab.event_recorder import EventRecorder
from tests.lab.exporter import Exporter


@dataclass(frozen=True)
class Host:
    name: str
    """Also the `connection` label of the exporter."""
    daemon: Daemon
    recorder: EventRecorder


@dataclass(frozen=True)
class Hosts:
    here: Host
    there: Host
    exporter: Exporter
