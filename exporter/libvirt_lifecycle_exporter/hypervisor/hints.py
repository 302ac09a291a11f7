"""The hint for an error of a connection attempt: what is wrong and what to do."""

import re

import libvirt

from libvirt_lifecycle_exporter.hypervisor.hint_table import TABLE

TIMED_OUT = (
    "the daemon hangs, it has reached max_clients (or max_anonymous_clients) and lets new clients wait, the"
    " host is down, or a firewall drops the packets; check whether virsh gets an answer, and the daemon's log"
)
PEER_REJECTED = "Failed to verify peer's certificate"
"""Part of the error of a certificate that this side rejects; libvirt writes the reason to its log only."""


def hint_for(error: BaseException, reason: str = "") -> str:
    """Return what is wrong and what to do; "" if the table has no row.

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
