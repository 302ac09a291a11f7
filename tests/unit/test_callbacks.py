"""Callbacks copy and enqueue events, and never raise."""

import libvirt
import pytest

from libvirt_lifecycle_exporter.hypervisor.callbacks import EventCallbacks
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.model.messages import Observation
from libvirt_lifecycle_exporter.model.vocabulary import OBSERVED_KINDS
from tests.unit.fake_libvirt import BrokenDomain, FakeConnection, FakeDomain, InvalidNameDomain, LossRecorder


def registered(limit: int = 10) -> tuple[FakeConnection, MessageQueue, LossRecorder]:
    connection, message_queue, losses = FakeConnection(), MessageQueue(limit), LossRecorder()
    EventCallbacks("here", message_queue, losses).register(connection)
    return connection, message_queue, losses


def take_observations(message_queue: MessageQueue) -> list[Observation]:
    return [message for message in message_queue.take(100, 0) if isinstance(message, Observation)]


@pytest.mark.parametrize(
    ("kind", "values", "copied"),
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
def test_arguments_are_copied(kind: str, values: tuple[object, ...], copied: tuple[object, ...]) -> None:
    connection, message_queue, losses = registered()
    connection.send(kind, FakeDomain(), *values)
    (observation,) = take_observations(message_queue)
    assert (
        observation.connection,
        observation.kind,
        observation.uuid,
        observation.name,
        observation.domain_id,
    ) == (
        "here",
        kind,
        "u-1",
        "web",
        7,
    )
    assert (observation.event, observation.detail, observation.subject, observation.word) == copied
    assert (message_queue.received[kind], losses.count) == (1, 0)


def test_invalid_utf8_name_loses_no_event() -> None:
    connection, message_queue, losses = registered()
    connection.send("lifecycle", InvalidNameDomain(), 5, 2)
    (observation,) = take_observations(message_queue)
    assert observation.name.startswith("we?b~")
    assert losses.count == 0


@pytest.mark.parametrize("kind", ["lifecycle", "reboot"])
def test_unreadable_event_is_counted_and_requests_a_listing(kind: str) -> None:
    connection, message_queue, losses = registered()
    connection.send(kind, BrokenDomain(), *((5, 2) if kind == "lifecycle" else ()))
    assert take_observations(message_queue) == []
    assert (message_queue.dropped["callback_error"], losses.count) == (1, 1)


def test_unexpected_arguments_are_counted_and_request_a_listing() -> None:
    connection, message_queue, losses = registered()
    connection.send("watchdog", FakeDomain(), "not", "what", "is", "documented", "at all")
    assert (message_queue.dropped["callback_error"], losses.count) == (1, 1)


def test_full_queue_is_counted_and_requests_a_listing() -> None:
    connection, message_queue, losses = registered(limit=2)
    for _ in range(5):
        connection.send("lifecycle", FakeDomain(), 5, 2)
    assert len(take_observations(message_queue)) == 2
    assert (message_queue.dropped["queue_full"], losses.count, message_queue.received["lifecycle"]) == (
        3,
        3,
        5,
    )


def test_unsupported_event_kind_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    callbacks = EventCallbacks("here", MessageQueue(10), LossRecorder())
    for _ in range(3):
        numbers = callbacks.register(FakeConnection(frozenset({"memory_failure", "reboot"})))
        assert len(numbers) == len(OBSERVED_KINDS) - 2
    assert [(record.getMessage(), record.kind, record.error) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("event kind not supported", kind, "unsupported event ID") for kind in ("reboot", "memory_failure")
    ]


def test_missing_lifecycle_events_are_an_error() -> None:
    with pytest.raises(libvirt.libvirtError):
        EventCallbacks("here", MessageQueue(10), LossRecorder()).register(
            FakeConnection(frozenset({"lifecycle"}))
        )
