"""A callback copies, enqueues, and never raises."""

import itertools
from typing import Any

import libvirt
import pytest

from libvirt_lifecycle_exporter.hypervisor.callbacks import EventCallbacks
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.model.messages import Observation
from libvirt_lifecycle_exporter.model.vocabulary import OBSERVED_KINDS


class Connection:
    """As much of a libvirt connection as registering takes; ``lacks`` are ids that its driver refuses."""

    def __init__(self, lacks: frozenset[str] = frozenset()) -> None:
        self._lacks = {getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{kind.upper()}") for kind in lacks}
        self._numbers = itertools.count()
        self.callbacks: dict[int, tuple[Any, Any]] = {}

    def domainEventRegisterAny(self, _domain: None, number: int, callback: Any, opaque: Any) -> int:  # noqa: N802
        if number in self._lacks:
            raise libvirt.libvirtError("unsupported event ID")
        self.callbacks[number] = (callback, opaque)
        return next(self._numbers)

    def send(self, kind: str, domain: object, *said: object) -> None:
        callback, opaque = self.callbacks[getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{kind.upper()}")]
        callback(self, domain, *said, opaque)


class Domain:
    def UUIDString(self) -> str:  # noqa: N802
        return "u-1"

    def name(self) -> str:
        return "web"

    def ID(self) -> int:  # noqa: N802
        return 7


class BadName(Domain):
    def name(self) -> str:
        return b"we\xffb".decode()


class Broken(Domain):
    def UUIDString(self) -> str:  # noqa: N802
        raise libvirt.libvirtError("virDomainGetUUIDString() failed")


class Losses:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def listening(limit: int = 10) -> tuple[Connection, MessageQueue, Losses]:
    connection, message_queue, losses = Connection(), MessageQueue(limit), Losses()
    EventCallbacks("here", message_queue, losses).register(connection)
    return connection, message_queue, losses


def taken(message_queue: MessageQueue) -> list[Observation]:
    return [message for message in message_queue.take(100, 0) if isinstance(message, Observation)]


@pytest.mark.parametrize(
    ("kind", "said", "copied"),
    [
        ("lifecycle", (5, 2), (5, 2, "", "")),
        ("lifecycle", (99, -1), (99, -1, "", "")),
        ("reboot", (), (0, 0, "", "")),
        ("watchdog", (3,), (3, 0, "", "")),
        ("io_error_reason", ("/img/a.raw", "virtio-disk0", 1, "enospc"), (1, 0, "/img/a.raw", "enospc")),
        ("io_error_reason", (None, "virtio-disk0", 2, None), (2, 0, "virtio-disk0", "")),
        (
            "io_error_reason",
            ("/img/\x1b[2J\n\u202ea", "", 1, "no\tspace\0"),
            (1, 0, "/img/ [2J a", "no space"),
        ),
        ("control_error", (), (0, 0, "", "")),
        ("agent_lifecycle", (1, 2), (1, 2, "", "")),
        ("job_completed", ({"operation": 5},), (0, 0, "", "")),
        ("metadata_change", (2, "http://openstack.org"), (2, 0, "http://openstack.org", "")),
        ("metadata_change", (1, None), (1, 0, "", "")),
        ("memory_failure", (1, 2, 0), (2, 1, "", "")),
    ],
)
def test_what_is_said_is_copied(kind: str, said: tuple[object, ...], copied: tuple[object, ...]) -> None:
    connection, message_queue, losses = listening()
    connection.send(kind, Domain(), *said)
    (seen,) = taken(message_queue)
    assert (seen.connection, seen.kind, seen.uuid, seen.name, seen.domain_id) == (
        "here",
        kind,
        "u-1",
        "web",
        7,
    )
    assert (seen.event, seen.detail, seen.subject, seen.word) == copied
    assert (message_queue.received[kind], losses.count) == (1, 0)


def test_a_name_that_is_not_utf8_loses_no_event() -> None:
    connection, message_queue, losses = listening()
    connection.send("lifecycle", BadName(), 5, 2)
    (seen,) = taken(message_queue)
    assert seen.name.startswith("we?b~")
    assert losses.count == 0


@pytest.mark.parametrize("kind", ["lifecycle", "reboot"])
def test_what_cannot_be_copied_is_counted_and_asks_for_a_snapshot(kind: str) -> None:
    connection, message_queue, losses = listening()
    connection.send(kind, Broken(), *((5, 2) if kind == "lifecycle" else ()))
    assert taken(message_queue) == []
    assert (message_queue.dropped["callback_error"], losses.count) == (1, 1)


def test_arguments_of_another_shape_are_counted_and_ask_for_a_snapshot() -> None:
    connection, message_queue, losses = listening()
    connection.send("watchdog", Domain(), "not", "what", "is", "documented", "at all")
    assert (message_queue.dropped["callback_error"], losses.count) == (1, 1)


def test_what_finds_no_room_is_counted_and_asks_for_a_snapshot() -> None:
    connection, message_queue, losses = listening(limit=2)
    for _ in range(5):
        connection.send("lifecycle", Domain(), 5, 2)
    assert len(taken(message_queue)) == 2
    assert (message_queue.dropped["queue_full"], losses.count, message_queue.received["lifecycle"]) == (
        3,
        3,
        5,
    )


def test_an_id_that_the_driver_lacks_is_skipped_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    listener = EventCallbacks("here", MessageQueue(10), Losses())
    for _ in range(3):
        registered = listener.register(Connection(frozenset({"memory_failure", "reboot"})))
        assert len(registered) == len(OBSERVED_KINDS) - 2
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        f"connection here sends no {kind} events: unsupported event ID"
        for kind in ("reboot", "memory_failure")
    ]


def test_without_lifecycle_events_there_is_nothing_to_listen_to() -> None:
    with pytest.raises(libvirt.libvirtError):
        EventCallbacks("here", MessageQueue(10), Losses()).register(Connection(frozenset({"lifecycle"})))
