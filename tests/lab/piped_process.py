"""End of a helper process that is controlled through its standard input."""

import subprocess
import threading
from contextlib import suppress

END_OF_INPUT = 3.0
"""Seconds that the process has to end after the end of its input. A process that has a copy of the pipe keeps
the input open."""


def end_piped_process(process: subprocess.Popen[bytes], reader: threading.Thread, timeout: float) -> None:
    """End the process by end of input, SIGTERM or SIGKILL, and join the thread that reads its output.

    ``timeout``: seconds to end after SIGTERM. Raises subprocess.TimeoutExpired if it had to be killed.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_OF_INPUT)
    process.terminate()
    try:
        process.wait(timeout)
    finally:
        process.kill()
        process.wait()
        reader.join(timeout)
        process.stdout.close()
