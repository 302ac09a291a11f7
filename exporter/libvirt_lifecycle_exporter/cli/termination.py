"""Ends of the output of ``events`` and ``incidents``: a signal, or a reader that closes the pipe.

Neither is an error. Both are noticed immediately, also while no entry is written.
"""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TerminatedError(BaseException):
    """SIGINT or SIGTERM was received. Not an Exception, so that it is not handled as a failure."""


class PollInterval:
    """Waits between two queries; raises BrokenPipeError when the reader of standard output is gone."""

    def __init__(self, seconds: float) -> None:
        self._milliseconds = seconds * 1000
        self._poller = select.poll()
        # Without requested events, poll() still reports POLLERR, which a closed pipe sets.
        self._poller.register(sys.stdout.fileno(), 0)

    def __call__(self) -> None:
        """Wait."""
        if self._poller.poll(self._milliseconds):
            raise BrokenPipeError


@contextmanager
def until_terminated() -> Iterator[None]:
    """Leave the block on SIGINT and SIGTERM."""

    def terminate(_number: int, _frame: FrameType | None) -> None:
        # A second signal ends the process, in case that the first one is blocked by a full pipe.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        raise TerminatedError

    for number in _SIGNALS:
        signal.signal(number, terminate)
    with suppress(TerminatedError):
        yield


@contextmanager
def flushed_output() -> Iterator[None]:
    """Flush standard output at the end of the block. A closed pipe is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    except OSError:
        _discard_output()
        raise


def _discard_output() -> None:
    """Redirect standard output to /dev/null, so that flushing it at exit does not fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
