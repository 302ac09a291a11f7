"""HTTP client of an exporter, wherever the exporter runs."""

import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.client import HTTPException

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.lab.pairs import Pair
from tests.lab.waiting import until

EVENTS = "libvirt_domain_lifecycle_events_total"


class Page:
    """Client of the exporter on 127.0.0.1:`port`."""

    def __init__(self, port: int) -> None:
        self.port = port

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers (names in lower case) and body. Keywords are request headers, with _ for -.

        Raises OSError if there is no complete answer.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=named)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, {k.lower(): v for k, v in refused.headers.items()}, refused.read()
        except HTTPException as broken:
            raise ConnectionError(f"incomplete answer: {broken}") from broken

    def status(self, path: str) -> int:
        """Return the HTTP status; 0 if there is no answer."""
        try:
            return self.get(path)[0]
        except OSError:
            return 0

    def text(self) -> str:
        return self.get("/metrics")[2].decode()

    def metrics(self) -> dict[str, Metric]:
        return {family.name: family for family in text_string_to_metric_families(self.text())}

    def value(self, name: str, **labels: str) -> float | None:
        """Return the value of the only sample that has these labels; None if there is none."""
        values = [
            sample.value
            for family in self.metrics().values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        if len(values) > 1:
            raise LookupError(f"{len(values)} samples of {name} have {labels}")
        return values[0] if values else None

    def lifecycle_counts(self, domain: str, connection: str | None = None) -> Counter[Pair]:
        """Return the counted pairs of this domain, without zeros."""
        counts: Counter[Pair] = Counter()
        family = self.metrics().get(EVENTS.removesuffix("_total"))
        for sample in family.samples if family else ():
            labels = sample.labels
            here = labels["domain"] == domain and connection in (None, labels["connection"])
            if here and sample.name == EVENTS and sample.value:
                counts[labels["event"], labels["reason"]] += int(sample.value)
        return counts

    def wait_until(
        self, condition: Callable[[], object], timeout: float = 30.0, what: str = "the exporter"
    ) -> None:
        until(condition, timeout, what)
