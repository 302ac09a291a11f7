"""Process that runs commands on a journal: one command per line on stdin, one JSON object per line on stdout.

Run as a script with the path of the journal. Used for journals on a disk that only this process can access.
"""

import json
import logging
import os
import sys
from pathlib import Path

from tests.journal.values import messages
from tests.journal.writer import Writer


def run_command(writer: Writer, command: str) -> dict[str, object]:
    match command.split():
        case ["append", count]:
            writer.append(int(count))
        case ["recover"]:
            writer.recover()
        case ["restart"]:
            writer.restart()
        case ["is_restored"]:
            return {"is_restored": writer.restores_everything()}
        case ["messages"]:
            return {"messages": messages(writer.path)}
    return {
        "errors": writer.journal.errors,
        "is_open": writer.journal.is_open(),
        "counted": sum(count for count, _ in writer.restored.counts.values()),
    }


def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    writer = Writer(Path(sys.argv[1]))
    for line in sys.stdin:
        os.write(1, json.dumps(run_command(writer, line)).encode() + b"\n")
    writer.journal.close()


if __name__ == "__main__":
    main()
