"""Scenario: an operation on a guest, and the events that libvirt must send for it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.lab.guests import IDLE, Guest
from tests.lab.pairs import Pair
from tests.qemu.domain_driver import DomainDriver

Operation = Callable[[DomainDriver], None]


@dataclass(frozen=True)
class Scenario:
    """The exporter is compared with all recorded events. `expected`, `at_least_once` and `never` check the
    scenario.

    A pair is event/reason, or event for any reason. A pair that is listed twice in `expected` must occur
    twice.
    """

    name: str
    operation: Operation
    expected: tuple[str, ...] = ()
    at_least_once: tuple[str, ...] = ()
    """Pairs whose number depends on how often the guest retries."""
    never: tuple[str, ...] = ()
    guest: Guest = IDLE
    diagnosed: tuple[str, ...] = ()
    """Pairs that the exporter must count, where they differ from libvirt's."""
    incidents: tuple[str, ...] = ()
    """Kinds of all incidents of the scenario."""
    libvirt: int = 0
    """Minimum libvirt version, in the format of virConnectGetLibVersion."""

    def mismatches(self, recorded: Counter[Pair]) -> list[str]:
        """Return the differences from the events that the scenario requires."""
        return mismatches(recorded, self.expected, self.at_least_once, self.never)


def mismatches(
    recorded: Counter[Pair],
    expected: tuple[str, ...],
    at_least_once: tuple[str, ...] = (),
    never: tuple[str, ...] = (),
) -> list[str]:
    counts: Counter[str] = Counter()
    for (event, reason), count in recorded.items():
        counts[f"{event}/{reason}"] += count
        counts[event] += count
    return [
        *(
            f"{pair}: {counts[pair]} times, not {n}"
            for pair, n in Counter(expected).items()
            if counts[pair] != n
        ),
        *(f"{pair}: not once" for pair in at_least_once if not counts[pair]),
        *(f"{pair}: {counts[pair]} times" for pair in never if counts[pair]),
    ]
