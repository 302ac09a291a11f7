"""The bounded queue: order, batches, limit."""

import threading

from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.model.messages import ConnectionUp
from tests.unit.factories import observation


def test_messages_are_taken_in_order_and_in_batches() -> None:
    message_queue = MessageQueue(10)
    added = [observation() for _ in range(5)]
    assert all(message_queue.offer(one) for one in added)
    assert message_queue.depth() == 5
    assert message_queue.take(2, 0) == added[:2]
    assert message_queue.take(100, 0) == added[2:]
    assert message_queue.take(100, 0) == []


def test_full_queue_drops_only_observations() -> None:
    message_queue = MessageQueue(1)
    assert message_queue.offer(observation())
    assert not message_queue.offer(observation())
    message_queue.put(ConnectionUp(0.0, "here"))
    assert message_queue.depth() == 2
    assert message_queue.dropped["queue_full"] == 1


def test_order_numbers_are_unique_across_threads() -> None:
    message_queue = MessageQueue(1)
    drawn: list[list[int]] = [[] for _ in range(4)]

    def draw(numbers: list[int]) -> None:
        numbers.extend(message_queue.next_order() for _ in range(5000))

    threads = [threading.Thread(target=draw, args=(numbers,)) for numbers in drawn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(order for numbers in drawn for order in numbers) == list(range(1, 20_001))
    assert all(numbers == sorted(numbers) for numbers in drawn)
