"""The scenarios that take two hosts."""

import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import libvirt

from tests.lab.guests import IDLE, Guest
from tests.lab.pairs import Pair
from tests.lab.waiting import until
from tests.qemu.plays import fails
from tests.qemu.road import Road
from tests.qemu.scenario import complaints

Move = Callable[[Road], None]


@dataclass(frozen=True)
class Migration:
    """As Scenario, with an account for either side."""

    name: str
    move: Move
    here: tuple[str, ...] = ()
    there: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    guest: Guest = IDLE
    libvirt: int = 0
    dies_of_it: tuple[int, ...] = ()
    """Releases whose daemon does not survive this: it is libvirt's bug, and nobody's transition."""
    fetches_pages: bool = False
    """Post-copy: the arriving emulator needs userfaultfd, which kernels keep for root."""

    def complaints(self, here: Counter[Pair], there: Counter[Pair]) -> list[str]:
        return [
            *(f"here {complaint}" for complaint in complaints(here, self.here, (), self.never)),
            *(f"there {complaint}" for complaint in complaints(there, self.there, (), self.never)),
        ]


def live(flags: int = 0) -> Move:
    def move(road: Road) -> None:
        road.boot()
        road.migrate(flags)

    return move


def there_and_back(road: Road) -> None:
    road.boot()
    road.migrate()
    road.migrate_back()


def of_paused(road: Road) -> None:
    road.boot()
    road.here.domain.suspend()
    road.migrate()


def peer_to_peer(road: Road) -> None:
    road.boot()
    road.migrate_by_itself()


def offline(road: Road) -> None:
    """Only the description moves."""
    road.here.define()
    flags = (
        libvirt.VIR_MIGRATE_OFFLINE | libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    )
    road.here.domain.migrate3(road.there.connection, {}, flags)


def refused(road: Road) -> None:
    """The name is taken over there."""
    road.boot()
    road.there.define()
    fails(road.migrate)


def aborted(road: Road) -> None:
    road.boot()
    road.set_out().aborted().fails()


def arriving_emulator_dies(road: Road) -> None:
    road.boot()
    journey = road.set_out()
    journey.emulator_over_there(signal.SIGKILL)
    journey.fails()


def leaving_emulator_dies(road: Road) -> None:
    road.boot()
    journey = road.set_out()
    road.here.emulator(signal.SIGKILL)
    journey.fails()
    road.here.sees("stopped")


def post_copy(road: Road) -> None:
    road.boot()
    road.set_out(libvirt.VIR_MIGRATE_POSTCOPY, **POSTCOPY_SLOWLY).to_postcopy().arrives()


def post_copy_lost(road: Road) -> None:
    """Half of the memory is here, half over there, where the emulator dies: the guest is lost."""
    road.boot()
    journey = road.set_out(libvirt.VIR_MIGRATE_POSTCOPY, **POSTCOPY_SLOWLY).to_postcopy()
    journey.emulator_over_there(signal.SIGKILL)
    journey.fails()
    road.here.sees("suspended/postcopy_failed")


def post_copy_recovered(road: Road) -> None:
    """The connection between the two breaks, and the migration is taken up again."""
    road.boot()
    journey = road.set_out(libvirt.VIR_MIGRATE_POSTCOPY, **POSTCOPY_SLOWLY).to_postcopy()
    journey.aborted(libvirt.VIR_DOMAIN_ABORT_JOB_POSTCOPY).fails()
    road.here.sees("suspended/postcopy_failed")
    road.there.sees("resumed/postcopy_failed")
    until(road.takes_up_post_copy, 30, "the migration to be taken up again")


POSTCOPY_SLOWLY = {libvirt.VIR_MIGRATE_PARAM_BANDWIDTH_POSTCOPY: 1}
RESTLESS = Guest("dirty")
LEFT = ("stopped/migrated",)
ARRIVED = ("started/migrated",)

# Where the source is to forget the domain (UNDEFINE_SOURCE), it does so without an undefined event.
MIGRATIONS = (
    Migration("live", live(), LEFT, ARRIVED, never=("crashed",)),
    Migration(
        "live-for-good",
        live(libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE),
        LEFT,
        (*ARRIVED, "defined/added"),
    ),
    Migration("there-and-back", there_and_back, (*LEFT, *ARRIVED), (*ARRIVED, *LEFT)),
    Migration("paused", of_paused, LEFT, ARRIVED),
    Migration("arriving-paused", live(libvirt.VIR_MIGRATE_PAUSED), LEFT, ARRIVED),
    Migration("peer-to-peer", peer_to_peer, LEFT, ARRIVED),
    Migration("offline", offline, (), ("defined/added",), never=("started", "stopped")),
    Migration("refused", refused, never=LEFT),
    Migration("aborted", aborted, (), (*ARRIVED, "stopped/failed"), never=LEFT, guest=RESTLESS),
    Migration(
        "arriving-emulator-dies",
        arriving_emulator_dies,
        (),
        (*ARRIVED, "stopped/failed"),
        never=LEFT,
        guest=RESTLESS,
    ),
    Migration(
        "leaving-emulator-dies",
        leaving_emulator_dies,
        ("stopped/failed",),
        (*ARRIVED, "stopped/failed"),
        never=LEFT,
        guest=RESTLESS,
    ),
    Migration(
        "post-copy",
        post_copy,
        (*LEFT, "suspended/postcopy"),
        (*ARRIVED, "resumed/postcopy"),
        guest=RESTLESS,
        fetches_pages=True,
    ),
    Migration(
        "post-copy-lost",
        post_copy_lost,
        ("suspended/postcopy_failed",),
        ("resumed/postcopy", "stopped/failed"),
        never=LEFT,
        guest=RESTLESS,
        fetches_pages=True,
    ),
    Migration(
        "post-copy-recovered",
        post_copy_recovered,
        (*LEFT, "suspended/postcopy_failed"),
        (*ARRIVED, "resumed/postcopy_failed", "resumed/migrated"),
        guest=RESTLESS,
        dies_of_it=(11_003_000,),
        fetches_pages=True,
    ),
)
