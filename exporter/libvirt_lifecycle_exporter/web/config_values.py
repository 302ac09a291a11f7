"""How each kind of value in the web configuration is read; each says in one sentence what it does not take.

Law: no sentence quotes what may be secret.
"""

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from libvirt_lifecycle_exporter.config.settings import parse_duration
from libvirt_lifecycle_exporter.web import tls_names as names

_HASH = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
LEAST_COST: Final = 4
MOST_COST: Final = 31
"""Those that bcrypt has."""
_GO_UNITS: Mapping[str, float] = MappingProxyType(
    {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
)
"""Of Go's ParseDuration, two signs for micro among them; seconds."""
_GO_PART = re.compile(rf"([0-9]+(?:\.[0-9]*)?)({'|'.join(_GO_UNITS)})")
_LONGEST: Final = 100 * 365 * 86400.0
_UNSPEAKABLE = re.compile("[\0\ud800-\udfff]")
_TRUTH = MappingProxyType({"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False})
_MOST_QUOTED = 80
_NOTHING = ("", "~", "null")
HEADERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Strict-Transport-Security": (),
        "X-Content-Type-Options": ("nosniff",),
        "X-Frame-Options": ("deny", "sameorigin"),
        "X-XSS-Protection": (),
        "Content-Security-Policy": (),
    }
)
"""What may be set, and to what; nothing: to anything."""


class WebConfigError(ValueError):
    """The web configuration cannot be used; one sentence."""


def quoted(word: str) -> str:
    """Quote a name, on one line whatever is in it."""
    return json.dumps(word[:_MOST_QUOTED], ensure_ascii=False)


Reader = Callable[[str, object], Any]
"""Reads a value; told where it stands."""


def section(where: str, found: object, keys: Mapping[str, Reader]) -> dict[str, Any]:
    if found is None or found in _NOTHING:
        return {}
    if not isinstance(found, dict):
        raise WebConfigError(f"{where} must hold keys and values: {', '.join(keys)}")
    for key in found:
        if key not in keys:
            raise WebConfigError(f"{where} has the unknown key {quoted(key)}; known are {', '.join(keys)}")
    return {key: keys[key](key, value) for key, value in found.items() if value not in _NOTHING}


def text(where: str, found: object) -> str:
    if not isinstance(found, str):
        raise WebConfigError(f"{where} must be one word or text")
    if _UNSPEAKABLE.search(found):
        raise WebConfigError(f"{where} has a character in it that no file and no certificate can have")
    return found


def texts(where: str, found: object) -> tuple[str, ...]:
    if not isinstance(found, list) or not found:
        raise WebConfigError(f"{where} must be a list with something in it")
    return tuple(text(where, one) for one in found)


def truth(where: str, found: object) -> bool:
    word = text(where, found).lower()
    if word not in _TRUTH:
        raise WebConfigError(f"{where} must be true or false")
    return _TRUTH[word]


def version(where: str, found: object) -> str:
    word = text(where, found)
    if word in names.OLD_VERSIONS:
        raise WebConfigError(f"{where}: {word} is not served, as RFC 8996 has it; take TLS12 or TLS13")
    if word not in names.VERSIONS:
        raise WebConfigError(f"{where}: there is no TLS version {quoted(word)}; take TLS12 or TLS13")
    return word


def ciphers(where: str, found: object) -> tuple[str, ...]:
    words = texts(where, found)
    for word in words:
        if word not in names.CIPHERS and word not in names.TLS13_CIPHERS:
            raise WebConfigError(f"{where}: there is no cipher suite {quoted(word)}")
    return words


def curves(where: str, found: object) -> tuple[str, ...]:
    words = texts(where, found)
    for word in words:
        if word not in names.CURVES:
            raise WebConfigError(
                f"{where}: there is no curve {quoted(word)}; known are {', '.join(names.CURVES)}"
            )
    return words


def client_auth(where: str, found: object) -> str:
    word = text(where, found)
    if word in names.UNVERIFIED:
        raise WebConfigError(
            f"{where}: {word} cannot be had here, and a certificate that nobody verifies proves nothing; "
            "take RequireAndVerifyClientCert"
        )
    if word not in names.CLIENT_AUTH:
        raise WebConfigError(f"{where}: there is no {quoted(word)}; known are {', '.join(names.CLIENT_AUTH)}")
    return word


def headers(where: str, found: object) -> dict[str, str]:
    read: dict[str, str] = section(where, found, dict.fromkeys(HEADERS, text))
    for name, value in read.items():
        if HEADERS[name] and value not in HEADERS[name]:
            raise WebConfigError(f"{where}: {name} must be {' or '.join(HEADERS[name])}")
        if not re.fullmatch(r"[\x20-\x7e]+", value):
            raise WebConfigError(f"{where}: the value of {name} must be printable ASCII, on one line")
    return read


def users(where: str, found: object) -> dict[str, str]:
    if not isinstance(found, dict):
        raise WebConfigError(f"{where} must hold a name and the bcrypt hash of a password for each user")
    for name, word in found.items():
        is_hash = _HASH.fullmatch(word) if isinstance(word, str) else None
        if ":" in name:
            raise WebConfigError(
                f"{where}: the name {quoted(name)} has a colon in it, and could never be sent"
            )
        if is_hash is None:
            raise WebConfigError(
                f"{where}: what stands beside {quoted(name)} is no bcrypt hash (htpasswd -B)"
            )
        if not LEAST_COST <= int(is_hash["cost"]) <= MOST_COST:
            raise WebConfigError(
                f"{where}: the hash of {quoted(name)} has the cost {int(is_hash['cost'])}, which "
                f"bcrypt has not; take one from {LEAST_COST} to {MOST_COST}"
            )
    return found


def interval(where: str, found: object) -> float:
    """Seconds; written as Go has it, or Prometheus."""
    word = text(where, found)
    parts = _GO_PART.findall(word)
    try:
        if "".join(number + unit for number, unit in parts) == word and parts:
            seconds = sum(float(number) * _GO_UNITS[unit] for number, unit in parts)
        else:
            seconds = parse_duration(word)
    except ValueError as error:
        raise WebConfigError(f"{where}: {error}") from None
    if seconds > _LONGEST:
        raise WebConfigError(f"{where} is longer than a century")
    return seconds


def number(where: str, found: object) -> int:
    word = text(where, found)
    if not re.fullmatch(r"[0-9]{1,9}", word):
        raise WebConfigError(f"{where} must be a whole number")
    return int(word)
