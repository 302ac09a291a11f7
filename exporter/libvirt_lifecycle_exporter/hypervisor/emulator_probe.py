"""The probe of emulators: does each still answer on its monitor?

An emulator that is stuck says so to nobody: libvirt's own state stays "running". Whoever sends its monitor a
command waits for ever, and only then does controlInfo() show that somebody waits, and for how long. So one
small command is sent by ourselves, the canary; it hangs on whom it finds stuck, and controlInfo(), which
does not, tells the rest.

Law: one canary a domain at the most, and never to one that somebody is talking to already (NOWAIT). At most
``CANARIES`` hang at a time on one libvirt; with that many, domains that got stuck later are found only if
somebody else asks them something.
"""

import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import libvirt

from libvirt_lifecycle_exporter.hypervisor.call_pool import CallPool, Question
from libvirt_lifecycle_exporter.hypervisor.probes import ACTIVE, Probe, ProbeContext, listing, wanted
from libvirt_lifecycle_exporter.model.messages import ProbeAnswer

log = logging.getLogger(__name__)

CANARIES = 12
"""Connections for them; that is 12 of the 20 ordinary workers of a daemon."""
CONTROLS = 4
"""For controlInfo(): it waits only for a domain's lock, as while a stuck emulator is being destroyed."""
_AT_A_TIME = 3
_PATIENCE = 0.2
"""Seconds after which a canary (0.7 ms, else) is left alone and another domain's turn comes."""
_CONTROL_PATIENCE = 1.0
_LISTING_PATIENCE = 3.0

_POLL = 1.0
"""Seconds between looks at a domain whose monitor was found busy."""
_CLOSE = 0.05
"""Seconds after the threshold when the next look is due, if that comes first."""
_POLL_LATER = 5.0
_LATER = 60.0
"""Seconds after which it is looked at less often."""

_OCCUPIED = libvirt.VIR_DOMAIN_CONTROL_OCCUPIED
_OK = libvirt.VIR_DOMAIN_CONTROL_OK
_NOWAIT = libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT

OURSELVES = "this exporter's probe"
SOMEBODY = "another client of libvirt"


def control(uuid: str, connection: Any) -> ProbeAnswer:
    """Ask libvirt, not the emulator, whether somebody waits for the monitor."""
    return _control(connection.lookupByUUIDString(uuid), uuid)


def canary(uuid: str, connection: Any) -> ProbeAnswer:
    """Ask the emulator something, unless somebody waits for its monitor already."""
    domain = connection.lookupByUUIDString(uuid)
    said = _control(domain, uuid)
    if said.outcome == "answered":
        # The cheapest question that reaches the monitor always, needs no device, and is allowed to readers.
        connection.domainListGetStats([domain], libvirt.VIR_DOMAIN_STATS_IOTHREAD, _NOWAIT)
    return said


def _control(domain: Any, uuid: str) -> ProbeAnswer:
    state, _details, milliseconds = domain.controlInfo()
    if state == _OK:
        return ProbeAnswer(uuid, "answered")
    if state == _OCCUPIED:
        return ProbeAnswer(uuid, "silent", milliseconds / 1000, SOMEBODY)
    # A job (migration, save, dump, snapshot, backup) or libvirt's own trouble with the monitor: no telling.
    return ProbeAnswer(uuid, "busy")


@dataclass(slots=True)
class _Suspect:
    since: float
    due: float


class EmulatorProbe(Probe):
    """Canaries to all, and a close look at those that do not answer."""

    signal = "emulator"

    def __init__(self, post: ProbeContext, interval: float, threshold: float) -> None:
        """``threshold``: seconds of silence that matter; it is looked for when they are over."""
        super().__init__(post, interval)
        self._threshold = threshold
        label = post.label
        self._canaries = CallPool(
            f"canary-{label}", post.read_only, connections=CANARIES, threads=post.threads
        )
        self._control = CallPool(
            f"control-{label}", post.read_only, connections=CONTROLS, threads=post.threads
        )
        self._known: list[str] = []
        self._suspects: dict[str, _Suspect] = {}

    def round(self) -> None:
        listed = self._control.ask({"": listing(ACTIVE)}, wide=1, patience=_LISTING_PATIENCE).get("")
        if listed is not None and not isinstance(listed, libvirt.libvirtError):
            # Else those of the last time: one domain's lock can hold up the listing of all.
            self._known = wanted(self.post, listed)
        asked = [uuid for uuid in self._known if uuid not in self._suspects]
        said = self._canary(asked)
        ours = self._canaries.stuck()
        if len(ours) >= CANARIES:
            # All that may hang do; whether others wait for the rest can still be seen.
            rest = [uuid for uuid in asked if uuid not in said and uuid not in ours]
            log.info("connection %s: %d emulators were not asked: too many hang", self.post.label, len(rest))
            seen = self._look({uuid: partial(control, uuid) for uuid in rest})
            said |= {uuid: one for uuid, one in seen.items() if not _is(one, "answered")}
        self._take(asked, said)

    def between(self) -> float:
        now = time.monotonic()
        due = [uuid for uuid, suspect in self._suspects.items() if suspect.due <= now]
        if due:
            self._look_closely(due)
        waits = [suspect.due for suspect in self._suspects.values()]
        return max(0.0, min(waits) - time.monotonic()) if waits else self._interval

    def rest(self) -> None:
        self._suspects.clear()

    def close(self) -> None:
        self._canaries.stop()
        self._control.stop()

    def _canary(self, uuids: list[str]) -> dict[str, ProbeAnswer | libvirt.libvirtError]:
        return self._canaries.ask(
            {uuid: partial(canary, uuid) for uuid in uuids},
            wide=_AT_A_TIME,
            patience=_PATIENCE,
            go_on=self._daemon_answers,
        )

    def _daemon_answers(self) -> bool:
        """Tell a stuck emulator from a stuck daemon, so as not to send it all our threads."""
        question = {"daemon": lambda connection: bool(connection.getLibVersion())}
        answers = self._control.ask(question, wide=1, patience=_CONTROL_PATIENCE).get("daemon") is True
        if not answers:
            log.info(
                "connection %s: no more emulators are asked; the daemon does not answer", self.post.label
            )
        return answers

    def _look(
        self, questions: dict[str, Question[ProbeAnswer]]
    ) -> dict[str, ProbeAnswer | libvirt.libvirtError]:
        return self._control.ask(questions, wide=_AT_A_TIME, patience=_CONTROL_PATIENCE)

    def _look_closely(self, uuids: list[str]) -> None:
        now = time.monotonic()
        for uuid in uuids:
            suspect = self._suspects[uuid]
            suspect.due = now + (_POLL if now - suspect.since < _LATER else _POLL_LATER)
        said = self._look({uuid: partial(control, uuid) for uuid in uuids})
        free = [uuid for uuid, one in said.items() if _is(one, "answered")]
        self._take([uuid for uuid in uuids if uuid not in free], said)
        if free:
            self._take(free, self._canary(free))

    def _take(self, uuids: list[str], said: dict[str, ProbeAnswer | libvirt.libvirtError]) -> None:
        """Tell what was answered, and note whom to look at again soon."""
        now, ours = time.monotonic(), self._canaries.stuck()
        answers = []
        for uuid in uuids:
            answer = said.get(uuid)
            if isinstance(answer, libvirt.libvirtError):
                # It is gone, or the connection is; the next round will show.
                log.debug("connection %s: no answer about %s: %s", self.post.label, uuid, answer)
                self._suspects.pop(uuid, None)
                continue
            if uuid in ours or _is(answer, "silent") or _is(answer, "busy"):
                suspect = self._suspects.setdefault(uuid, _Suspect(now, now + _POLL))
                left = self._threshold - (answer.waited if answer is not None else 0.0)
                if left > 0:
                    suspect.due = min(suspect.due, now + left + _CLOSE)
            elif answer is not None:
                self._suspects.pop(uuid, None)
            if answer is not None:
                answers.append(answer._replace(waiting_client=OURSELVES) if uuid in ours else answer)
        log.debug("told %s", answers)
        self.tell(answers)


def _is(answer: object, outcome: str) -> bool:
    return isinstance(answer, ProbeAnswer) and answer.outcome == outcome
