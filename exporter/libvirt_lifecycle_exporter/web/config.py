"""The web configuration file, as the Prometheus exporter-toolkit has it, read into one frozen value.

Law: every key of the format is honoured, or refused in one sentence (``WebConfigError``) that quotes nothing
which may be secret. Unknown and repeated keys are refused. Nothing but the text is looked at: whether
certificates are there is for ``tls``.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml

from libvirt_lifecycle_exporter.web import tls_names as names
from libvirt_lifecycle_exporter.web.config_values import (
    Reader,
    WebConfigError,
    ciphers,
    client_auth,
    curves,
    headers,
    interval,
    number,
    quoted,
    section,
    text,
    texts,
    truth,
    users,
    version,
)
from libvirt_lifecycle_exporter.web.credentials import cost_of

_USUAL_COST: Final = 16
"""A check of a higher bcrypt cost takes longer than a scrape may take."""


@dataclass(frozen=True, slots=True)
class Tls:
    """``tls_server_config``; the words are checked, the files are not."""

    cert_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None
    cert: str = ""
    key: str = field(default="", repr=False)
    client_ca: str = ""
    client_auth_type: str = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    """Empty: any."""
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    """Empty: the library's."""
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that belong to it."""
        return tuple(file for file in (self.cert_file, self.key_file, self.client_ca_file) if file)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """``rate_limit``: a token bucket."""

    interval: float = 0.0
    """Seconds until there is a token more; 0: no limit."""
    burst: int = 0


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The file; the default is what an empty one says: no TLS, no users."""

    tls: Tls | None = None
    http2: bool = False
    """Whether HTTP/2 is allowed to clients; it is not spoken here, and they are content with HTTP/1.1."""
    headers: tuple[tuple[str, str], ...] = ()
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Their passwords' hashes, by bcrypt."""
    rate_limit: RateLimit = RateLimit()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that it names."""
        return self.tls.files if self.tls else ()

    def warnings(self) -> list[str]:
        """Return what is taken as it is written, but can hardly be meant."""
        found = [
            f"the hash of user {quoted(user)} has the bcrypt cost {cost_of(hashed)}: the first check of a "
            "password takes many seconds, longer than a scrape may take"
            for user, hashed in self.users.items()
            if cost_of(hashed) > _USUAL_COST
        ]
        if self.rate_limit.interval and not self.rate_limit.burst:
            found.append("rate_limit has an interval and no burst: every request is refused")
        return found

    def told(self) -> str:
        """Say in words what it comes to."""
        tls = f"TLS, {self.tls.client_auth_type}" if self.tls else "no TLS"
        return f"{tls}; users: {len(self.users)}"


def parse(written: str, folder: Path) -> WebConfig:
    """Read the file's text; relative paths are relative to ``folder``, where it is."""
    try:
        found = yaml.load(written, _Strict)  # noqa: S506 - a safe loader that makes strings of everything
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise WebConfigError(f"it is no valid YAML{where}: {' '.join(str(error.problem).split())}") from None
    except (yaml.YAMLError, RecursionError):
        raise WebConfigError(
            "it is no valid YAML: a character that YAML has not, or too many brackets"
        ) from None
    top = section("it", found, _TOP)
    tls = top.get("tls_server_config")
    http = top.get("http_server_config") or {}
    return WebConfig(
        tls=_tls(tls, folder) if tls else None,
        http2=http.get("http2", False),
        headers=tuple(http.get("headers", {}).items()),
        users=MappingProxyType(top.get("basic_auth_users") or {}),
        rate_limit=RateLimit(**top.get("rate_limit") or {}),
    )


def _trouble(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


class _Strict(yaml.BaseLoader):
    """Takes every scalar as it is written: what it means is known where it is used."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's own signature
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _trouble("a key is no word", key)
            if key.value in seen:
                raise _trouble(f"the key {quoted(key.value)} is there twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


_TLS: Mapping[str, Reader] = MappingProxyType(
    {
        "cert_file": text,
        "key_file": text,
        "client_ca_file": text,
        "cert": text,
        "key": text,
        "client_ca": text,
        "client_auth_type": client_auth,
        "client_allowed_sans": texts,
        "min_version": version,
        "max_version": version,
        "cipher_suites": ciphers,
        "prefer_server_cipher_suites": truth,
        "curve_preferences": curves,
    }
)
_HTTP: Mapping[str, Reader] = MappingProxyType({"http2": truth, "headers": headers})
_LIMIT: Mapping[str, Reader] = MappingProxyType({"interval": interval, "burst": number})
_TOP: Mapping[str, Reader] = MappingProxyType(
    {
        "tls_server_config": partial(section, keys=_TLS),
        "http_server_config": partial(section, keys=_HTTP),
        "basic_auth_users": users,
        "rate_limit": partial(section, keys=_LIMIT),
    }
)


def _tls(found: dict[str, Any], folder: Path) -> Tls:
    for inline in ("cert", "key", "client_ca"):
        if inline in found and f"{inline}_file" in found:
            raise WebConfigError(f"tls_server_config: {inline} and {inline}_file are both there; take one")
    for needed in ("cert", "key"):
        if needed not in found and f"{needed}_file" not in found:
            raise WebConfigError(f"tls_server_config: {needed}_file is missing")
    files = {key: folder / value for key, value in found.items() if key.endswith("_file")}
    tls = Tls(**{**found, **files})
    verified = names.CLIENT_AUTH[tls.client_auth_type] != names.CLIENT_AUTH["NoClientCert"]
    if (tls.client_ca_file or tls.client_ca) and not verified:
        raise WebConfigError(
            "tls_server_config: there are client CAs, but client_auth_type lets nobody be verified by them; "
            "take RequireAndVerifyClientCert"
        )
    if tls.client_allowed_sans and not verified:
        raise WebConfigError(
            "tls_server_config: client_allowed_sans says nothing of certificates that are not verified; "
            "take client_auth_type RequireAndVerifyClientCert"
        )
    if names.VERSIONS[tls.min_version] > names.VERSIONS[tls.max_version]:
        raise WebConfigError("tls_server_config: min_version is newer than max_version")
    if tls.max_version == "TLS12" and tls.cipher_suites and not set(tls.cipher_suites) & set(names.CIPHERS):
        raise WebConfigError(
            "tls_server_config: none of the cipher_suites is one of TLS 1.2, the max_version"
        )
    return tls
