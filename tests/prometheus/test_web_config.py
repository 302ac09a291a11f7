"""A real Prometheus scrapes with TLS, a client certificate and a user; each wrong setting is refused."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from tests.lab.exporter import Exporter
from tests.lab.prometheus import Prometheus
from tests.lab.waiting import until
from tests.otel.certificates import certificates

TLS = """tls_server_config:
  cert_file: server.pem
  key_file: server.key
"""
MUTUAL = """  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [127.0.0.1]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificates(tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="module")
def users() -> str:
    cheap = bcrypt.hashpw(b"wonderland", bcrypt.gensalt(6)).decode()
    return f"basic_auth_users:\n  alice: {cheap}\n"


class Secured(Exporter):
    """An exporter whose readiness is taken from its log, because its endpoints need credentials."""

    def wait_ready(self) -> None:
        self.wait_until(lambda: "msg=listening" in self.log_text(), 30, "the exporter to serve")


def job(port: int, folder: Path, **changes: Any) -> dict[str, Any]:
    """Return the scrape configuration of the documentation, with changes."""
    tls = {"ca_file": "ca.pem", "cert_file": "client.pem", "key_file": "client.key", **changes.pop("tls", {})}
    return {
        "scheme": "https",
        "tls_config": {name: str(folder / value) for name, value in tls.items() if value},
        "basic_auth": {"username": "alice", "password": "wonderland"},
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        "scrape_interval": "500ms",
        **changes,
    }


INVALID_CLIENTS: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "no TLS": ({"scheme": "http"}, "EOF|reset|malformed"),
    "wrong authority": ({"tls": {"ca_file": "stranger.pem"}}, "unknown authority"),
    "no client certificate": ({"tls": {"cert_file": "", "key_file": ""}}, "certificate required"),
    "client certificate of another authority": (
        {"tls": {"cert_file": "stranger.pem", "key_file": "stranger.key"}},
        "unknown certificate authority|certificate required",
    ),
    "no user": ({"basic_auth": None}, "401"),
    "unknown user": ({"basic_auth": {"username": "bob", "password": "wonderland"}}, "401"),
    "wrong password": ({"basic_auth": {"username": "alice", "password": "?"}}, "401"),
}


def health(prometheus: Prometheus, jobs: int = 1) -> dict[str, tuple[str, str]]:
    """Return health and last error of each job; empty until all jobs have been scraped."""
    targets = prometheus.ask("targets")["activeTargets"]
    known = {target["labels"]["job"]: (target["health"], target["lastError"]) for target in targets}
    is_complete = len(known) >= jobs and "unknown" not in {state for state, _ in known.values()}
    return known if is_complete else {}


def test_only_valid_clients_can_scrape(folder: Path, users: str, tmp_path: Path) -> None:
    file = folder / "web.yml"
    file.write_text(TLS + MUTUAL + users)
    with Secured(tmp_path, ["test:///default"], extra_args=["--web.config.file", str(file)]) as exporter:
        invalid = [
            {"job_name": name, **job(exporter.port, folder, **INVALID_CLIENTS[name][0])}
            for name in INVALID_CLIENTS
        ]
        with Prometheus(tmp_path, [], scrape=job(exporter.port, folder), jobs=invalid) as prometheus:
            found = until(lambda: health(prometheus, len(INVALID_CLIENTS) + 1), 30, "all jobs")
            assert found.pop("libvirt") == ("up", "")
            for name, (state, error) in found.items():
                assert state == "down", name
                assert re.search(INVALID_CLIENTS[name][1], error), (name, error)
            ok = "libvirt_lifecycle_exporter_web_config_last_reload_successful"
            prometheus.wait_for(f"{ok} == 1")
            refused = "libvirt_lifecycle_exporter_web_refused_total"
            prometheus.wait_for(f'{refused}{{cause="tls"}} > 2 and on() {refused}{{cause="credentials"}} > 2')

            file.write_text(TLS + MUTUAL + users + "surprise: 1\n")
            prometheus.wait_for(f"{ok} == 0")
            assert health(prometheus)["libvirt"] == ("up", "")

            file.write_text(TLS + MUTUAL + users.replace("alice", "carol"))
            until(lambda: "401" in health(prometheus)["libvirt"][1], 30, "alice to be refused")
            file.write_text(TLS + MUTUAL + users)
            until(lambda: health(prometheus)["libvirt"] == ("up", ""), 30, "alice to be accepted")
        text = exporter.log_text()
        assert 'unknown key \\"surprise\\"' in text
        for secret in ("wonderland", "$2b$", "PRIVATE"):
            assert secret not in text


def test_plain_http_with_basic_auth(users: str, tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text(users)
    with Secured(tmp_path, ["test:///default"], extra_args=["--web.config.file", str(file)]) as exporter:
        right = job(exporter.port, tmp_path, scheme="http", tls_config={})
        with Prometheus(tmp_path, [], scrape=right) as prometheus:
            until(lambda: health(prometheus).get("libvirt") == ("up", ""), 30, "the scrape")
            assert exporter.status("/metrics") == exporter.status("/-/healthy") == 401
