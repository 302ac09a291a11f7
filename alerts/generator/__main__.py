"""``python -m alerts.generator [THRESHOLDS.toml]``: the rules, on standard output."""

import sys
from pathlib import Path

from alerts.generator.rules import groups
from alerts.generator.thresholds import load
from alerts.generator.writing import document


def main(arguments: list[str]) -> int:
    """Return the exit code: 2 if the thresholds cannot be read."""
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m alerts.generator [THRESHOLDS.toml]\n")
        return 2
    try:
        tables = load(Path(arguments[0]) if arguments else None)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(document(groups(tables)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
