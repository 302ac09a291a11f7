"""A domain's name, whatever bytes it is made of: one odd name must not blind a listing or lose an event."""

from typing import Any

from libvirt_lifecycle_exporter.model.text import clean


def name_of(domain: Any) -> str:
    """Return the domain's name, clean."""
    try:
        return clean(domain.name())
    except UnicodeDecodeError as error:
        # The binding insists on UTF-8; what it choked on is in the exception.
        return clean(bytes(error.object).decode("utf-8", "surrogateescape"))
