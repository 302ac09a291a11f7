"""Asks, again and again, whether the domains of a connection still answer: a thread for each hang signal.

Law: what is asked goes over connections of its own, by a ``Crew``; this thread never calls libvirt itself, so
it always comes round. What comes back is told as it is: what it means is ``hangs``' business. Nobody is asked
while the connection is down.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import libvirt

from libvirt_lifecycle_exporter.hypervisor.domain_name import name_of
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer, ProbeResults
from libvirt_lifecycle_exporter.runtime.threads import PROBE, SupervisedThread, ThreadRegistry

log = logging.getLogger(__name__)

_REST = 0.5
"""Seconds between looks whether the connection is up again."""

MONITORED = frozenset({"QEMU"})
"""Drivers (as virConnectGetType names them) whose domains have a monitor, an agent and virtual CPUs."""


class Observer(Protocol):
    """Records durations; a labelled child of a Prometheus histogram."""

    def observe(self, amount: float) -> None:
        """Record one duration; seconds."""


class ProbeContext(NamedTuple):
    """Where probes stand: what they share of one connection."""

    label: str
    message_queue: MessageQueue
    duration_of: Callable[[str], Observer]
    """Returns what observes the durations of the rounds of a signal."""
    is_up: Callable[[], bool]
    """Whether the connection that events come over is up."""
    passes: Callable[[str], bool]
    """Whether a domain of this name is wanted."""
    read_only: Callable[[], Any]
    """Opens a connection."""
    read_write: Callable[[], Any]
    threads: ThreadRegistry
    on_stop: tuple[Callable[[], None], ...] = ()
    """Called, in this order, when the probes are asked to end."""


class Probe(ABC):
    """The probes of one signal on one connection."""

    signal: ClassVar[str]

    def __init__(self, post: ProbeContext, interval: float) -> None:
        """``interval``: seconds between rounds."""
        self.post = post
        self._interval = interval
        self._due = 0.0
        self._over = threading.Event()
        self._thread = SupervisedThread(
            post.threads, PROBE, f"probe-{self.signal}-{post.label}", self._run, self._over
        )
        self._duration = post.duration_of(self.signal)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        self._over.set()
        for call in self.post.on_stop:
            call()

    def join(self, timeout: float) -> bool:
        """Wait for its end; False if it has not come."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    @abstractmethod
    def round(self) -> None:
        """Ask all domains once; raises Unsupported where that makes no sense."""

    def between(self) -> float:
        """Do what is due between rounds; return the seconds until it is to be called again."""
        return self._interval

    def rest(self) -> None:  # noqa: B027 - most have nothing to let go of
        """Let go of what is known: the connection is down."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything."""

    def tell(self, answers: list[ProbeAnswer]) -> None:
        """Hand the answers over."""
        if answers:
            self.post.message_queue.put(
                ProbeResults(time.time(), self.post.label, self.signal, tuple(answers))
            )

    def _run(self) -> None:
        wait = 0.0
        while not self._over.wait(wait):
            wait = _REST
            try:
                wait = self._step()
            except Unsupported as reason:
                log.info(
                    "connection %s: no probes for the signal %s: %s", self.post.label, self.signal, reason
                )
                break
            except Exception as error:  # noqa: BLE001 - one odd answer must not end all probing
                self.post.threads.report(PROBE, error)
        with self.post.threads.guard(PROBE):
            self.close()

    def _step(self) -> float:
        """Do what is due; return the seconds until the next step."""
        now = time.monotonic()
        if not self.post.is_up():
            self._due = 0.0
            self.rest()
            return _REST
        if now < self._due:
            return max(0.0, min(self.between(), self._due - time.monotonic()))
        self._due = now + self._interval
        try:
            self.round()
        finally:
            self._duration.observe(time.monotonic() - now)
        return 0.0


class Unsupported(Exception):  # noqa: N818 - a state of the driver, no error
    """The driver has nobody to ask."""


class Listed(NamedTuple):
    """What is there to be asked."""

    driver: str
    domains: tuple[tuple[str, str], ...]
    """uuid, name"""


def listing(flags: int) -> Callable[[Any], Listed]:
    """Return the question for the domains of a kind."""

    def ask(connection: Any) -> Listed:
        found = connection.listAllDomains(flags)
        return Listed(connection.getType(), tuple((one.UUIDString(), name_of(one)) for one in found))

    return ask


def wanted(post: ProbeContext, listed: Listed) -> list[str]:
    """Return the uuids of those to be probed; raises Unsupported for a driver that has nobody to ask."""
    if listed.driver not in MONITORED:
        raise Unsupported(f"the driver {listed.driver} has no monitor, agent or virtual CPUs to ask")
    return [uuid for uuid, name in listed.domains if post.passes(name)]


RUNNING = libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING
ACTIVE = libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE
