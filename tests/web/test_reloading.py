"""A change is taken by itself; a bad one changes nothing, and says so."""

import os
import shutil
import ssl
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.web.access import AccessControl
from tests.lab.waiting import until
from tests.web.serving import TLS, hashed, serving


def entrance(folder: Path, text: str) -> AccessControl:
    (folder / "web.yml").write_text(text)
    return AccessControl(str(folder / "web.yml"))


def rest(entrance: AccessControl) -> None:
    """Look twice: what has changed is read once it rests."""
    entrance.look()
    entrance.look()


def shown(folder: Path, port: int) -> str:
    """The certificate that the server shows."""
    return ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(folder / "ca.pem"), timeout=20)


def test_a_renewed_certificate_is_shown_to_new_connections(folder: Path) -> None:
    with serving(folder, TLS + "}") as served:
        before = shown(folder, served.port)
        for kind in ("pem", "key"):
            (folder / f"client.{kind}").replace(folder / f"server.{kind}")
        until(lambda: shown(folder, served.port) != before, 20, "the new certificate")
        assert served.ask(served.client())[0] == 200


def test_secrets_as_kubernetes_changes_them(folder: Path) -> None:
    """By a link to another folder: the files' own dates may be old."""
    for name in ("one", "two"):
        shutil.copytree(folder, folder / name)
    shutil.copy2(folder / "client.pem", folder / "two/server.pem")
    shutil.copy2(folder / "client.key", folder / "two/server.key")
    (folder / "data").symlink_to("one")
    there = TLS.replace("server.", "data/server.")
    watched = entrance(folder, there + "}")
    first = watched.rules.context
    rest(watched)
    assert watched.rules.context is first
    (folder / "next").symlink_to("two")
    (folder / "next").rename(folder / "data")
    rest(watched)
    assert watched.rules.context is not first
    assert not watched.trouble


def test_nothing_is_read_while_it_changes(folder: Path) -> None:
    watched = entrance(folder, "")
    for number in range(5):
        (folder / "web.yml").write_text(f"http_server_config: {{headers: {{X-XSS-Protection: '{number}'}}}}")
        watched.look()
        assert watched.rules.config.headers == ()
    watched.look()
    assert watched.rules.config.headers == (("X-XSS-Protection", "4"),)


def test_a_bad_change_keeps_what_was_and_says_so_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    watched = entrance(folder, f"basic_auth_users: {{alice: {hashed('a')}}}\n{TLS}}}\n")
    before, at = watched.rules, watched.reloaded_at
    bad = ["basic_auth_users: {alice: secret}", "surprise: 1", TLS + "}", "", "[", "tls_server_config: 7"]
    bad += [
        'tls_server_config: {cert_file: "a\\0", key_file: k}',
        'tls_server_config: {cert: "\\udead", key: k}',
    ]
    for text in bad:
        (folder / "web.yml").write_text(text)
        rest(watched)
        assert watched.rules is before
        assert watched.trouble
        assert watched.reloaded_at == at
        rest(watched)
    assert len(caplog.records) == len(bad)
    assert "secret" not in caplog.text
    assert "no users any more, which takes a restart" in caplog.text
    (folder / "web.yml").write_text(f"basic_auth_users: {{bob: {hashed('b')}}}\n{TLS}}}\n")
    rest(watched)
    assert not watched.trouble
    assert set(watched.rules.config.users) == {"bob"}
    assert watched.reloaded_at is not None
    assert at is not None
    assert watched.reloaded_at > at


def test_key_and_certificate_that_come_one_after_the_other(folder: Path) -> None:
    watched = entrance(folder, TLS + "}")
    before = watched.rules.context
    shutil.copy(folder / "client.key", folder / "server.key")
    rest(watched)
    assert watched.rules.context is before
    assert "does not belong to" in watched.trouble
    shutil.copy(folder / "client.pem", folder / "server.pem")
    rest(watched)
    assert watched.rules.context is not before
    assert not watched.trouble


def test_what_was_named_before_it_was_there_is_tried_again(folder: Path) -> None:
    now = 0.0
    (folder / "web.yml").write_text(TLS + "}")
    watched = AccessControl(str(folder / "web.yml"), lambda: now)
    (folder / "web.yml").write_text(TLS.replace("server.", "next.") + "}")
    rest(watched)
    assert "next.pem" in watched.trouble
    for kind in ("pem", "key"):
        shutil.copy(folder / f"client.{kind}", folder / f"next.{kind}")
    rest(watched)
    assert watched.trouble, "no file that is watched has changed"
    now += 11
    rest(watched)
    assert not watched.trouble


def test_a_file_that_vanishes_and_comes_back(folder: Path) -> None:
    watched = entrance(folder, TLS + "}")
    before = watched.rules
    (folder / "web.yml").rename(folder / "away.yml")
    rest(watched)
    assert watched.rules is before
    assert "no such file" in watched.trouble
    (folder / "away.yml").rename(folder / "web.yml")
    rest(watched)
    assert not watched.trouble


def test_a_file_of_the_same_size_and_date(folder: Path) -> None:
    """Whoever turns back the clock of a file cannot turn back when it was changed."""
    watched = entrance(folder, "rate_limit: {interval: 1s, burst: 1}")
    was = (folder / "web.yml").stat()
    (folder / "web.yml").write_text("rate_limit: {interval: 1s, burst: 2}")
    os.utime(folder / "web.yml", ns=(was.st_atime_ns, was.st_mtime_ns))
    rest(watched)
    assert watched.rules.config.rate_limit.burst == 2


def test_the_older_certificate_is_not_gone_for_who_is_here(folder: Path) -> None:
    """A connection that is open stays open; users are asked at each request all the same."""
    with serving(folder, TLS + "}") as served:
        first = served.ask(served.client())
        served.reread(f"{TLS}, min_version: TLS13}}")
        assert served.ask(served.client())[0] == first[0] == 200
        old = served.client()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(OSError, match=r".+"):
            served.ask(old)
