"""Factories of observations, transitions, facts, listings and lookups with defaults."""

import itertools

from libvirt_lifecycle_exporter.model.messages import DomainDetails, DomainFacts, Listing, Lookup, Observation
from libvirt_lifecycle_exporter.model.transitions import Transition
from libvirt_lifecycle_exporter.model.vocabulary import EVENTS, REASONS

_orders = itertools.count(1)
HERE = "qemu:///system"


def order() -> int:
    return next(_orders)


def observation(
    kind: str = "lifecycle",
    event: int = 0,
    detail: int = 0,
    *,
    name: str = "web",
    uuid: str | None = None,
    at: float = 1000.0,
    word: str = "",
    connection: str = HERE,
) -> Observation:
    return Observation(
        order(), at, connection, kind, uuid or f"uuid-{name}", name, 1, event, detail, "", word
    )


def lifecycle(
    event: str, reason: str, *, name: str = "web", uuid: str | None = None, at: float = 1000.0
) -> Observation:
    number = next(number for number, word in EVENTS.items() if word == event)
    return observation("lifecycle", number, REASONS[event].index(reason), name=name, uuid=uuid, at=at)


def transition(
    event: str,
    reason: str,
    *,
    name: str = "web",
    uuid: str | None = None,
    at: float = 1000.0,
    connection: str = HERE,
) -> Transition:
    return Transition(at, connection, uuid or f"uuid-{name}", name, 1, event, reason, reason, 0, "callback")


def facts(
    name: str = "web",
    state: str = "running",
    reason: str = "booted",
    *,
    uuid: str | None = None,
    persistent: bool = True,
) -> DomainFacts:
    return DomainFacts(uuid or f"uuid-{name}", name, 1, state, reason, persistent, autostart=False)


def listing(
    *domains: DomainFacts, at: float = 1000.0, began: int | None = None, connection: str = HERE
) -> Listing:
    return Listing(order() if began is None else began, at, connection, domains)


def lookup(
    name: str,
    found: DomainFacts | None,
    *,
    details: DomainDetails | None = None,
    at: float = 1000.0,
    began: int | None = None,
) -> Lookup:
    return Lookup(order() if began is None else began, at, HERE, f"uuid-{name}", found, details)
