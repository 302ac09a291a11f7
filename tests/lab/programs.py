"""Which libvirt and QEMU a lab runs: the host's own, or those of a chroot, monolithic or modular."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Programs:
    """`prefix` goes before every command of the daemon: ("chroot", "/srv/debian13") runs the libvirt of
    that folder. The lab's own folders must then be visible at the same path inside of it."""

    daemon: str = "libvirtd"
    """libvirtd, or virtqemud of the modular libvirt: also the stem of its socket and configuration file."""
    prefix: tuple[str, ...] = ()
    emulator: str = "/usr/bin/qemu-system-x86_64"

    @property
    def modular(self) -> bool:
        return self.daemon != "libvirtd"

    @property
    def socket(self) -> str:
        return "libvirt-sock" if not self.modular else f"{self.daemon}-sock"


HOST = Programs()
