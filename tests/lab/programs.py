"""The libvirt and QEMU of a daemon: the installed ones, or those of a chroot; monolithic or modular."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Programs:
    """Programs and the `prefix` of every command of the daemon.

    With the prefix ("chroot", "/srv/debian13") the libvirt of that folder runs. The folders of the lab
    must then be visible at the same path inside.
    """

    daemon: str = "libvirtd"
    """libvirtd, or virtqemud of the modular libvirt; also the stem of its socket and configuration file."""
    prefix: tuple[str, ...] = ()
    emulator: str = "/usr/bin/qemu-system-x86_64"

    @property
    def modular(self) -> bool:
        return self.daemon != "libvirtd"

    @property
    def socket(self) -> str:
        return "libvirt-sock" if not self.modular else f"{self.daemon}-sock"


HOST = Programs()
