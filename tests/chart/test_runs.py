"""What is rendered, run here against a real session libvirtd, becomes ready and serves."""

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import bcrypt
import pytest

from tests.chart.placed import NODE, Placed, mounted
from tests.chart.rendering import render, values_file
from tests.lab.collector import Collector
from tests.lab.daemon import Daemon
from tests.lab.exporter import free_port
from tests.lab.guests import Guests
from tests.otel.certificates import certificates

RUN = "/run/libvirt"
JOURNAL = "/var/lib/libvirt-lifecycle-exporter"
PASSWORD = "correct horse"  # noqa: S105 - of a test
WEB = """
tls_server_config: {cert_file: tls.crt, key_file: tls.key}
"""
MUTUAL = f"""
tls_server_config:
  cert_file: tls.crt
  key_file: tls.key
  client_ca_file: ca.crt
  client_auth_type: RequireAndVerifyClientCert
basic_auth_users:
  prometheus: {bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}
"""


@pytest.fixture(scope="session")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("signed"))


class Site:
    """A node: its libvirt, a folder for its journal, Secrets of the cluster."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon = daemon
        self.folder = folder
        self.secrets: dict[str, Path] = {}
        (folder / "journal").mkdir()

    def secret(self, name: str, files: dict[str, str | Path]) -> None:
        self.secrets[name] = self.folder / name
        self.secrets[name].mkdir()
        for key, content in files.items():
            if isinstance(content, Path):
                shutil.copy(content, self.secrets[name] / key)
            else:
                (self.secrets[name] / key).write_text(content)

    def place(self, values: str, settings: Sequence[str] = (), *, libvirt: Path | None = None) -> Placed:
        """The chart's container, with the session's URI and a free port."""
        uri = f"qemu+unix:///session?socket={RUN}/{self.daemon.socket.name}"
        manifests = render(
            values_file(values), (f"libvirt.uris[0]={uri}", f"web.port={free_port()}", *settings)
        )
        places = {RUN: libvirt or self.daemon.socket.parent, JOURNAL: self.folder / "journal"}
        for volume, name in (("web", "lle-web"), ("client", "lle-client")):
            if name in self.secrets:
                places[mounted(manifests, volume)] = self.secrets[name]
        return Placed(manifests, places, self.secrets, self.folder / "exporter.log")


@pytest.fixture
def site(session_daemon: Daemon, tmp_path: Path) -> Site:
    return Site(session_daemon, tmp_path)


def test_next_pod_continues_the_counters(site: Site, guests: Guests) -> None:
    domain = f"chart-{uuid.uuid4().hex[:8]}"
    pod = site.place("defaults")
    connection = site.daemon.connect()
    try:
        with pod.running():
            pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
            assert pod.probe("liveness")
            connection.createXML(guests.xml(domain))
            pod.wait_until(lambda: pod.lifecycle_counts(domain)["started", "booted"] == 1)
            assert pod.value("libvirt_connection_up") == 1
            assert pod.helm_test().returncode == 0
        assert (site.folder / "journal/journal.sqlite").exists()
        connection.lookupByName(domain).destroy()
        again = site.place("defaults")
        with again.running():
            again.wait_until(lambda: again.lifecycle_counts(domain)[("stopped", "unknown")] == 1)
            assert again.lifecycle_counts(domain)["started", "booted"] == 1
    finally:
        connection.close()


def test_pod_without_libvirt_is_live_but_not_ready(site: Site, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    settings = ("probes.liveness.enabled=true", "service.enabled=true", *_PROBES)
    pod = site.place("minimal", settings, libvirt=nothing)
    with pod.running():
        assert pod.probe("liveness")
        assert not pod.probe("readiness")
        assert pod.value("libvirt_connection_up") == 0
        said = pod.helm_test()
        assert said.returncode == 1
        assert ": 503 " in said.stderr


_PROBES = ("probes.readiness.enabled=true", "probes.startup.enabled=true")


def test_kubelet_probes_work_over_https(site: Site, signed: Path) -> None:
    site.secret(
        "lle-web",
        {"web-config.yml": WEB, "tls.crt": signed / "server.pem", "tls.key": signed / "server.key"},
    )
    pod = site.place("tls")
    with pod.running():
        pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
        assert pod.probe("liveness")
        assert pod.kubelet("http", "/-/healthy") != 200
        assert pod.helm_test().returncode == 0


def test_exec_probes_work_where_the_kubelet_is_refused(site: Site, signed: Path) -> None:
    """TLS, client certificates and users at once."""
    shown: dict[str, str | Path] = {
        "tls.crt": signed / "client.pem",
        "tls.key": signed / "client.key",
        "ca.crt": signed / "ca.pem",
        "username": "prometheus",
        "password": PASSWORD,
    }
    site.secret("lle-client", shown)
    site.secret(
        "lle-web",
        {
            "web.yml": MUTUAL,
            "tls.crt": signed / "server.pem",
            "tls.key": signed / "server.key",
            "ca.crt": signed / "ca.pem",
        },
    )
    pod = site.place("mtls")
    with pod.running():
        pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
        assert pod.probe("liveness")
        assert pod.kubelet("https", "/-/healthy") == 0
        assert pod.helm_test().returncode == 0
        (site.secrets["lle-client"] / "password").write_text("wrong")
        assert not pod.probe("liveness")
        assert pod.helm_test().returncode == 1
        (site.secrets["lle-client"] / "username").unlink()
        assert not pod.probe("liveness")


def test_exported_resource_names_the_node(site: Site, guests: Guests, collector: Collector) -> None:
    domain = f"chart-{uuid.uuid4().hex[:8]}"
    site.secret("otlp-headers", {"headers": "authorization=Bearer%20x"})
    pod = site.place(
        "defaults",
        (
            f"otlp.endpoint={collector.url}",
            "otlp.headers.existingSecret=otlp-headers",
            "otlp.resourceAttributes.site=north",
            f"otlp.resourceAttributes.host\\.name={NODE}",
        ),
    )
    connection = site.daemon.connect()
    try:
        with pod.running():
            pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
            connection.createXML(guests.xml(domain)).destroy()
            pod.wait_until(collector.spans, what="spans")
    finally:
        connection.close()
    resource = collector.spans()[0].resource
    assert resource["k8s.node.name"] == resource["host.name"] == NODE
    assert resource["site"] == "north"
