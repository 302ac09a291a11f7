"""Parts of the domain XML are written by users and tenants."""

import pytest

from libvirt_lifecycle_exporter.hypervisor.metadata import parse_details
from libvirt_lifecycle_exporter.model.messages import DomainDetails, Nova, OpenNebula, Ovirt

NOVA = """<domain type='kvm'><name>instance-00000001</name><title>front page</title><metadata>
<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/{version}">
  <nova:package version="27.0.0"/><nova:name>shop &amp; co</nova:name>
  <nova:creationTime>2026-11-23 00:00:00</nova:creationTime>
  <nova:flavor name="m1.small"><nova:memory>512</nova:memory></nova:flavor>
  <nova:owner><nova:user uuid="u-1">eve</nova:user><nova:project uuid="p-1">retail</nova:project></nova:owner>
</nova:instance></metadata></domain>"""


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_nova_metadata_is_read(version: str) -> None:
    nova = Nova("shop & co", "m1.small", "retail", "p-1", "eve", "u-1")
    assert parse_details(NOVA.format(version=version)) == DomainDetails("kvm", "front page", nova)


def test_domain_without_metadata() -> None:
    assert parse_details("<domain type='qemu'><name>x</name></domain>") == DomainDetails("qemu", "", None)


def test_missing_nova_elements_are_empty() -> None:
    found = parse_details(
        "<domain type='kvm'><metadata><n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'>"
        "<n:owner><n:user/></n:owner></n:instance></metadata></domain>"
    )
    assert found == DomainDetails("kvm", "", Nova("", "", "", "", "", ""))


@pytest.mark.parametrize(
    "metadata",
    [
        "<instance><name>no namespace</name></instance>",
        "<n:instance xmlns:n='http://example.org/nova'><n:name>another</n:name></n:instance>",
        "<n:instance xmlns:n='http://openstack.org/xmlns/libvirt/nova/2.0'><n:name>later</n:name></n:instance>",
        "<n:instanceof xmlns:n='http://openstack.org/xmlns/libvirt/nova/1.1'/>",
        "text only",
        "<!-- a comment --><?and an instruction?>",
    ],
)
def test_metadata_of_other_namespaces_is_ignored(metadata: str) -> None:
    found = parse_details(f"<domain type='kvm'><metadata>{metadata}</metadata></domain>")
    assert found == DomainDetails("kvm", "", None)


BOMB = "".join(
    ["<!DOCTYPE d [<!ENTITY a 'ha'>"]
    + [f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9)]
    + ["]><domain type='kvm'><title>&j;</title></domain>"]
)


@pytest.mark.parametrize(
    "xml",
    [
        BOMB,
        "<!DOCTYPE d SYSTEM 'file:///etc/passwd'><domain/>",
        "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain><title>&x;</title></domain>",
        "<domain",
        "",
        "\x00",
        "<domain>" + "x" * 5_000_000 + "</domain>",
    ],
    ids=["bomb", "external dtd", "external entity", "cut", "empty", "nul", "huge"],
)
def test_unsafe_xml_is_not_parsed(xml: str) -> None:
    assert parse_details(xml) is None


def test_long_titles_are_bounded() -> None:
    found = parse_details(f"<domain type='kvm'><title>{'t' * 100_000}</title></domain>")
    assert found is not None
    assert len(found.title) == 256


OPENNEBULA = """<domain type='kvm'><name>one-42</name><metadata>
<system_datastore>/var/lib/one//datastores/9/9</system_datastore>
<one:vm xmlns:one="http://opennebula.org/xmlns/libvirt/1.0">
  <one:system_datastore>/var/lib/one//datastores/100/42</one:system_datastore>
  <one:name>shop &amp; co</one:name><one:uname>eve</one:uname><one:uid>7</one:uid>
  <one:gname>retail</one:gname><one:gid>101</one:gid>
  <one:opennebula_version>6.8.0</one:opennebula_version>
  <one:stime>1732320000</one:stime><one:deployment_time>1732320060</one:deployment_time>
</one:vm></metadata></domain>"""

OVIRT = """<domain type='kvm'><name>shop</name><metadata xmlns:ovirt-tune="http://ovirt.org/vm/tune/1.0"
  xmlns:ovirt-vm="http://ovirt.org/vm/1.0"><ovirt-tune:qos/>
<ovirt-vm:vm xmlns:ovirt-vm="http://ovirt.org/vm/1.0">
  <ovirt-vm:minGuaranteedMemoryMb type="int">1024</ovirt-vm:minGuaranteedMemoryMb>
  <ovirt-vm:clusterVersion>4.6</ovirt-vm:clusterVersion>
  <ovirt-vm:custom><ovirt-vm:clusterVersion>secret</ovirt-vm:clusterVersion></ovirt-vm:custom>
  <ovirt-vm:device devtype="disk" name="sdc"><ovirt-vm:payload>
    <ovirt-vm:file path="openstack/latest/user_data">secret</ovirt-vm:file>
  </ovirt-vm:payload></ovirt-vm:device>
  <ovirt-vm:launchPaused>false</ovirt-vm:launchPaused>
  <ovirt-vm:resumeBehavior>auto_resume</ovirt-vm:resumeBehavior>
  <ovirt-vm:startTime type="float">1518107638.94</ovirt-vm:startTime>
</ovirt-vm:vm></metadata></domain>"""

ONE = "http://opennebula.org/xmlns/libvirt/1.0"
OVIRT_VM = "http://ovirt.org/vm/1.0"


def read(metadata: str) -> DomainDetails:
    found = parse_details(f"<domain type='kvm'><metadata>{metadata}</metadata></domain>")
    assert found is not None
    return found


def test_opennebula_metadata_is_read() -> None:
    metadata = OpenNebula("42", "shop & co", "eve", "7", "retail", "101", "100")
    assert parse_details(OPENNEBULA) == DomainDetails("kvm", "", None, metadata)


def test_ovirt_metadata_is_read_without_secrets() -> None:
    found = parse_details(OVIRT)
    assert found == DomainDetails("kvm", "", None, None, Ovirt("4.6", "auto_resume"))
    assert "secret" not in repr(found)


def test_ovirt_elements_without_namespace_are_read() -> None:
    children = "<clusterVersion> 4.2\n</clusterVersion><resumeBehavior>kill</resumeBehavior>"
    assert read(f"<o:vm xmlns:o='{OVIRT_VM}'>{children}</o:vm>").ovirt == Ovirt("4.2", "kill")


@pytest.mark.parametrize(
    ("directory", "datastore", "vm"),
    [
        ("/var/lib/one//datastores/100/42", "100", "42"),
        (" /vol/1/0/7 \n", "0", "7"),
        ("/var/lib/one/datastores/100/42/", "", ""),
        ("/var/lib/one/datastores/100/disk.42", "", ""),
        ("/1/" + "4" * 11, "", ""),
        ("/1/\u0664", "", ""),
        ("42", "", ""),
        ("/9" * 500_000 + "/x", "", ""),
        ("", "", ""),
    ],
    ids=[
        "usual",
        "other location",
        "slash",
        "no number",
        "long number",
        "digits",
        "relative",
        "long",
        "none",
    ],
)
def test_opennebula_ids_are_read_from_directory(directory: str, datastore: str, vm: str) -> None:
    found = read(f"<o:vm xmlns:o='{ONE}'><o:system_datastore>{directory}</o:system_datastore></o:vm>")
    assert found.opennebula is not None
    assert (found.opennebula.datastore_id, found.opennebula.vm_id) == (datastore, vm)


@pytest.mark.parametrize(
    "metadata",
    [
        "<vm><name>no namespace</name><clusterVersion>4.2</clusterVersion></vm>",
        "<o:vm xmlns:o='http://opennebula.org/xmlns/libvirt/1.0/'><o:name>longer</o:name></o:vm>",
        "<o:vm xmlns:o='http://opennebula.org/xmlns/libvirt/2.0'><o:name>later</o:name></o:vm>",
        "<o:vm xmlns:o='http://opennebulaXorg/xmlns/libvirt/1.0'><o:name>alike</o:name></o:vm>",
        "<o:vm xmlns:o='http://ovirt.org/vm/tune/1.0'><o:clusterVersion>4.2</o:clusterVersion></o:vm>",
        f"<o:vms xmlns:o='{ONE}'/><o:VM xmlns:o='{ONE}'/><o:instance xmlns:o='{OVIRT_VM}'/>",
        f"<x><o:vm xmlns:o='{ONE}'/><o:vm xmlns:o='{OVIRT_VM}'/></x>",
        "<system_datastore>/var/lib/one/datastores/0/1</system_datastore>",
    ],
)
def test_other_metadata_is_no_platform(metadata: str) -> None:
    assert read(metadata) == DomainDetails("kvm", "", None)


def test_nested_elements_are_not_read() -> None:
    junk = "".join(f"<o:x><o:{name}>1</o:{name}></o:x>" for name in ("name", "uid", "clusterVersion"))
    found = read(f"<o:vm xmlns:o='{ONE}'>{junk}</o:vm><o:vm xmlns:o='{OVIRT_VM}'>{junk}</o:vm>")
    assert found == DomainDetails("kvm", "", None, OpenNebula(*[""] * 7), Ovirt("", ""))


def test_platform_metadata_is_bounded() -> None:
    long = "t" * 100_000
    names = "".join(f"<o:{name}>{long}</o:{name}>" for name in ("name", "uname", "uid", "gname", "gid"))
    version = f"<o:clusterVersion>{long}</o:clusterVersion>"
    found = read(f"<o:vm xmlns:o='{ONE}'>{names}</o:vm><o:vm xmlns:o='{OVIRT_VM}'>{version}</o:vm>")
    assert found.opennebula is not None
    assert found.ovirt is not None
    assert [len(word) for word in found.opennebula] == [0, *[256] * 5, 0]
    assert len(found.ovirt.cluster_version) == 256


def test_reserved_name_in_platform_metadata_is_changed() -> None:
    found = read(f"<o:vm xmlns:o='{ONE}'><o:name>_other</o:name></o:vm>")
    assert found.opennebula is not None
    assert found.opennebula.vm_name.startswith("_other~")


def test_lone_surrogate_in_platform_metadata_is_rejected() -> None:
    vm = f"<o:vm xmlns:o='{ONE}'><o:name>\ud800</o:name></o:vm>"
    assert parse_details(f"<domain type='kvm'><metadata>{vm}</metadata></domain>") is None
