"""The cause of a libvirt error, so that a cause is logged once although its texts alternate."""

import errno

import libvirt

CLOSED_BY_PEER = "closed by peer"
_CLOSED = frozenset({errno.ECONNRESET, errno.EPIPE, errno.EIO, 0})
"""``int1`` of the errors that libvirt raises, by chance, for a peer that closed the connection."""


def cause_of(error: libvirt.libvirtError) -> str:
    """Return a text that is equal for errors of the same cause.

    A peer (or an ssh process) that closes the connection leads to one of "Cannot recv data", "Cannot write
    data", "End of file while reading data" and "client socket is closed", as it happens.
    """
    code, domain, number = error.get_error_code(), error.get_error_domain(), error.get_int1() or 0
    if code is None:
        return str(error)
    is_closed = code == libvirt.VIR_ERR_SYSTEM_ERROR and number in _CLOSED
    if domain == libvirt.VIR_FROM_RPC and (is_closed or code == libvirt.VIR_ERR_INTERNAL_ERROR):
        return CLOSED_BY_PEER
    return f"{domain}/{code}/{number if code == libvirt.VIR_ERR_SYSTEM_ERROR else 0}"
