"""What answers on the port, over real sockets."""

import gzip
import socket
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from libvirt_lifecycle_exporter.web.metrics import endpoint
from libvirt_lifecycle_exporter.web.server import Server, bind
from libvirt_lifecycle_exporter.web.site import site
from tests.lab.page import Page

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"


class Sink:
    """Shows one counter."""

    def render(self, *, openmetrics: bool) -> str:
        name = "fish" if openmetrics else "fish_total"
        return f'# HELP {name} Fish.\n# TYPE {name} counter\nfish_total{{kind="cod"}} 3\n'


class Health:
    """What the parts would say."""

    def __init__(self) -> None:
        self.wrong: str | None = None
        self.is_ready = True
        self.is_down: list[str] = []

    def trouble(self) -> str | None:
        return self.wrong

    def ready(self) -> bool:
        return self.is_ready

    def down(self) -> list[str]:
        return self.is_down


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def page(health: Health) -> Iterator[Page]:
    registry = CollectorRegistry()
    Gauge("depth", "Depth.", registry=registry).set(7)
    duration = Histogram("took_seconds", "Time.", registry=registry)
    sockets = bind("127.0.0.1", 0)
    ended = threading.Event()
    server = Server(site(endpoint(Sink(), registry, duration), health, "1.2.3"), sockets, ended.set)
    server.start()
    shown = Page(sockets[0].getsockname()[1])
    shown.wait_until(lambda: shown.status("/-/healthy"))
    yield shown
    server.stop(5)
    assert ended.is_set()


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "text/plain;version=0.0.4", "application/json"])
def test_metrics_are_text_unless_openmetrics_is_asked_for(page: Page, accept: str) -> None:
    status, headers, body = page.get("/metrics", Accept=accept)
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_families(body.decode())}
    assert families["fish"].samples[0].value == 3
    assert families["depth"].samples[0].value == 7


@pytest.mark.parametrize("accept", [OPENMETRICS, PROMETHEUS, "application/openmetrics-text"])
def test_metrics_are_openmetrics_where_asked_for(page: Page, accept: str) -> None:
    _, headers, body = page.get("/metrics", Accept=accept)
    assert headers["content-type"] == OPENMETRICS
    assert body.endswith(b"# EOF\n")
    assert {family.name for family in openmetrics_families(body.decode())} == {
        "fish",
        "depth",
        "took_seconds",
    }


def test_metrics_are_compressed_where_asked_for(page: Page) -> None:
    _, headers, body = page.get("/metrics", Accept_Encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    assert headers["vary"] == "Accept, Accept-Encoding"
    assert b"fish_total" in gzip.decompress(body)
    assert "content-encoding" not in page.get("/metrics")[1]


def test_every_scrape_is_timed(page: Page) -> None:
    for _ in range(3):
        page.get("/metrics")
    assert page.value("took_seconds_count") == 3


def test_healthy_says_what_is_wrong(page: Page, health: Health) -> None:
    assert page.get("/-/healthy")[::2] == (200, b"OK\n")
    health.wrong = "the worker has ended"
    assert page.get("/-/healthy")[::2] == (503, b"the worker has ended\n")


def test_ready_says_which_connections_are_down(page: Page, health: Health) -> None:
    assert page.get("/-/ready")[::2] == (200, b"Ready\n")
    health.is_down = ["qemu:///system", "lxc:///system"]
    lines = b"connection qemu:///system is down\nconnection lxc:///system is down\n"
    assert page.get("/-/ready")[::2] == (200, b"Ready\n" + lines)
    health.is_ready = False
    assert page.get("/-/ready")[::2] == (503, b"Not ready: no domains listed yet\n" + lines)


def test_the_page_leads_on_and_escapes_names(page: Page, health: Health) -> None:
    health.is_down = ["<script>alert(1)</script>"]
    status, headers, body = page.get("/")
    shown = body.decode()
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'href="/metrics"' in shown
    assert "1.2.3" in shown
    assert "<script>" not in shown


@pytest.mark.parametrize("path", ["/metric", "/metrics/", "/-/", "/favicon.ico", "/..", "/%00", "//"])
def test_elsewhere_there_is_nothing(page: Page, path: str) -> None:
    assert page.get(path)[0] == 404


def test_idle_and_babbling_clients_block_nobody(page: Page) -> None:
    clients = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(200)]
    try:
        before = threading.active_count()
        for client in clients[::2]:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
        clients[1].sendall(b"\x16\x03\x01\x00\xff hello, is this TLS?\r\n\r\n")
        assert page.get("/metrics")[0] == 200
        assert threading.active_count() - before < 10
    finally:
        for client in clients:
            client.close()


def test_addresses_of_all_kinds_can_be_bound() -> None:
    for host, families in [
        ("127.0.0.1", {socket.AF_INET}),
        ("localhost", {socket.AF_INET, socket.AF_INET6}),
        ("", {socket.AF_INET6, socket.AF_INET}),
        ("::1", {socket.AF_INET6}),
    ]:
        if host == "::1" and not socket.has_dualstack_ipv6():
            continue
        for bound in bind(host, 0):
            assert bound.family in families
            bound.close()


def test_every_address_means_both_families() -> None:
    (bound,) = bind("", 0)
    with bound:
        port = bound.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        if bound.family == socket.AF_INET6:
            socket.create_connection(("::1", port)).close()


def test_a_taken_port_is_one_clear_sentence() -> None:
    (bound,) = bind("127.0.0.1", 0)
    with bound:
        port = bound.getsockname()[1]
        with pytest.raises(OSError, match=f"^cannot listen on 127.0.0.1:{port}: address already in use$"):
            bind("127.0.0.1", port)


def test_a_host_that_is_not_there_is_one_clear_sentence() -> None:
    with pytest.raises(OSError, match=r"^cannot listen on no-such-host.invalid:1: "):
        bind("no-such-host.invalid", 1)
