"""Which domains are of interest, by name; expressions match the whole name, as in Prometheus."""

import re
from collections.abc import Callable  # noqa: TC003 - a small price for one way of importing
from functools import lru_cache
from typing import NamedTuple

_NAMES_REMEMBERED = 65_536


class Scope(NamedTuple):
    """What a filter lets through, in words that can be written down."""

    include: str
    exclude: str


class DomainFilter:
    """Decides by two regular expressions."""

    def __init__(self, include: str = ".*", exclude: str = "") -> None:
        """Raises re.error."""
        self.scope = Scope(include, exclude)
        wanted, unwanted = re.compile(include, re.DOTALL), re.compile(exclude, re.DOTALL)

        @lru_cache(maxsize=_NAMES_REMEMBERED)
        def passes(name: str) -> bool:
            return wanted.fullmatch(name) is not None and unwanted.fullmatch(name) is None

        self.passes: Callable[[str], bool] = passes
