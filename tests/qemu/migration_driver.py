"""Driver of a migration: the same domain on two hosts, and the migration job."""

import os
import signal
import threading
from concurrent.futures import Future
from typing import Any, Self

import libvirt

from tests.lab.guests import Guest, Guests
from tests.lab.hosts import Hosts
from tests.lab.waiting import until
from tests.qemu.domain_driver import TIMEOUT, DomainDriver
from tests.qemu.operations import expect_error

LIVE = libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_UNSAFE
LOOPBACK = {libvirt.VIR_MIGRATE_PARAM_URI: "tcp://127.0.0.1"}
"""Address of the emulators: the host names of the lab cannot be resolved."""
LOW_BANDWIDTH = {libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: 1}
"""MiB/s. A guest that dirties its memory faster never converges."""


class MigrationDriver:
    def __init__(self, name: str, guest: Guest, hosts: Hosts, guests: Guests) -> None:
        self.name = name
        self.here = DomainDriver(name, guest, hosts.here.daemon, guests, hosts.here.recorder)
        self.there = DomainDriver(name, guest, hosts.there.daemon, guests, hosts.there.recorder)

    def boot(self) -> None:
        self.here.boot()
        self.here.wait_serial("G")

    def migrate(self, flags: int = 0, **parameters: Any) -> None:
        """Migrate under control of the client, as `virsh migrate` does. Returns after the arrival."""
        self.here.domain.migrate3(self.there.connection, LOOPBACK | parameters, LIVE | flags)

    def migrate_back(self) -> None:
        self.there.domain.migrate3(self.here.connection, LOOPBACK, LIVE)

    def migrate_peer_to_peer(self, flags: int = 0) -> None:
        """Migrate peer to peer, as OpenStack and KubeVirt do."""
        peer = LIVE | libvirt.VIR_MIGRATE_PEER2PEER | flags
        self.here.domain.migrateToURI3(self.there.daemon.uri, LOOPBACK, peer)

    def resume_post_copy(self) -> bool:
        """Return False until both emulators have noticed the lost connection."""
        try:
            self.migrate(libvirt.VIR_MIGRATE_POSTCOPY | libvirt.VIR_MIGRATE_POSTCOPY_RESUME)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID:
                return False
            raise
        return True

    def start_job(self, flags: int = 0, **parameters: Any) -> "MigrationJob":
        """Start a slow migration; it is running when this returns."""
        job = MigrationJob(self, flags, LOOPBACK | LOW_BANDWIDTH | parameters)
        until(
            lambda: job.ended or self.here.has_event("migration_iteration"),
            TIMEOUT,
            "the migration to begin",
        )
        if job.ended:
            job.wait_done()  # raises the error of the migration
        return job

    def clear(self) -> None:
        self.there.clear()
        self.here.clear()

    def close(self) -> None:
        self.there.close()
        self.here.close()


class MigrationJob:
    """A migration in a thread with its own connections."""

    def __init__(self, migration: MigrationDriver, flags: int, parameters: dict[str, Any]) -> None:
        self._migration = migration
        self._flags = LIVE | flags
        self._parameters = parameters
        self._end: Future[None] = Future()
        threading.Thread(target=self._run, name="migration", daemon=True).start()

    @property
    def ended(self) -> bool:
        return self._end.done()

    def wait_done(self) -> None:
        self._end.result(TIMEOUT)

    def wait_failed(self) -> None:
        expect_error(lambda: self._end.result(TIMEOUT))

    def abort(self, flags: int = 0) -> Self:
        self._migration.here.domain.abortJobFlags(flags)
        return self

    def to_postcopy(self) -> Self:
        """Switch to post-copy: the guest runs on the destination and fetches its memory from the source."""
        until(self._switched, TIMEOUT, "post-copy to be accepted")
        self._migration.here.wait_event("suspended/postcopy")
        self._migration.there.wait_event("resumed/postcopy")
        return self

    def signal_destination(self, how: signal.Signals) -> None:
        os.kill(self._migration.there.daemon.emulator_pid(self._migration.name), how)

    def _switched(self) -> bool:
        try:
            self._migration.here.domain.migrateStartPostCopy(0)
        except libvirt.libvirtError:
            if self.ended:
                raise
            return False
        return True

    def _run(self) -> None:
        here = self._migration.here.daemon.connect()
        there = self._migration.there.daemon.connect()
        try:
            domain = here.lookupByName(self._migration.name)
            self._end.set_result(domain.migrate3(there, self._parameters, self._flags) and None)
        except BaseException as error:  # noqa: BLE001 - raised by wait_done
            self._end.set_exception(error)
        finally:
            here.close()
            there.close()
