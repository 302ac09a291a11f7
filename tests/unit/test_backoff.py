"""The delays between attempts: bounds, growth, reset."""

import random

from libvirt_lifecycle_exporter.hypervisor.backoff import Backoff


def test_delays_grow_to_the_maximum_and_reset() -> None:
    backoff = Backoff(10.0, random.Random(1))  # noqa: S311 - a fixed seed, no secret
    delays = [backoff.next_delay() for _ in range(20)]
    steps = [min(0.1 * 2**number, 10.0) for number in range(20)]
    assert all(step / 2 <= delay <= step for delay, step in zip(delays, steps, strict=True))
    assert len(set(delays)) == len(delays)
    backoff.reset()
    assert backoff.next_delay() <= 0.1


def test_small_maximum_limits_the_first_delay() -> None:
    assert Backoff(0.01).next_delay() <= 0.01
