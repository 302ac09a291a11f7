"""The command that asks an exporter whether it is well."""

import socket
from pathlib import Path
from typing import Any

import pytest

from libvirt_lifecycle_exporter.cli import healthcheck as health
from tests.web.serving import TLS, hashed, serving

USERS = f"basic_auth_users: {{prometheus: {hashed('pass:word')}}}"


def credentials(folder: Path, **files: str) -> Path:
    kept = folder / "credentials"
    kept.mkdir(exist_ok=True)
    for name, content in files.items():
        (kept / name.replace("_", ".")).write_text(content)
    return kept


def test_well_is_said_in_a_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(folder, None) as served:
        url = f"http://127.0.0.1:{served.port}/"
        assert health.main([url]) == 0
    assert capsys.readouterr() == (f"{url}: 200 here\n", "")


def test_another_status_is_not_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(folder, None) as served:
        assert health.main([f"http://127.0.0.1:{served.port}/elsewhere"]) == 1
    assert capsys.readouterr().err == f"http://127.0.0.1:{served.port}/elsewhere: 404 Not Found\n"


def test_nobody_there_is_not_well(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert health.main([f"http://127.0.0.1:{taken.getsockname()[1]}/"]) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_silence_is_not_well(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert health.main(["--timeout", "0.2", f"http://127.0.0.1:{silent.getsockname()[1]}/"]) == 1
    assert "timed out" in capsys.readouterr().err


def test_something_else_than_http_is_not_well(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(folder, f"{TLS}}}") as served:
        assert health.main([f"http://127.0.0.1:{served.port}/"]) == 1
        assert health.main([f"https://127.0.0.1:{served.port}/"]) == 0
    assert capsys.readouterr().out == f"https://127.0.0.1:{served.port}/: 200 here\n"


def test_users_are_shown(folder: Path) -> None:
    with serving(folder, USERS) as served:
        url = f"http://127.0.0.1:{served.port}/"
        assert health.main([url]) == 1
        kept = credentials(folder, username="prometheus\n", password="pass:word\n")  # noqa: S106
        assert health.main([f"--credentials={kept}", url]) == 0
        credentials(folder, password="wrong")  # noqa: S106 - of a test
        assert health.main([f"--credentials={kept}", url]) == 1


def test_certificates_are_shown(folder: Path) -> None:
    text = f"{TLS}, client_ca_file: ca.pem, client_auth_type: RequireAndVerifyClientCert}}"
    with serving(folder, text) as served:
        url = f"https://127.0.0.1:{served.port}/"
        assert health.main([url]) == 1
        kept = credentials(
            folder,
            tls_crt=(folder / "client.pem").read_text(),
            tls_key=(folder / "client.key").read_text(),
        )
        assert health.main([f"--credentials={kept}", url]) == 0


def test_an_authority_is_believed_and_no_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(folder, f"{TLS}}}") as served:
        url = f"https://localhost:{served.port}/"  # which is not the name in the certificate
        kept = credentials(folder, ca_crt=(folder / "ca.pem").read_text())
        assert health.main([f"--credentials={kept}", url]) == 0
        credentials(folder, ca_crt=(folder / "stranger.pem").read_text())
        assert health.main([f"--credentials={kept}", url]) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().err


def test_every_address_of_a_name_is_asked(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def resolve_ours(host: str, port: int, *more: int, **named: int) -> list[tuple[Any, ...]]:
        names = ["127.0.0.3", "127.0.0.1", "127.0.0.1"] if host == "pods.invalid" else [host]
        return [found for name in names for found in resolve(name, port, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve_ours)
    with serving(folder, None) as served:
        url = f"http://pods.invalid:{served.port}/"
        assert health.addresses(url, every=True) == ["127.0.0.1", "127.0.0.3"]
        assert health.main(["--every-address", url]) == 1
    told = capsys.readouterr()
    assert told.out == f"http://127.0.0.1:{served.port}/: 200 here\n"
    assert told.err.startswith(f"http://127.0.0.3:{served.port}/: ")


def test_a_name_that_nobody_has_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert health.main(["--every-address", "http://no-such-host.invalid:1/"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("url", ["localhost:10177", "ftp://localhost/", "http:///-/ready"])
def test_what_is_no_url_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        health.main([url])
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
def test_the_usual_exporter_is_the_one_of_this_environment(
    listening: str, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIBVIRT_LIFECYCLE_EXPORTER_WEB_LISTEN_ADDRESS", listening)
    assert health.default_urls() == urls
    assert all(health.addresses(url, every=False) for url in urls)
    assert urls[0] in health.parser().format_help().replace("\n", "").replace(" ", "")


def test_health_command_asks_the_listen_address(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host counts: two servers, of which none is on 127.0.0.1."""
    with serving(folder, None, host="127.0.0.2") as one, serving(folder, None, host="::1") as other:
        listening = f"127.0.0.2:{one.port} [::1]:{other.port}"
        monkeypatch.setenv("LIBVIRT_LIFECYCLE_EXPORTER_WEB_LISTEN_ADDRESS", listening)
        # The page of the tests has no health.
        assert health.main([]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told == [
        f"http://127.0.0.2:{one.port}/-/healthy: 404 Not Found",
        f"http://[::1]:{other.port}/-/healthy: 404 Not Found",
    ]
