"""Who asks is never held up, and no more hangs than may: with calls that hang as long as the test wants."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import libvirt
import pytest

from libvirt_lifecycle_exporter.hypervisor.call_pool import CallPool
from tests.lab.waiting import until

LIMIT = 3
PATIENCE = 0.1
SOON = 10.0


class Line:
    """A made-up connection."""

    def __init__(self, house: "House") -> None:
        self.house = house
        self.alive = True

    def setKeepAlive(self, *_arguments: int) -> None:  # noqa: N802 - libvirt's name
        raise libvirt.libvirtError("no keepalive here")

    def isAlive(self) -> bool:  # noqa: N802 - libvirt's name
        return self.alive

    def close(self) -> int:
        with self.house.lock:
            self.house.lines.remove(self)
        return 0


class House:
    """A made-up libvirt: some of its domains hang until they are let go."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lines: list[Line] = []
        self.most = 0
        self.thaw = threading.Event()
        self.down = False

    def open(self) -> Line:
        if self.down:
            raise libvirt.libvirtError("nobody is there")
        line = Line(self)
        with self.lock:
            self.lines.append(line)
            self.most = max(self.most, len(self.lines))
        return line

    def well(self, _line: Any) -> str:
        return "well"

    def hangs(self, _line: Any) -> str:
        self.thaw.wait()
        return "late"

    def cut(self, line: Any) -> str:
        line.alive = False
        raise libvirt.libvirtError("the line was cut")


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.thaw.set()


@pytest.fixture
def crew(house: House) -> Iterator[CallPool]:
    crew = CallPool("test", house.open, connections=LIMIT)
    yield crew
    house.thaw.set()
    crew.stop()


def ask(
    crew: CallPool, questions: Mapping[str, Callable[[Any], str]], go_on: Callable[[], bool] = lambda: True
) -> dict[str, Any]:
    return dict(crew.ask(questions, wide=2, patience=PATIENCE, go_on=go_on))


def test_all_are_asked_over_few_connections(crew: CallPool, house: House) -> None:
    assert ask(crew, {str(n): house.well for n in range(100)}) == {str(n): "well" for n in range(100)}
    assert house.most <= 2


def test_one_that_hangs_is_left_behind_and_the_others_are_asked(crew: CallPool, house: House) -> None:
    questions = {"stuck": house.hangs} | {str(n): house.well for n in range(10)}
    assert ask(crew, questions) == {str(n): "well" for n in range(10)}
    assert crew.stuck() == {"stuck"}
    assert ask(crew, {"stuck": house.well}) == {}, "it is not asked twice at a time"
    house.thaw.set()
    until(lambda: not crew.stuck(), SOON, "it to come back")
    assert ask(crew, {"stuck": house.well}) == {"stuck": "well"}


def test_no_more_hang_than_may(crew: CallPool, house: House) -> None:
    assert ask(crew, {str(n): house.hangs for n in range(10)}) == {}
    assert len(crew.stuck()) == LIMIT
    assert house.most == LIMIT
    assert ask(crew, {"another": house.well}) == {}
    house.thaw.set()
    until(lambda: not crew.stuck(), SOON, "all to come back")
    assert ask(crew, {"another": house.well}) == {"another": "well"}
    until(lambda: len(house.lines) <= 2, SOON, "the connections to be closed")


def test_nobody_takes_the_place_of_one_that_hangs_if_that_makes_no_sense(
    crew: CallPool, house: House
) -> None:
    questions = {str(n): house.hangs for n in range(10)}
    assert ask(crew, questions, go_on=lambda: False) == {}
    assert len(crew.stuck()) <= 2


def test_an_error_is_an_answer(crew: CallPool, house: House) -> None:
    def refuse(_line: Any) -> str:
        raise libvirt.libvirtError("no such domain")

    found = ask(crew, {"gone": refuse, "web": house.well})
    assert isinstance(found["gone"], libvirt.libvirtError)
    assert found["web"] == "well"


def test_something_unforeseen_costs_only_itself(crew: CallPool, house: House) -> None:
    def odd(_line: Any) -> str:
        raise KeyError("odd")

    assert ask(crew, {"odd": odd, "web": house.well}) == {"web": "well"}


def test_a_lost_connection_is_replaced(crew: CallPool, house: House) -> None:
    ask(crew, {"cut": house.cut})
    assert ask(crew, {"web": house.well}) == {"web": "well"}
    for line in house.lines:
        line.alive = False
    assert ask(crew, {"web": house.well}) == {"web": "well"}, "no question is lost on it"


def test_while_nobody_can_be_reached_nobody_is_tried_a_thousand_times(crew: CallPool, house: House) -> None:
    house.down = True
    assert len(ask(crew, {str(n): house.well for n in range(1000)})) <= 2
    house.down = False
    assert ask(crew, {"web": house.well}) == {"web": "well"}


def test_stopping_waits_for_nobody(crew: CallPool, house: House) -> None:
    ask(crew, {"stuck": house.hangs, "web": house.well})
    crew.stop()
    assert ask(crew, {"web": house.well}) == {}
    house.thaw.set()
    until(lambda: not house.lines, SOON, "all connections to be closed")
