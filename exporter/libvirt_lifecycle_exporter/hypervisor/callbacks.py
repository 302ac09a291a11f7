"""libvirt callbacks: each copies the event into an ``Observation`` and enqueues it.

Invariants: a callback makes no libvirt call that leaves the process, does no I/O, and keeps no virDomain. It
catches every exception: libvirt's Python binding would print it, and the event would be lost without being
counted. An event that cannot be copied or enqueued is counted, and a new listing is requested. The exception
is reported to the thread registry. Callbacks run on the thread of the event loop.
Callback types: https://libvirt.org/html/libvirt-libvirt-domain.html
"""

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import libvirt

from libvirt_lifecycle_exporter.hypervisor.listing import domain_name
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.model.messages import Observation
from libvirt_lifecycle_exporter.model.text import clean, plain
from libvirt_lifecycle_exporter.model.vocabulary import LIFECYCLE, OBSERVED_KINDS
from libvirt_lifecycle_exporter.runtime.threads import EVENT_LOOP, ThreadRegistry

log = logging.getLogger(__name__)

_TEXT_LIMIT = 1024
_REASON_LIMIT = 64
"""Characters of libvirt's free-form reason of an I/O error."""


class Payload(NamedTuple):
    """The arguments of a callback, without the domain; the fields are those of ``Observation``."""

    event: int = 0
    detail: int = 0
    subject: str = ""
    word: str = ""


def _io_error_payload(path: str, alias: str, action: int, reason: str) -> Payload:
    return Payload(action, 0, plain(path or alias or "", _TEXT_LIMIT), plain(reason or "", _REASON_LIMIT))


def _metadata_payload(kind: int, uri: str | None) -> Payload:
    return Payload(kind, 0, clean(uri or "", _TEXT_LIMIT))


# Takes the arguments after (connection, domain) of the callback type that libvirt documents.
_PAYLOADS: dict[str, Callable[..., Payload]] = {
    "reboot": Payload,
    "watchdog": Payload,
    "io_error_reason": _io_error_payload,
    "control_error": Payload,
    "agent_lifecycle": Payload,
    "job_completed": lambda _statistics: Payload(),
    "metadata_change": _metadata_payload,
    "memory_failure": lambda recipient, action, _flags: Payload(action, recipient),
}


class EventCallbacks:
    """Registers callbacks for all observed event ids of one connection, and enqueues the events."""

    def __init__(
        self,
        label: str,
        message_queue: MessageQueue,
        on_loss: Callable[[], None],
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``label``: of the connection. ``on_loss``: called when an event is lost; must not block."""
        self._threads = threads or ThreadRegistry()
        self._label = label
        self._queue = message_queue
        self._next_order = message_queue.next_order
        self._offer = message_queue.offer
        self._on_loss = on_loss
        self._unsupported: set[str] = set()

    def register(self, connection: Any) -> list[int]:
        """Register every callback that libvirt and the driver support; return the callback ids.

        Raises libvirtError if lifecycle events are not supported.
        """
        registered = []
        for kind in OBSERVED_KINDS:
            number = getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{kind.upper()}", None)
            try:
                if number is None:
                    self._log_unsupported(kind, "unknown to this version of libvirt")
                    continue
                registered.append(self._register_one(connection, kind, number))
            except libvirt.libvirtError as error:
                if kind == LIFECYCLE:
                    raise
                self._log_unsupported(kind, str(error))
        return registered

    def _register_one(self, connection: Any, kind: str, number: int) -> int:
        if kind == LIFECYCLE:
            return int(connection.domainEventRegisterAny(None, number, self._on_lifecycle, None))
        return int(connection.domainEventRegisterAny(None, number, self._on_other, (kind, _PAYLOADS[kind])))

    def _report_failure(self, error: Exception) -> None:
        self._threads.report(EVENT_LOOP, error)
        self._queue.record_loss(self._label, "callback_error")

    def _call_on_loss(self) -> None:
        with self._threads.guard(EVENT_LOOP):
            self._on_loss()

    def _log_unsupported(self, kind: str, error: str) -> None:
        if kind not in self._unsupported:
            self._unsupported.add(kind)
            fields = {"connection": self._label, "kind": kind, "error": error}
            log.info("event kind not supported", extra=fields)

    def _on_lifecycle(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: object) -> None:
        """Called for every lifecycle event: the hot path."""
        at = time.time()
        try:
            is_queued = self._offer(
                Observation(
                    self._next_order(),
                    at,
                    self._label,
                    LIFECYCLE,
                    domain.UUIDString(),
                    domain_name(domain),
                    domain.ID(),
                    event,
                    detail,
                    "",
                    "",
                )
            )
        except Exception as error:  # noqa: BLE001 - see the invariants above
            is_queued = False
            self._report_failure(error)
        if not is_queued:
            self._call_on_loss()

    def _on_other(self, _connection: Any, domain: Any, *arguments: Any) -> None:
        """Called for every event with another event id."""
        at = time.time()
        try:
            *values, (kind, payload) = arguments
            is_queued = self._offer(
                Observation(
                    self._next_order(),
                    at,
                    self._label,
                    kind,
                    domain.UUIDString(),
                    domain_name(domain),
                    domain.ID(),
                    *payload(*values),
                )
            )
        except Exception as error:  # noqa: BLE001 - see the invariants above
            is_queued = False
            self._report_failure(error)
        if not is_queued:
            self._call_on_loss()
