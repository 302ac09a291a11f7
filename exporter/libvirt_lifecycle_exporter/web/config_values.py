"""Parsers of the values in the web configuration, one per kind of value.

Each parser takes the name of the key (for the error message) and the value that the YAML loader returned:
None, a string, a list or a dictionary. It returns the parsed value, or raises ``WebConfigError`` with one
sentence.

Invariant: no error quotes a value that may be secret (a key, a hash, a password).
"""

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from libvirt_lifecycle_exporter.config.settings import parse_duration
from libvirt_lifecycle_exporter.web import tls_names

_BCRYPT_HASH = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
MIN_BCRYPT_COST: Final = 4
MAX_BCRYPT_COST: Final = 31
"""The range that bcrypt defines."""
_GO_UNITS: Mapping[str, float] = MappingProxyType(
    {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
)
"""Units of Go's ParseDuration, in seconds; "micro" has two code points. https://pkg.go.dev/time#ParseDuration"""
_GO_DURATION_PART = re.compile(rf"([0-9]+(?:\.[0-9]*)?)({'|'.join(_GO_UNITS)})")
_MAX_INTERVAL: Final = 100 * 365 * 86400.0
"""Seconds."""
_INVALID_CHARACTERS = re.compile("[\0\ud800-\udfff]")
"""NUL and surrogates: neither a path nor a PEM text can have them."""
_BOOLEANS = MappingProxyType(
    {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
)
_MAX_QUOTED: Final = 80
"""Characters of a name that an error quotes."""
_EMPTY = ("", "~", "null")
"""How YAML writes "no value"; the loader returns the words."""
ALLOWED_HEADERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Strict-Transport-Security": (),
        "X-Content-Type-Options": ("nosniff",),
        "X-Frame-Options": ("deny", "sameorigin"),
        "X-XSS-Protection": (),
        "Content-Security-Policy": (),
    }
)
"""The headers that may be set, with their valid values; (): any value."""


class WebConfigError(ValueError):
    """The web configuration cannot be used. The message is one sentence on one line."""


def quote(name: str) -> str:
    """Quote a name for an error message: on one line, whatever characters the name has, and shortened."""
    return json.dumps(name[:_MAX_QUOTED], ensure_ascii=False)


Parser = Callable[[str, object], Any]
"""Takes the name of a key and its value; returns the parsed value or raises ``WebConfigError``."""


def parse_section(where: str, value: object, parsers: Mapping[str, Parser]) -> dict[str, Any]:
    """Parse a mapping with the parser of each key. Keys without a value are left out; None means empty.

    Raises ``WebConfigError`` for anything but a mapping, and for a key that has no parser.
    """
    if value is None or value in _EMPTY:
        return {}
    if not isinstance(value, dict):
        raise WebConfigError(f"{where} must be a mapping with the keys {', '.join(parsers)}")
    for key in value:
        if key not in parsers:
            raise WebConfigError(f"unknown key {quote(key)} in {where}; known keys: {', '.join(parsers)}")
    return {key: parsers[key](key, item) for key, item in value.items() if item not in _EMPTY}


def parse_text(where: str, value: object) -> str:
    """Return a string unchanged. Raises ``WebConfigError`` if it contains NUL or a surrogate."""
    if not isinstance(value, str):
        raise WebConfigError(f"{where} must be a string")
    if _INVALID_CHARACTERS.search(value):
        raise WebConfigError(f"{where} contains an invalid character (NUL or a surrogate)")
    return value


def parse_text_list(where: str, value: object) -> tuple[str, ...]:
    """Return the strings of a list that has at least one."""
    if not isinstance(value, list) or not value:
        raise WebConfigError(f"{where} must be a list with at least one item")
    return tuple(parse_text(where, item) for item in value)


def parse_bool(where: str, value: object) -> bool:
    """Return a boolean from true, yes, on, false, no or off (YAML 1.1, in any case)."""
    word = parse_text(where, value).lower()
    if word not in _BOOLEANS:
        raise WebConfigError(f"{where} must be true or false")
    return _BOOLEANS[word]


def parse_tls_version(where: str, value: object) -> str:
    """Return TLS12 or TLS13: a key of ``tls_names.VERSIONS``. Older versions are refused by RFC 8996."""
    word = parse_text(where, value)
    if word in tls_names.OLD_VERSIONS:
        raise WebConfigError(f"{where}: {word} is not supported (RFC 8996); use TLS12 or TLS13")
    if word not in tls_names.VERSIONS:
        raise WebConfigError(f"{where}: unknown TLS version {quote(word)}; use TLS12 or TLS13")
    return word


def parse_cipher_suites(where: str, value: object) -> tuple[str, ...]:
    """Return Go's names of cipher suites: keys of ``tls_names.CIPHERS`` or items of ``TLS13_CIPHERS``."""
    words = parse_text_list(where, value)
    for word in words:
        if word not in tls_names.CIPHERS and word not in tls_names.TLS13_CIPHERS:
            raise WebConfigError(f"{where}: unknown cipher suite {quote(word)}")
    return words


def parse_curves(where: str, value: object) -> tuple[str, ...]:
    """Return Go's names of curves: keys of ``tls_names.CURVES``."""
    words = parse_text_list(where, value)
    for word in words:
        if word not in tls_names.CURVES:
            raise WebConfigError(
                f"{where}: unknown curve {quote(word)}; known curves: {', '.join(tls_names.CURVES)}"
            )
    return words


def parse_client_auth_type(where: str, value: object) -> str:
    """Return how client certificates are verified: a key of ``tls_names.CLIENT_AUTH``."""
    word = parse_text(where, value)
    if word in tls_names.UNSUPPORTED_CLIENT_AUTH:
        raise WebConfigError(
            f"{where}: {word} is not supported, because an unverified certificate proves nothing; "
            "use RequireAndVerifyClientCert"
        )
    if word not in tls_names.CLIENT_AUTH:
        raise WebConfigError(
            f"{where}: unknown value {quote(word)}; known values: {', '.join(tls_names.CLIENT_AUTH)}"
        )
    return word


def parse_headers(where: str, value: object) -> dict[str, str]:
    """Return response headers, name to value: ``ALLOWED_HEADERS`` only, with printable ASCII values."""
    headers: dict[str, str] = parse_section(where, value, dict.fromkeys(ALLOWED_HEADERS, parse_text))
    for name, content in headers.items():
        if ALLOWED_HEADERS[name] and content not in ALLOWED_HEADERS[name]:
            raise WebConfigError(f"{where}: {name} must be {' or '.join(ALLOWED_HEADERS[name])}")
        if not re.fullmatch(r"[\x20-\x7e]+", content):
            raise WebConfigError(f"{where}: the value of {name} must be printable ASCII on one line")
    return headers


def parse_users(where: str, value: object) -> dict[str, str]:
    """Return user name to bcrypt hash. A name must not contain a colon (RFC 7617, section 2)."""
    if not isinstance(value, dict):
        raise WebConfigError(f"{where} must be a mapping of user names to bcrypt hashes")
    for name, hashed in value.items():
        match = _BCRYPT_HASH.fullmatch(hashed) if isinstance(hashed, str) else None
        if ":" in name:
            raise WebConfigError(f"{where}: the user name {quote(name)} must not contain a colon")
        if match is None:
            raise WebConfigError(
                f"{where}: the value of user {quote(name)} is not a bcrypt hash; create one with htpasswd -nB"
            )
        if not MIN_BCRYPT_COST <= int(match["cost"]) <= MAX_BCRYPT_COST:
            raise WebConfigError(
                f"{where}: the hash of user {quote(name)} has the invalid cost {int(match['cost'])}; "
                f"use {MIN_BCRYPT_COST} to {MAX_BCRYPT_COST}"
            )
    return value


def parse_interval(where: str, value: object) -> float:
    """Return seconds from a duration in Go's format (``1.5s``) or Prometheus' (``1d``); at most 100 years."""
    word = parse_text(where, value)
    parts = _GO_DURATION_PART.findall(word)
    try:
        if "".join(number + unit for number, unit in parts) == word and parts:
            seconds = sum(float(number) * _GO_UNITS[unit] for number, unit in parts)
        else:
            seconds = parse_duration(word)
    except ValueError:
        raise WebConfigError(f"{where}: invalid duration {quote(word)}: use e.g. 250ms, 1.5s, 2m") from None
    if seconds > _MAX_INTERVAL:
        raise WebConfigError(f"{where} is longer than 100 years")
    return seconds


def parse_integer(where: str, value: object) -> int:
    """Return an integer from 0 to 999,999,999."""
    word = parse_text(where, value)
    if not re.fullmatch(r"[0-9]{1,9}", word):
        raise WebConfigError(f"{where} must be an integer from 0 to 999999999")
    return int(word)
