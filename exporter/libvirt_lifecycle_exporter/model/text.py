"""Sanitizing of strings from guests, users and configuration.

Invariants: a returned string can be encoded as UTF-8 and is not longer than its limit. Different names stay
different: a changed string ends in a digest of the original.
"""

import hashlib

LABEL_LIMIT = 256
"""Maximum length of a label value, in characters. libvirt does not limit the length of domain names."""

MESSAGE_LIMIT = 800
"""Maximum length of a message, in characters."""

OTHER = "_other"
"""The ``domain`` label of domains without series of their own; ``clean`` changes this name of a domain."""

_DIGEST_LENGTH = 8


def clean(value: str, limit: int = LABEL_LIMIT) -> str:
    """Return ``value`` if it is valid, else a valid replacement that ends in ``~<digest>``."""
    if len(value) <= limit and value != OTHER:
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError:
            pass
        else:
            return value
    raw = value.encode("utf-8", "surrogatepass")
    digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_LENGTH]
    readable = value.encode("utf-8", "replace").decode()
    return f"{readable[: limit - _DIGEST_LENGTH - 1]}~{digest}"


def plain(words: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return text as one line of printable characters, at most ``limit`` characters long."""
    # Bidirectional control characters are not printable either.
    return clean(" ".join("".join(c if c.isprintable() else " " for c in words).split()), limit)
