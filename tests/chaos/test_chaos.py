"""A storm on real parts; afterwards the accounts: nothing lost, nothing twice, and the states are true."""

import os
import random
import sqlite3
import threading
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, closing

import libvirt
import pytest

from tests.chaos.conftest import Field
from tests.chaos.ledger import Fact, Findings, Views, compare, unnoticed_reboots
from tests.chaos.mischief import Mischief, witnessed
from tests.chaos.storm import DriverStorm, GuestStorm, Storm, names_of, uuid_of
from tests.journal.exporter_with_journal import ERRORS
from tests.journal.exporter_with_journal import CounterMonitor as Onlooker
from tests.lab.event_recorder import EventRecorder
from tests.lab.guests import Guests
from tests.lab.page import EVENTS
from tests.lab.pairs import Event

SEED = int(os.environ.get("LAB_SEED", "1"))
SECONDS = float(os.environ.get("LAB_CHAOS_SECONDS", "30"))
GUESTS = [f"guest-{number:02}" for number in range(20)]
DOMAINS = [f"vm-{number:03}" for number in range(200)]
PATIENCE = 60.0
LISTINGS = 12.0
"""Seconds in which everything is listed twice again."""
STORIES = 200
"""Lines."""
STATES = {
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTOFF: "shutoff",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutdown",
}
EXPORTER_ONLY = {"exporter_killed": 3, "exporter_killed_as_it_starts": 1}
EVERYTHING = EXPORTER_ONLY | {
    "daemon_killed": 3,
    "daemon_restarted": 1,
    "both_killed": 1,
    "frozen": 2,
    "frozen_for_long": 1,
    "host_rebooted": 1,
    "clock_stepped": 2,
}


def storms(field: Field, guests: Guests) -> list[Storm]:
    return [
        GuestStorm(field.daemon, GUESTS[:10], SEED, guests),
        GuestStorm(field.daemon, GUESTS[10:], SEED, guests),
        DriverStorm(field.daemon, DOMAINS, SEED),
    ]


def journal_rows(field: Field, mischief: Mischief) -> dict[tuple[str, str], list[Fact]]:
    rows: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    with closing(sqlite3.connect(field.journal)) as database:
        query = "SELECT connection, uuid, at, event, detail, source FROM transitions ORDER BY seq"
        for connection, uuid, at, *what in database.execute(query):
            rows[connection, uuid].append(Fact(mischief.true_time(at), *what))
    return rows


def journal_counts(field: Field) -> Counter[tuple[str, str, str, str]]:
    with closing(sqlite3.connect(field.journal)) as database:
        query = "SELECT connection, name, event, reason FROM transitions"
        return Counter(database.execute(query).fetchall())


def shown_counts(field: Field) -> Counter[tuple[str, str, str, str]]:
    family = field.exporter.metrics()[EVENTS.removesuffix("_total")]
    labels = ("connection", "domain", "event", "reason")
    shown = {tuple(sample.labels[label] for label in labels): int(sample.value) for sample in family.samples}
    return Counter({(a, b, c, d): count for (a, b, c, d), count in shown.items() if count})


def shown_states(field: Field) -> dict[tuple[str, str], str]:
    return {
        (sample.labels["connection"], sample.labels["domain"]): sample.labels["state"]
        for sample in field.exporter.metrics()["libvirt_domain_state"].samples
        if sample.value
    }


def true_states(field: Field) -> dict[tuple[str, str], str]:
    states = {}
    for label, uri in (("qemu", field.daemon.uri), ("test", field.daemon.test_uri)):
        with closing(libvirt.open(uri)) as connection:
            for domain in connection.listAllDomains():
                states[label, domain.name()] = STATES[domain.state()[0]]
    return states


def states_agree(field: Field) -> bool:
    """What is shown is what libvirt says; a name that no domain has (any more) does not run."""
    shown, true = shown_states(field), true_states(field)
    gone = {shown[name] for name in shown.keys() - true.keys()}
    return all(shown.get(name) == state for name, state in true.items()) and not gone & {"running", "paused"}


def come_to_rest(field: Field) -> None:
    exporter = field.exporter
    for label in field.recorders:
        hears(field, label)
    exporter.wait_until(lambda: states_agree(field), PATIENCE, "the states to be libvirt's")
    # Only two further listings show that nothing more would be made of it.
    threading.Event().wait(LISTINGS)
    assert states_agree(field)


def hears(field: Field, label: str) -> None:
    exporter = field.exporter
    exporter.wait_until(lambda: exporter.value("libvirt_connection_up", connection=label), PATIENCE, label)
    marker = field.recorders[label].settle()
    exporter.wait_until(lambda: exporter.lifecycle_counts(marker)["undefined", "removed"], PATIENCE, marker)


def heard(recorder: EventRecorder, name: str) -> list[Event]:
    """Return the events of a domain, under all of its names."""
    events = [event for one in names_of(name) for event in recorder.events(one)]
    return sorted(events, key=lambda event: event.time)


def account(field: Field, mischief: Mischief, offset: float) -> dict[str, Findings]:
    rows = journal_rows(field, mischief)
    found = {}
    for label, names in (("qemu", GUESTS), ("test", DOMAINS)):
        recorder, findings = field.recorders[label], Findings()
        seen = witnessed(recorder, offset)
        views = Views(mischief.observed(label) & seen, seen)
        for name in names:
            events = [
                Fact(event.time + offset, *event.pair)
                for event in heard(recorder, name)
                if event.pair is not None
            ]
            mine = rows[label, str(uuid_of(name))]
            compare(name, events, mine, views, findings)
            findings.lost += unnoticed_reboots(name, mine, mischief.reboots)
        watched = views.observable
        print(f"{label}: observable for {watched.seconds():.0f} s in {len(watched)} intervals; {findings}")
        found[label] = findings
    return found


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("kinds", [EXPORTER_ONLY, EVERYTHING], ids=["exporter", "everything"])
def test_no_event_is_lost_or_counted_twice(kinds: dict[str, int], field: Field, guests: Guests) -> None:
    print(f"\nseed {SEED}, {SECONDS:g} s")
    offset = time.time() - time.monotonic()
    mischief = Mischief(field, random.Random(SEED))  # noqa: S311 - no secret
    with Onlooker(field.exporter) as onlooker:
        with ExitStack() as weather:
            raging = [weather.enter_context(storm) for storm in storms(field, guests)]
            mischief.rage(kinds, SECONDS)
        come_to_rest(field)
    for storm in raging:
        print(f"{storm.kind}: done {dict(storm.done)}, failed {dict(storm.failed)}")
    print(f"mischief: {dict(mischief.done)}; {onlooker.scrapes} scrapes")
    findings = account(field, mischief, offset)
    for label, found in findings.items():
        for what in ("lost", "doubled", "broken", "of_libvirt"):
            print(*(f"{label} {what}: {line}" for line in getattr(found, what)[:20]), sep="\n")
        print(*found.stories[:STORIES], sep="\n")
    assert shown_counts(field) == journal_counts(field)
    assert onlooker.decreases == []
    assert field.exporter.figure(ERRORS) == 0
    assert not any(found.faults() for found in findings.values())
