"""Threads recover from exceptions; a thread that ends is reported."""

import threading

import pytest

from libvirt_lifecycle_exporter.runtime.threads import (
    ROLES,
    WORKER,
    Deadline,
    SupervisedThread,
    ThreadRegistry,
)


def _fail(message: str) -> None:
    raise RuntimeError(message)


def test_every_role_starts_at_zero() -> None:
    assert dict(ThreadRegistry().errors) == dict.fromkeys(ROLES, 0)


def test_guarded_error_is_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    registry = ThreadRegistry()
    for number in range(3):
        with registry.guard(WORKER):
            _fail(f"number {number}")
    with registry.guard(WORKER):
        raise KeyError
    assert registry.errors[WORKER] == 4
    assert [record.exc_info is not None for record in caplog.records] == [True, True]


def test_thread_is_restarted_after_an_error() -> None:
    registry, runs = ThreadRegistry(), []

    def target() -> None:
        runs.append(1)
        if len(runs) < 3:
            _fail("not yet")

    thread = SupervisedThread(registry, WORKER, "worker", target, threading.Event())
    thread.start()
    thread.join(10)
    assert len(runs) == 3
    assert registry.errors[WORKER] == 2
    assert not registry.ended()


def test_thread_that_is_stopping_is_not_restarted() -> None:
    registry, stopping = ThreadRegistry(), threading.Event()

    def target() -> None:
        stopping.set()
        _fail("while stopping")

    thread = SupervisedThread(registry, WORKER, "worker", target, stopping)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert registry.errors[WORKER] == 1
    assert not registry.ended()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_thread_that_ends_early_is_reported() -> None:
    def target() -> None:
        raise SystemExit

    registry = ThreadRegistry()
    thread = SupervisedThread(registry, WORKER, "worker-1", target, threading.Event())
    thread.start()
    thread.join(10)
    assert registry.ended() == ["worker-1"]


def test_steps_with_full_shares_end_before_the_deadline() -> None:
    now = [100.25]
    deadline = Deadline(100.0, 1.7, lambda: now[0])
    for part in (0.25, 0.5, 0.5, 0.5, 0.5, 1.0):
        assert deadline.share(part) > 0
        now[0] += deadline.share(part)
    assert now[0] <= 101.7
    assert deadline.share(1.0) < 0.001
