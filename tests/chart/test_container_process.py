"""The rendered container, run as a process with a real session daemon, becomes ready and serves metrics."""

import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import bcrypt
import pytest

from tests.chart.container_process import NODE, ContainerProcess, mount_path
from tests.chart.rendering import render, values_file
from tests.lab.collector import Collector
from tests.lab.daemon import Daemon
from tests.lab.exporter import free_port
from tests.lab.guests import Guests
from tests.otel.certificates import certificates

RUN_DIRECTORY = "/run/libvirt"
JOURNAL_DIRECTORY = "/var/lib/libvirt-lifecycle-exporter"
PASSWORD = "correct horse"  # noqa: S105 - a password of the test
WEB_WITH_TLS = """
tls_server_config: {cert_file: tls.crt, key_file: tls.key}
"""
WEB_WITH_CLIENT_CERTIFICATES = f"""
tls_server_config:
  cert_file: tls.crt
  key_file: tls.key
  client_ca_file: ca.crt
  client_auth_type: RequireAndVerifyClientCert
basic_auth_users:
  prometheus: {bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}
"""


@pytest.fixture(scope="session")
def certificate_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("signed"))


class Node:
    """A node: its libvirt daemon, its journal directory, and the Secrets of the cluster."""

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

    def create_pod(
        self, values: str, settings: Sequence[str] = (), *, libvirt: Path | None = None
    ) -> ContainerProcess:
        """Render the chart with the URI of the session daemon and a free port."""
        uri = f"qemu+unix:///session?socket={RUN_DIRECTORY}/{self.daemon.socket.name}"
        manifests = render(
            values_file(values), (f"libvirt.uris[0]={uri}", f"web.port={free_port()}", *settings)
        )
        paths = {
            RUN_DIRECTORY: libvirt or self.daemon.socket.parent,
            JOURNAL_DIRECTORY: self.folder / "journal",
        }
        for volume, name in (("web", "lle-web"), ("client", "lle-client")):
            if name in self.secrets:
                paths[mount_path(manifests, volume)] = self.secrets[name]
        return ContainerProcess(manifests, paths, self.secrets, self.folder / "exporter.log")


@pytest.fixture
def node(session_daemon: Daemon, tmp_path: Path) -> Node:
    return Node(session_daemon, tmp_path)


def test_next_pod_continues_the_counters(node: Node, guests: Guests) -> None:
    domain = f"chart-{uuid.uuid4().hex[:8]}"
    pod = node.create_pod("defaults")
    connection = node.daemon.connect()
    try:
        with pod.running():
            pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
            assert pod.probe("liveness")
            connection.createXML(guests.xml(domain))
            pod.wait_until(lambda: pod.lifecycle_counts(domain)["started", "booted"] == 1)
            assert pod.value("libvirt_connection_up") == 1
            assert pod.helm_test().returncode == 0
        assert (node.folder / "journal/journal.sqlite").exists()
        connection.lookupByName(domain).destroy()
        next_pod = node.create_pod("defaults")
        with next_pod.running():
            next_pod.wait_until(lambda: next_pod.lifecycle_counts(domain)[("stopped", "unknown")] == 1)
            assert next_pod.lifecycle_counts(domain)["started", "booted"] == 1
    finally:
        connection.close()


def test_pod_without_libvirt_is_live_but_not_ready(node: Node, tmp_path: Path) -> None:
    empty = tmp_path / "nothing"
    empty.mkdir()
    settings = ("probes.liveness.enabled=true", "service.enabled=true", *PROBE_SETTINGS)
    pod = node.create_pod("minimal", settings, libvirt=empty)
    with pod.running():
        assert pod.probe("liveness")
        assert not pod.probe("readiness")
        assert pod.value("libvirt_connection_up") == 0
        result = pod.helm_test()
        assert result.returncode == 1
        assert ": 503 " in result.stderr


PROBE_SETTINGS = ("probes.readiness.enabled=true", "probes.startup.enabled=true")


def test_kubelet_probes_work_over_https(node: Node, certificate_directory: Path) -> None:
    node.secret(
        "lle-web",
        {
            "web-config.yml": WEB_WITH_TLS,
            "tls.crt": certificate_directory / "server.pem",
            "tls.key": certificate_directory / "server.key",
        },
    )
    pod = node.create_pod("tls")
    with pod.running():
        pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
        assert pod.probe("liveness")
        assert pod.kubelet_status("http", "/-/healthy") != 200
        assert pod.helm_test().returncode == 0


def test_exec_probes_work_where_the_kubelet_is_refused(node: Node, certificate_directory: Path) -> None:
    """With TLS, client certificates and basic authentication."""
    client_files: dict[str, str | Path] = {
        "tls.crt": certificate_directory / "client.pem",
        "tls.key": certificate_directory / "client.key",
        "ca.crt": certificate_directory / "ca.pem",
        "username": "prometheus",
        "password": PASSWORD,
    }
    node.secret("lle-client", client_files)
    node.secret(
        "lle-web",
        {
            "web.yml": WEB_WITH_CLIENT_CERTIFICATES,
            "tls.crt": certificate_directory / "server.pem",
            "tls.key": certificate_directory / "server.key",
            "ca.crt": certificate_directory / "ca.pem",
        },
    )
    pod = node.create_pod("mtls")
    with pod.running():
        pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
        assert pod.probe("liveness")
        assert pod.kubelet_status("https", "/-/healthy") == 0
        assert pod.helm_test().returncode == 0
        (node.secrets["lle-client"] / "password").write_text("wrong")
        assert not pod.probe("liveness")
        assert pod.helm_test().returncode == 1
        (node.secrets["lle-client"] / "username").unlink()
        assert not pod.probe("liveness")


def test_exported_resource_names_the_node(node: Node, guests: Guests, collector: Collector) -> None:
    domain = f"chart-{uuid.uuid4().hex[:8]}"
    node.secret("otlp-headers", {"headers": "authorization=Bearer%20x"})
    pod = node.create_pod(
        "defaults",
        (
            f"otlp.endpoint={collector.url}",
            "otlp.headers.existingSecret=otlp-headers",
            "otlp.resourceAttributes.site=north",
            f"otlp.resourceAttributes.host\\.name={NODE}",
        ),
    )
    connection = node.daemon.connect()
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
