"""The health page reports a thread that ended although nobody asked it to."""

import threading
from collections.abc import Iterator

import pytest

from libvirt_lifecycle_exporter.app.application import App
from libvirt_lifecycle_exporter.config.settings import Settings, parse_target
from libvirt_lifecycle_exporter.runtime.threads import ROLES, WORKER, SupervisedThread
from libvirt_lifecycle_exporter.web.server import bind
from tests.lab.page import Page
from tests.lab.waiting import until
from tests.testdriver.conftest import IN_PROCESS


@pytest.fixture
def app() -> Iterator[tuple[App, Page]]:
    sockets = bind("127.0.0.1", 0)
    app = App(Settings(targets=(parse_target(IN_PROCESS),), journal_path="none"), sockets)
    app.start()
    page = Page(sockets[0].getsockname()[1])
    page.wait_until(lambda: page.status("/-/healthy") == 200)
    yield app, page
    app.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_ended_thread_makes_the_exporter_unhealthy(app: tuple[App, Page]) -> None:
    running, page = app

    def end() -> None:
        raise SystemExit

    thread = SupervisedThread(running.threads, WORKER, "probe-x", end, threading.Event())
    thread.start()
    until(lambda: page.status("/-/healthy") == 503, 10, "the health page to report it")
    assert page.get("/-/healthy")[2].decode() == "thread probe-x has ended\n"


def test_thread_errors_and_drops_start_at_zero(app: tuple[App, Page]) -> None:
    _, page = app
    errors = page.metrics()["libvirt_lifecycle_exporter_thread_errors"].samples
    assert {sample.labels["thread"]: sample.value for sample in errors} == dict.fromkeys(ROLES, 0)
    drops = page.metrics()["libvirt_lifecycle_exporter_events_dropped"].samples
    causes = ("queue_full", "callback_error", "worker_error", "shutdown")
    assert {sample.labels["cause"]: sample.value for sample in drops} == dict.fromkeys(causes, 0)
