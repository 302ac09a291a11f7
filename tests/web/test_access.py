"""A changed web configuration is reloaded; an invalid one changes nothing and is logged."""

import os
import shutil
import ssl
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.web.access import AccessControl
from tests.lab.waiting import until
from tests.web.running_server import TLS, bcrypt_hash, running_server


def access_control(folder: Path, text: str) -> AccessControl:
    (folder / "web.yml").write_text(text)
    return AccessControl(str(folder / "web.yml"))


def check_twice(access: AccessControl) -> None:
    """A changed file is read once it looks the same in two successive checks."""
    access.check_files()
    access.check_files()


def server_certificate(folder: Path, port: int) -> str:
    """Return the certificate that the server presents."""
    return ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(folder / "ca.pem"), timeout=20)


def test_new_connections_get_the_renewed_certificate(folder: Path) -> None:
    with running_server(folder, TLS + "}") as server:
        before = server_certificate(folder, server.port)
        for kind in ("pem", "key"):
            (folder / f"client.{kind}").replace(folder / f"server.{kind}")
        until(lambda: server_certificate(folder, server.port) != before, 20, "the new certificate")
        assert server.get(server.client_context())[0] == 200


def test_secret_replaced_by_kubernetes_is_reloaded(folder: Path) -> None:
    """Kubernetes replaces a symbolic link to a directory; the files in it may have old dates."""
    for name in ("one", "two"):
        shutil.copytree(folder, folder / name)
    shutil.copy2(folder / "client.pem", folder / "two/server.pem")
    shutil.copy2(folder / "client.key", folder / "two/server.key")
    (folder / "data").symlink_to("one")
    text = TLS.replace("server.", "data/server.")
    access = access_control(folder, text + "}")
    first = access.active.tls_context
    check_twice(access)
    assert access.active.tls_context is first
    (folder / "next").symlink_to("two")
    (folder / "next").rename(folder / "data")
    check_twice(access)
    assert access.active.tls_context is not first
    assert not access.reload_error


def test_file_is_not_read_while_it_changes(folder: Path) -> None:
    access = access_control(folder, "")
    for number in range(5):
        (folder / "web.yml").write_text(f"http_server_config: {{headers: {{X-XSS-Protection: '{number}'}}}}")
        access.check_files()
        assert access.active.config.headers == ()
    access.check_files()
    assert access.active.config.headers == (("X-XSS-Protection", "4"),)


def test_invalid_change_keeps_the_old_one_and_is_logged_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    access = access_control(folder, f"basic_auth_users: {{alice: {bcrypt_hash('a')}}}\n{TLS}}}\n")
    before, at = access.active, access.reloaded_at
    invalid = ["basic_auth_users: {alice: secret}", "surprise: 1", TLS + "}", "", "[", "tls_server_config: 7"]
    invalid += [
        'tls_server_config: {cert_file: "a\\0", key_file: k}',
        'tls_server_config: {cert: "\\udead", key: k}',
    ]
    for text in invalid:
        (folder / "web.yml").write_text(text)
        check_twice(access)
        assert access.active is before
        assert access.reload_error
        assert access.reloaded_at == at
        check_twice(access)
    errors = [record.__dict__["error"] for record in caplog.records]
    assert len(errors) == len(invalid)
    assert not any("secret" in error for error in errors)
    assert any("basic_auth_users was removed; restart the exporter" in error for error in errors)
    (folder / "web.yml").write_text(f"basic_auth_users: {{bob: {bcrypt_hash('b')}}}\n{TLS}}}\n")
    check_twice(access)
    assert not access.reload_error
    assert set(access.active.config.users) == {"bob"}
    assert access.reloaded_at is not None
    assert at is not None
    assert access.reloaded_at > at


def test_key_and_certificate_may_be_replaced_in_turn(folder: Path) -> None:
    access = access_control(folder, TLS + "}")
    before = access.active.tls_context
    shutil.copy(folder / "client.key", folder / "server.key")
    check_twice(access)
    assert access.active.tls_context is before
    assert "does not belong to" in access.reload_error
    shutil.copy(folder / "client.pem", folder / "server.pem")
    check_twice(access)
    assert access.active.tls_context is not before
    assert not access.reload_error


def test_reload_with_missing_certificate_is_retried(folder: Path) -> None:
    now = 0.0
    (folder / "web.yml").write_text(TLS + "}")
    access = AccessControl(str(folder / "web.yml"), lambda: now)
    (folder / "web.yml").write_text(TLS.replace("server.", "next.") + "}")
    check_twice(access)
    assert "next.pem" in access.reload_error
    for kind in ("pem", "key"):
        shutil.copy(folder / f"client.{kind}", folder / f"next.{kind}")
    check_twice(access)
    assert access.reload_error, "no watched file has changed"
    now += 11
    check_twice(access)
    assert not access.reload_error


def test_file_may_disappear_and_come_back(folder: Path) -> None:
    access = access_control(folder, TLS + "}")
    before = access.active
    (folder / "web.yml").rename(folder / "away.yml")
    check_twice(access)
    assert access.active is before
    assert "no such file" in access.reload_error
    (folder / "away.yml").rename(folder / "web.yml")
    check_twice(access)
    assert not access.reload_error


def test_change_with_same_size_and_date_is_noticed(folder: Path) -> None:
    """The modification time can be set back, the status change time cannot."""
    access = access_control(folder, "rate_limit: {interval: 1s, burst: 1}")
    before = (folder / "web.yml").stat()
    (folder / "web.yml").write_text("rate_limit: {interval: 1s, burst: 2}")
    os.utime(folder / "web.yml", ns=(before.st_atime_ns, before.st_mtime_ns))
    check_twice(access)
    assert access.active.config.rate_limit.burst == 2


def test_reloaded_tls_settings_apply_to_new_connections(folder: Path) -> None:
    with running_server(folder, TLS + "}") as server:
        first = server.get(server.client_context())[0]
        server.reload_config(f"{TLS}, min_version: TLS13}}")
        assert server.get(server.client_context())[0] == first == 200
        old = server.client_context()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError, match=r".+"):
            server.get(old)
