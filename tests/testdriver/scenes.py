"""Everything the test driver can do to a domain: in this process, or in a daemon's.

Each scene is played on a domain of its own and names a pair that libvirt must have sent by then, so
that a scene which does nothing cannot pass. (Not here, since the driver sends no event for it: reboot.)
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

import libvirt

Pair = tuple[str, str]


def xml(name: str, title: str = "") -> str:
    # Of its own, and the same each time: libvirt redefines a domain only under the uuid it has.
    uuid = uuid5(NAMESPACE_URL, name)
    shown = f"<title>{title}</title>" if title else ""
    return (
        f"<domain type='test'><name>{name}</name><uuid>{uuid}</uuid>{shown}<memory unit='MiB'>64</memory>"
        "<os><type arch='i686'>hvm</type></os></domain>"
    )


def define(connection: Any, name: str, _folder: Path) -> Any:
    return connection.defineXML(xml(name))


def boot(connection: Any, name: str, folder: Path) -> Any:
    domain = define(connection, name, folder)
    domain.create()
    return domain


def redefine(connection: Any, name: str, folder: Path) -> None:
    define(connection, name, folder)
    connection.defineXML(xml(name, "another title"))


def redefine_running(connection: Any, name: str, folder: Path) -> None:
    boot(connection, name, folder)
    connection.defineXML(xml(name, "another title"))


def undefine(connection: Any, name: str, folder: Path) -> None:
    define(connection, name, folder).undefine()


def undefine_running(connection: Any, name: str, folder: Path) -> None:
    domain = boot(connection, name, folder)
    domain.undefine()
    domain.destroy()


def rename(connection: Any, name: str, folder: Path) -> None:
    domain = define(connection, name, folder)
    domain.rename(f"{name}-new")


def pause(connection: Any, name: str, folder: Path) -> None:
    domain = boot(connection, name, folder)
    domain.suspend()
    domain.resume()


def destroy(connection: Any, name: str, folder: Path) -> None:
    boot(connection, name, folder).destroy()


def shutdown(connection: Any, name: str, folder: Path) -> None:
    boot(connection, name, folder).shutdown()


def crash(connection: Any, name: str, folder: Path) -> None:
    boot(connection, name, folder).coreDump(str(folder / f"{name}.core"), libvirt.VIR_DUMP_CRASH)


def save(connection: Any, name: str, folder: Path) -> None:
    image = str(folder / f"{name}.save")
    boot(connection, name, folder).save(image)
    connection.restore(image)


def managed_save(connection: Any, name: str, folder: Path) -> None:
    domain = boot(connection, name, folder)
    domain.managedSave()
    domain.create()


def transient(connection: Any, name: str, _folder: Path) -> None:
    connection.createXML(xml(name)).destroy()


def transient_made_persistent(connection: Any, name: str, _folder: Path) -> None:
    connection.createXML(xml(name))
    connection.defineXML(xml(name))


SNAPSHOT = "<domainsnapshot><name>before</name></domainsnapshot>"


def revert_running(connection: Any, name: str, folder: Path) -> None:
    domain = boot(connection, name, folder)
    snapshot = domain.snapshotCreateXML(SNAPSHOT)
    domain.destroy()
    domain.revertToSnapshot(snapshot)


def revert_paused(connection: Any, name: str, folder: Path) -> None:
    domain = boot(connection, name, folder)
    domain.suspend()
    snapshot = domain.snapshotCreateXML(SNAPSHOT)
    domain.resume()
    domain.revertToSnapshot(snapshot)


def revert_offline(connection: Any, name: str, folder: Path) -> None:
    domain = define(connection, name, folder)
    snapshot = domain.snapshotCreateXML(SNAPSHOT)
    domain.create()
    domain.revertToSnapshot(snapshot)


class Scene(NamedTuple):
    play: Callable[[Any, str, Path], object]
    sends: Pair

    @property
    def name(self) -> str:
        return self.play.__name__.replace("_", "-")


SCENES = [
    Scene(define, ("defined", "added")),
    Scene(redefine, ("defined", "updated")),
    Scene(redefine_running, ("defined", "updated")),
    Scene(undefine, ("undefined", "removed")),
    Scene(undefine_running, ("stopped", "destroyed")),
    Scene(rename, ("undefined", "renamed")),
    Scene(boot, ("started", "booted")),
    Scene(pause, ("resumed", "unpaused")),
    Scene(destroy, ("stopped", "destroyed")),
    Scene(shutdown, ("stopped", "shutdown")),
    Scene(crash, ("stopped", "crashed")),
    Scene(save, ("started", "restored")),
    Scene(managed_save, ("stopped", "saved")),
    Scene(transient, ("stopped", "destroyed")),
    Scene(transient_made_persistent, ("defined", "added")),
    Scene(revert_running, ("started", "from_snapshot")),
    Scene(revert_paused, ("suspended", "paused")),
    Scene(revert_offline, ("stopped", "from_snapshot")),
]
