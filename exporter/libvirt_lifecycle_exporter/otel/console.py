"""Spans and log records on standard output, one JSON object a line: a first look without a receiver."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from libvirt_lifecycle_exporter.journal.export_items import LOGS, ExportItem
from libvirt_lifecycle_exporter.otel.encoding import Encoder
from libvirt_lifecycle_exporter.otel.responses import ACCEPTED, Answer, Verdict


def _is_unicode(encoding: str | None) -> bool:
    return (encoding or "").lower().startswith("utf")


class Console:
    """Takes parcels to standard output."""

    def __init__(self, signal: str, rendering: Encoder) -> None:
        self._signal = signal
        self._rendering = rendering

    def send(self, parcels: Sequence[ExportItem]) -> Answer:
        items: Sequence[Any]
        try:
            render = self._rendering.logs if self._signal == LOGS else self._rendering.spans
            items = render(parcels)
            lines = [
                json.dumps(json.loads(item.to_json()), ensure_ascii=not _is_unicode(sys.stdout.encoding))
                for item in items
            ]
        except ValueError as error:
            return Answer(Verdict.UNENCODABLE, str(error))
        try:
            sys.stdout.write("".join(f"{line}\n" for line in lines))
            sys.stdout.flush()
        except OSError as error:
            return Answer(Verdict.LATER, str(error))
        return ACCEPTED

    def abort(self) -> None:
        """Nothing is ever under way for long."""

    def close(self) -> None:
        """Standard output is not ours."""
