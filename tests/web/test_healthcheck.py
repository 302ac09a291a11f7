"""The health command: requests to an exporter and their result as exit code and text."""

import socket
from pathlib import Path
from typing import Any

import pytest

from libvirt_lifecycle_exporter.cli import healthcheck
from tests.web.running_server import TLS, bcrypt_hash, running_server

USERS = f"basic_auth_users: {{prometheus: {bcrypt_hash('pass:word')}}}"


def write_credentials(folder: Path, **files: str) -> Path:
    """Write files, _ in their names for a dot, into the directory for --credentials."""
    directory = folder / "credentials"
    directory.mkdir(exist_ok=True)
    for name, content in files.items():
        (directory / name.replace("_", ".")).write_text(content)
    return directory


def test_success_is_reported_with_status_and_body(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_server(folder, None) as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert healthcheck.main([url]) == 0
    assert capsys.readouterr() == (f"{url}: 200 hello\n", "")


def test_error_status_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_server(folder, None) as server:
        assert healthcheck.main([f"http://127.0.0.1:{server.port}/elsewhere"]) == 1
    assert capsys.readouterr().err == f"http://127.0.0.1:{server.port}/elsewhere: 404 Not Found\n"


def test_refused_connection_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert healthcheck.main([f"http://127.0.0.1:{taken.getsockname()[1]}/"]) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_missing_response_fails_after_the_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert healthcheck.main(["--timeout", "0.2", f"http://127.0.0.1:{silent.getsockname()[1]}/"]) == 1
    assert "timed out" in capsys.readouterr().err


def test_plain_http_to_a_tls_server_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_server(folder, f"{TLS}}}") as server:
        assert healthcheck.main([f"http://127.0.0.1:{server.port}/"]) == 1
        assert healthcheck.main([f"https://127.0.0.1:{server.port}/"]) == 0
    assert capsys.readouterr().out == f"https://127.0.0.1:{server.port}/: 200 hello\n"


def test_user_and_password_are_sent(folder: Path) -> None:
    with running_server(folder, USERS) as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert healthcheck.main([url]) == 1
        directory = write_credentials(folder, username="prometheus\n", password="pass:word\n")  # noqa: S106
        assert healthcheck.main([f"--credentials={directory}", url]) == 0
        write_credentials(folder, password="wrong")  # noqa: S106 - of a test
        assert healthcheck.main([f"--credentials={directory}", url]) == 1


def test_client_certificate_is_presented(folder: Path) -> None:
    text = f"{TLS}, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert}}"
    with running_server(folder, text) as server:
        url = f"https://127.0.0.1:{server.port}/"
        assert healthcheck.main([url]) == 1
        directory = write_credentials(
            folder,
            tls_crt=(folder / "client.pem").read_text(),
            tls_key=(folder / "client.key").read_text(),
        )
        assert healthcheck.main([f"--credentials={directory}", url]) == 0


def test_only_the_given_authority_is_trusted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_server(folder, f"{TLS}}}") as server:
        url = f"https://localhost:{server.port}/"  # which is not the name in the certificate
        directory = write_credentials(folder, ca_crt=(folder / "ca.pem").read_text())
        assert healthcheck.main([f"--credentials={directory}", url]) == 0
        write_credentials(folder, ca_crt=(folder / "stranger.pem").read_text())
        assert healthcheck.main([f"--credentials={directory}", url]) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().err


def test_every_address_of_a_name_is_requested(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def resolve_stub(host: str, port: int, *more: int, **named: int) -> list[tuple[Any, ...]]:
        names = ["127.0.0.3", "127.0.0.1", "127.0.0.1"] if host == "pods.invalid" else [host]
        return [found for name in names for found in resolve(name, port, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve_stub)
    with running_server(folder, None) as server:
        url = f"http://pods.invalid:{server.port}/"
        assert healthcheck.addresses(url, every=True) == ["127.0.0.1", "127.0.0.3"]
        assert healthcheck.main(["--every-address", url]) == 1
    output = capsys.readouterr()
    assert output.out == f"http://127.0.0.1:{server.port}/: 200 hello\n"
    assert output.err.startswith(f"http://127.0.0.3:{server.port}/: ")


def test_unknown_host_is_reported_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck.main(["--every-address", "http://no-such-host.invalid:1/"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("url", ["localhost:10177", "ftp://localhost/", "http:///-/ready"])
def test_invalid_url_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        healthcheck.main([url])
    assert "invalid URL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("listening", "urls"),
    [
        ("", ["http://localhost:10177/-/healthy"]),
        (":9999", ["http://localhost:9999/-/healthy"]),
        ("[::1]:1 127.0.0.2:2", ["http://[::1]:1/-/healthy", "http://127.0.0.2:2/-/healthy"]),
        ("0.0.0.0:1 [::]:2", ["http://127.0.0.1:1/-/healthy", "http://[::1]:2/-/healthy"]),
        ("node1.example:1", ["http://node1.example:1/-/healthy"]),
        ("[fe80::1%eth0]:1", ["http://[fe80::1%eth0]:1/-/healthy"]),
    ],
)
def test_default_urls_are_the_listen_addresses(
    listening: str, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBVIRT_LIFECYCLE_EXPORTER_WEB_LISTEN_ADDRESS", listening)
    assert healthcheck.default_urls() == urls
    assert all(healthcheck.addresses(url, every=False) for url in urls)
    assert urls[0] in healthcheck.parser().format_help().replace("\n", "").replace(" ", "")


def test_listen_addresses_are_requested_by_default(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hosts are used: neither of the two servers listens on 127.0.0.1."""
    with (
        running_server(folder, None, host="127.0.0.2") as first,
        running_server(folder, None, host="::1") as second,
    ):
        listening = f"127.0.0.2:{first.port} [::1]:{second.port}"
        monkeypatch.setenv("LIBVIRT_LIFECYCLE_EXPORTER_WEB_LISTEN_ADDRESS", listening)
        # The application of the tests has no health endpoint.
        assert healthcheck.main([]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"http://127.0.0.2:{first.port}/-/healthy: 404 Not Found",
        f"http://[::1]:{second.port}/-/healthy: 404 Not Found",
    ]
