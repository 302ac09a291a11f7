"""Metadata of OpenNebula and oVirt is kept after a transient domain stops and after the exporter restarts."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.engine.record import Domain
from libvirt_lifecycle_exporter.journal.rows import DOMAIN, domain_from, domain_row
from libvirt_lifecycle_exporter.model.messages import DomainDetails, Nova, OpenNebula, Ovirt
from tests.journal.driver import Driver
from tests.journal.exporter_with_journal import ExporterWithJournal
from tests.lab.daemon import Daemon

XML = """<domain type='test'><name>{name}</name><memory>1024</memory><os><type>hvm</type></os>
<metadata>{metadata}</metadata></domain>"""
METADATA = {
    "one-42": """<one:vm xmlns:one="http://opennebula.org/xmlns/libvirt/1.0">
<one:system_datastore>/var/lib/one//datastores/100/42</one:system_datastore>
<one:name>shop</one:name><one:uname>eve</one:uname><one:uid>7</one:uid>
<one:gname>retail</one:gname><one:gid>101</one:gid><one:opennebula_version>6.8.0</one:opennebula_version>
</one:vm>""",
    "ovirt": """<ovirt-vm:vm xmlns:ovirt-vm="http://ovirt.org/vm/1.0">
<ovirt-vm:clusterVersion>4.6</ovirt-vm:clusterVersion><ovirt-vm:custom/>
<ovirt-vm:resumeBehavior>auto_resume</ovirt-vm:resumeBehavior></ovirt-vm:vm>""",
    "plain": "",
}
SERIES = {
    (
        "libvirt_domain_opennebula_meta",
        "one-42",
        *("42", "shop", "eve", "7", "retail", "101", "100"),
    ),
    ("libvirt_domain_ovirt_meta", "ovirt", "4.6", "auto_resume"),
}
PLATFORM = {
    "openstack": DomainDetails("kvm", "", Nova(*"123456")),
    "opennebula": DomainDetails("kvm", "", None, OpenNebula(*"1234567")),
    "ovirt": DomainDetails("kvm", "", None, None, Ovirt(*"12")),
}


@pytest.fixture
def driver(own_daemon: Daemon) -> Iterator[Driver]:
    with Driver(own_daemon) as driver:
        yield driver


def shown(exporter: ExporterWithJournal) -> set[tuple[str, ...]]:
    """Return family, domain and platform labels of each series."""
    families = exporter.metrics()
    return {
        (name, *(value for label, value in sample.labels.items() if label not in {"connection", "uuid"}))
        for name in ("libvirt_domain_openstack_meta", *(series[0] for series in SERIES))
        for sample in families[name].samples
    }


def test_platform_metadata_survives_stop_and_restart(
    driver: Driver, own_daemon: Daemon, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.sqlite"
    with ExporterWithJournal(tmp_path, [own_daemon.test_uri], journal) as exporter:
        domains = [
            driver.connection.createXML(XML.format(name=name, metadata=METADATA[name])) for name in METADATA
        ]
        exporter.wait_until(lambda: shown(exporter) == SERIES, what="the metadata")
        exporter.kill()
        exporter.again()
        assert shown(exporter) == SERIES
        for domain in domains:
            domain.destroy()
        exporter.wait_until(
            lambda: all(exporter.lifecycle_counts(name)["stopped", "destroyed"] for name in METADATA),
            what="the end of the domains",
        )
        assert shown(exporter) == SERIES
        exporter.kill()
        exporter.again()
        assert shown(exporter) == SERIES
    with ExporterWithJournal(
        tmp_path, [own_daemon.test_uri], journal, extra_args=["--series.ttl", "1s"]
    ) as exporter:
        exporter.wait_until(lambda: not shown(exporter), what="the series to expire")


def domain_with(details: DomainDetails) -> Domain:
    return Domain("here", "uuid", "web", "running", "booted", 5.5, details=details)


def row_with(details: object) -> tuple[object, ...]:
    row = domain_row(domain_with(DomainDetails("kvm", "", None)))
    where = DOMAIN.index("details")
    return (*row[:where], json.dumps(details), *row[where + 1 :])


@pytest.mark.parametrize("details", PLATFORM.values(), ids=PLATFORM)
def test_platform_metadata_is_restored(details: DomainDetails) -> None:
    domain = domain_with(details)
    assert domain_from(domain_row(domain)) == domain


@pytest.mark.parametrize("nova", [None, Nova(*"123456")], ids=["none", "nova"])
def test_older_exporters_read_details_without_new_platforms(nova: Nova | None) -> None:
    row = domain_row(domain_with(DomainDetails("kvm", "a title", nova)))
    assert json.loads(row[DOMAIN.index("details")]) == ["kvm", "a title", None if nova is None else [*nova]]


@pytest.mark.parametrize(
    "details",
    [
        ["kvm", "", None, None],
        ["kvm", "", None, None, None, None],
        ["kvm", "", None, ["1"], None],
        ["kvm", "", None, None, ["1", 2]],
        ["kvm", "", None, None, "12"],
        ["kvm", "", "123456"],
        ["kvm", "\ud800", None],
        ["kvm", "", None, None, ["4.6", "\ud800"]],
        {"kvm": 1, "": 2, "x": 3},
    ],
)
def test_damaged_platform_metadata_is_refused(details: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        domain_from(row_with(details))
