"""How an output ends: at its end, because its reader has had enough, or because somebody says so.

Law: the last two are no errors, and are noticed at once, also while nothing happens.
"""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class EndedError(BaseException):
    """Somebody said so; no Exception, so that nobody takes it for a failure."""


class Rest:
    """Waits between two looks; raises BrokenPipeError once nobody reads standard output any more."""

    def __init__(self, seconds: float) -> None:
        self._milliseconds = seconds * 1000
        self._poller = select.poll()
        # No event is asked for: the end of the reader is always told.
        self._poller.register(sys.stdout.fileno(), 0)

    def __call__(self) -> None:
        """Wait."""
        if self._poller.poll(self._milliseconds):
            raise BrokenPipeError


@contextmanager
def until_told() -> Iterator[None]:
    """Leave the block at SIGINT and SIGTERM."""

    def end(_number: int, _frame: FrameType | None) -> None:
        # The second one ends the process, should the first be stuck in a full pipe.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        raise EndedError

    for number in _SIGNALS:
        signal.signal(number, end)
    with suppress(EndedError):
        yield


@contextmanager
def written_out() -> Iterator[None]:
    """Flush standard output at the end of the block; a reader that has gone is a good end, too."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up()
    except OSError:
        _give_up()
        raise


def _give_up() -> None:
    """Let what could not be written go nowhere, so that it does not fail again when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
