"""The exposition of /metrics as promtool and Prometheus read it."""

from collections.abc import Iterator
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import libvirt
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from tests.lab.daemon import Daemon
from tests.lab.exporter import Exporter
from tests.lab.prometheus import Prometheus, check_metrics

GOLDEN = Path(__file__).with_name("metrics.golden")
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

DOMAIN = """<domain type='test'><name>{name}</name><uuid>{uuid}</uuid><title>front "page" \\ 🐎</title>
<memory unit='MiB'>64</memory><os><type arch='i686'>hvm</type></os><metadata>
<nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'><nova:name>shop</nova:name>
<nova:flavor name='m1'/>
<nova:owner><nova:user uuid='u'>eve</nova:user><nova:project uuid='p'>retail</nova:project>
</nova:owner></nova:instance></metadata></domain>"""

PLATFORM = """<domain type='test'><name>{name}</name><memory>1024</memory><os><type>hvm</type></os>
<metadata>{vm}</metadata></domain>"""
PLATFORMS = {
    "opennebula": """<one:vm xmlns:one='http://opennebula.org/xmlns/libvirt/1.0'>
<one:system_datastore>/var/lib/one/datastores/0/42</one:system_datastore><one:name>sh"op</one:name></one:vm>""",
    "ovirt": """<o:vm xmlns:o='http://ovirt.org/vm/1.0'><o:clusterVersion>4.6</o:clusterVersion></o:vm>""",
}


@pytest.fixture(scope="module")
def exporter(session_daemon: Daemon, lab_root: Path) -> Iterator[Exporter]:
    """An exporter with all metrics, after a domain has run and crashed."""
    # An unreachable endpoint: pending deliveries have metrics.
    unreachable = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with Exporter(lab_root, [session_daemon.test_uri], environment=unreachable) as exporter:
        connection = libvirt.open(session_daemon.test_uri)
        try:
            name = 'li"v\\ed'
            domain = connection.defineXML(DOMAIN.format(name=name, uuid=uuid5(NAMESPACE_URL, name)))
            domain.create()
            domain.suspend()
            domain.resume()
            domain.coreDump("/dev/null", libvirt.VIR_DUMP_CRASH)
            exporter.wait_until(lambda: exporter.lifecycle_counts(name)["stopped", "crashed"] == 1)
            exporter.wait_until(lambda: exporter.value("libvirt_domain_openstack_meta", domain=name) == 1)
            for platform, vm in PLATFORMS.items():
                managed = connection.createXML(PLATFORM.format(name=platform, vm=vm))
                meta = f"libvirt_domain_{platform}_meta"
                exporter.wait_until(lambda: len(exporter.metrics()[meta].samples) == 1)  # noqa: B023
                managed.destroy()
            del managed
            yield exporter
            domain.undefine()
            del domain
        finally:
            connection.close()


def contract(families: list[Metric]) -> list[str]:
    """Return name, type, labels and help of every metric about libvirt and the exporter."""
    lines = []
    for family in families:
        labels = sorted({label for sample in family.samples for label in sample.labels})
        if family.name.startswith("libvirt_"):
            lines.append(f"{family.name} {family.type} {{{', '.join(labels)}}} {family.documentation}")
    return sorted(lines)


def test_promtool_accepts_the_exposition(exporter: Exporter) -> None:
    assert check_metrics(exporter.get("/metrics")[2]) == ""


def test_promtool_reports_an_invalid_exposition() -> None:
    assert "no help text" in check_metrics(b"a_metric 1\n")


def test_both_formats_match_the_golden_file(exporter: Exporter) -> None:
    """A change of the golden file must be listed in CHANGELOG.md."""
    text = list(text_families(exporter.text()))
    openmetrics = list(openmetrics_families(exporter.get("/metrics", Accept=OPENMETRICS)[2].decode()))
    assert contract(text) == contract(openmetrics)
    assert contract(text) == GOLDEN.read_text().splitlines()
    assert not [family.name for family in (*text, *openmetrics) if family.name.endswith("_created")]
    assert {"process_cpu_seconds", "python_info", "python_gc_collections"} <= {family.name for family in text}


def test_no_label_of_the_target_is_exposed(exporter: Exporter) -> None:
    """With honor_labels such a label would replace that of the target."""
    labels = {
        label for family in text_families(exporter.text()) for one in family.samples for label in one.labels
    }
    assert not labels & {"job", "instance"}


def test_every_family_has_one_type_line(exporter: Exporter) -> None:
    types = [line.split()[2] for line in exporter.text().splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types))


def test_prometheus_scrapes_and_answers_queries(exporter: Exporter, tmp_path: Path) -> None:
    with Prometheus(tmp_path, [f"127.0.0.1:{exporter.port}"]) as prometheus:
        crashed = 'libvirt_domain_lifecycle_events_total{event="stopped",reason="crashed"} == 1'
        ((labels, _),) = prometheus.wait_for(crashed)
        assert labels["domain"] == 'li"v\\ed'
        assert labels["connection"] == "test:///default"
        joined = f"({crashed}) * on(connection, domain) group_left(title, uuid) libvirt_domain_meta"
        ((labels, _),) = prometheus.query(joined)
        assert labels["title"] == 'front "page" \\ 🐎'
        recent = (
            'time() - libvirt_domain_last_event_timestamp_seconds{event="stopped",reason="crashed"} < 900'
        )
        assert len(prometheus.query(recent)) == 1
        (target,) = prometheus.ask("targets")["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")
