"""Migration scenarios, which need two hosts."""

import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import libvirt

from tests.lab.guests import IDLE, Guest
from tests.lab.pairs import Pair
from tests.lab.waiting import until
from tests.qemu.migration_driver import MigrationDriver
from tests.qemu.operations import expect_error
from tests.qemu.scenario import mismatches

MigrationOperation = Callable[[MigrationDriver], None]


@dataclass(frozen=True)
class MigrationScenario:
    """Like Scenario, with expected pairs for source and destination."""

    name: str
    operation: MigrationOperation
    here: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    guest: Guest = IDLE
    libvirt: int = 0
    crashes_daemon_of: tuple[int, ...] = ()
    """libvirt versions whose daemon crashes in this scenario, by a bug of libvirt."""
    needs_userfaultfd: bool = False
    """Post-copy: the emulator of the destination needs userfaultfd, which kernels restrict to root."""

    def mismatches(self, here: Counter[Pair], there: Counter[Pair]) -> list[str]:
        return [
            *(f"here {mismatch}" for mismatch in mismatches(here, self.here, (), self.never)),
            *(f"there {mismatch}" for mismatch in mismatches(there, self.there, (), self.never)),
        ]


def live(flags: int = 0) -> MigrationOperation:
    def operation(migration: MigrationDriver) -> None:
        migration.boot()
        migration.migrate(flags)

    return operation


def there_and_back(migration: MigrationDriver) -> None:
    migration.boot()
    migration.migrate()
    migration.migrate_back()


def paused(migration: MigrationDriver) -> None:
    migration.boot()
    migration.here.domain.suspend()
    migration.migrate()


def peer_to_peer(migration: MigrationDriver) -> None:
    migration.boot()
    migration.migrate_peer_to_peer()


def offline(migration: MigrationDriver) -> None:
    """Migrate only the definition."""
    migration.here.define()
    flags = (
        libvirt.VIR_MIGRATE_OFFLINE | libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    )
    migration.here.domain.migrate3(migration.there.connection, {}, flags)


def refused(migration: MigrationDriver) -> None:
    """The destination already has a domain of this name."""
    migration.boot()
    migration.there.define()
    expect_error(migration.migrate)


def aborted(migration: MigrationDriver) -> None:
    migration.boot()
    migration.start_job().abort().wait_failed()


def arriving_emulator_dies(migration: MigrationDriver) -> None:
    migration.boot()
    job = migration.start_job()
    job.signal_destination(signal.SIGKILL)
    job.wait_failed()


def leaving_emulator_dies(migration: MigrationDriver) -> None:
    migration.boot()
    job = migration.start_job()
    migration.here.signal_emulator(signal.SIGKILL)
    job.wait_failed()
    migration.here.wait_event("stopped")


def post_copy(migration: MigrationDriver) -> None:
    migration.boot()
    migration.start_job(libvirt.VIR_MIGRATE_POSTCOPY, **POSTCOPY_LOW_BANDWIDTH).to_postcopy().wait_done()


def post_copy_lost(migration: MigrationDriver) -> None:
    """The emulator of the destination is killed during post-copy: the memory of the guest is lost."""
    migration.boot()
    job = migration.start_job(libvirt.VIR_MIGRATE_POSTCOPY, **POSTCOPY_LOW_BANDWIDTH).to_postcopy()
    job.signal_destination(signal.SIGKILL)
    job.wait_failed()
    migration.here.wait_event("suspended/postcopy_failed")


def post_copy_recovered(migration: MigrationDriver) -> None:
    """The connection of the emulators breaks, and the migration is resumed."""
    migration.boot()
    job = migration.start_job(libvirt.VIR_MIGRATE_POSTCOPY, **POSTCOPY_LOW_BANDWIDTH).to_postcopy()
    job.abort(libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY).wait_failed()
    migration.here.wait_event("suspended/postcopy_failed")
    migration.there.wait_event("resumed/postcopy_failed")
    until(migration.resume_post_copy, 30, "the migration to be taken up again")


POSTCOPY_LOW_BANDWIDTH = {libvirt.VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY: 1}
DIRTYING = Guest("dirty")
OUTGOING = ("stopped/migrated",)
INCOMING = ("started/migrated",)

# With UNDEFINE_SOURCE the source sends no undefined event.
MIGRATIONS = (
    MigrationScenario("live", live(), OUTGOING, INCOMING, never=("crashed",)),
    MigrationScenario(
        "live-for-good",
        live(libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE),
        OUTGOING,
        (*INCOMING, "defined/added"),
    ),
    MigrationScenario("there-and-back", there_and_back, (*OUTGOING, *INCOMING), (*INCOMING, *OUTGOING)),
    MigrationScenario("paused", paused, OUTGOING, INCOMING),
    MigrationScenario("arriving-paused", live(libvirt.VIR_MIGRATE_PAUSED), OUTGOING, INCOMING),
    MigrationScenario("peer-to-peer", peer_to_peer, OUTGOING, INCOMING),
    MigrationScenario("offline", offline, (), ("defined/added",), never=("started", "stopped")),
    MigrationScenario("refused", refused, never=OUTGOING),
    MigrationScenario("aborted", aborted, (), (*INCOMING, "stopped/failed"), never=OUTGOING, guest=DIRTYING),
    MigrationScenario(
        "arriving-emulator-dies",
        arriving_emulator_dies,
        (),
        (*INCOMING, "stopped/failed"),
        never=OUTGOING,
        guest=DIRTYING,
    ),
    MigrationScenario(
        "leaving-emulator-dies",
        leaving_emulator_dies,
        ("stopped/failed",),
        (*INCOMING, "stopped/failed"),
        never=OUTGOING,
        guest=DIRTYING,
    ),
    MigrationScenario(
        "post-copy",
        post_copy,
        (*OUTGOING, "suspended/postcopy"),
        (*INCOMING, "resumed/postcopy"),
        guest=DIRTYING,
        needs_userfaultfd=True,
    ),
    MigrationScenario(
        "post-copy-lost",
        post_copy_lost,
        ("suspended/postcopy_failed",),
        ("resumed/postcopy", "stopped/failed"),
        never=OUTGOING,
        guest=DIRTYING,
        needs_userfaultfd=True,
    ),
    MigrationScenario(
        "post-copy-recovered",
        post_copy_recovered,
        (*OUTGOING, "suspended/postcopy_failed"),
        (*INCOMING, "resumed/postcopy_failed", "resumed/migrated"),
        guest=DIRTYING,
        crashes_daemon_of=(11_003_000,),
        needs_userfaultfd=True,
    ),
)
