"""Domain descriptions, built as XML trees: any string may be a name, a title or a path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


@dataclass(frozen=True)
class Disk:
    """A file, or the export of an NBD server that listens on the socket `path`."""

    path: Path
    format: str = "raw"
    error_policy: str | None = None
    protocol: str = "file"
    slice_size: int | None = None
    """Limit of the image in its file, in bytes. Simulates a full file system."""


@dataclass(frozen=True)
class Hardware:
    """Options of a machine; libvirt chooses what is None or empty."""

    memory_mib: int = 8
    on_poweroff: str | None = None
    on_reboot: str | None = None
    on_crash: str | None = None
    panic: bool = False
    watchdog: str | None = None
    second_disk: Disk | None = None
    channel: Path | None = None
    channel_mode: str = "bind"
    """bind: the emulator listens on the socket; connect: another process does."""
    overrides: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(alias of a device, property) -> value."""
    uuid: str | None = None
    title: str | None = None
    description: str | None = None
    metadata: str | None = None
    """XML: one element with its own namespace."""
    commandline: Sequence[str] = ()


def domain_xml(name: str, boot: Disk, hardware: Hardware, *, serial: Path, emulator: str) -> str:
    ET.register_namespace("qemu", QEMU)
    domain = ET.Element("domain", type="qemu")
    _texts(
        domain,
        {
            "name": name,
            "uuid": hardware.uuid,
            "title": hardware.title,
            "description": hardware.description,
            "vcpu": "1",
            "on_poweroff": hardware.on_poweroff,
            "on_reboot": hardware.on_reboot,
            "on_crash": hardware.on_crash,
        },
    )
    if hardware.metadata is not None:
        ET.SubElement(domain, "metadata").append(ET.fromstring(hardware.metadata))  # noqa: S314 - our own
    ET.SubElement(domain, "memory", unit="MiB").text = str(hardware.memory_mib)
    system = ET.SubElement(domain, "os")
    ET.SubElement(system, "type", arch="x86_64", machine="pc").text = "hvm"
    ET.SubElement(system, "boot", dev="hd")
    ET.SubElement(ET.SubElement(domain, "features"), "acpi")
    power = ET.SubElement(domain, "pm")
    ET.SubElement(power, "suspend-to-mem", enabled="yes")
    ET.SubElement(power, "suspend-to-disk", enabled="yes")
    devices = ET.SubElement(domain, "devices")
    ET.SubElement(devices, "emulator").text = emulator
    _disk(devices, boot, "hda")
    ET.SubElement(ET.SubElement(devices, "serial", type="file"), "source", path=str(serial))
    _devices(devices, hardware)
    if hardware.commandline:
        commandline = ET.SubElement(domain, f"{{{QEMU}}}commandline")
        for argument in hardware.commandline:
            ET.SubElement(commandline, f"{{{QEMU}}}arg", value=argument)
    if hardware.overrides:
        override = ET.SubElement(domain, f"{{{QEMU}}}override")
        for (alias, key), value in hardware.overrides.items():
            device = ET.SubElement(override, f"{{{QEMU}}}device", alias=alias)
            frontend = ET.SubElement(device, f"{{{QEMU}}}frontend")
            ET.SubElement(frontend, f"{{{QEMU}}}property", name=key, type="string", value=value)
    return ET.tostring(domain, encoding="unicode")


def _texts(parent: ET.Element, texts: Mapping[str, str | None]) -> None:
    for tag, text in texts.items():
        if text is not None:
            ET.SubElement(parent, tag).text = text


def _devices(devices: ET.Element, hardware: Hardware) -> None:
    if hardware.second_disk is not None:
        _disk(devices, hardware.second_disk, "hdb")
    ET.SubElement(devices, "controller", type="usb", model="none")
    ET.SubElement(devices, "memballoon", model="none")
    if hardware.panic:
        ET.SubElement(devices, "panic", model="isa")
    if hardware.watchdog is not None:
        ET.SubElement(devices, "watchdog", model="ib700", action=hardware.watchdog)
    if hardware.channel is not None:
        channel = ET.SubElement(devices, "channel", type="unix")
        ET.SubElement(channel, "source", mode=hardware.channel_mode, path=str(hardware.channel))
        ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")


def _disk(devices: ET.Element, disk: Disk, target: str) -> None:
    network = disk.protocol != "file"
    element = ET.SubElement(devices, "disk", type="network" if network else "file", device="disk")
    driver = ET.SubElement(element, "driver", name="qemu", type=disk.format)
    if disk.error_policy is not None:
        driver.set("error_policy", disk.error_policy)
    if network:
        source = ET.SubElement(element, "source", protocol=disk.protocol)
        ET.SubElement(source, "host", transport="unix", socket=str(disk.path))
    else:
        source = ET.SubElement(element, "source", file=str(disk.path))
    if disk.slice_size is not None:
        slices = ET.SubElement(source, "slices")
        ET.SubElement(slices, "slice", type="storage", offset="0", size=str(disk.slice_size))
    ET.SubElement(element, "target", dev=target, bus="ide")
