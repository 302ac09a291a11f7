"""libvirt callback -> Observation -> message_queue. Nothing else happens in a callback.

Law: a callback makes no libvirt call that leaves the process, does no I/O, keeps no virDomain, and
catches everything: an exception would be printed by libvirt's binding and the event would be lost
unseen. What cannot be copied or enqueued is counted, and a new snapshot is asked for. The exception itself
is reported to the thread registry.
"""

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import libvirt

from libvirt_lifecycle_exporter.hypervisor.domain_name import name_of
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.model.messages import Observation
from libvirt_lifecycle_exporter.model.text import clean, plain
from libvirt_lifecycle_exporter.model.vocabulary import LIFECYCLE, OBSERVED_KINDS
from libvirt_lifecycle_exporter.runtime.threads import EVENT_LOOP, ThreadRegistry

log = logging.getLogger(__name__)

_TEXT_LIMIT = 1024
_WORD_LIMIT = 64
"""Characters of libvirt's free-form word for an I/O error."""


class Payload(NamedTuple):
    """What a callback says beside the domain."""

    event: int = 0
    detail: int = 0
    subject: str = ""
    word: str = ""


def _of_io_error(path: str, alias: str, action: int, reason: str) -> Payload:
    return Payload(action, 0, plain(path or alias or "", _TEXT_LIMIT), plain(reason or "", _WORD_LIMIT))


def _of_metadata(kind: int, uri: str | None) -> Payload:
    return Payload(kind, 0, clean(uri or "", _TEXT_LIMIT))


# What follows (conn, domain) in every other callback's arguments, as libvirt documents the callback types.
_PAYLOADS: dict[str, Callable[..., Payload]] = {
    "reboot": Payload,
    "watchdog": Payload,
    "io_error_reason": _of_io_error,
    "control_error": Payload,
    "agent_lifecycle": Payload,
    "job_completed": lambda _statistics: Payload(),
    "metadata_change": _of_metadata,
    "memory_failure": lambda recipient, action, _flags: Payload(action, recipient),
}


class EventCallbacks:
    """Registers for all observed event ids on one open connection, and copies what they say."""

    def __init__(
        self,
        label: str,
        message_queue: MessageQueue,
        on_loss: Callable[[], None],
        threads: ThreadRegistry | None = None,
    ) -> None:
        """``on_loss``: called when an event could not be kept; must not block."""
        self._threads = threads or ThreadRegistry()
        self._label = label
        self._inbox = message_queue
        self._next_order = message_queue.next_order
        self._offer = message_queue.offer
        self._on_loss = on_loss
        self._absent: set[str] = set()

    def register(self, connection: Any) -> list[int]:
        """Register every callback that this libvirt and driver have; return their ids.

        Raises libvirtError if even lifecycle events cannot be had.
        """
        registered = []
        for kind in OBSERVED_KINDS:
            number = getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{kind.upper()}", None)
            try:
                if number is None:
                    self._skip(kind, "this libvirt does not know it")
                    continue
                registered.append(self._register_one(connection, kind, number))
            except libvirt.libvirtError as error:
                if kind == LIFECYCLE:
                    raise
                self._skip(kind, str(error))
        return registered

    def _register_one(self, connection: Any, kind: str, number: int) -> int:
        if kind == LIFECYCLE:
            return int(connection.domainEventRegisterAny(None, number, self._on_lifecycle, None))
        return int(connection.domainEventRegisterAny(None, number, self._on_other, (kind, _PAYLOADS[kind])))

    def _failed(self, error: Exception) -> bool:
        self._threads.report(EVENT_LOOP, error)
        self._inbox.lose(self._label, "callback_error")
        return False

    def _lost(self) -> None:
        with self._threads.guard(EVENT_LOOP):
            self._on_loss()

    def _skip(self, kind: str, why: str) -> None:
        if kind not in self._absent:
            self._absent.add(kind)
            log.info("connection %s sends no %s events: %s", self._label, kind, why)

    def _on_lifecycle(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: object) -> None:
        """Run by the event loop for every lifecycle event: the hot path."""
        at = time.time()
        try:
            kept = self._offer(
                Observation(
                    self._next_order(),
                    at,
                    self._label,
                    LIFECYCLE,
                    domain.UUIDString(),
                    name_of(domain),
                    domain.ID(),
                    event,
                    detail,
                    "",
                    "",
                )
            )
        except Exception as error:  # noqa: BLE001 - see the law above
            kept = self._failed(error)
        if not kept:
            self._lost()

    def _on_other(self, _connection: Any, domain: Any, *arguments: Any) -> None:
        """Run by the event loop for every event of another id."""
        at = time.time()
        try:
            *said, (kind, payload) = arguments
            kept = self._offer(
                Observation(
                    self._next_order(),
                    at,
                    self._label,
                    kind,
                    domain.UUIDString(),
                    name_of(domain),
                    domain.ID(),
                    *payload(*said),
                )
            )
        except Exception as error:  # noqa: BLE001 - see the law above
            kept = self._failed(error)
        if not kept:
            self._lost()
