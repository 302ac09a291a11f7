"""Wall clock of a process that a test steps forwards and backwards, as NTP or an operator does on a real
host.
"""

import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock_shift.c")


class SteppedClock:
    """Shifts the wall clock of every process that runs with `environment`; monotonic clocks are unchanged."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._library = folder / "clock_shift.so"
        self._file = folder / "clock_shift"
        self._file.write_bytes(bytes(8))
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", SOURCE, "-o", self._library], check=True)

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "CLOCK_SHIFT_FILE": str(self._file)}

    def step_to(self, seconds: float) -> None:
        """Set the offset from the true time in seconds; negative if the clock is behind."""
        with self._file.open("r+b", buffering=0) as file:
            file.write(struct.pack("=q", int(seconds * 1e9)))
