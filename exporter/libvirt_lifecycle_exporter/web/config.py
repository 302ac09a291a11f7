"""The web configuration file in the format of the Prometheus exporter-toolkit, parsed into one frozen value.

Invariants: each key of the format is either honoured or refused with ``WebConfigError``; unknown and repeated
keys are refused; no error quotes a value that may be secret. Only the text is examined: ``tls`` reads the
files.

https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from libvirt_lifecycle_exporter.web import tls_names
from libvirt_lifecycle_exporter.web.config_values import (
    Parser,
    WebConfigError,
    parse_bool,
    parse_cipher_suites,
    parse_client_auth_type,
    parse_curves,
    parse_headers,
    parse_integer,
    parse_interval,
    parse_section,
    parse_text,
    parse_text_list,
    parse_tls_version,
    parse_users,
    quote,
)
from libvirt_lifecycle_exporter.web.credentials import bcrypt_cost

_MAX_RECOMMENDED_COST: Final = 16
"""With a higher bcrypt cost, a check takes longer than the usual scrape timeout (10 s)."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """``tls_server_config``. The values are valid; whether the files can be used is not yet known."""

    cert_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None
    cert: str = ""
    key: str = field(default="", repr=False)
    client_ca: str = ""
    """``cert``, ``key``, ``client_ca``: PEM; empty: the file is used."""
    client_auth_type: str = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    """Empty: any."""
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    """Go's names; empty: OpenSSL's default."""
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = ()
    """Go's names; empty: OpenSSL's default."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the section names."""
        return tuple(file for file in (self.cert_file, self.key_file, self.client_ca_file) if file)


@dataclass(frozen=True, slots=True)
class RateLimit:
    """``rate_limit``: a token bucket over all clients together."""

    interval: float = 0.0
    """Seconds in which one token is added; 0: no limit."""
    burst: int = 0
    """Maximum number of tokens."""


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The whole file. The default is what an empty file means: no TLS, no users."""

    tls: TlsConfig | None = None
    http2: bool = False
    """Whether clients may use HTTP/2. Ignored: the server offers HTTP/1.1 only."""
    headers: tuple[tuple[str, str], ...] = ()
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """User name to bcrypt hash of the password."""
    rate_limit: RateLimit = RateLimit()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the configuration names."""
        return self.tls.files if self.tls else ()

    def warnings(self) -> list[str]:
        """Return one sentence for each value that is valid but probably a mistake."""
        found = [
            f"the hash of user {quote(user)} has the bcrypt cost {bcrypt_cost(hashed)}: the first check of a "
            "password takes longer than a scrape may take"
            for user, hashed in self.users.items()
            if bcrypt_cost(hashed) > _MAX_RECOMMENDED_COST
        ]
        if self.rate_limit.interval and not self.rate_limit.burst:
            found.append("rate_limit has an interval but no burst: every request is refused")
        return found

    def summary(self) -> str:
        """Return one line about TLS and users, for the ``check`` command."""
        tls = f"TLS, {self.tls.client_auth_type}" if self.tls else "no TLS"
        return f"{tls}; users: {len(self.users)}"


def parse(text: str, folder: Path) -> WebConfig:
    """Parse the text of the file. Relative paths are relative to ``folder``. Raises ``WebConfigError``."""
    from libvirt_lifecycle_exporter.web.strict_yaml import load  # noqa: PLC0415 - only with such a file

    document = load(text)
    sections = parse_section("the file", document, _SECTIONS)
    tls = sections.get("tls_server_config")
    http = sections.get("http_server_config") or {}
    return WebConfig(
        tls=_build_tls(tls, folder) if tls else None,
        http2=http.get("http2", False),
        headers=tuple(http.get("headers", {}).items()),
        users=MappingProxyType(sections.get("basic_auth_users") or {}),
        rate_limit=RateLimit(**sections.get("rate_limit") or {}),
    )


_TLS_KEYS: Mapping[str, Parser] = MappingProxyType(
    {
        "cert_file": parse_text,
        "key_file": parse_text,
        "client_ca_file": parse_text,
        "cert": parse_text,
        "key": parse_text,
        "client_ca": parse_text,
        "client_auth_type": parse_client_auth_type,
        "client_allowed_sans": parse_text_list,
        "min_version": parse_tls_version,
        "max_version": parse_tls_version,
        "cipher_suites": parse_cipher_suites,
        "prefer_server_cipher_suites": parse_bool,
        "curve_preferences": parse_curves,
    }
)
_HTTP_KEYS: Mapping[str, Parser] = MappingProxyType({"http2": parse_bool, "headers": parse_headers})
_RATE_LIMIT_KEYS: Mapping[str, Parser] = MappingProxyType(
    {"interval": parse_interval, "burst": parse_integer}
)
_SECTIONS: Mapping[str, Parser] = MappingProxyType(
    {
        "tls_server_config": partial(parse_section, parsers=_TLS_KEYS),
        "http_server_config": partial(parse_section, parsers=_HTTP_KEYS),
        "basic_auth_users": parse_users,
        "rate_limit": partial(parse_section, parsers=_RATE_LIMIT_KEYS),
    }
)


def _build_tls(values: dict[str, Any], folder: Path) -> TlsConfig:
    """Check what concerns more than one key."""
    for inline in ("cert", "key", "client_ca"):
        if inline in values and f"{inline}_file" in values:
            raise WebConfigError(f"tls_server_config: both {inline} and {inline}_file are set; remove one")
    for required in ("cert", "key"):
        if required not in values and f"{required}_file" not in values:
            raise WebConfigError(f"tls_server_config: {required}_file is missing")
    files = {key: folder / value for key, value in values.items() if key.endswith("_file")}
    tls = TlsConfig(**{**values, **files})
    is_verified = tls_names.CLIENT_AUTH[tls.client_auth_type] != tls_names.CLIENT_AUTH["NoClientCert"]
    for key, value in (
        ("client_ca", tls.client_ca_file or tls.client_ca),
        ("client_allowed_sans", tls.client_allowed_sans),
    ):
        if value and not is_verified:
            raise WebConfigError(
                f"tls_server_config: {key} is set, but client_auth_type {tls.client_auth_type} does not "
                "verify client certificates; use RequireAndVerifyClientCert"
            )
    if tls_names.VERSIONS[tls.min_version] > tls_names.VERSIONS[tls.max_version]:
        raise WebConfigError("tls_server_config: min_version is newer than max_version")
    has_tls12_suite = bool(set(tls.cipher_suites) & set(tls_names.CIPHERS))
    if tls.max_version == "TLS12" and tls.cipher_suites and not has_tls12_suite:
        raise WebConfigError(
            "tls_server_config: max_version is TLS12, but none of the cipher_suites belongs to TLS 1.2"
        )
    return tls
