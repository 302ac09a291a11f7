"""Cost of a round of emulator probes: calls to libvirt, seconds, CPU time of the exporter and of libvirtd.

Measured with real guests, and for more domains with a fake libvirt that answers at once; for the fake, the
CPU time of libvirtd is left out.
"""

import statistics
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from libvirt_lifecycle_exporter.hypervisor.emulator_probe import EmulatorProbe
from libvirt_lifecycle_exporter.hypervisor.event_loop import LOOP
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.hypervisor.probes import ProbeContext
from libvirt_lifecycle_exporter.metrics.self_metrics import probe_duration_histogram
from libvirt_lifecycle_exporter.runtime.threads import ThreadRegistry
from tests.bench.process_figures import cpu_seconds
from tests.lab.daemon import short_root
from tests.lab.guests import Guests
from tests.lab.session_daemon import SessionDaemon

REAL = (20, 100)
FAKE = (100, 1000)
ROUNDS = 10
CALLS = ("listAllDomains", "lookupByUUIDString", "controlInfo", "domainListGetStats")


class CallCounter:
    """A connection or domain that counts calls."""

    def __init__(self, real: Any, calls: Counter[str]) -> None:
        self._real = real
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)

        def call(*arguments: Any) -> Any:
            if name in CALLS:
                self._calls[name] += 1
            plain = [
                [one._real for one in argument] if isinstance(argument, list) else argument  # noqa: SLF001
                for argument in arguments
            ]
            answer = method(*plain)
            return CallCounter(answer, self._calls) if name == "lookupByUUIDString" else answer

        return call


class FakeLibvirt:
    """Fake of a connection with this number of domains, and of each domain."""

    def __init__(self, domains: int, place: int = 0) -> None:
        self._domains = domains
        self._place = place

    def listAllDomains(self, _flags: int) -> list["FakeLibvirt"]:  # noqa: N802 - libvirt's name
        return [FakeLibvirt(0, place) for place in range(self._domains)]

    def lookupByUUIDString(self, uuid: str) -> "FakeLibvirt":  # noqa: N802 - libvirt's name
        return FakeLibvirt(0, int(uuid))

    def UUIDString(self) -> str:  # noqa: N802 - libvirt's name
        return str(self._place)

    def name(self) -> str:
        return f"vm-{self._place}"

    def getType(self) -> str:  # noqa: N802 - libvirt's name
        return "QEMU"

    def getLibVersion(self) -> int:  # noqa: N802 - libvirt's name
        return 9_000_000

    def controlInfo(self) -> list[int]:  # noqa: N802 - libvirt's name
        return [0, 0, 0]

    def domainListGetStats(self, *_arguments: Any) -> list[Any]:  # noqa: N802 - libvirt's name
        return []

    def setKeepAlive(self, *_arguments: int) -> None:  # noqa: N802 - libvirt's name
        pass

    def isAlive(self) -> bool:  # noqa: N802 - libvirt's name
        return True

    def close(self) -> int:
        return 0


def real(domains: int) -> dict[str, float]:
    """Measure with this number of guests."""
    import libvirt  # noqa: PLC0415 - not needed for the fake

    LOOP.start()
    with short_root() as root, SessionDaemon(root / "bench") as daemon:
        guests = Guests(Path(root) / "guests")
        connection = daemon.connect()
        for number in range(domains):
            connection.createXML(guests.xml(f"vm-{number}"))
        connection.close()
        return rounds(domains, lambda: libvirt.openReadOnly(daemon.uri), daemon.pid)


def fake(domains: int) -> dict[str, float]:
    return rounds(domains, lambda: FakeLibvirt(domains), 0)


def rounds(domains: int, opener: Any, daemon: int) -> dict[str, float]:
    calls: Counter[str] = Counter()
    context = ProbeContext(
        "bench",
        MessageQueue(1000),
        partial(probe_duration_histogram().labels, "bench"),
        lambda: True,
        lambda _name: True,
        lambda: CallCounter(opener(), calls),
        lambda: None,
        ThreadRegistry(),
    )
    probe = EmulatorProbe(context, 30.0, 15.0)
    probe.run_round()
    calls.clear()
    took, ours, daemons = [], time.process_time(), cpu_seconds(daemon) if daemon else 0.0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        probe.run_round()
        took.append(time.perf_counter() - began)
    found = {
        "domains": domains,
        "calls_a_round": calls.total() / ROUNDS,
        "calls_a_domain": calls.total() / ROUNDS / domains,
        "round_ms": 1000 * statistics.median(took),
        "own_cpu_ms_a_round": 1000 * (time.process_time() - ours) / ROUNDS,
    }
    if daemon:
        found["libvirtd_cpu_ms_a_round"] = 1000 * (cpu_seconds(daemon) - daemons) / ROUNDS
    probe.close()
    return found


def figures() -> list[tuple[str, dict[str, float]]]:
    return [
        *(("real guests", real(domains)) for domains in REAL),
        *(("a fake libvirt", fake(domains)) for domains in FAKE),
    ]
