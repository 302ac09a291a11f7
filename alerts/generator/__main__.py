"""The rules on standard output, or with ``--write`` where they are shipped.

python -m alerts.generator [THRESHOLDS.toml]
python -m alerts.generator --write
"""

import sys
from pathlib import Path

from alerts.generator.rules import groups
from alerts.generator.tables import filled
from alerts.generator.thresholds import load
from alerts.generator.writing import document

HERE = Path(__file__).parent.parent
RULES = HERE / "libvirt-lifecycle.rules.yaml"
README = HERE / "README.md"


def main(arguments: list[str]) -> int:
    """Return the exit code: 2 if the thresholds cannot be read."""
    if len(arguments) > 1:
        sys.stderr.write(f"usage:\n{__doc__}")
        return 2
    if arguments == ["--write"]:
        write()
        return 0
    try:
        tables = load(Path(arguments[0]) if arguments else None)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(document(groups(tables)))
    return 0


def write() -> None:
    """Write what is shipped: the rules, and the tables of README.md."""
    tables = load()
    RULES.write_text(document(groups(tables)))
    README.write_text(filled(README.read_text(), tables))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
