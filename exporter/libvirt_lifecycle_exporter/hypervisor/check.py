"""The command ``check``: open each connection as the exporter does, and report OK or FAILED per item.

For each failure, the report says what is missing and how to grant or configure it.
"""

import queue
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import libvirt

from libvirt_lifecycle_exporter.hypervisor.callbacks import EventCallbacks
from libvirt_lifecycle_exporter.hypervisor.errors import PEER_REJECTED, hint_for
from libvirt_lifecycle_exporter.hypervisor.event_loop import format_version
from libvirt_lifecycle_exporter.hypervisor.library_log import LOG
from libvirt_lifecycle_exporter.hypervisor.listing import list_domains
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.hypervisor.opening import Opener
from libvirt_lifecycle_exporter.hypervisor.probes import PROBED_DRIVERS
from libvirt_lifecycle_exporter.model.vocabulary import OBSERVED_KINDS

_QUEUE_LIMIT = 1000
_AGENT = "hang detection by guest agent (--hang.guest-agent)"

_REASON_PREFIX = "Certificate check failed "
"""Prefix of the warning in libvirt's log with the reason why this side rejects a certificate."""
_REASON_TIMEOUT = 2.0
"""Seconds to wait for that warning."""


class ConnectionCheck(NamedTuple):
    """The result of checking one connection."""

    label: str
    uri: str
    is_ok: bool
    lines: tuple[str, ...]
    """One line per item that was checked."""


def check_connection(label: str, uri: str, timeout: float) -> ConnectionCheck:
    """Open a connection, check each item, close it; ``timeout``: seconds after which the check fails."""
    opener = Opener(uri)
    results: queue.SimpleQueue[ConnectionCheck] = queue.SimpleQueue()
    threading.Thread(target=lambda: results.put(_check(label, uri, opener)), daemon=True).start()
    try:
        return results.get(timeout=timeout)
    except queue.Empty:
        error = TimeoutError(f"no answer within {timeout:g} s")
        return ConnectionCheck(label, uri, is_ok=False, lines=tuple(_describe_failure("connect", error)))
    finally:
        # The process ends soon and must not leave an ssh process behind.
        opener.stop()
        opener.terminate_children()


def _check(label: str, uri: str, opener: Opener) -> ConnectionCheck:
    lines: list[str] = []
    try:
        connection = opener.open_read_only()
        try:
            lines.extend(_check_items(connection, label, opener))
        finally:
            connection.close()
    except (libvirt.libvirtError, TimeoutError, ConnectionError) as error:
        item = _ITEMS[min(len(lines), len(_ITEMS) - 1)]
        return ConnectionCheck(label, uri, is_ok=False, lines=(*lines, *_describe_failure(item, error)))
    return ConnectionCheck(label, uri, is_ok=True, lines=tuple(lines))


_ITEMS = ("connect", "domains", "events", "access", "hang detection")
"""The items in the order in which they are checked; each yields one line if it succeeds."""


def _check_items(connection: Any, label: str, opener: Opener) -> Iterator[str]:
    version = format_version(connection.getLibVersion())
    yield f"connect: OK (driver {connection.getType()}, libvirt {version} on {connection.getHostname()})"
    domains = list_domains(connection)
    running = sum(domain.state == "running" for domain in domains)
    yield f"domains: OK ({len(domains)} domains, {running} running)"
    registered = EventCallbacks(label, MessageQueue(_QUEUE_LIMIT), lambda: None).register(connection)
    for number in registered:
        connection.domainEventDeregisterAny(number)
    yield f"events: OK ({len(registered)} of {len(OBSERVED_KINDS)} event kinds are supported)"
    yield "access: OK (read-only access is enough, and the exporter uses no other)"
    yield from _check_hang_detection(connection, opener)


def _check_hang_detection(connection: Any, opener: Opener) -> Iterator[str]:
    """Report which hang signals are available; none of them is required."""
    if connection.getType() not in PROBED_DRIVERS:
        yield f"hang detection: not supported by the driver {connection.getType()}"
        return
    yield "hang detection by emulator, watchdog and vcpu (--hang.vcpu): OK (read-only access)"
    try:
        opener.open_read_write().close()
    except libvirt.libvirtError as error:
        yield f"{_AGENT}: not available, read-write access is refused: {error}"
    else:
        yield f"{_AGENT}: OK (read-write access)"


def _describe_failure(item: str, error: BaseException) -> Iterator[str]:
    """Yield what failed, and a hint if one is known."""
    reason = ""
    if PEER_REJECTED in str(error):
        reason = LOG.take(_REASON_PREFIX, _REASON_TIMEOUT).removeprefix(_REASON_PREFIX)
    yield f"{item}: FAILED: {error} ({reason})" if reason else f"{item}: FAILED: {error}"
    hint = hint_for(error, reason)
    if hint:
        yield f"hint: {hint}"
