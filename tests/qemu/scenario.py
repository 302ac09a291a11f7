"""One row of the table: what is done to which guest, and what libvirt must have said of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.lab.guests import IDLE, Guest
from tests.lab.pairs import Pair
from tests.qemu.stage import Stage

Play = Callable[[Stage], None]


@dataclass(frozen=True)
class Scenario:
    """The exporter is always held to the recorder's whole account. `shows`, `some` and `never` hold the
    scenario to its name: they make sure that what it is there for did happen.

    Pairs are written event/reason, or event for any reason; one that stands twice in `shows` is to be seen
    twice.
    """

    name: str
    play: Play
    shows: tuple[str, ...] = ()
    some: tuple[str, ...] = ()
    """At least once: how often is up to the guest's patience."""
    never: tuple[str, ...] = ()
    guest: Guest = IDLE
    diagnosed: tuple[str, ...] = ()
    """What the exporter must make of it, where that is not libvirt's own word."""
    incidents: tuple[str, ...] = ()
    """The kinds of the incidents that it is; none but these."""
    libvirt: int = 0
    """The oldest libvirt that can do it, as virConnectGetLibVersion gives it."""

    def complaints(self, seen: Counter[Pair]) -> list[str]:
        """Why this was not the scenario it claims to be."""
        return complaints(seen, self.shows, self.some, self.never)


def complaints(
    seen: Counter[Pair], shows: tuple[str, ...], some: tuple[str, ...] = (), never: tuple[str, ...] = ()
) -> list[str]:
    times: Counter[str] = Counter()
    for (event, reason), count in seen.items():
        times[f"{event}/{reason}"] += count
        times[event] += count
    return [
        *(f"{pair}: {times[pair]} times, not {n}" for pair, n in Counter(shows).items() if times[pair] != n),
        *(f"{pair}: not once" for pair in some if not times[pair]),
        *(f"{pair}: {times[pair]} times" for pair in never if times[pair]),
    ]
