"""The domain XML is half written by users and tenants."""

import pytest

from libvirt_lifecycle_exporter.sources.metadata import details
from libvirt_lifecycle_exporter.transition import DomainDetails, Nova

NOVA = """<domain type='kvm'><name>instance-00000001</name><title>front page</title><metadata>
<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/{version}">
  <nova:package version="27.0.0"/><nova:name>shop &amp; co</nova:name>
  <nova:creationTime>2026-11-23 00:00:00</nova:creationTime>
  <nova:flavor name="m1.small"><nova:memory>512</nova:memory></nova:flavor>
  <nova:owner><nova:user uuid="u-1">eve</nova:user><nova:project uuid="p-1">retail</nova:project></nova:owner>
</nova:instance></metadata></domain>"""


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_novas_metadata_is_read(version: str) -> None:
    nova = Nova("shop & co", "m1.small", "retail", "p-1", "eve", "u-1")
    assert details(NOVA.format(version=version)) == DomainDetails("kvm", "front page", nova)


def test_a_domain_without_any() -> None:
    assert details("<domain type='qemu'><name>x</name></domain>") == DomainDetails("qemu", "", None)


def test_half_of_novas_metadata_is_half_known() -> None:
    found = details(
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
def test_others_metadata_is_not_novas(metadata: str) -> None:
    found = details(f"<domain type='kvm'><metadata>{metadata}</metadata></domain>")
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
def test_what_cannot_be_read_safely_is_not_read(xml: str) -> None:
    assert details(xml) is None


def test_long_titles_are_bounded() -> None:
    found = details(f"<domain type='kvm'><title>{'t' * 100_000}</title></domain>")
    assert found is not None
    assert len(found.title) == 256
