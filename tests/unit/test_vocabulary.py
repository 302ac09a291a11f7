"""The tables match libvirt: the constants of the module and the API description, in both directions."""

import subprocess
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libvirt_lifecycle_exporter.model import states, vocabulary
from libvirt_lifecycle_exporter.model.vocabulary import (
    ALERT_PAIRS,
    ALL_PAIRS,
    EVENTS,
    REASONS,
    lifecycle_pair,
    numbered,
    raw_detail,
)
from tests.lab.newer_libvirt import newer_api_description, newer_libvirt_or_skip

# libvirt's enum, the constants' prefix, the table
ENUMS: list[tuple[str, str, dict[str, int]]] = [
    ("virDomainEventType", "VIR_DOMAIN_EVENT_", {name: number for number, name in EVENTS.items()}),
    *(
        (
            f"virDomainEvent{enum}DetailType",
            f"VIR_DOMAIN_EVENT_{event.upper()}_",
            {reason: number for number, reason in enumerate(REASONS[event])},
        )
        for event, enum in {
            "defined": "Defined",
            "undefined": "Undefined",
            "started": "Started",
            "suspended": "Suspended",
            "resumed": "Resumed",
            "stopped": "Stopped",
            "shutdown": "Shutdown",
            "pmsuspended": "PMSuspended",
            "crashed": "Crashed",
        }.items()
    ),
    (
        "virDomainEventWatchdogAction",
        "VIR_DOMAIN_EVENT_WATCHDOG_",
        {name: number for number, name in enumerate(vocabulary.WATCHDOG_ACTIONS)},
    ),
    (
        "virDomainEventIOErrorAction",
        "VIR_DOMAIN_EVENT_IO_ERROR_",
        {name: number for number, name in enumerate(vocabulary.IO_ERROR_ACTIONS)},
    ),
    ("virDomainState", "VIR_DOMAIN_", {name: number for number, name in enumerate(states.STATES)}),
    *(
        (
            f"virDomain{enum}Reason",
            f"VIR_DOMAIN_{state.upper()}_",
            {reason: number for number, reason in enumerate(states.STATE_REASONS[state])},
        )
        for state, enum in {
            "nostate": "Nostate",
            "running": "Running",
            "blocked": "Blocked",
            "paused": "Paused",
            "shutdown": "Shutdown",
            "shutoff": "Shutoff",
            "crashed": "Crashed",
            "pmsuspended": "PMSuspended",
        }.items()
    ),
]
IDS = [enum for enum, _, _ in ENUMS]

SPELT_APART = {"injectnmi": "inject_nmi"}
"""Words that libvirt writes without the underscore of the vocabulary."""


@pytest.fixture(params=["installed", "newer"])
def api(request: pytest.FixtureRequest) -> Path:
    """The API description of the installed libvirt, and of a newer one."""
    if request.param == "newer":
        newer_libvirt_or_skip()
        return newer_api_description()
    found = subprocess.run(
        ["pkg-config", "--variable", "libvirt_api", "libvirt"], check=True, capture_output=True, text=True
    )
    return Path(found.stdout.strip())


@cache
def constants(api: Path) -> list[dict[str, str]]:
    return [dict(entry.attrib) for entry in ET.parse(api).iter("enum")]  # noqa: S314 - installed with libvirt


def described(api: Path, enum: str, prefix: str) -> dict[str, int]:
    """Return the documented words and numbers of the enum."""
    found = {}
    for entry in constants(api):
        if entry.get("type") == enum and not entry["name"].endswith("_LAST"):
            word = entry["name"].removeprefix(prefix).lower()
            found[SPELT_APART.get(word, word)] = int(entry["value"])
    return found


def version_of(api: Path) -> int:
    """Return the newest version that the description names, in the format of virGetVersion."""
    named = [entry["version"].split(".") for entry in constants(api) if "version" in entry]
    return max(int(major) * 1_000_000 + int(minor) * 1000 + int(patch) for major, minor, patch in named)


def since(enum: str, prefix: str, word: str) -> int:
    """Return the libvirt version that introduced the word; 0 if every supported version has it."""
    subject = prefix.removeprefix("VIR_DOMAIN_EVENT_" if "Event" in enum else "VIR_DOMAIN_").rstrip("_")
    table = vocabulary.SINCE if "Event" in enum else states.SINCE
    return table.get((subject.lower(), word), 0)


@pytest.mark.parametrize(("enum", "prefix", "table"), ENUMS, ids=IDS)
def test_every_documented_value_is_in_the_table(
    api: Path, enum: str, prefix: str, table: dict[str, int]
) -> None:
    known = described(api, enum, prefix)
    assert known
    assert known.items() <= table.items()


@pytest.mark.parametrize(("enum", "prefix", "table"), ENUMS, ids=IDS)
def test_every_value_of_the_table_is_documented(
    api: Path, enum: str, prefix: str, table: dict[str, int]
) -> None:
    version = version_of(api)
    known = described(api, enum, prefix)
    expected = {word: number for word, number in table.items() if since(enum, prefix, word) <= version}
    assert expected.items() <= known.items()


@pytest.mark.parametrize(("enum", "prefix", "table"), ENUMS, ids=IDS)
def test_numbers_match_the_libvirt_module(enum: str, prefix: str, table: dict[str, int]) -> None:
    spelling = {apart: together for together, apart in SPELT_APART.items()}
    for word, number in table.items():
        if since(enum, prefix, word) <= libvirt.getVersion():
            assert getattr(libvirt, prefix + spelling.get(word, word).upper()) == number


OF_EVENTS = [row for row in ENUMS if row[0].startswith("virDomainEvent") and row[0] != "virDomainEventType"]
"""Enums with a prefix of their own: every other constant with this prefix is missing in the table."""


@pytest.mark.parametrize(("enum", "prefix", "table"), OF_EVENTS, ids=[enum for enum, _, _ in OF_EVENTS])
def test_every_value_of_the_module_is_in_the_table(enum: str, prefix: str, table: dict[str, int]) -> None:
    found = {
        name.removeprefix(prefix).lower(): number
        for name, number in vars(libvirt).items()
        if name.startswith(prefix) and not name.endswith("_LAST")
    }
    assert found, enum
    assert {SPELT_APART.get(word, word): number for word, number in found.items()}.items() <= table.items()


def test_every_observed_kind_is_an_event_id_of_libvirt() -> None:
    for kind in vocabulary.OBSERVED_KINDS:
        assert hasattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{kind.upper()}")


def test_every_pair_is_unique_and_has_its_number() -> None:
    assert len(set(ALL_PAIRS)) == len(ALL_PAIRS)
    for number, event in EVENTS.items():
        for detail, reason in enumerate(REASONS[event]):
            assert lifecycle_pair(number, detail) == (event, reason)


def test_alert_pairs_are_known_pairs() -> None:
    # stopped/hung is a diagnosis: libvirt has no word for it.
    assert set(ALERT_PAIRS) - set(ALL_PAIRS) == {("stopped", "hung")}


@given(st.integers(), st.integers())
def test_unknown_numbers_are_named(event: int, detail: int) -> None:
    named = lifecycle_pair(event, detail)
    assert named in ALL_PAIRS or unknown(detail) == named[1]
    assert named[0] in REASONS or unknown(event) == named[0]
    assert numbered((), detail) == unknown(detail)
    assert states.state_pair(event, detail)[0] in (*states.STATES, unknown(event))


def unknown(number: int) -> str:
    return f"unknown_{number}" if 0 <= number < 100 else "unknown_other"


def test_unknown_numbers_give_a_bounded_number_of_pairs() -> None:
    pairs = {lifecycle_pair(event, detail) for event in range(-500, 500) for detail in range(-500, 500)}
    assert len({event for event, _ in pairs}) <= 101
    assert (
        len({reason for _, reason in pairs} - {one for reasons in REASONS.values() for one in reasons}) <= 101
    )


@given(st.text())
def test_free_form_word_is_no_label_value(word: str) -> None:
    known = ("enospc", "other", "message")
    assert raw_detail("io_error", word) == (word if word in known else "other")


def test_every_pair_has_its_state_or_changes_none() -> None:
    stateless: set[object] = {"defined", "undefined", "rebooted", "watchdog", "io_error", "control_error"}
    stateless.add(("crashed", "crashloaded"))
    for event, reason in ALL_PAIRS:
        after = states.state_after(event, reason)
        if event in stateless or (event, reason) in stateless:
            assert after is None
        else:
            assert after is not None
            assert after[1] in states.STATE_REASONS[after[0]]


def test_event_with_unknown_reason_sets_the_state() -> None:
    assert states.state_after("stopped", "unknown_99") == ("shutoff", "unknown")
    assert states.state_after("crashed", "unknown_99") is None
    assert states.state_after("unknown_9", "unknown_1") is None


def test_reboot_has_a_reason_that_is_true_for_host_and_guest() -> None:
    """libvirt's REBOOT event does not distinguish a guest's reboot from `virsh reset`."""
    assert [pair for pair in ALL_PAIRS if pair[0] == "rebooted"] == [("rebooted", "reset")]
