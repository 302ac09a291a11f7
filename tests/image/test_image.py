"""The image contains what it needs and no more, and runs with the settings of the chart."""

import os
import platform
import stat
import uuid
from collections.abc import Sequence
from pathlib import Path

import bcrypt
import pytest

from libvirt_lifecycle_exporter import __version__
from tests.chart.rendering import render, values_file
from tests.image.pod_process import Image, PodProcess
from tests.lab.daemon import short_root
from tests.lab.exporter import free_port
from tests.lab.guests import Guests
from tests.lab.system_daemon import SystemDaemon
from tests.otel.certificates import certificates

USER = 65534
JOURNAL = "/var/lib/libvirt-lifecycle-exporter"
RUN = "/run/libvirt"


def make_pod(
    image: Image, node: SystemDaemon, folder: Path, values: str, settings: Sequence[str] = (), **more: Path
) -> PodProcess:
    journal = folder / "node-journal"
    journal.mkdir(exist_ok=True)
    manifests = render(values_file(values), (f"web.port={free_port()}", *settings))
    places = {RUN: node.socket.parent, JOURNAL: journal}
    return PodProcess(image, manifests, folder, node_paths=places, secrets=more)


def test_image_configuration_and_labels(image: Image) -> None:
    config = image.config
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == ["libvirt-lifecycle-exporter"]
    assert list(config["ExposedPorts"]) == ["10177/tcp"]
    assert config["Healthcheck"]["Test"] == [
        "CMD",
        "python",
        "-m",
        "libvirt_lifecycle_exporter.cli.healthcheck",
    ]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels["version"] == __version__
    assert labels["revision"] == "lab"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["title"] == "libvirt-lifecycle-exporter"
    assert image.architecture == {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    print(f"\nimage: {image.sizes['exporter']}, of which the base: {image.sizes['debian']}")


def test_image_has_no_build_tools(image: Image) -> None:
    for name in ("usr/bin/gcc", "usr/bin/cc", "usr/include/libvirt", "usr/bin/pkg-config", "usr/bin/pip3"):
        assert not (image.root / name).exists(), name
    opt = image.root / "opt/libvirt-lifecycle-exporter"
    assert not list(opt.rglob("pip")), "pip"
    assert not list((image.root / "usr/include").rglob("Python.h"))
    assert not list((image.root / "var/lib/apt/lists").iterdir())


def test_user_can_write_only_the_journal_directory(image: Image) -> None:
    owned = [
        path
        for folder, folders, files in os.walk(image.root)
        for path in (Path(folder) / name for name in (*folders, *files))
        if not path.is_symlink() and _may_write(path.lstat())
    ]
    inside = {f"/{path.relative_to(image.root)}" for path in owned}
    assert inside - {"/tmp", "/var/tmp", "/run/lock"} == {JOURNAL}  # noqa: S108 - what Debian has


def _may_write(found: os.stat_result) -> bool:
    return USER in {found.st_uid, found.st_gid} or bool(found.st_mode & stat.S_IWOTH)


def test_pod_runs_with_the_security_context_of_the_chart(
    image: Image, node: SystemDaemon, tmp_path: Path
) -> None:
    """Another user, no capabilities, a read-only root, libvirt's folder read-only."""
    domain = f"image-{uuid.uuid4().hex[:8]}"
    connection = node.connect()
    with short_root() as images, make_pod(image, node, tmp_path, "defaults") as pod:
        pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
        assert pod.probe("liveness")
        status = pod.status_lines()
        assert (status["Uid"], status["Gid"]) == (f"{USER} " * 3 + f"{USER}", f"{USER} " * 3 + f"{USER}")
        assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert status["NoNewPrivs"] == "1"
        connection.createXML(Guests(images / "guests").xml(domain)).destroy()
        connection.close()
        pod.wait_until(lambda: pod.lifecycle_counts(domain, "qemu:///system")["stopped", "destroyed"] == 1)
        (journal,) = (tmp_path / "node-journal").glob("journal.sqlite")
        assert journal.stat().st_uid == USER
        check = pod.execute(["libvirt-lifecycle-exporter", "check", pod.container["args"][0]])
        assert check.returncode == 0, check.stdout + check.stderr
        assert "read-only access is enough" in check.stdout
        events = pod.execute(
            ["libvirt-lifecycle-exporter", "events", "--journal.path", f"{JOURNAL}/journal.sqlite"]
        )
        assert domain in events.stdout
        writing = pod.execute(["sh", "-c", "touch /etc/x; touch /run/libvirt/x; touch /opt/x"])
        assert writing.stderr.count("Read-only file system") == 3


def test_another_user_takes_over_the_journal(image: Image, node: SystemDaemon, tmp_path: Path) -> None:
    """First the user nobody, then a user that libvirt's host has as well: daemon (1)."""
    with make_pod(image, node, tmp_path, "defaults") as pod:
        pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
    folder = tmp_path / "node-journal"
    folder.chmod(0o750)
    (journal,) = folder.glob("journal.sqlite")
    assert journal.stat().st_uid == USER
    settings = [f"podSecurityContext.{name}=1" for name in ("runAsUser", "runAsGroup", "fsGroup")]
    with make_pod(image, node, tmp_path, "defaults", settings) as pod:
        pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
        assert pod.value("libvirt_lifecycle_exporter_journal_errors_total") == 0
    assert {path.stat().st_uid for path in (folder, *folder.iterdir())} == {1}


@pytest.mark.parametrize(("setting", "record"), [("runAsUser", "user"), ("runAsGroup", "group")])
def test_libvirt_refuses_a_user_unknown_to_its_host(
    image: Image, node: SystemDaemon, tmp_path: Path, setting: str, record: str
) -> None:
    """This is why the default user is nobody; `check` prints a hint."""
    with make_pod(image, node, tmp_path, "defaults", (f"podSecurityContext.{setting}=54321",)) as pod:
        done = pod.execute(["libvirt-lifecycle-exporter", "check", pod.container["args"][0]])
        assert f"Failed to find {record} record" in done.stdout
        assert f"hint: the {record} of the exporter does not exist on libvirt's host" in done.stdout
        assert not pod.probe("readiness")


def test_health_check_reports_the_health_of_the_exporter(
    image: Image, node: SystemDaemon, tmp_path: Path
) -> None:
    with make_pod(image, node, tmp_path, "defaults") as pod:
        program, *arguments = image.config["Healthcheck"]["Test"][1:]
        listening = f"LIBVIRT_LIFECYCLE_EXPORTER_WEB_LISTEN_ADDRESS=:{pod.port}"
        assert pod.execute(["env", listening, program, *arguments]).returncode == 0
        elsewhere = f"LIBVIRT_LIFECYCLE_EXPORTER_WEB_LISTEN_ADDRESS=:{free_port()}"
        assert pod.execute(["env", elsewhere, program, *arguments]).returncode == 1


def test_restricted_socket_requires_its_group(image: Image, node: SystemDaemon, tmp_path: Path) -> None:
    """supplementalGroups, if unix_sock_ro_perms is 0770."""
    socket = node.socket.with_name(f"{node.socket.name}-ro")
    before = socket.stat()
    os.chown(socket, 0, 4242)
    socket.chmod(0o770)
    try:
        with make_pod(image, node, tmp_path, "defaults") as pod:
            pod.wait_until(lambda: "Permission denied" in pod.log.read_text(), what="a refusal")
            assert not pod.probe("readiness")
            assert pod.probe("liveness")
        settings = ("podSecurityContext.supplementalGroups[0]=4242",)
        with make_pod(image, node, tmp_path, "defaults", settings) as pod:
            pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
    finally:
        os.chown(socket, before.st_uid, before.st_gid)
        socket.chmod(before.st_mode)


def test_virtqemud_socket_is_found_by_the_client(image: Image, node: SystemDaemon, tmp_path: Path) -> None:
    """Only the name of the socket is virtqemud's: libvirtd has the same protocol."""
    other = node.socket.with_name("virtqemud-sock-ro")
    other.symlink_to(f"{node.socket.name}-ro")
    settings = ("serviceMonitor.enabled=false", "journal.emptyDir.sizeLimit=1Gi")
    try:
        with make_pod(image, node, tmp_path, "virtqemud", settings) as pod:
            pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
            assert pod.value("libvirt_connection_up", connection="qemu:///system") == 1
    finally:
        other.unlink()


def test_probes_work_with_mutual_tls_and_basic_auth(image: Image, node: SystemDaemon, tmp_path: Path) -> None:
    signed = tmp_path / "signed"
    signed.mkdir()
    certificates(signed)
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    text = (
        "tls_server_config: {cert_file: tls.crt, key_file: tls.key, client_ca_file: ca.crt,"
        f" client_auth_type: RequireAndVerifyClientCert}}\nbasic_auth_users: {{prometheus: {hashed}}}\n"
    )
    web, client = tmp_path / "web", tmp_path / "client"
    for folder, role in ((web, "server"), (client, "client")):
        folder.mkdir()
        for key, file in (("tls.crt", f"{role}.pem"), ("tls.key", f"{role}.key"), ("ca.crt", "ca.pem")):
            (folder / key).write_bytes((signed / file).read_bytes())
    (web / "web.yml").write_text(text)
    (client / "username").write_text("prometheus")
    (client / "password").write_text("secret")
    settings = ("web.config.existingSecret=web", "web.client.existingSecret=client")
    with make_pod(image, node, tmp_path, "mtls", settings, web=web, client=client) as pod:
        pod.wait_until(lambda: pod.probe("readiness"), what="the readiness probe")
        assert pod.probe("liveness")


@pytest.mark.parametrize("user", [USER, 1234])
def test_demo_runs_as_any_user(image: Image, node: SystemDaemon, tmp_path: Path, user: int) -> None:
    settings = (f"podSecurityContext.runAsUser={user}", "journal.type=emptyDir")
    pod = make_pod(image, node, tmp_path, "defaults", settings)
    done = pod.execute(
        [
            "timeout",
            "--signal=TERM",
            "3",
            "libvirt-lifecycle-exporter",
            "demo",
            "--web.listen-address=127.0.0.1:0",
        ]
    )
    assert "A cast of five domains plays" in done.stdout, done.stderr
