"""Model of libvirt: state changes of domains, the events that libvirt sends for them, and its answers."""

from collections.abc import Callable

from libvirt_lifecycle_exporter.model.messages import DomainFacts
from tests.unit.hypervisor_operations import OPERATIONS, SHORT, Operation
from tests.unit.hypervisor_state import HypervisorState, ModelEvent


class Hypervisor(HypervisorState):
    """Domains and the operations on them."""

    def __init__(self, clock: Callable[[], float], send: Callable[[ModelEvent], None]) -> None:
        super().__init__(clock, send)
        self._busy: dict[str, tuple[Operation, bool]] = {}

    def possible(self, uuid: str) -> list[str]:
        """Return the names of the operations that are possible in the state of the domain."""
        guest = self.guests[uuid]
        if uuid in self._busy:
            return ["continue"]
        return [name for name, (when, _) in OPERATIONS.items() if when(guest)]

    def run_operation(self, uuid: str, name: str) -> None:
        """Begin an operation, or run the next step of the current one."""
        if name != "continue":
            self._busy[uuid] = (OPERATIONS[name][1](self, self.guests[uuid]), SHORT)
        self._step(uuid)

    def settle(self, *, long: bool) -> None:
        """Finish the operations whose next step is SHORT; all operations if ``long``."""
        while due := [uuid for uuid, (_, step) in self._busy.items() if long or step is SHORT]:
            self._step(due[0])

    def facts(self) -> list[DomainFacts]:
        return [guest.facts() for guest in self.guests.values() if guest.exists]

    def restart_daemon(self, deaths: dict[str, str]) -> None:
        """Restart the daemon. ``deaths``: UUID -> "killed" or "panicked" for domains that fail meanwhile."""
        self.settle(long=True)
        for guest in self.guests.values():
            if guest.state == "shutoff":
                guest.reason = "unknown"
            elif guest.uuid in deaths and deaths[guest.uuid] == "killed":
                self.record_cause(guest, "crashed")
                self.end_run(guest, "failed", "crashed", verdict="crashed", send=False)
            elif guest.uuid in deaths and guest.state == "running":
                guest.state, guest.reason = "crashed", "panicked"
                self.record_cause(guest, "crashed")
                self.record(guest, "crashed", "panicked", send=False)
        if not any(guest.active() for guest in self.guests.values()):
            self.number = 0

    def _step(self, uuid: str) -> None:
        operation = self._busy.pop(uuid)[0]
        step = next(operation, None)
        if step is not None:
            self._busy[uuid] = (operation, step)
