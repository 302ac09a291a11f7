"""What a migration acts on: the same domain on two stages, and the job that moves it."""

import os
import signal
import threading
from concurrent.futures import Future
from typing import Any, Self

import libvirt

from tests.lab.guests import Guest, Guests
from tests.lab.hosts import Hosts
from tests.lab.waiting import until
from tests.qemu.plays import fails
from tests.qemu.stage import PATIENCE, Stage

LIVE = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_UNSAFE
NEARBY = {libvirt.VIR_MIGRATE_PARAM_URI: "tcp://127.0.0.1"}
"""Where the emulators meet: the host names of the lab are known to nobody."""
SLOWLY = {libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: 1}
"""MiB/s, and no less: a guest that dirties its memory faster than that never arrives."""


class Road:
    def __init__(self, name: str, guest: Guest, hosts: Hosts, guests: Guests) -> None:
        self.name = name
        self.here = Stage(name, guest, hosts.here.daemon, guests, hosts.here.recorder)
        self.there = Stage(name, guest, hosts.there.daemon, guests, hosts.there.recorder)

    def boot(self) -> None:
        self.here.boot()
        self.here.hears("G")

    def migrate(self, flags: int = 0, **parameters: Any) -> None:
        """Steered by the client, as with `virsh migrate`. Returns when the domain has arrived."""
        self.here.domain.migrate3(self.there.connection, NEARBY | parameters, LIVE | flags)

    def migrate_back(self) -> None:
        self.there.domain.migrate3(self.here.connection, NEARBY, LIVE)

    def migrate_by_itself(self, flags: int = 0) -> None:
        """Peer to peer, as OpenStack and KubeVirt do it."""
        peer = LIVE | libvirt.VIR_MIGRATE_PEER2PEER | flags
        self.here.domain.migrateToURI3(self.there.daemon.uri, NEARBY, peer)

    def takes_up_post_copy(self) -> bool:
        """False while the emulators have not both noticed that they are apart."""
        try:
            self.migrate(libvirt.VIR_MIGRATE_POSTCOPY | libvirt.VIR_MIGRATE_POSTCOPY_RESUME)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
                return False
            raise
        return True

    def set_out(self, flags: int = 0, **parameters: Any) -> "Journey":
        """A slow migration, under way when this returns."""
        journey = Journey(self, flags, NEARBY | SLOWLY | parameters)
        until(
            lambda: journey.ended or self.here.heard("migration_iteration"),
            PATIENCE,
            "the migration to begin",
        )
        if journey.ended:
            journey.arrives()  # it has not: this says why
        return journey

    def clear(self) -> None:
        self.there.clear()
        self.here.clear()

    def close(self) -> None:
        self.there.close()
        self.here.close()


class Journey:
    """A migration in a thread, on connections of its own."""

    def __init__(self, road: Road, flags: int, parameters: dict[str, Any]) -> None:
        self._road = road
        self._flags = LIVE | flags
        self._parameters = parameters
        self._end: Future[None] = Future()
        threading.Thread(target=self._run, name="migration", daemon=True).start()

    @property
    def ended(self) -> bool:
        return self._end.done()

    def arrives(self) -> None:
        self._end.result(PATIENCE)

    def fails(self) -> None:
        fails(lambda: self._end.result(PATIENCE))

    def aborted(self, flags: int = 0) -> Self:
        self._road.here.domain.abortJobFlags(flags)
        return self

    def to_postcopy(self) -> Self:
        """The guest runs over there, and fetches its memory page by page from here."""
        until(self._switched, PATIENCE, "post-copy to be accepted")
        self._road.here.sees("suspended/postcopy")
        self._road.there.sees("resumed/postcopy")
        return self

    def emulator_over_there(self, how: signal.Signals) -> None:
        os.kill(self._road.there.daemon.emulator_pid(self._road.name), how)

    def _switched(self) -> bool:
        try:
            self._road.here.domain.migrateStartPostCopy(0)
        except libvirt.libvirtError:
            if self.ended:
                raise
            return False
        return True

    def _run(self) -> None:
        here = self._road.here.daemon.connect()
        there = self._road.there.daemon.connect()
        try:
            domain = here.lookupByName(self._road.name)
            self._end.set_result(domain.migrate3(there, self._parameters, self._flags) and None)
        except BaseException as error:  # noqa: BLE001 - handed to whoever asks how it ended
            self._end.set_exception(error)
        finally:
            here.close()
            there.close()
