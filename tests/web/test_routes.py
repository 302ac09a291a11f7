"""The HTTP endpoints, over real sockets."""

import gzip
import re
import socket
import threading
import zlib
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from libvirt_lifecycle_exporter.metrics.deflate import Deflated, deflate
from libvirt_lifecycle_exporter.web.metrics_endpoint import create_metrics_endpoint
from libvirt_lifecycle_exporter.web.routes import create_application
from libvirt_lifecycle_exporter.web.server import Server, bind
from tests.lab.page import Page

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1"

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class StubRenderer:
    """Renders one counter."""

    def render(self, *, openmetrics: bool) -> str:
        name = "fish" if openmetrics else "fish_total"
        return f'# HELP {name} Fish.\n# TYPE {name} counter\nfish_total{{kind="cod"}} 3\n'

    def deflate(self, *, openmetrics: bool) -> Deflated:
        text = self.render(openmetrics=openmetrics).encode()
        return Deflated(deflate(text), zlib.crc32(text), len(text))


class StubHealth:
    """A health state that the test sets."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.ready = True
        self.down: list[str] = []

    def unhealthy_reason(self) -> str | None:
        return self.reason

    def is_ready(self) -> bool:
        return self.ready

    def down_connections(self) -> list[str]:
        return self.down


@pytest.fixture
def health() -> StubHealth:
    return StubHealth()


@pytest.fixture
def page(health: StubHealth) -> Iterator[Page]:
    registry = CollectorRegistry()
    Gauge("depth", "Depth.", registry=registry).set(7)
    duration = Histogram("duration_seconds", "Duration.", registry=registry)
    sockets = bind("127.0.0.1", 0)
    ended = threading.Event()
    server = Server(
        create_application(create_metrics_endpoint(StubRenderer(), registry, duration), health, "1.2.3"),
        sockets,
        ended.set,
    )
    server.start()
    page = Page(sockets[0].getsockname()[1])
    page.wait_until(lambda: page.status("/-/healthy"))
    yield page
    server.stop(5)
    assert ended.is_set()


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain", "text/plain;version=0.0.4", "application/json"])
def test_text_format_is_the_default(page: Page, accept: str) -> None:
    status, headers, body = page.get("/metrics", Accept=accept)
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_families(body.decode())}
    assert families["fish"].samples[0].value == 3
    assert families["depth"].samples[0].value == 7


@pytest.mark.parametrize("accept", [OPENMETRICS, PROMETHEUS, "application/openmetrics-text"])
def test_openmetrics_is_used_if_requested(page: Page, accept: str) -> None:
    _, headers, body = page.get("/metrics", Accept=accept)
    assert headers["content-type"] == OPENMETRICS
    assert body.endswith(b"# EOF\n")
    assert {family.name for family in openmetrics_families(body.decode())} == {
        "fish",
        "depth",
        "duration_seconds",
    }


def test_gzip_is_used_if_requested(page: Page) -> None:
    _, headers, body = page.get("/metrics", Accept_Encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    assert headers["vary"] == "Accept, Accept-Encoding"
    lines = gzip.decompress(body).splitlines()
    assert lines[:6] == page.get("/metrics")[2].splitlines()[:6]
    assert lines[2] == b'fish_total{kind="cod"} 3'
    assert lines[5] == b"depth 7.0"
    assert "content-encoding" not in page.get("/metrics")[1]


@pytest.mark.parametrize(
    ("accept", "is_openmetrics"),
    [
        ("application/openmetrics-text, text/plain", True),
        ("text/plain, application/openmetrics-text", False),
        ("application/openmetrics-text;q=0.3, text/plain;q=0.9", False),
        ("text/plain;q=0.3, application/openmetrics-text;q=0.9", True),
        ("application/openmetrics-text;q=0, */*", False),
        ("application/openmetrics-text;q=0", False),
        ("text/plain;q=0, */*;q=0.1", True),
        ("text/*, application/openmetrics-text;q=0.9", False),
        ("application/*", True),
        ("application/*;q=0.2, application/openmetrics-text;q=0, text/plain;q=0.1", False),
        ("Application/OpenMetrics-Text; Version=1.0.0; Q=0.5, text/plain; q=0.4", True),
        ("application/openmetrics-text;version=0.0.1;q=0.9,text/plain;q=0.1", False),
        ("application/openmetrics-text;version=2.0.0;q=0.9,text/plain;q=0.1", False),
        (PROMETHEUS_3, True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("application/openmetrics-text;q=nonsense", True),
        ("*/*;q=0", False),
        (";;q=,=,,", False),
    ],
)
def test_accept_header_selects_the_format(page: Page, accept: str, is_openmetrics: bool) -> None:  # noqa: FBT001 - a table
    status, headers, _ = page.get("/metrics", Accept=accept)
    assert status == 200
    assert (headers["content-type"] == OPENMETRICS) is is_openmetrics


@pytest.mark.parametrize(
    ("accept_encoding", "is_compressed"),
    [
        ("gzip;q=0", False),
        ("gzip;q=0.000, deflate", False),
        ("deflate, GZIP;q=0.001", True),
        ("identity, gzip;q=0.5", False),
        ("identity;q=0.5, gzip", True),
        ("identity;q=0", False),
        ("*", True),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("*;q=0, gzip", True),
        ("x-gzip", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("", False),
    ],
)
def test_accept_encoding_header_selects_gzip(page: Page, accept_encoding: str, is_compressed: bool) -> None:  # noqa: FBT001 - a table
    headers = page.get("/metrics", Accept_Encoding=accept_encoding)[1]
    assert ("content-encoding" in headers) is is_compressed


def sample_names(body: bytes) -> set[str]:
    return {sample.name for family in text_families(body.decode()) for sample in family.samples}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name[]=depth", {"depth"}),
        ("name%5B%5D=depth&name[]=fish_total", {"depth", "fish_total"}),
        ("name[]=duration_seconds_count", {"duration_seconds_count"}),
        (
            "name[]=duration_seconds",
            {"duration_seconds_count", "duration_seconds_sum", "duration_seconds_bucket"},
        ),
        ("name[]=none", set()),
    ],
)
def test_name_parameter_selects_metrics(page: Page, query: str, names: set[str]) -> None:
    status, _, body = page.get(f"/metrics?{query}")
    assert status == 200
    # A histogram has one more sample: its creation time.
    assert sample_names(body) - {"duration_seconds_created"} == names
    assert (b"# HELP depth " in body) is ("depth" in names)
    assert (b"# TYPE fish_total " in body) is ("fish_total" in names)


def test_name_parameter_keeps_openmetrics_valid(page: Page) -> None:
    body = page.get("/metrics?name[]=fish_total", Accept=OPENMETRICS)[2]
    assert [family.name for family in openmetrics_families(body.decode())] == ["fish"]


def raw_response(page: Page, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", page.port), 20) as client:
        client.sendall(request + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        return client.makefile("rb").read()


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://exporter.example:10177/metrics", 200),
        (b"HTTPS://exporter.example/-/healthy", 200),
        (b"http://exporter.example", 200),
        (b"http://exporter.example?x=/nowhere", 200),
        (b"http://exporter.example/metrics?name[]=depth", 200),
        (b"http://exporter.example/nowhere", 404),
        (b"ftp://exporter.example/metrics", 404),
        (b"*", 404),
    ],
)
def test_absolute_target_is_served(page: Page, target: bytes, status: int) -> None:
    assert raw_response(page, b"GET " + target + b" HTTP/1.1").startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready"])
def test_head_response_has_no_body(page: Page, path: str) -> None:
    head, _, body = raw_response(page, b"HEAD " + path.encode() + b" HTTP/1.1").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: " in head
    assert body == b""


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS"])
def test_other_methods_are_refused_with_allow_header(page: Page, method: bytes) -> None:
    head = raw_response(page, method + b" /metrics HTTP/1.1").partition(b"\r\n\r\n")[0].decode().lower()
    assert head.startswith("http/1.1 405 ")
    allowed = next(line for line in head.splitlines() if line.startswith("allow: "))
    assert set(allowed.removeprefix("allow: ").split(", ")) == {"get", "head"}


def test_links_of_the_page_are_relative(page: Page) -> None:
    links = re.findall(r'href="([^"]*)"', page.get("/")[2].decode())
    assert len(links) == 3
    for link in links:
        assert page.get(urljoin("/", link))[0] == 200
        assert urljoin("http://proxy.example/exporter/", link).startswith("http://proxy.example/exporter/")


def test_duration_of_every_scrape_is_observed(page: Page) -> None:
    for _ in range(3):
        page.get("/metrics")
    assert page.value("duration_seconds_count") == 3


def test_healthy_reports_the_reason(page: Page, health: StubHealth) -> None:
    assert page.get("/-/healthy")[::2] == (200, b"OK\n")
    health.reason = "the worker has ended"
    assert page.get("/-/healthy")[::2] == (503, b"the worker has ended\n")


def test_ready_names_the_connections_that_are_down(page: Page, health: StubHealth) -> None:
    assert page.get("/-/ready")[::2] == (200, b"Ready\n")
    health.down = ["qemu:///system", "lxc:///system"]
    lines = b"connection qemu:///system is down\nconnection lxc:///system is down\n"
    assert page.get("/-/ready")[::2] == (200, b"Ready\n" + lines)
    health.ready = False
    assert page.get("/-/ready")[::2] == (503, b"Not ready: no domains listed yet\n" + lines)


def test_page_has_links_and_escapes_names(page: Page, health: StubHealth) -> None:
    health.down = ["<script>alert(1)</script>"]
    status, headers, body = page.get("/")
    text = body.decode()
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert 'href="metrics"' in text
    assert "1.2.3" in text
    assert "<script>" not in text


@pytest.mark.parametrize("path", ["/metric", "/metrics/", "/-/", "/favicon.ico", "/..", "/%00", "//"])
def test_unknown_path_is_404(page: Page, path: str) -> None:
    assert page.get(path)[0] == 404


def test_idle_and_malformed_clients_delay_no_client(page: Page) -> None:
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


def test_names_and_addresses_can_be_bound() -> None:
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


def test_empty_host_means_both_families() -> None:
    (bound,) = bind("", 0)
    with bound:
        port = bound.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()
        if bound.family == socket.AF_INET6:
            socket.create_connection(("::1", port)).close()


def test_port_in_use_is_reported_in_one_sentence() -> None:
    (bound,) = bind("127.0.0.1", 0)
    with bound:
        port = bound.getsockname()[1]
        with pytest.raises(OSError, match=f"^cannot listen on 127.0.0.1:{port}: address already in use$"):
            bind("127.0.0.1", port)


def test_unknown_host_is_reported_in_one_sentence() -> None:
    with pytest.raises(OSError, match=r"^cannot listen on no-such-host.invalid:1: "):
        bind("no-such-host.invalid", 1)
