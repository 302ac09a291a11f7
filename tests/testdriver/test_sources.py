"""The life of connections: several at once, lost ones, stuck ones, quiet ones."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt
import pytest

from libvirt_lifecycle_exporter.hypervisor.connection import Connection, ConnectionSettings
from libvirt_lifecycle_exporter.hypervisor.event_loop import LOOP
from libvirt_lifecycle_exporter.hypervisor.message_queue import MessageQueue
from libvirt_lifecycle_exporter.model.messages import Listing, Lookup
from tests.lab.daemon import Daemon
from tests.lab.exporter import Exporter
from tests.lab.page import Page
from tests.lab.waiting import until
from tests.testdriver.conftest import IN_PROCESS
from tests.testdriver.scenes import boot, xml

UP = "libvirt_connection_up"


@pytest.fixture
def silent_socket(open_folder: Path) -> Iterator[Path]:
    """A daemon that accepts and never says a word: an open() on it hangs."""
    path = open_folder / "silent"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield path


def test_hanging_or_down_connection_delays_no_other(
    silent_socket: Path, start: Callable[..., Page], connection: Any, tmp_path: Path
) -> None:
    page = start(
        f"stuck=qemu+unix:///session?socket={silent_socket}",
        f"absent=qemu+unix:///session?socket={silent_socket}-not-there",
        IN_PROCESS,
    )
    page.wait_until(lambda: page.status("/-/ready") == 200)
    boot(connection, "lively", tmp_path)
    page.wait_until(lambda: page.lifecycle_counts("lively", IN_PROCESS)["started", "booted"] == 1)
    assert page.value(UP, connection=IN_PROCESS) == 1
    assert page.value(UP, connection="stuck") == 0
    assert page.value(UP, connection="absent") == 0
    body = page.get("/-/ready")[2].decode()
    assert body.splitlines() == ["Ready", "connection stuck is down", "connection absent is down"]


def test_not_ready_before_the_first_listing(silent_socket: Path, start: Callable[..., Page]) -> None:
    page = start(f"stuck=qemu+unix:///session?socket={silent_socket}")
    status, _, body = page.get("/-/ready")
    assert status == 503
    assert body.decode().splitlines() == ["Not ready: no domains listed yet", "connection stuck is down"]
    assert page.status("/-/healthy") == 200


def test_process_stops_while_a_libvirt_call_hangs(silent_socket: Path, tmp_path: Path) -> None:
    exporter = Exporter(tmp_path, [f"stuck=qemu+unix:///session?socket={silent_socket}"])
    exporter.start()
    exporter.wait_serving()
    assert exporter.stop() == 0


def opened_used_and_closed(holding: list[Any]) -> Connection:
    """One connection's whole life: opened, listed, looked into, closed."""

    def opener(uri: str) -> Any:
        opened = libvirt.openReadOnly(uri)
        if holding:
            holding.append(opened.lookupByName("test"))
        return opened

    message_queue = MessageQueue(100)
    LOOP.start()
    kept = Connection("here", IN_PROCESS, message_queue, ConnectionSettings(), opener)
    kept.start()
    messages: list[object] = []

    def arrived(kind: type) -> bool:
        messages.extend(message_queue.take(10, 0.1))
        return any(isinstance(message, kind) for message in messages)

    until(lambda: arrived(Listing), 10, "a list")
    listed = next(m for m in messages if isinstance(m, Listing))
    kept.request_lookups({domain.uuid: None for domain in listed.domains})
    until(lambda: arrived(Lookup), 10, "a look")
    kept.stop()
    assert kept.join(10)
    return kept


def test_closed_connection_has_no_references(caplog: pytest.LogCaptureFixture) -> None:
    opened_used_and_closed(holding=[])
    assert "still referenced" not in caplog.text


def test_reference_to_a_closed_connection_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    holding: list[Any] = ["a domain will be kept"]
    opened_used_and_closed(holding)
    messages = [(record.getMessage(), getattr(record, "references", 0)) for record in caplog.records]
    assert ("connection closed but still referenced", 1) in messages
    holding.clear()


def test_two_connections_to_one_daemon_count_separately(
    session_daemon: Daemon, tmp_path: Path, open_folder: Path
) -> None:
    uris = [f"one={session_daemon.test_uri}", f"two={session_daemon.test_uri}"]
    with Exporter(tmp_path, uris) as exporter:
        exporter.wait_until(
            lambda: exporter.value(UP, connection="one") == exporter.value(UP, connection="two") == 1
        )
        connection = libvirt.open(session_daemon.test_uri)
        try:
            domain = boot(connection, "twofold", open_folder)
            domain.destroy()
            domain.undefine()
            del domain
        finally:
            connection.close()
        exporter.wait_until(lambda: exporter.lifecycle_counts("twofold", "one").total() == 4)
        exporter.wait_until(lambda: exporter.lifecycle_counts("twofold", "two").total() == 4)


def test_new_name_and_title_are_shown_without_restart(start: Callable[..., Page], connection: Any) -> None:
    page = start()
    page.wait_until(lambda: page.status("/-/ready") == 200)
    domain = connection.defineXML(xml("plain", "first title"))
    page.wait_until(lambda: page.value("libvirt_domain_meta", domain="plain", title="first title") == 1)
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "second title", None, None, 0)
    page.wait_until(lambda: page.value("libvirt_domain_meta", domain="plain", title="second title") == 1)
    domain.rename("fancy")
    page.wait_until(lambda: page.value("libvirt_domain_meta", domain="fancy", title="second title") == 1)


def test_periodic_listing_detects_changes_without_event(start: Callable[..., Page], connection: Any) -> None:
    page = start(snapshot_interval=0.2)
    page.wait_until(lambda: page.status("/-/ready") == 200)
    domain = connection.defineXML(xml("auto"))
    page.wait_until(lambda: page.value("libvirt_domain_meta", domain="auto", autostart="false") == 1)
    domain.setAutostart(True)
    page.wait_until(lambda: page.value("libvirt_domain_meta", domain="auto", autostart="true") == 1)


def test_dropped_event_causes_a_listing_that_corrects_state(
    start: Callable[..., Page], connection: Any, tmp_path: Path
) -> None:
    """A queue of one, and a burst: what was dropped is counted as dropped, and the states are right."""
    page = start(queue_size=1)
    page.wait_until(lambda: page.status("/-/ready") == 200)
    domain = boot(connection, "burst", tmp_path)
    dropped = "libvirt_lifecycle_exporter_events_dropped_total"

    def storm() -> bool:
        for _ in range(200):
            domain.suspend()
            domain.resume()
        return bool(page.value(dropped, cause="queue_full"))

    page.wait_until(storm, 30)
    domain.destroy()
    page.wait_until(lambda: page.value("libvirt_domain_state", domain="burst", state="shutoff") == 1)
    received = page.value("libvirt_lifecycle_exporter_events_received_total", source="lifecycle")
    lost = page.value(dropped, cause="queue_full")
    counted = sum(sample.value for sample in page.metrics()["libvirt_connection_raw_events"].samples)
    assert received is not None
    assert lost is not None
    assert counted + lost == received


def test_5000_domains_are_added_and_removed(start: Callable[..., Page], connection: Any) -> None:
    page = start(series_ttl=0.0)
    page.wait_until(lambda: page.status("/-/ready") == 200)
    for number in range(5000):
        connection.createXML(xml(f"many-{number}")).destroy()
    total = "libvirt_connection_lifecycle_events_total"
    page.wait_until(lambda: page.value(total, event="stopped", reason="destroyed") == 5000, 60)
    changes = "libvirt_domain_inventory_changes_total"
    assert page.value(changes, change="added", reason="started") == 5000
    assert page.value(changes, change="removed", reason="shutdown") == 5000

    def gone() -> bool:
        names = {s.labels["domain"] for s in page.metrics()["libvirt_domain_lifecycle_events"].samples}
        return not any(name.startswith("many-") for name in names)

    page.wait_until(gone, 30)


def test_unusual_domain_names_are_counted_separately(start: Callable[..., Page], connection: Any) -> None:
    page = start()
    page.wait_until(lambda: page.status("/-/ready") == 200)
    names = ['quo"te', "back\\slash", "\\n", "🐎🐎", "x" * 10_000, "x" * 9_999, "a b", "{}", "ž"]
    for name in names:
        connection.createXML(xml(name)).destroy()
    started = "libvirt_domain_lifecycle_events_total"

    def counted() -> list[str]:
        family = page.metrics()["libvirt_domain_lifecycle_events"]
        return [
            s.labels["domain"]
            for s in family.samples
            if s.name == started and s.labels["event"] == "started" and s.value
        ]

    page.wait_until(lambda: len(counted()) == len(names))
    assert {name for name in names if len(name) < 100} <= set(counted())


def test_scrapes_do_not_affect_counters(start: Callable[..., Page], connection: Any, tmp_path: Path) -> None:
    page = start()
    page.wait_until(lambda: page.status("/-/ready") == 200)
    domain = boot(connection, "busy", tmp_path)
    over = threading.Event()
    trouble: list[Exception] = []

    def scrape() -> None:
        while not over.is_set():
            try:
                page.metrics()
            except Exception as error:  # noqa: BLE001 - reported below
                trouble.append(error)
                return

    scrapers = [threading.Thread(target=scrape) for _ in range(4)]
    for scraper in scrapers:
        scraper.start()
    try:
        for _ in range(1000):
            domain.suspend()
            domain.resume()
        page.wait_until(lambda: page.lifecycle_counts("busy")["resumed", "unpaused"] == 1000, 30)
    finally:
        over.set()
        for scraper in scrapers:
            scraper.join()
    assert trouble == []
