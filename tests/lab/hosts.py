"""Two libvirts that know each other, and the exporter that watches both under their own names."""

from dataclasses import dataclass

from tests.lab.daemon import Daemon
from tests.lab.exporter import Exporter
from tests.lab.witness import Witness


@dataclass(frozen=True)
class Host:
    name: str
    """Also the `connection` label that the exporter gives it."""
    daemon: Daemon
    witness: Witness


@dataclass(frozen=True)
class Hosts:
    here: Host
    there: Host
    exporter: Exporter
