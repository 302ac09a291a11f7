import random

from libvirt_lifecycle_exporter.hypervisor.backoff import Backoff


def test_waits_grow_to_the_bound_with_jitter_and_begin_anew() -> None:
    backoff = Backoff(10.0, random.Random(1))  # noqa: S311 - a fixed seed, no secret
    waits = [backoff.wait() for _ in range(20)]
    steps = [min(0.1 * 2**number, 10.0) for number in range(20)]
    assert all(step / 2 <= wait <= step for wait, step in zip(waits, steps, strict=True))
    assert len(set(waits)) == len(waits)
    backoff.reset()
    assert backoff.wait() <= 0.1


def test_a_small_bound_bounds_the_first_wait_as_well() -> None:
    assert Backoff(0.01).wait() <= 0.01
