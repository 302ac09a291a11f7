"""Faults of the exporter and the daemon, and the intervals in which the exporter observed all events."""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tests.chaos.conftest import ChaosEnvironment
from tests.chaos.journal_comparison import Interval, Intervals
from tests.lab.event_recorder import EventRecorder

LINE = re.compile(
    r'^ts=(?P<ts>\S+) .*?msg="connection (?P<what>up|down)" connection="?(?P<label>[^\s"]+)', re.MULTILINE
)
SHORT, LONG = 1.0, 4.5
"""Seconds for which the daemon is frozen: shorter and longer than the keepalive limit."""


DAY = 86_400.0
STEPS = (40 * DAY, -40 * DAY)
"""Seconds by which the exporter's wall clock is wrong: much longer than the test, so that a time stamp shows
which clock it is from.
"""


class FaultInjector:
    """Injects one fault at a time and records when it begins; afterwards everything runs again."""

    def __init__(self, environment: ChaosEnvironment, rng: random.Random) -> None:
        self.exporter = environment.exporter
        self.daemon = environment.daemon
        self.rng = rng
        self._clock = environment.clock
        self._host_boot = environment.host_boot
        self._began = time.time()
        self.reboots: list[float] = []
        """Times before the host lost its power."""
        self.done: Counter[str] = Counter()
        self.ends: list[float] = []
        """Times before the exporter or the daemon ended."""
        self.freezes: list[float] = []

    def kill_exporter(self) -> None:
        self._end(self.exporter.kill)
        self._idle(0.5)
        self.exporter.start()
        self.exporter.wait_serving()

    def kill_exporter_at_start(self) -> None:
        self._end(self.exporter.kill)
        for _ in range(2):
            self.exporter.start()
            self._idle(0.6)
            self._end(self.exporter.kill)
            self.done["kill_exporter"] += 1
        self.exporter.start()
        self.exporter.wait_serving()

    def kill_daemon(self) -> None:
        self._end(self.daemon.kill)
        self._idle(0.5)
        self.daemon.start()

    def restart_daemon(self) -> None:
        self._end(self.daemon.stop)
        self.daemon.start()

    def kill_both(self) -> None:
        self._end(self.daemon.kill)
        self._end(self.exporter.kill)
        self._idle(0.3)
        for start in self.rng.sample((self.daemon.start, self.exporter.start), 2):
            start()
        self.exporter.wait_serving()

    def reboot_host(self) -> None:
        self._end(self.exporter.kill)
        self.reboots.append(time.time())
        self._end(self.daemon.lose_power)
        self._host_boot.boot()
        for start in self.rng.sample((self.daemon.start, self.exporter.start), 2):
            start()
        self.exporter.wait_serving()

    def step_clock(self) -> None:
        self._clock.step_to(self.rng.choice(STEPS))
        self._idle(10.0)
        self._clock.step_to(0)

    def true_time(self, at: float) -> float:
        """Return the true time of a time stamp of the exporter's clock."""
        return min((at - step for step in (0.0, *STEPS)), key=lambda true: abs(true - self._began))

    def freeze(self) -> None:
        self._freeze(SHORT)

    def freeze_long(self) -> None:
        self._freeze(LONG)

    def run(self, kinds: dict[str, int], seconds: float) -> None:
        """Inject each kind once, then at random with the weights of `kinds`, for this number of seconds."""
        over = time.monotonic() + seconds
        names = list(kinds)
        once = self.rng.sample(names, len(names))
        while once or time.monotonic() < over:
            name = once.pop() if once else self.rng.choices(names, list(kinds.values()))[0]
            act: Callable[[], None] = getattr(self, name)
            act()
            self.done[name] += 1
            threading.Event().wait(self.rng.uniform(1.0, 7.0))

    def observed(self, label: str) -> Intervals:
        """Return when the exporter received all events of a connection, from its log and from the faults."""
        return Intervals(self._intervals(label))

    def _intervals(self, label: str) -> list[Interval]:
        lines = [(self.true_time(at), what) for at, what in log_lines(self.exporter.log, label)]
        now = time.time()
        found = []
        for began in (at for at, what in lines if what == "up"):
            downs = [at for at, what in lines if what != "up" and at >= began]
            end = min((at for at in (*self.ends, *downs) if at >= began), default=now)
            if end in downs:
                end = min([end, *(at for at in self.freezes if began <= at <= end)])
            found.append(Interval(began, end))
        return found

    def _end(self, act: Callable[[], None]) -> None:
        self.ends.append(time.time())
        act()

    def _freeze(self, longest: float) -> None:
        self.freezes.append(time.time())
        self.daemon.freeze()
        try:
            self._idle(longest)
        finally:
            self.daemon.thaw()

    def _idle(self, longest: float) -> None:
        """Wait for a random time."""
        threading.Event().wait(self.rng.uniform(0, longest))


def log_lines(log: Path, label: str) -> list[tuple[float, str]]:
    return [
        (datetime.fromisoformat(found["ts"]).timestamp(), found["what"])
        for found in LINE.finditer(log.read_text(errors="replace"))
        if found["label"] == label
    ]


def recorded(recorder: EventRecorder, offset: float) -> Intervals:
    """Return when the recorder was connected; ``offset``: from its monotonic clock to Unix time, in
    seconds.
    """
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
