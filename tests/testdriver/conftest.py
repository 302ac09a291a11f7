"""The exporter inside the tests' own process, on libvirt's in-process test driver."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirt_lifecycle_exporter.app.application import App
from libvirt_lifecycle_exporter.config.settings import Settings, parse_target
from libvirt_lifecycle_exporter.hypervisor.event_loop import LOOP
from libvirt_lifecycle_exporter.web.server import bind
from tests.lab.daemon import short_root
from tests.lab.page import Page
from tests.lab.pairs import Event, Pair, count_pairs

IN_PROCESS = "test:///default"


@dataclass
class Listening:
    """An independent recorder in the same process: notes every lifecycle event as libvirt sends it."""

    log: list[Event] = field(default_factory=list)

    def __call__(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: object) -> None:
        self.log.append(Event(0.0, "lifecycle", domain.name(), arguments=(event, detail)))

    def pairs(self, domain: str) -> Counter[Pair]:
        return count_pairs(event for event in self.log if event.domain == domain)


@pytest.fixture
def connection() -> Iterator[Any]:
    """The test driver, to play with; what a test leaves behind is removed."""
    LOOP.start()
    opened = libvirt.open(IN_PROCESS)
    before = {domain.UUIDString() for domain in opened.listAllDomains()}
    yield opened
    for domain in opened.listAllDomains():
        if domain.UUIDString() not in before:
            _remove(domain)
    del domain
    opened.close()


def _remove(domain: Any) -> None:
    for snapshot in domain.listAllSnapshots():
        snapshot.delete()
    persistent = domain.isPersistent()
    if domain.isActive():
        domain.destroy()
    if persistent:
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)


@pytest.fixture
def local_recorder(connection: Any) -> Iterator[Listening]:
    listening = Listening()
    number = connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, listening, None)
    yield listening
    connection.domainEventDeregisterAny(number)


@pytest.fixture
def start() -> Iterator[Callable[..., Page]]:
    """Starts exporters in this process; all are stopped, and nothing of theirs keeps a connection."""
    running: list[App] = []

    def begin(*uris: str, **settings: Any) -> Page:
        sockets = bind("127.0.0.1", 0)
        targets = tuple(parse_target(uri) for uri in uris or (IN_PROCESS,))
        app = App(Settings(targets=targets, **{"journal_path": "none", **settings}), sockets)
        running.append(app)
        app.start()
        page = Page(sockets[0].getsockname()[1])
        page.wait_until(lambda: page.status("/-/healthy") == 200)
        return page

    yield begin
    for app in running:
        app.stop()
    gc.collect()


@pytest.fixture
def page(start: Callable[..., Page]) -> Page:
    shown = start()
    shown.wait_until(lambda: shown.status("/-/ready") == 200)
    return shown


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that a daemon of another user may write to."""
    with short_root() as folder:
        folder.chmod(0o777)
        yield folder
