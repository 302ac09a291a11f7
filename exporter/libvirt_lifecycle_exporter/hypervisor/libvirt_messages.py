"""What libvirt itself remembers of a domain's I/O errors: virDomainGetMessages.

Law: it is a best effort. Neither this libvirt-python, nor the libvirt behind the connection, nor its driver
needs to have it (IOERRORS came with libvirt 11.1); who refuses it once is not asked again.
Its other kinds of message, tainted and deprecated, say how a domain was set up, not why something happened.
https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainGetMessages
"""

import re
from typing import Any

import libvirt

from libvirt_lifecycle_exporter.model.text import plain

IO_ERRORS: int = getattr(libvirt, "VIR_DOMAIN_MESSAGE_IOERRORS", 1 << 2)
"""The number is part of libvirt's protocol; a libvirt-python that was built earlier only lacks its name."""

_MINUTE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
"""The beginning of the time that each message holds, in UTC; the words around it may be translated."""
_REFUSALS = (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT)


class LibvirtMessages:
    """Asks, as long as that is not refused; one for each open connection."""

    def __init__(self) -> None:
        self._refused = False

    def say(self, connection: Any, uuid: str) -> str:
        """Return the newest I/O errors of a domain, with disk and path; "" if none can be had."""
        if self._refused:
            return ""
        try:
            messages = connection.lookupByUUIDString(uuid).messages(IO_ERRORS)
        except AttributeError:
            self._refused = True
        except libvirt.libvirtError as error:
            self._refused = error.get_error_code() in _REFUSALS
        else:
            return _newest(messages)
        return ""


def _newest(messages: list[str]) -> str:
    """Those of the same minute as the newest: libvirt keeps the last one of each image, however old."""
    minutes = [max(_MINUTE.findall(message), default="") for message in messages]
    newest = [message for message, minute in zip(messages, minutes, strict=True) if minute == max(minutes)]
    return plain("; ".join(newest))
