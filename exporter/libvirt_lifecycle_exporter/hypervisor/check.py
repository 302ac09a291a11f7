"""``check``: opens each connection as the exporter would, and says what it finds and what is missing.

A sentence for each permission that can be missing, and how to grant it.
"""

import queue
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import libvirt

from libvirt_lifecycle_exporter.hypervisor.callbacks import EventCallbacks
from libvirt_lifecycle_exporter.hypervisor.event_loop import dotted
from libvirt_lifecycle_exporter.hypervisor.hints import PEER_REJECTED, hint_for
from libvirt_lifecycle_exporter.hypervisor.library_log import LOG
from libvirt_lifecycle_exporter.hypervisor.listing import list_domains
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.hypervisor.opening import Opener
from libvirt_lifecycle_exporter.hypervisor.probes import MONITORED
from libvirt_lifecycle_exporter.model.vocabulary import OBSERVED_KINDS

_ROOM = 1000
_AGENT = "hang detection: guest_agent (--hang.guest-agent) needs read-write access"

_REASON = "Certificate check failed "
"""Beginning of the warning in libvirt's log that says why this side rejects a certificate."""
_REASON_WITHIN = 2.0
"""Seconds to wait for that warning."""


class Finding(NamedTuple):
    """What was found about one connection."""

    label: str
    uri: str
    well: bool
    lines: tuple[str, ...]


def check(label: str, uri: str, patience: float) -> Finding:
    """Open, look, close; ``patience``: seconds before a connection is said to hang."""
    opener = Opener(uri)
    answer: queue.SimpleQueue[Finding] = queue.SimpleQueue()
    threading.Thread(target=lambda: answer.put(_examine(label, uri, opener)), daemon=True).start()
    try:
        return answer.get(timeout=patience)
    except queue.Empty:
        late = TimeoutError(f"no answer within {patience:g} s")
        return Finding(label, uri, well=False, lines=tuple(_problem(late)))
    finally:
        # The process ends soon, and must leave no ssh behind.
        opener.stop()
        opener.terminate_children()


def _hang_detection(connection: Any, opener: Opener) -> Iterator[str]:
    """Say which hang signals can be had here."""
    if connection.getType() not in MONITORED:
        yield f"hang detection: not here; the driver {connection.getType()} has no monitor to ask"
        return
    yield "hang detection: emulator, watchdog and vcpu (--hang.vcpu) work with read-only access"
    try:
        opener.open_read_write().close()
    except libvirt.libvirtError as error:
        yield f"{_AGENT}, which is refused: {error}"
    else:
        yield f"{_AGENT}, which is granted"


def _examine(label: str, uri: str, opener: Opener) -> Finding:
    lines: list[str] = []
    try:
        connection = opener.open_read_only()
        try:
            lines.extend(_facts(connection, label, opener))
        finally:
            connection.close()
    except (libvirt.libvirtError, TimeoutError, ConnectionError) as error:
        return Finding(label, uri, well=False, lines=(*lines, *_problem(error)))
    return Finding(label, uri, well=True, lines=tuple(lines))


def _facts(connection: Any, label: str, opener: Opener) -> Iterator[str]:
    version = dotted(connection.getLibVersion())
    yield f"driver {connection.getType()}, libvirt {version} on {connection.getHostname()}"
    domains = list_domains(connection)
    running = sum(domain.state == "running" for domain in domains)
    yield f"domains: {len(domains)}, of which running: {running}"
    registered = EventCallbacks(label, MessageQueue(_ROOM), lambda: None).register(connection)
    for number in registered:
        connection.domainEventDeregisterAny(number)
    yield f"events can be registered: {len(registered)} of {len(OBSERVED_KINDS)} kinds"
    yield "read-only access is enough, and that is what is used"
    yield from _hang_detection(connection, opener)


def _problem(error: BaseException) -> Iterator[str]:
    """Say what failed, and what to do about it if that is known."""
    reason = ""
    if PEER_REJECTED in str(error):
        reason = LOG.take(_REASON, _REASON_WITHIN).removeprefix(_REASON)
    yield f"{error} ({reason})" if reason else str(error)
    hint = hint_for(error, reason)
    if hint:
        yield f"hint: {hint}"
