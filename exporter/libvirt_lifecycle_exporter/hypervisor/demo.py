"""Scripted domains on libvirt's in-process test driver: a demonstration without a hypervisor.

``test:///default`` is shared within a process. So the actions of the script, on a connection of its own,
reach the exporter's read-only connection as events, as those of a real daemon do.
"""

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt

from libvirt_lifecycle_exporter.hypervisor.opening import open_read_write
from libvirt_lifecycle_exporter.runtime.threads import DEMO, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

URI = "test:///default"
_STOP_TIMEOUT = 0.3
"""Seconds to wait for the current step when the process stops."""

_DOMAIN = """<domain type='test'>
  <name>{name}</name><title>{title}</title><memory unit='MiB'>64</memory>
  <os><type arch='i686'>hvm</type></os><metadata>{metadata}</metadata>
</domain>"""

_NOVA = """<nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'>
  <nova:name>{name}</nova:name><nova:flavor name='m1.small'/>
  <nova:owner>
    <nova:user uuid='2f0a3c0e6c0b4b8e9d1f5a7c3e9b1d24'>demo</nova:user>
    <nova:project uuid='8d5e1c7a4b3f4e2a9c6d0b1e7f3a5c88'>shop</nova:project>
  </nova:owner>
</nova:instance>"""

_TITLES = {
    "web-1": "front page",
    "web-2": "front page, spare",
    "db-1": "orders",
    "batch-7": "nightly report (transient)",
    "edge-3": "crashes regularly",
}

Step = Callable[[], object]


class DemoScenario:
    """Five domains that are started, paused, saved, crashed and restarted, one step at a time."""

    def __init__(
        self,
        interval: float = 1.0,
        threads: ThreadRegistry | None = None,
        opener: Callable[[str], Any] = open_read_write,
    ) -> None:
        """``interval``: seconds between steps."""
        self._threads = threads or ThreadRegistry()
        self._threads.errors.setdefault(DEMO, 0)
        self._open = opener
        self._interval = interval
        self._stop_requested = threading.Event()
        self._thread = SupervisedThread(self._threads, DEMO, "demo", self._run, self._stop_requested)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; an unfinished step is abandoned."""
        self._stop_requested.set()
        self._thread.join(_STOP_TIMEOUT)

    def _run(self) -> None:
        with tempfile.TemporaryDirectory(prefix="lifecycle-demo-") as folder:
            connection = self._open(URI)
            domains = {name: connection.defineXML(_xml(name)) for name in _TITLES if name != "batch-7"}
            while True:
                for step in _steps(connection, domains, Path(folder)):
                    if self._stop_requested.wait(self._interval):
                        return
                    try:
                        step()
                    except libvirt.libvirtError as error:
                        # Another client may have changed the same domains.
                        log.debug("demo step skipped", extra={"error": str(error)})


def _xml(name: str) -> str:
    return _DOMAIN.format(name=name, title=_TITLES[name], metadata=_NOVA.format(name=name))


def _steps(connection: Any, domains: dict[str, Any], folder: Path) -> Iterator[Step]:
    """Yield the steps of one cycle; they leave every domain in its initial state, so the cycle can repeat."""
    web, spare, orders, edge = (domains[name] for name in ("web-1", "web-2", "db-1", "edge-3"))
    image, core = str(folder / "db-1.save"), str(folder / "edge-3.core")
    yield web.create
    yield orders.create
    yield edge.create
    yield lambda: connection.createXML(_xml("batch-7"))
    yield lambda: edge.coreDump(core, libvirt.VIR_DUMP_CRASH)
    yield web.suspend
    yield spare.create
    yield web.resume
    yield lambda: orders.save(image)
    yield edge.create
    yield web.reboot
    yield lambda: connection.restore(image)
    yield lambda: connection.lookupByName("batch-7").destroy()
    yield spare.destroy
    yield lambda: edge.coreDump(core, libvirt.VIR_DUMP_CRASH)
    yield orders.shutdown
    yield web.shutdown
