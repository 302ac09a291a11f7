"""Limits of glibc's heap: memory that is no longer used returns to the kernel.

Without them, the text of a large scrape stays in the process (10 MiB of 80 MiB with 1,000 domains, measured),
and each thread has a heap of its own. With another C library, nothing happens.

https://man7.org/linux/man-pages/man3/mallopt.3.html
"""

from collections.abc import Callable
from typing import Any, Final

_LIMITS: Final = (
    (-8, 2),  # M_ARENA_MAX: heaps
    (-3, 128 * 1024),  # M_MMAP_THRESHOLD: larger blocks are not on a heap; setting it keeps it constant
    (-1, 128 * 1024),  # M_TRIM_THRESHOLD: free bytes at the end of a heap that are kept
)
"""Number of a parameter, value."""


def limit() -> None:
    """Set the limits. Call it before threads start."""
    set_parameter = _function("mallopt")
    if set_parameter is not None:
        for parameter, value in _LIMITS:
            set_parameter(parameter, value)


def release_unused() -> bool:
    """Return unused memory to the kernel; return whether there was any."""
    trim = _function("malloc_trim")
    return trim is not None and bool(trim(0))


def _function(name: str) -> Callable[..., Any] | None:
    """Return a function of the C library; None if it has none of this name, or cannot be called."""
    try:
        # It creates a callback, for which some versions need memory that a hardened service must not have.
        import ctypes  # noqa: PLC0415

        library = ctypes.CDLL(None)
    except (ImportError, MemoryError, OSError):
        return None
    found: Callable[..., Any] | None = getattr(library, name, None)
    return found
