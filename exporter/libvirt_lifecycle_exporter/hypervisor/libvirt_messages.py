"""Read the I/O errors that libvirt keeps for a domain: virDomainGetMessages.

Best effort: libvirt-python, the daemon or its driver may not support it (IOERRORS exists since libvirt 11.1).
After the first refusal it is not called again. The other kinds of message, tainted and deprecated, describe
the configuration of a domain, not the cause of an event.
https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainGetMessages
"""

import re
from typing import Any

import libvirt

from libvirt_lifecycle_exporter.model.text import plain

IO_ERRORS: int = getattr(libvirt, "VIR_DOMAIN_MESSAGE_IOERRORS", 1 << 2)
"""The number is part of libvirt's protocol; an older libvirt-python lacks only the name."""

_MINUTE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
"""Date, hour and minute of a message, in UTC; the text around it may be translated."""
_REFUSALS = (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT)


class LibvirtMessages:
    """Reads messages until libvirt refuses; one instance per open connection."""

    def __init__(self) -> None:
        self._is_refused = False

    def newest_io_errors(self, connection: Any, uuid: str) -> str:
        """Return the newest I/O errors of a domain, with disk and path; "" if there are none."""
        if self._is_refused:
            return ""
        try:
            messages = connection.lookupByUUIDString(uuid).messages(IO_ERRORS)
        except AttributeError:
            self._is_refused = True
        except libvirt.libvirtError as error:
            self._is_refused = error.get_error_code() in _REFUSALS
        else:
            return _newest(messages)
        return ""


def _newest(messages: list[str]) -> str:
    """Return the messages of the newest minute: libvirt keeps the last one of each image, however old."""
    minutes = [max(_MINUTE.findall(message), default="") for message in messages]
    newest = [message for message, minute in zip(messages, minutes, strict=True) if minute == max(minutes)]
    return plain("; ".join(newest))
