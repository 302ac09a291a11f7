"""Simulated fleet: serves the metrics of many hosts, as the exporter writes them, from one HTTP server.

    python -m tests.lab.fleet [--hosts 1000] [--domains 50] [--port 10199]

prints a Prometheus configuration, and serves. The exporter's MetricsStore renders one page for each host
profile; hosts of a profile differ only in their names. A page contains 50 hosts, and `honor_labels` keeps
its `instance` labels. Events are added every REFRESH seconds.
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

from libvirt_lifecycle_exporter.engine.changes import (
    ChangeBatch,
    ConnectionChanged,
    DomainUpdated,
    IncidentClosed,
)
from libvirt_lifecycle_exporter.engine.durations import Duration
from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.metrics.store import MetricsStore
from libvirt_lifecycle_exporter.model.messages import DomainDetails
from libvirt_lifecycle_exporter.model.transitions import Incident, Transition

JOB = "libvirt-lifecycle"
CONNECTION = "qemu:///system"
HOSTS_A_PAGE = 50
REFRESH = 15.0
HOST_NUMBER = "@host@"
"""Placeholder for the number of a host in the page of its profile."""
LABELLED = re.compile(r"^(\w+)\{", re.MULTILINE)
COMMENT = re.compile(r"^#.*\n", re.MULTILINE)
PROBES = "libvirt_lifecycle_exporter_probe_duration_seconds"
SELF_METRICS = """\
libvirt_lifecycle_exporter_build_info{{version="0.1.0",python_version="3.11.2",libvirt_version="9.0.0"}} 1
libvirt_lifecycle_exporter_event_loop_heartbeat_timestamp_seconds{{}} {now:.3f}
libvirt_lifecycle_exporter_events_dropped_total{{cause="queue_full"}} 0
libvirt_lifecycle_exporter_events_dropped_total{{cause="callback_error"}} 0
libvirt_lifecycle_exporter_journal_errors_total{{}} 0
libvirt_lifecycle_exporter_journal_events{{}} {rounds}
libvirt_lifecycle_exporter_journal_bytes{{}} 1048576
libvirt_lifecycle_exporter_queue_depth{{}} 0
libvirt_lifecycle_exporter_series{{}} {series}
libvirt_lifecycle_exporter_series_limited_total{{}} 0
libvirt_lifecycle_exporter_events_received_total{{source="lifecycle"}} {rounds}
libvirt_lifecycle_exporter_otlp_pending{{signal="traces"}} 0
libvirt_lifecycle_exporter_otlp_oldest_pending_timestamp_seconds{{signal="traces"}} 0
libvirt_lifecycle_exporter_otlp_exported_total{{signal="traces"}} {rounds}
libvirt_lifecycle_exporter_otlp_dropped_total{{signal="traces",cause="rejected"}} 0
libvirt_lifecycle_exporter_sink_errors_total{{sink="otlp_traces"}} 0
{probes}_bucket{{connection="qemu:///system",signal="emulator",le="0.1"}} {rounds}
{probes}_bucket{{connection="qemu:///system",signal="emulator",le="+Inf"}} {rounds}
{probes}_count{{connection="qemu:///system",signal="emulator"}} {rounds}
libvirt_lifecycle_exporter_scrape_duration_seconds_bucket{{le="0.05"}} {rounds}
libvirt_lifecycle_exporter_scrape_duration_seconds_bucket{{le="+Inf"}} {rounds}
libvirt_lifecycle_exporter_scrape_duration_seconds_count{{}} {rounds}
process_start_time_seconds{{}} {started:.3f}
process_cpu_seconds_total{{}} {rounds}
process_resident_memory_bytes{{}} 67108864
process_open_fds{{}} 40
process_max_fds{{}} 524288
"""


def _raise(error: Exception) -> None:
    raise error


class HostProfile:
    """Hosts with the same state and events: `domains` on each, of which the first have the `faults`, one
    each.
    """

    def __init__(self, domains: int, faults: Sequence[str] = (), *, up: bool = True) -> None:
        self.started = time.time()
        self._faults = faults
        self._rounds = 0
        self._metrics = MetricsStore((CONNECTION,), ("emulator", "watchdog"))
        self._batch = ChangeBatch()
        self._batch.add(ConnectionChanged(CONNECTION, up))
        self._domains = [self._domain(number) for number in range(domains)]
        for domain in self._domains:
            self._show(domain)
            self._batch.count_transition(
                self._change(domain, "started", "booted", self.started - 86_400), domain.name
            )
            self._batch.count_transition(
                self._change(domain, "resumed", "unpaused", self.started - 86_400), domain.name
            )
        for domain, fault in zip(self._domains, faults, strict=False):
            getattr(self, f"_{fault}")(domain)

    def next_page(self) -> str:
        """Add events, and return the page of a host of this profile, with HOST_NUMBER for its number."""
        self._rounds += 1
        now = time.time()
        busy = self._domains[-1 - self._rounds % max(1, len(self._domains) // 2)]
        for pair in (("suspended", "paused"), ("resumed", "unpaused")):
            self._batch.count_transition(self._change(busy, *pair, now), busy.name)
        if "crashing" in self._faults and self._rounds % 8 == 0:
            self._crashing(self._domains[self._faults.index("crashing")])
        self._metrics.apply(self._batch, _raise)
        self._batch = ChangeBatch()
        figures = {
            "now": now,
            "rounds": self._rounds,
            "started": self.started,
            "series": self._metrics.series,
        }
        self_metrics = SELF_METRICS.format(**figures, probes=PROBES)
        text = COMMENT.sub("", self._metrics.render(openmetrics=False)) + self_metrics
        return LABELLED.sub(rf'\1{{instance="host-{HOST_NUMBER}:10177",', text)

    def _domain(self, number: int) -> Domain:
        name = f"vm-{HOST_NUMBER}-{number:02}"
        details = DomainDetails("kvm", f"Machine {number}", None)
        return Domain(
            CONNECTION,
            f"00000000-0000-4000-8000-{HOST_NUMBER}{number:08}",
            name,
            "running",
            "booted",
            self.started - 86_400,
            persistent=True,
            autostart=True,
            details=details,
        )

    def _show(self, domain: Domain, hung: tuple[str, ...] = ()) -> None:
        self._batch.add(DomainUpdated(CONNECTION, domain.name, domain.values(hung)))

    def _change(self, domain: Domain, event: str, reason: str, at: float) -> Transition:
        return Transition(
            at, CONNECTION, domain.uuid, domain.name, 1, event, reason, reason, 0, "callback", ""
        )

    def _count_failure(self, domain: Domain, event: str, reason: str, kind: str, at: float) -> Incident:
        self._batch.count_transition(self._change(domain, event, reason, at), domain.name)
        opened = Incident(f"{kind}{at}", CONNECTION, domain.uuid, domain.name, kind, at, None, "")
        self._batch.open_incident(opened, domain.name)
        return opened

    def _crashing(self, domain: Domain) -> None:
        """Count a crash that was followed by a start at once; the outage duration is 20 seconds."""
        now = time.time()
        crash = self._count_failure(domain, "stopped", "crashed", "crashed", now)
        self._batch.count_transition(self._change(domain, "started", "booted", now), domain.name)
        self._batch.add(IncidentClosed(crash._replace(closed_at=now)))
        self._batch.add_duration(Duration(CONNECTION, "outage", "success", 20.0))

    def _down(self, domain: Domain) -> None:
        at = self.started - 600
        self._count_failure(domain, "stopped", "crashed", "crashed", at)
        domain.enter("shutoff", "crashed", at)
        self._show(domain)

    def _hung(self, domain: Domain) -> None:
        self._count_failure(domain, "hung", "emulator", "hung", self.started)
        self._show(domain, hung=("emulator",))

    def _stuck(self, domain: Domain) -> None:
        self._count_failure(domain, "suspended", "ioerror", "io_error", self.started)
        domain.enter("paused", "ioerror", self.started)
        self._show(domain)


class Fleet:
    """Of every 200 hosts, one each has: repeated crashes, a crash burst, a hang, a full disk, no
    connection.
    """

    def __init__(self, hosts: int, domains: int) -> None:
        self.hosts = hosts
        self._lock = threading.Lock()
        self._rendered_at = 0.0
        self._profiles = (
            HostProfile(domains),
            HostProfile(domains, ("crashing",)),
            HostProfile(domains, ("down", "down", "crashing")),
            HostProfile(domains, ("hung",)),
            HostProfile(domains, ("stuck",)),
            HostProfile(domains, up=False),
        )
        self._texts: list[str] = []

    def page(self, first: int) -> str:
        """Return the page of the hosts from `first` on."""
        with self._lock:
            if time.monotonic() - self._rendered_at >= REFRESH or not self._texts:
                self._rendered_at = time.monotonic()
                self._texts = [kind.next_page() for kind in self._profiles]
            texts = self._texts
        last = min(first + HOSTS_A_PAGE, self.hosts)
        kinds = [number % 200 if number % 200 < len(texts) else 0 for number in range(first, last)]
        return "".join(
            texts[kind].replace(HOST_NUMBER, f"{number:04}")
            for number, kind in zip(range(first, last), kinds, strict=True)
        )

    def samples(self) -> int:
        """Return the number of series of all pages."""
        return sum(self.page(first).count("\n") for first in range(0, self.hosts, HOSTS_A_PAGE))

    def job(self, port: int, **more: Any) -> dict[str, Any]:
        """Return the scrape configuration."""
        pages = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"__metrics_path__": f"/{first}"}}
            for first in range(0, self.hosts, HOSTS_A_PAGE)
        ]
        return {"job_name": JOB, "honor_labels": True, "static_configs": pages, **more}


@contextmanager
def serving(fleet: Fleet, port: int = 0) -> Iterator[int]:
    """Serve on 127.0.0.1; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = fleet.page(int(self.path.strip("/") or 0)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Write no log."""

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
