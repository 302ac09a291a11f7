"""What is done to the exporter and to the daemon, and when: so that afterwards it is known who saw what."""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tests.chaos.conftest import Field
from tests.chaos.ledger import Interval, Intervals
from tests.lab.event_recorder import EventRecorder

LINE = re.compile(
    r'^ts=(?P<ts>\S+) .*?msg="connection (?P<what>up|down)" connection="?(?P<label>[^\s"]+)', re.MULTILINE
)
SHORT, LONG = 1.0, 4.5
"""Seconds of frost: what the exporter bears, and what makes it take the connection for lost."""


DAY = 86_400.0
STEPS = (40 * DAY, -40 * DAY)
"""Seconds by which the exporter's wall clock is wrong: so much longer than a storm that a time stamp shows by
itself which clock it is from."""


class Mischief:
    """Does one at a time; notes the beginning of each, and in the end everything is up."""

    def __init__(self, field: Field, dice: random.Random) -> None:
        self.exporter = field.exporter
        self.daemon = field.daemon
        self.dice = dice
        self._clock = field.clock
        self._host_boot = field.host_boot
        self._began = time.time()
        self.reboots: list[float] = []
        """When the host was about to lose its power."""
        self.done: Counter[str] = Counter()
        self.ends: list[float] = []
        """When the exporter or the daemon was about to end."""
        self.frosts: list[float] = []

    def exporter_killed(self) -> None:
        self._end(self.exporter.kill)
        self._idle(0.5)
        self.exporter.start()
        self.exporter.wait_serving()

    def exporter_killed_as_it_starts(self) -> None:
        self._end(self.exporter.kill)
        for _ in range(2):
            self.exporter.start()
            self._idle(0.6)
            self._end(self.exporter.kill)
            self.done["exporter_killed"] += 1
        self.exporter.start()
        self.exporter.wait_serving()

    def daemon_killed(self) -> None:
        self._end(self.daemon.kill)
        self._idle(0.5)
        self.daemon.start()

    def daemon_restarted(self) -> None:
        self._end(self.daemon.stop)
        self.daemon.start()

    def both_killed(self) -> None:
        self._end(self.daemon.kill)
        self._end(self.exporter.kill)
        self._idle(0.3)
        for start in self.dice.sample((self.daemon.start, self.exporter.start), 2):
            start()
        self.exporter.wait_serving()

    def host_rebooted(self) -> None:
        self._end(self.exporter.kill)
        self.reboots.append(time.time())
        self._end(self.daemon.lose_power)
        self._host_boot.boot()
        for start in self.dice.sample((self.daemon.start, self.exporter.start), 2):
            start()
        self.exporter.wait_serving()

    def clock_stepped(self) -> None:
        self._clock.step_to(self.dice.choice(STEPS))
        self._idle(10.0)
        self._clock.step_to(0)

    def true_time(self, at: float) -> float:
        """Return when something happened that the exporter stamped with its own clock."""
        return min((at - step for step in (0.0, *STEPS)), key=lambda true: abs(true - self._began))

    def frozen(self) -> None:
        self._freeze(SHORT)

    def frozen_for_long(self) -> None:
        self._freeze(LONG)

    def rage(self, kinds: dict[str, int], seconds: float) -> None:
        """Each kind once, then as often as its weight has it."""
        over = time.monotonic() + seconds
        names = list(kinds)
        once = self.dice.sample(names, len(names))
        while once or time.monotonic() < over:
            name = once.pop() if once else self.dice.choices(names, list(kinds.values()))[0]
            act: Callable[[], None] = getattr(self, name)
            act()
            self.done[name] += 1
            threading.Event().wait(self.dice.uniform(1.0, 7.0))

    def observed(self, label: str) -> Intervals:
        """When the exporter heard everything of a connection: from its log, and from what was done to it."""
        return Intervals(self._intervals(label))

    def _intervals(self, label: str) -> list[Interval]:
        lines = [(self.true_time(at), what) for at, what in log_lines(self.exporter.log, label)]
        now = time.time()
        found = []
        for began in (at for at, what in lines if what == "up"):
            downs = [at for at, what in lines if what != "up" and at >= began]
            end = min((at for at in (*self.ends, *downs) if at >= began), default=now)
            if end in downs:
                end = min([end, *(frost for frost in self.frosts if began <= frost <= end)])
            found.append(Interval(began, end))
        return found

    def _end(self, act: Callable[[], None]) -> None:
        self.ends.append(time.time())
        act()

    def _freeze(self, longest: float) -> None:
        self.frosts.append(time.time())
        self.daemon.freeze()
        try:
            self._idle(longest)
        finally:
            self.daemon.thaw()

    def _idle(self, longest: float) -> None:
        """The instant itself is to be random."""
        threading.Event().wait(self.dice.uniform(0, longest))


def log_lines(log: Path, label: str) -> list[tuple[float, str]]:
    return [
        (datetime.fromisoformat(found["ts"]).timestamp(), found["what"])
        for found in LINE.finditer(log.read_text(errors="replace"))
        if found["label"] == label
    ]


def witnessed(recorder: EventRecorder, offset: float) -> Intervals:
    """When the recorder was connected; ``offset``: of the clock on the wall to its own."""
    found = []
    began: float | None = None
    for event in recorder.events(""):
        if event.kind == "connected":
            began = event.time + offset
        elif event.kind == "lost" and began is not None:
            found.append(Interval(began, event.time + offset))
            began = None
    if began is not None:
        found.append(Interval(began, time.time()))
    return Intervals(found)
