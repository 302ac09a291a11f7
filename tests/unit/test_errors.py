"""``cause_of``: errors with one cause have different texts."""

import errno

import libvirt
import pytest

from libvirt_lifecycle_exporter.hypervisor.errors import cause_of

SYSTEM, INTERNAL, RPC = libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC


def error(code: int, text: str, number: int = -1) -> libvirt.libvirtError:
    """An error as libvirt-python builds it."""
    made = libvirt.libvirtError(text)
    made.err = (code, RPC, text, 2, "%s", text, None, number, -1)
    return made


@pytest.mark.parametrize(
    ("code", "text", "number"),
    [
        (SYSTEM, "Cannot recv data: ssh: refused: Connection reset by peer", errno.ECONNRESET),
        (SYSTEM, "End of file while reading data: ssh: refused: Input/output error", errno.EIO),
        (SYSTEM, "Cannot write data: Broken pipe", errno.EPIPE),
        (INTERNAL, "internal error: client socket is closed", -1),
    ],
)
def test_all_errors_of_a_closed_peer_have_one_cause(code: int, text: str, number: int) -> None:
    assert cause_of(error(code, text, number)) == "closed by peer"


def test_other_errors_have_other_causes() -> None:
    absent = error(SYSTEM, "Failed to connect socket: No such file", errno.ENOENT)
    denied = error(SYSTEM, "Failed to connect socket: Permission denied", errno.EACCES)
    assert len({cause_of(absent), cause_of(denied), "closed by peer"}) == 3
