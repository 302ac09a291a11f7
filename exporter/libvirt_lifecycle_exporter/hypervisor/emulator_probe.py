"""Hang probe of emulators: whether each emulator still answers on its monitor.

libvirt does not report a stuck emulator: the state remains "running". Only once a client's command waits for
the monitor does controlInfo() report that, and for how long. So the probe sends one small command to each
emulator (the test command). It hangs on a stuck emulator; controlInfo(), which does not hang, then reports
how long the emulator has been unresponsive.

Invariants: at most one test command per domain is outstanding. None is sent to a monitor that another command
already waits for (NOWAIT). At most ``MAX_HANGING`` test commands hang per libvirt. Once that many hang,
further stuck domains are found only if another client sends them a command.
"""

import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import libvirt

from libvirt_lifecycle_exporter.hypervisor.call_pool import Call, CallPool
from libvirt_lifecycle_exporter.hypervisor.probes import ACTIVE, Probe, ProbeContext, list_probed
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer

log = logging.getLogger(__name__)

MAX_HANGING = 12
"""Connections for test commands: 12 of the daemon's 20 ordinary workers."""
MAX_CONTROL_CONNECTIONS = 4
"""Connections for controlInfo(): it waits only for a domain's lock, for example while a stuck emulator is
being destroyed."""
_CONCURRENCY = 3
_COMMAND_TIMEOUT = 0.2
"""Seconds after which a test command is abandoned (it takes 0.7 ms otherwise)."""
_CONTROL_TIMEOUT = 1.0

_POLL_INTERVAL = 1.0
"""Seconds between checks of a domain whose monitor is busy."""
_THRESHOLD_MARGIN = 0.05
"""Seconds after the threshold at which a check is due, if that is earlier."""
_SLOW_POLL_INTERVAL = 5.0
_SLOW_POLL_AFTER = 60.0
"""Seconds after which a domain is checked less often."""

_OCCUPIED = libvirt.VIR_DOMAIN_CONTROL_OCCUPIED
_OK = libvirt.VIR_DOMAIN_CONTROL_OK
_NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT

OWN_PROBE = "this exporter's probe"
OTHER_CLIENT = "another client of libvirt"

_Results = dict[str, ProbeAnswer | libvirt.libvirtError]


def read_control_state(uuid: str, connection: Any) -> ProbeAnswer:
    """Return libvirt's own view of a domain's monitor, without sending a command; raises libvirtError."""
    return _control_state(connection.lookupByUUIDString(uuid), uuid)


def send_test_command(uuid: str, connection: Any) -> ProbeAnswer:
    """Send a command to the emulator unless another one already waits for its monitor; raises
    libvirtError.
    """
    domain = connection.lookupByUUIDString(uuid)
    answer = _control_state(domain, uuid)
    if answer.outcome == "answered":
        # The cheapest command that always uses the monitor, needs no device, and is allowed read-only.
        connection.domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_IOTHREAD, _NOWAIT)
    return answer


def _control_state(domain: Any, uuid: str) -> ProbeAnswer:
    state, _details, milliseconds = domain.controlInfo()
    if state == _OK:
        return ProbeAnswer(uuid, "answered")
    if state == _OCCUPIED:
        return ProbeAnswer(uuid, "silent", milliseconds / 1000, OTHER_CLIENT)
    # A job (migration, save, dump, snapshot, backup) or a monitor error: the state is unknown.
    return ProbeAnswer(uuid, "busy")


@dataclass(slots=True)
class _Suspect:
    """A domain whose monitor did not answer; monotonic times."""

    since: float
    due: float


class EmulatorProbe(Probe):
    """Sends test commands to all emulators, and polls those that do not answer."""

    signal = "emulator"

    def __init__(self, context: ProbeContext, interval: float, threshold: float) -> None:
        """``threshold``: seconds without an answer after which a domain is hung; it is polled then."""
        super().__init__(context, interval)
        self._threshold = threshold
        label = context.label
        self._command_pool = CallPool(
            f"emulator-{label}",
            context.open_read_only,
            max_connections=MAX_HANGING,
            threads=context.threads,
        )
        self._control_pool = CallPool(
            f"control-{label}",
            context.open_read_only,
            max_connections=MAX_CONTROL_CONNECTIONS,
            threads=context.threads,
        )
        self._known: list[str] = []
        self._suspects: dict[str, _Suspect] = {}

    def run_round(self) -> None:
        listed = list_probed(self._control_pool, ACTIVE, self.context)
        if listed is not None:
            # Otherwise the previous list is used: one domain's lock can block the listing of all.
            self._known = listed
        uuids = [uuid for uuid in self._known if uuid not in self._suspects]
        results = self._send_test_commands(uuids)
        hanging = self._command_pool.hanging()
        if len(hanging) >= MAX_HANGING:
            # No further test command is allowed, but controlInfo() still reports commands of other clients.
            rest = [uuid for uuid in uuids if uuid not in results and uuid not in hanging]
            fields = {"connection": self.context.label, "domains": len(rest), "hanging": len(hanging)}
            log.info("emulators not probed: too many hang", extra=fields)
            states = self._read_control_states(rest)
            results |= {uuid: one for uuid, one in states.items() if not _has_outcome(one, "answered")}
        self._process(uuids, results)

    def run_between_rounds(self) -> float:
        now = time.monotonic()
        due = [uuid for uuid, suspect in self._suspects.items() if suspect.due <= now]
        if due:
            self._poll_suspects(due)
        waits = [suspect.due for suspect in self._suspects.values()]
        return max(0.0, min(waits) - time.monotonic()) if waits else self._interval

    def reset(self) -> None:
        self._suspects.clear()

    def close(self) -> None:
        self._command_pool.stop()
        self._control_pool.stop()

    def _send_test_commands(self, uuids: list[str]) -> _Results:
        return self._command_pool.run(
            {uuid: partial(send_test_command, uuid) for uuid in uuids},
            concurrency=_CONCURRENCY,
            timeout=_COMMAND_TIMEOUT,
            may_replace=self._daemon_answers,
        )

    def _daemon_answers(self) -> bool:
        """Return whether the daemon answers: if it hangs, further test commands would only add threads."""
        calls = {"daemon": lambda connection: bool(connection.getLibVersion())}
        results = self._control_pool.run(calls, concurrency=1, timeout=_CONTROL_TIMEOUT)
        answers = results.get("daemon") is True
        if not answers:
            fields = {"connection": self.context.label}
            log.info("emulators not probed: the daemon does not answer", extra=fields)
        return answers

    def _read_control_states(self, uuids: list[str]) -> _Results:
        calls: dict[str, Call[ProbeAnswer]] = {uuid: partial(read_control_state, uuid) for uuid in uuids}
        return self._control_pool.run(calls, concurrency=_CONCURRENCY, timeout=_CONTROL_TIMEOUT)

    def _poll_suspects(self, uuids: list[str]) -> None:
        now = time.monotonic()
        for uuid in uuids:
            suspect = self._suspects[uuid]
            is_recent = now - suspect.since < _SLOW_POLL_AFTER
            suspect.due = now + (_POLL_INTERVAL if is_recent else _SLOW_POLL_INTERVAL)
        results = self._read_control_states(uuids)
        free = [uuid for uuid, one in results.items() if _has_outcome(one, "answered")]
        self._process([uuid for uuid in uuids if uuid not in free], results)
        if free:
            self._process(free, self._send_test_commands(free))

    def _process(self, uuids: list[str], results: _Results) -> None:
        """Report the answers, and schedule the next check of each domain that did not answer."""
        now, hanging = time.monotonic(), self._command_pool.hanging()
        answers = []
        for uuid in uuids:
            answer = results.get(uuid)
            if isinstance(answer, libvirt.libvirtError):
                # The domain or the connection is gone; the next round shows which.
                fields = {"connection": self.context.label, "uuid": uuid, "error": str(answer)}
                log.debug("emulator not probed", extra=fields)
                self._suspects.pop(uuid, None)
                continue
            if uuid in hanging or _has_outcome(answer, "silent") or _has_outcome(answer, "busy"):
                suspect = self._suspects.setdefault(uuid, _Suspect(now, now + _POLL_INTERVAL))
                left = self._threshold - (answer.waited if answer is not None else 0.0)
                if left > 0:
                    suspect.due = min(suspect.due, now + left + _THRESHOLD_MARGIN)
            elif answer is not None:
                self._suspects.pop(uuid, None)
            if answer is not None:
                answers.append(answer._replace(waiting_client=OWN_PROBE) if uuid in hanging else answer)
        log.debug("emulators probed", extra={"connection": self.context.label, "answers": str(answers)})
        self.report(answers)


def _has_outcome(answer: object, outcome: str) -> bool:
    return isinstance(answer, ProbeAnswer) and answer.outcome == outcome
