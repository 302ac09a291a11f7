"""Base class of the hang probes: one thread per hang signal and connection.

Each probe sends its calls through a ``CallPool`` with connections of its own; the probe's thread makes no
libvirt call, so it cannot hang. A probe reports outcomes only: the engine decides whether a domain is hung.
While the connection is down, nothing is probed.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import libvirt

from libvirt_lifecycle_exporter.hypervisor.call_pool import CallPool
from libvirt_lifecycle_exporter.hypervisor.listing import domain_name
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer, ProbeResults
from libvirt_lifecycle_exporter.runtime.threads import PROBE, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

_RETRY_DELAY = 0.5
"""Seconds between checks whether the connection is up again."""
_LISTING_TIMEOUT = 3.0
"""Seconds to list the domains to probe."""

RUNNING = libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING
ACTIVE = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE

PROBED_DRIVERS = frozenset({"QEMU"})
"""Drivers (as virConnectGetType returns them) whose domains have a monitor, a guest agent and virtual
CPUs."""


class Observer(Protocol):
    """Records durations, as a labelled child of a Prometheus histogram does."""

    def observe(self, amount: float) -> None:
        """Record one duration; seconds."""


class ProbeContext(NamedTuple):
    """What the probes of one connection share."""

    label: str
    message_queue: MessageQueue
    observer_for: Callable[[str], Observer]
    """Takes a signal; returns the observer of the durations of its rounds."""
    is_up: Callable[[], bool]
    """Returns whether the connection that delivers events is up."""
    passes: Callable[[str], bool]
    """Returns whether the domain filter includes a domain of this name."""
    open_read_only: Callable[[], Any]
    open_read_write: Callable[[], Any]
    threads: ThreadRegistry
    on_stop: tuple[Callable[[], None], ...] = ()
    """Called in this order when the probes are asked to stop."""


class Probe(ABC):
    """Probes all domains of one connection for one hang signal."""

    signal: ClassVar[str]

    def __init__(self, context: ProbeContext, interval: float) -> None:
        """``interval``: seconds between rounds."""
        self.context = context
        self._interval = interval
        self._due = 0.0
        self._stop_requested = threading.Event()
        name = f"probe-{self.signal}-{context.label}"
        self._thread = SupervisedThread(context.threads, PROBE, name, self._run, self._stop_requested)
        self._duration = context.observer_for(self.signal)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Request the end of the thread; returns at once."""
        self._stop_requested.set()
        for call in self.context.on_stop:
            call()

    def join(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the thread; return whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @abstractmethod
    def run_round(self) -> None:
        """Probe all domains once; raises UnsupportedDriverError if the driver has nothing to probe."""

    def run_between_rounds(self) -> float:
        """Do what is due between rounds; return the seconds until the next call."""
        return self._interval

    def reset(self) -> None:  # noqa: B027 - most probes keep no state
        """Discard the state of all domains: the connection is down."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""

    def report(self, answers: list[ProbeAnswer]) -> None:
        """Send the answers to the worker."""
        if answers:
            self.context.message_queue.put(
                ProbeResults(time.time(), self.context.label, self.signal, tuple(answers))
            )

    def _run(self) -> None:
        wait = 0.0
        while not self._stop_requested.wait(wait):
            wait = _RETRY_DELAY
            try:
                wait = self._run_step()
            except UnsupportedDriverError as error:
                fields = {"connection": self.context.label, "signal": self.signal, "driver": error.driver}
                log.info("hang probe not supported by the driver", extra=fields)
                break
            except Exception as error:  # noqa: BLE001 - one unexpected result must not end all probing
                self.context.threads.report(PROBE, error)
        with self.context.threads.guard(PROBE):
            self.close()

    def _run_step(self) -> float:
        """Do what is due; return the seconds until the next step."""
        now = time.monotonic()
        if not self.context.is_up():
            self._due = 0.0
            self.reset()
            return _RETRY_DELAY
        if now < self._due:
            return max(0.0, min(self.run_between_rounds(), self._due - time.monotonic()))
        self._due = now + self._interval
        try:
            self.run_round()
        finally:
            self._duration.observe(time.monotonic() - now)
        return 0.0


class UnsupportedDriverError(Exception):
    """The domains of the driver have no monitor, guest agent or virtual CPUs."""

    def __init__(self, driver: str) -> None:
        super().__init__(driver)
        self.driver = driver


class _DomainList(NamedTuple):
    """The domains of a connection."""

    driver: str
    domains: tuple[tuple[str, str], ...]
    """UUID and name."""


def list_probed(pool: CallPool, flags: int, context: ProbeContext) -> list[str] | None:
    """Return the UUIDs of the domains to probe; None if they cannot be listed in time.

    ``flags``: ``RUNNING`` or ``ACTIVE``. Raises UnsupportedDriverError.
    """

    def list_domains(connection: Any) -> _DomainList:
        found = connection.listAllDomains(flags)
        pairs = ((one.UUIDString(), domain_name(one)) for one in found)
        return _DomainList(connection.getType(), tuple(pairs))

    listed = pool.run({"": list_domains}, concurrency=1, timeout=_LISTING_TIMEOUT).get("")
    if listed is None or isinstance(listed, libvirt.libvirtError):
        return None
    if listed.driver not in PROBED_DRIVERS:
        raise UnsupportedDriverError(listed.driver)
    return [uuid for uuid, name in listed.domains if context.passes(name)]
