"""Cost of an exporter by the number of domains: memory, idle CPU, time to ready, scrapes."""

import os
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, generate_latest

from tests.lab.exporter import Exporter

IDLE = 15.0
DOMAIN = "<domain type='test'><name>vm-{0}</name><memory>65536</memory><os><type>hvm</type></os></domain>"


def node(folder: Path, domains: int) -> str:
    """Return the URI of a separate test driver with this number of running domains."""
    path = folder / f"node-{domains}.xml"
    path.write_text(f"<node>{''.join(DOMAIN.format(number) for number in range(domains))}</node>")
    return f"size=test://{path}"


def figures(folder: Path, domains: int) -> dict[str, float]:
    exporter = Exporter(folder, [node(folder, domains)])
    started = time.perf_counter()
    exporter.start()
    exporter.wait_ready()
    ready = time.perf_counter() - started
    try:
        known = 'libvirt_domain_meta{connection="size"'
        exporter.wait_until(lambda: exporter.text().count(f"\n{known}") >= domains, 120)
        complete = time.perf_counter() - started
        cpu, slept = cpu_seconds(exporter.pid), time.perf_counter()
        time.sleep(IDLE)
        cpu, slept = cpu_seconds(exporter.pid) - cpu, time.perf_counter() - slept
        began = time.perf_counter()
        page = exporter.text()
        scrape = time.perf_counter() - began
        samples = sum(not line.startswith("#") for line in page.splitlines())
        return {
            "ready_s": ready,
            "details_known_s": complete,
            "rss_mib": rss_mib(exporter.pid),
            "idle_cpu_percent": 100 * cpu / slept,
            "scrape_ms": 1000 * scrape,
            "scrape_kib": len(page) / 1024,
            "samples": samples,
            "scrape_against_prometheus_client": scrape / plain_scrape(samples),
        }
    finally:
        exporter.stop()


def plain_scrape(samples: int) -> float:
    """Return the seconds that prometheus_client takes for the same number of samples of ordinary counters."""
    registry = CollectorRegistry()
    counter = Counter("plain", "Plain.", ["connection", "domain", "event", "reason"], registry=registry)
    for number in range(samples):
        counter.labels("test:///default", f"vm-{number}", "stopped", "crashed").inc()
    began = time.perf_counter()
    generate_latest(registry)
    return time.perf_counter() - began


def cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024
