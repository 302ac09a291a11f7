"""A fleet that is not there: the pages of many hosts, as the exporter writes them, from one small server.

    python -m tests.lab.fleet [--hosts 1000] [--domains 50] [--port 10199]

prints a Prometheus configuration, and serves. The exporter's own sink writes one page for each kind of host;
hosts of a kind differ by their names only. A page holds 50 hosts, and `honor_labels` keeps the `instance`
that stands in it. Every REFRESH seconds something happens.
"""

import argparse
import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from libvirt_lifecycle_exporter.engine.durations import Duration
from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.messages import DomainDetails
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition

JOB = "libvirt-lifecycle"
CONNECTION = "qemu:///system"
HOSTS_A_PAGE = 50
REFRESH = 15.0
NUMBER = "@host@"
"""Stands for a host's number in what its kind shows."""
LABELLED = re.compile(r"^(\w+)\{", re.MULTILINE)
COMMENT = re.compile(r"^#.*\n", re.MULTILINE)
PROBES = "libvirt_lifecycle_exporter_probe_duration_seconds"
OWN = """\
libvirt_lifecycle_exporter_build_info{{version="0.1.0",python_version="3.11.2",libvirt_version="9.0.0"}} 1
libvirt_lifecycle_exporter_event_loop_heartbeat_timestamp_seconds{{}} {now:.3f}
libvirt_lifecycle_exporter_events_dropped_total{{cause="queue_full"}} 0
libvirt_lifecycle_exporter_events_dropped_total{{cause="callback_error"}} 0
libvirt_lifecycle_exporter_journal_errors_total{{}} 0
libvirt_lifecycle_exporter_journal_events{{}} {turns}
libvirt_lifecycle_exporter_journal_bytes{{}} 1048576
libvirt_lifecycle_exporter_queue_depth{{}} 0
libvirt_lifecycle_exporter_series{{}} {series}
libvirt_lifecycle_exporter_series_limited_total{{}} 0
libvirt_lifecycle_exporter_events_received_total{{source="lifecycle"}} {turns}
libvirt_lifecycle_exporter_otlp_pending{{signal="traces"}} 0
libvirt_lifecycle_exporter_otlp_oldest_pending_timestamp_seconds{{signal="traces"}} 0
libvirt_lifecycle_exporter_otlp_exported_total{{signal="traces"}} {turns}
libvirt_lifecycle_exporter_otlp_dropped_total{{signal="traces",cause="rejected"}} 0
libvirt_lifecycle_exporter_sink_errors_total{{sink="otlp_traces"}} 0
{probes}_bucket{{connection="qemu:///system",signal="emulator",le="0.1"}} {turns}
{probes}_bucket{{connection="qemu:///system",signal="emulator",le="+Inf"}} {turns}
{probes}_count{{connection="qemu:///system",signal="emulator"}} {turns}
libvirt_lifecycle_exporter_scrape_duration_seconds_bucket{{le="0.05"}} {turns}
libvirt_lifecycle_exporter_scrape_duration_seconds_bucket{{le="+Inf"}} {turns}
libvirt_lifecycle_exporter_scrape_duration_seconds_count{{}} {turns}
process_start_time_seconds{{}} {started:.3f}
process_cpu_seconds_total{{}} {turns}
process_resident_memory_bytes{{}} 67108864
process_open_fds{{}} 40
process_max_fds{{}} 524288
"""


class Kind:
    """Hosts that fare alike. `domains` on each, of which the first few have the `troubles`, in turn."""

    def __init__(self, domains: int, troubles: Sequence[str] = (), *, up: bool = True) -> None:
        self.started = time.time()
        self._troubles = troubles
        self._turns = 0
        self._sink = MetricsStore((CONNECTION,), ("emulator", "watchdog"))
        self._sink.set_connection(CONNECTION, up=up)
        self._domains = [self._domain(number) for number in range(domains)]
        for domain in self._domains:
            self._sink.show(CONNECTION, domain.name, domain.values())
            self._sink.count(self._change(domain, "started", "booted", self.started - 86_400), domain.name)
            self._sink.count(self._change(domain, "resumed", "unpaused", self.started - 86_400), domain.name)
        for domain, trouble in zip(self._domains, troubles, strict=False):
            getattr(self, f"_{trouble}")(domain)

    def turn(self) -> str:
        """Let something happen; the page of all hosts of this kind, NUMBER for their number."""
        self._turns += 1
        now = time.time()
        busy = self._domains[-1 - self._turns % max(1, len(self._domains) // 2)]
        for pair in (("suspended", "paused"), ("resumed", "unpaused")):
            self._sink.count(self._change(busy, *pair, now), busy.name)
        if "crashing" in self._troubles and self._turns % 8 == 0:
            self._crashing(self._domains[self._troubles.index("crashing")])
        figures = {"now": now, "turns": self._turns, "started": self.started, "series": self._sink.series}
        own = OWN.format(**figures, probes=PROBES)
        text = COMMENT.sub("", self._sink.render(openmetrics=False)) + own
        return LABELLED.sub(rf'\1{{instance="host-{NUMBER}:10177",', text)

    def _domain(self, number: int) -> Domain:
        name = f"vm-{NUMBER}-{number:02}"
        details = DomainDetails("kvm", f"Machine {number}", None)
        return Domain(
            CONNECTION,
            f"00000000-0000-4000-8000-{NUMBER}{number:08}",
            name,
            "running",
            "booted",
            self.started - 86_400,
            persistent=True,
            autostart=True,
            details=details,
        )

    def _change(self, domain: Domain, event: str, reason: str, at: float) -> Transition:
        return Transition(
            at, CONNECTION, domain.uuid, domain.name, 1, event, reason, reason, 0, "callback", ""
        )

    def _happens(self, domain: Domain, event: str, reason: str, kind: str, at: float) -> Incident:
        self._sink.count(self._change(domain, event, reason, at), domain.name)
        opened = Incident(f"{kind}{at}", CONNECTION, domain.uuid, domain.name, kind, at, None, "")
        self._sink.open_incident(opened, domain.name)
        return opened

    def _crashing(self, domain: Domain) -> None:
        """Now, and it is started again at once; that took a while, says the histogram."""
        now = time.time()
        crash = self._happens(domain, "stopped", "crashed", "crashed", now)
        self._sink.count(self._change(domain, "started", "booted", now), domain.name)
        self._sink.close_incident(crash._replace(closed_at=now))
        self._sink.observe_duration(Duration(CONNECTION, "outage", "success", 20.0))

    def _down(self, domain: Domain) -> None:
        at = self.started - 600
        self._happens(domain, "stopped", "crashed", "crashed", at)
        domain.enter("shutoff", "crashed", at)
        self._sink.show(CONNECTION, domain.name, domain.values())

    def _hung(self, domain: Domain) -> None:
        self._happens(domain, "hung", "emulator", "hung", self.started)
        self._sink.show(CONNECTION, domain.name, domain.values(hung=("emulator",)))

    def _stuck(self, domain: Domain) -> None:
        self._happens(domain, "suspended", "ioerror", "io_error", self.started)
        domain.enter("paused", "ioerror", self.started)
        self._sink.show(CONNECTION, domain.name, domain.values())


class Fleet:
    """Of 200 hosts, one each: crashes again and again, has a burst, a hang, a full disk, no libvirt."""

    def __init__(self, hosts: int, domains: int) -> None:
        self.hosts = hosts
        self._lock = threading.Lock()
        self._turned = 0.0
        self._kinds = (
            Kind(domains),
            Kind(domains, ("crashing",)),
            Kind(domains, ("down", "down", "crashing")),
            Kind(domains, ("hung",)),
            Kind(domains, ("stuck",)),
            Kind(domains, up=False),
        )
        self._texts: list[str] = []

    def page(self, first: int) -> str:
        """The page of the hosts from `first` on."""
        with self._lock:
            if time.monotonic() - self._turned >= REFRESH or not self._texts:
                self._turned = time.monotonic()
                self._texts = [kind.turn() for kind in self._kinds]
            texts = self._texts
        last = min(first + HOSTS_A_PAGE, self.hosts)
        kinds = [number % 200 if number % 200 < len(texts) else 0 for number in range(first, last)]
        return "".join(
            texts[kind].replace(NUMBER, f"{number:04}")
            for number, kind in zip(range(first, last), kinds, strict=True)
        )

    def samples(self) -> int:
        """How many series all pages together have."""
        return sum(self.page(first).count("\n") for first in range(0, self.hosts, HOSTS_A_PAGE))

    def job(self, port: int, **more: Any) -> dict[str, Any]:
        """The scrape configuration."""
        pages = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"__metrics_path__": f"/{first}"}}
            for first in range(0, self.hosts, HOSTS_A_PAGE)
        ]
        return {"job_name": JOB, "honor_labels": True, "static_configs": pages, **more}


@contextmanager
def serving(fleet: Fleet, port: int = 0) -> Iterator[int]:
    """On 127.0.0.1; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = fleet.page(int(self.path.strip("/") or 0)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Scrapes are no news."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="fleet", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--domains", type=int, default=50)
    parser.add_argument("--port", type=int, default=10199)
    arguments = parser.parse_args()
    fleet = Fleet(arguments.hosts, arguments.domains)
    with serving(fleet, arguments.port) as port:
        config = {"global": {"scrape_interval": "30s"}, "scrape_configs": [fleet.job(port)]}
        print(json.dumps(config), flush=True)  # JSON is YAML
        threading.Event().wait()


if __name__ == "__main__":
    main()
