"""Strings from guests, users and configuration, made safe where they enter.

Law: what leaves this module can be encoded as UTF-8 and is not longer than its limit, and two
different names do not become the same name (a changed string carries a digest of the original).
"""

import hashlib

LABEL_LIMIT = 256
"""Longest label value, in characters; a domain's name in libvirt has no limit of its own."""

MESSAGE_LIMIT = 800
"""Longest evidence in words, in characters."""

OTHER = "_other"
"""The ``domain`` label under which the excess over the series limit is counted; no domain may claim it."""

_DIGEST_LENGTH = 8


def clean(value: str, limit: int = LABEL_LIMIT) -> str:
    """Return ``value`` if it is harmless, else a harmless spelling that ends in ``~<digest>``."""
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
    """Return words for people as one line of printable text, no longer than ``limit`` characters."""
    # Unprintable are also the invisible marks that turn the direction of what follows.
    return clean(" ".join("".join(c if c.isprintable() else " " for c in words).split()), limit)
