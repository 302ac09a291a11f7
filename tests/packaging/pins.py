"""Versions in the requirements and constraints files."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ \n]+)", (ROOT / file).read_text(), re.MULTILINE)
    return {normalize(name): version for name, version in found}
