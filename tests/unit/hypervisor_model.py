"""A small honest model of libvirt: what domains do, what is sent of it, and what libvirt answers."""

from collections.abc import Callable

from libvirt_lifecycle_exporter.model.messages import DomainFacts
from tests.unit.hypervisor_plays import PLAYS, SHORT, Play
from tests.unit.hypervisor_stage import Happened, Stage


class Hypervisor(Stage):
    """Domains, and what can happen to them."""

    def __init__(self, clock: Callable[[], float], send: Callable[[Happened], None]) -> None:
        super().__init__(clock, send)
        self._busy: dict[str, tuple[Play, bool]] = {}

    def possible(self, uuid: str) -> list[str]:
        """Name the plays that the domain can be in now."""
        guest = self.guests[uuid]
        if uuid in self._busy:
            return ["goes_on"]
        return [name for name, (when, _) in PLAYS.items() if when(guest)]

    def play(self, uuid: str, name: str) -> None:
        """Begin a play, or go on with one."""
        if name != "goes_on":
            self._busy[uuid] = (PLAYS[name][1](self, self.guests[uuid]), SHORT)
        self._step(uuid)

    def settle(self, *, long: bool) -> None:
        """Time passes: what takes no time comes to its end; what takes long, only if ``long``."""
        while due := [uuid for uuid, (_, step) in self._busy.items() if long or step is SHORT]:
            self._step(due[0])

    def facts(self) -> list[DomainFacts]:
        return [guest.facts() for guest in self.guests.values() if guest.exists]

    def daemon_dies(self, deaths: dict[str, str]) -> None:
        """The daemon ends and comes back; ``deaths``: domains that are killed or panic meanwhile."""
        self.settle(long=True)
        for guest in self.guests.values():
            if guest.state == "shutoff":
                guest.reason = "unknown"
            elif guest.uuid in deaths and deaths[guest.uuid] == "killed":
                self.cause(guest, "crashed")
                self.ends(guest, "failed", "crashed", verdict="crashed", send=False)
            elif guest.uuid in deaths and guest.state == "running":
                guest.state, guest.reason = "crashed", "panicked"
                self.cause(guest, "crashed")
                self.tell(guest, "crashed", "panicked", send=False)
        if not any(guest.active() for guest in self.guests.values()):
            self.number = 0

    def _step(self, uuid: str) -> None:
        play = self._busy.pop(uuid)[0]
        step = next(play, None)
        if step is not None:
            self._busy[uuid] = (play, step)
