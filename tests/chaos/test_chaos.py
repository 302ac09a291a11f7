"""Load and faults on real components: no event is lost or duplicated, and the states are correct
afterwards.
"""

import os
import random
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, closing

import libvirt
import pytest

from tests.chaos.conftest import ChaosEnvironment
from tests.chaos.fault_injection import FaultInjector, recorded
from tests.chaos.journal_comparison import Coverage, Fact, Findings, compare, unnoticed_reboots
from tests.chaos.load import DriverLoad, GuestLoad, LoadGenerator, names_of, uuid_of
from tests.journal.exporter_with_journal import ERRORS, CounterMonitor
from tests.lab.event_recorder import EventRecorder
from tests.lab.guests import Guests
from tests.lab.page import EVENTS
from tests.lab.pairs import Event

SEED = int(os.environ.get("LAB_SEED", "1"))
SECONDS = float(os.environ.get("LAB_CHAOS_SECONDS", "30"))
GUESTS = [f"guest-{number:02}" for number in range(20)]
DOMAINS = [f"vm-{number:03}" for number in range(200)]
TIMEOUT = 60.0
TWO_LISTINGS = 12.0
"""Seconds that contain two more listings."""
MAX_TIMELINE_LINES = 200
"""Maximum lines of timelines in the output."""
STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTOFF: "shutoff",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutdown",
}
EXPORTER_ONLY = {"kill_exporter": 3, "kill_exporter_at_start": 1}
EVERYTHING = EXPORTER_ONLY | {
    "kill_daemon": 3,
    "restart_daemon": 1,
    "kill_both": 1,
    "freeze": 2,
    "freeze_long": 1,
    "reboot_host": 1,
    "step_clock": 2,
}


def load_generators(environment: ChaosEnvironment, guests: Guests) -> list[LoadGenerator]:
    return [
        GuestLoad(environment.daemon, GUESTS[:10], SEED, guests),
        GuestLoad(environment.daemon, GUESTS[10:], SEED, guests),
        DriverLoad(environment.daemon, DOMAINS, SEED),
    ]


def journal_rows(environment: ChaosEnvironment, injector: FaultInjector) -> dict[tuple[str, str], list[Fact]]:
    rows: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    with closing(sqlite3.connect(environment.journal)) as database:
        query = "SELECT connection, uuid, at, event, detail, source FROM transitions ORDER BY seq"
        for connection, uuid, at, *what in database.execute(query):
            rows[connection, uuid].append(Fact(injector.true_time(at), *what))
    return rows


def journal_counts(environment: ChaosEnvironment) -> Counter[tuple[str, str, str, str]]:
    with closing(sqlite3.connect(environment.journal)) as database:
        query = "SELECT connection, name, event, reason FROM transitions"
        return Counter(database.execute(query).fetchall())


def shown_counts(environment: ChaosEnvironment) -> Counter[tuple[str, str, str, str]]:
    family = environment.exporter.metrics()[EVENTS.removesuffix("_total")]
    labels = ("connection", "domain", "event", "reason")
    shown = {tuple(sample.labels[label] for label in labels): int(sample.value) for sample in family.samples}
    return Counter({(a, b, c, d): count for (a, b, c, d), count in shown.items() if count})


def shown_states(environment: ChaosEnvironment) -> dict[tuple[str, str], str]:
    return {
        (sample.labels["connection"], sample.labels["domain"]): sample.labels["state"]
        for sample in environment.exporter.metrics()["libvirt_domain_state"].samples
        if sample.value
    }


def true_states(environment: ChaosEnvironment) -> dict[tuple[str, str], str]:
    states = {}
    for label, uri in (("qemu", environment.daemon.uri), ("test", environment.daemon.test_uri)):
        with closing(libvirt.open(uri)) as connection:
            for domain in connection.listAllDomains():
                states[label, domain.name()] = STATES[domain.state()[0]]
    return states


def states_agree(environment: ChaosEnvironment) -> bool:
    """Return whether the exported states are those of libvirt; a name without a domain must not be
    running.
    """
    shown, true = shown_states(environment), true_states(environment)
    gone = {shown[name] for name in shown.keys() - true.keys()}
    return all(shown.get(name) == state for name, state in true.items()) and not gone & {"running", "paused"}


def wait_settled(environment: ChaosEnvironment) -> None:
    exporter = environment.exporter
    for label in environment.recorders:
        wait_observed(environment, label)
    exporter.wait_until(lambda: states_agree(environment), TIMEOUT, "the states to be libvirt's")
    # Two further listings must not change anything.
    threading.Event().wait(TWO_LISTINGS)
    assert states_agree(environment)


def wait_observed(environment: ChaosEnvironment, label: str) -> None:
    exporter = environment.exporter
    exporter.wait_until(lambda: exporter.value("libvirt_connection_up", connection=label), TIMEOUT, label)
    marker = environment.recorders[label].settle()
    exporter.wait_until(lambda: exporter.lifecycle_counts(marker)["undefined", "removed"], TIMEOUT, marker)


def events_of(recorder: EventRecorder, name: str) -> list[Event]:
    """Return the events of a domain, under all of its names."""
    events = [event for one in names_of(name) for event in recorder.events(one)]
    return sorted(events, key=lambda event: event.time)


def compare_with_journal(
    environment: ChaosEnvironment, injector: FaultInjector, offset: float
) -> dict[str, Findings]:
    rows = journal_rows(environment, injector)
    found = {}
    for label, names in (("qemu", GUESTS), ("test", DOMAINS)):
        recorder, findings = environment.recorders[label], Findings()
        intervals = recorded(recorder, offset)
        coverage = Coverage(injector.observed(label) & intervals, intervals)
        for name in names:
            events = [
                Fact(event.time + offset, *event.pair)
                for event in events_of(recorder, name)
                if event.pair is not None
            ]
            own_rows = rows[label, str(uuid_of(name))]
            compare(name, events, own_rows, coverage, findings)
            findings.lost += unnoticed_reboots(name, own_rows, injector.reboots)
        observable = coverage.observable
        print(
            f"{label}: observable for {observable.seconds():.0f} s in {len(observable)} intervals; {findings}"
        )
        found[label] = findings
    return found


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("kinds", [EXPORTER_ONLY, EVERYTHING], ids=["exporter", "everything"])
def test_no_event_is_lost_or_counted_twice(
    kinds: dict[str, int], environment: ChaosEnvironment, guests: Guests
) -> None:
    print(f"\nseed {SEED}, {SECONDS:g} s")
    offset = time.time() - time.monotonic()
    injector = FaultInjector(environment, random.Random(SEED))  # noqa: S311 - no secret
    with CounterMonitor(environment.exporter) as onlooker:
        with ExitStack() as stack:
            running = [stack.enter_context(generator) for generator in load_generators(environment, guests)]
            injector.run(kinds, SECONDS)
        wait_settled(environment)
    for generator in running:
        print(f"{generator.kind}: succeeded {dict(generator.succeeded)}, failed {dict(generator.failed)}")
    print(f"faults: {dict(injector.done)}; {onlooker.scrapes} scrapes")
    findings = compare_with_journal(environment, injector, offset)
    for label, found in findings.items():
        for what in ("lost", "duplicated", "broken", "sent_by_libvirt"):
            print(*(f"{label} {what}: {line}" for line in getattr(found, what)[:20]), sep="\n")
        print(*found.timelines[:MAX_TIMELINE_LINES], sep="\n")
    assert shown_counts(environment) == journal_counts(environment)
    assert onlooker.decreases == []
    assert environment.exporter.figure(ERRORS) == 0
    assert not any(found.faults() for found in findings.values())
