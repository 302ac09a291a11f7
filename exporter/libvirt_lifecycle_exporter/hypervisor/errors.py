"""Interpret the errors of connection attempts: a common cause for logging, and a hint for the operator."""

import errno
import re

import libvirt

from libvirt_lifecycle_exporter.hypervisor.hint_table import TABLE

CLOSED_BY_PEER = "closed by peer"
_CLOSED = frozenset({errno.ECONNRESET, errno.EPIPE, errno.EIO, 0})
"""``int1`` of the errors that libvirt raises, depending on timing, if the peer closes the connection."""

TIMED_OUT = (
    "the daemon does not answer: it hangs, it has reached max_clients (or max_anonymous_clients) and lets new"
    " clients wait, the host is down, or a firewall drops the packets; check whether virsh gets an answer,"
    " and read the daemon's log"
)
PEER_REJECTED = "Failed to verify peer's certificate"
"""Part of the error for a certificate that this side rejects; libvirt writes the reason to its log only."""


def cause_of(error: libvirt.libvirtError) -> str:
    """Return a text that is equal for errors with the same cause, so that each cause is logged once.

    If a peer (or an ssh process) closes the connection, libvirt raises one of "Cannot recv data", "Cannot
    write data", "End of file while reading data" and "client socket is closed", depending on timing.
    """
    code, domain, number = error.get_error_code(), error.get_error_domain(), error.get_int1() or 0
    if code is None:
        return str(error)
    is_closed = code == libvirt.VIR_ERR_SYSTEM_ERROR and number in _CLOSED
    if domain == libvirt.VIR_FROM_RPC and (is_closed or code == libvirt.VIR_ERR_INTERNAL_ERROR):
        return CLOSED_BY_PEER
    return f"{domain}/{code}/{number if code == libvirt.VIR_ERR_SYSTEM_ERROR else 0}"


def hint_for(error: BaseException, reason: str = "") -> str:
    """Return what is wrong and what to do; "" if the table has no matching row.

    ``reason``: what libvirt wrote to its log about this error.
    """
    if isinstance(error, TimeoutError):
        return TIMED_OUT
    if not isinstance(error, libvirt.libvirtError):
        return ""
    text = f"{error}\n{reason}" if reason else str(error)
    for rows in TABLE:
        if rows.codes and error.get_error_code() not in rows.codes:
            continue
        if rows.domains and error.get_error_domain() not in rows.domains:
            continue
        for pattern, hint in rows.hints.items():
            found = re.search(pattern, text, re.IGNORECASE)
            if found:
                return " ".join(hint.split()).format(**found.groupdict())
    return ""
