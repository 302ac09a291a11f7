from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from libvirt_lifecycle_exporter.engine.changes import ConnectionChanged
from libvirt_lifecycle_exporter.engine.durations import EXPECTED
from libvirt_lifecycle_exporter.engine.inventory import REMOVED_SHUTDOWN
from libvirt_lifecycle_exporter.metrics.families import CONNECTION_FAMILIES, DOMAIN_FAMILIES, OPERATIONS
from libvirt_lifecycle_exporter.metrics.platform_metadata import PLATFORM_METAS
from libvirt_lifecycle_exporter.model.messages import DomainDetails, Nova, OpenNebula, Ovirt
from libvirt_lifecycle_exporter.model.text import clean
from libvirt_lifecycle_exporter.model.vocabulary import ALERT_PAIRS, ALL_PAIRS
from tests.unit.exposition_reader import EVENTS, domain, names, samples, value
from tests.unit.factories import HERE, transition
from tests.unit.metrics_harness import ExportedDomains

PLATFORMS = {
    "openstack": DomainDetails("kvm", "", Nova(*[""] * 6)),
    "opennebula": DomainDetails("kvm", "", None, OpenNebula(*[""] * 7)),
    "ovirt": DomainDetails("kvm", "", None, None, Ovirt("", "")),
}


def test_alert_pairs_of_a_new_domain_start_at_zero() -> None:
    shown = ExportedDomains()
    shown.update(domain().values())
    for event, reason in ALERT_PAIRS:
        assert value(shown, EVENTS, domain="web", event=event, reason=reason) == 0
    assert value(shown, EVENTS, domain="web", event="started", reason="booted") is None


def test_expected_operations_start_at_zero() -> None:
    shown = ExportedDomains()
    for operation, outcome in EXPECTED:
        which = {"operation": operation, "outcome": outcome}
        for le in ("0.1", "3600", "+Inf"):
            assert value(shown, f"{OPERATIONS.name}_bucket", le=le, **which) == 0
        assert value(shown, f"{OPERATIONS.name}_count", **which) == 0
        assert value(shown, f"{OPERATIONS.name}_sum", **which) == 0


def test_connection_starts_down_with_zeros_for_every_pair() -> None:
    shown = ExportedDomains()
    for event, reason in ALL_PAIRS:
        assert value(shown, "libvirt_connection_lifecycle_events_total", event=event, reason=reason) == 0
    assert value(shown, "libvirt_connection_up") == 0
    assert value(shown, "libvirt_connection_reconnects_total") == 0
    assert value(shown, "libvirt_domain_inventory_changes_total", change="removed", reason="shutdown") == 0


def test_transition_is_counted_for_domain_and_connection() -> None:
    shown = ExportedDomains()
    for at in (10.25, 20.5):
        shown.transition(transition("stopped", "crashed", at=at))
    labels = {"event": "stopped", "reason": "crashed"}
    assert value(shown, EVENTS, domain="web", **labels) == 2
    assert value(shown, "libvirt_domain_last_event_timestamp_seconds", domain="web", **labels) == 20.5
    assert value(shown, "libvirt_connection_lifecycle_events_total", **labels) == 2


def test_only_domains_with_nova_metadata_have_its_series() -> None:
    shown = ExportedDomains()
    plain, cloud = domain("plain"), domain("cloud")
    plain.details = DomainDetails("kvm", 'the "plain" one', None)
    cloud.details = DomainDetails("kvm", "", Nova("shop", "m1", "retail", "p", "eve", "u"))
    shown.update(plain.values())
    shown.update(cloud.values())
    found = [dict(labels) for name, labels in samples(shown) if name == "libvirt_domain_openstack_meta"]
    assert [(one["domain"], one["instance_name"], one["user_id"]) for one in found] == [
        ("cloud", "shop", "u")
    ]
    metas = {
        dict(labels)["domain"]: dict(labels)
        for name, labels in samples(shown)
        if name == "libvirt_domain_meta"
    }
    assert metas["plain"]["title"] == 'the "plain" one'


def test_each_platform_has_its_own_metadata_series() -> None:
    shown = ExportedDomains()
    metadata = {
        "nebula": DomainDetails("kvm", "", None, OpenNebula("42", "shop", "eve", "7", "retail", "101", "0")),
        "ovirt": DomainDetails("kvm", "", None, None, Ovirt("4.6", "auto_resume")),
        "none": DomainDetails("kvm", "", None),
    }
    for name, details in metadata.items():
        one = domain(name)
        one.details = details
        shown.update(one.values())
    vm = {"uuid": "uuid-nebula", "vm_id": "42", "vm_name": "shop", "user_name": "eve", "user_id": "7"}
    group = {"group_name": "retail", "group_id": "101", "datastore_id": "0"}
    assert value(shown, "libvirt_domain_opennebula_meta", domain="nebula", **vm, **group) == 1
    ovirt = {"uuid": "uuid-ovirt", "cluster_version": "4.6", "resume_behavior": "auto_resume"}
    assert value(shown, "libvirt_domain_ovirt_meta", domain="ovirt", **ovirt) == 1
    assert Counter(name for name, _ in samples(shown) if name in PLATFORM_METAS) == {
        "libvirt_domain_opennebula_meta": 1,
        "libvirt_domain_ovirt_meta": 1,
    }
    assert shown.series == sum("domain" in dict(labels) for _, labels in samples(shown))


def test_domain_shows_one_platform_only() -> None:
    shown = ExportedDomains()
    one = domain()
    for expected, nova, opennebula in (
        ("openstack", Nova(*"123456"), OpenNebula(*"1234567")),
        ("opennebula", None, OpenNebula(*"1234567")),
        ("ovirt", None, None),
    ):
        one.details = DomainDetails("kvm", "", nova, opennebula, Ovirt("4.6", "kill"))
        shown.update(one.values())
        assert [name for name, _ in samples(shown) if name in PLATFORM_METAS] == [
            f"libvirt_domain_{expected}_meta"
        ]
        assert shown.series == sum("domain" in dict(labels) for _, labels in samples(shown))


def test_reconnects_do_not_count_the_first_connect() -> None:
    shown = ExportedDomains()
    for up in (True, False, False):
        shown.add(ConnectionChanged(HERE, up))
    shown.add_total(HERE, "reconnect")
    shown.add(ConnectionChanged(HERE, is_up=True))
    assert value(shown, "libvirt_connection_up") == 1
    assert value(shown, "libvirt_connection_reconnects_total") == 1


def test_series_of_a_removed_domain_expire_together() -> None:
    shown = ExportedDomains()
    shown.update(domain().values())
    shown.transition(transition("stopped", "destroyed"))
    shown.add_inventory_change(HERE, REMOVED_SHUTDOWN)
    shown.update(domain(state="shutoff", present=False).values())
    shown.remove_expired(1000.0 + 899)
    assert names(shown) == {"web"}
    shown.remove_expired(1000.0 + 900)
    assert names(shown) == set()
    assert shown.series == 0
    labels = {"event": "stopped", "reason": "destroyed"}
    assert value(shown, "libvirt_connection_lifecycle_events_total", **labels) == 1


def test_domain_that_returns_in_time_keeps_its_counts() -> None:
    shown = ExportedDomains()
    shown.update(domain().values())
    shown.transition(transition("stopped", "crashed"))
    shown.update(domain(present=False).values())
    shown.update(domain(uuid="another").values())
    shown.update(domain(present=False).values())  # late update of the first domain with this name
    shown.remove_expired(1e9)
    assert value(shown, EVENTS, domain="web", event="stopped", reason="crashed") == 1


def test_old_name_of_a_renamed_domain_expires() -> None:
    shown = ExportedDomains()
    shown.update(domain().values())
    shown.release("web", "uuid-web", 1000.0)
    shown.update(domain("www", uuid="uuid-web").values())
    assert names(shown) == {"web", "www"}
    shown.remove_expired(1e9)
    assert names(shown) == {"www"}


def test_excess_domains_are_counted_under_other() -> None:
    shown = ExportedDomains(50)
    for number in range(10):
        shown.update(domain(f"vm-{number}").values())
        shown.transition(transition("stopped", "crashed", name=f"vm-{number}"))
    labels = {"event": "stopped", "reason": "crashed"}
    own = [value(shown, EVENTS, domain=f"vm-{number}", **labels) for number in range(10)]
    rest = value(shown, EVENTS, domain="_other", **labels)
    assert rest is not None
    assert sum(count for count in own if count) + rest == 10
    assert value(shown, "libvirt_connection_lifecycle_events_total", **labels) == 10
    assert shown.budget.refused > 0
    assert shown.series <= 50 + 2
    assert shown.series == sum("domain" in dict(labels) for _, labels in samples(shown))


def test_freed_series_are_given_to_waiting_domains() -> None:
    shown = ExportedDomains(30)
    shown.update(domain("first").values())
    shown.update(domain("second").values())
    assert names(shown) == {"first"}
    shown.update(domain("first", present=False).values())
    shown.remove_expired(1e9)
    shown.update(domain("second").values())
    assert names(shown) == {"second"}


HOSTILE = st.text(st.characters(exclude_categories=()), min_size=1, max_size=40) | st.sampled_from(
    ['"', "\\", "\n", "\\n", '\\"', "🐎", "\udcff", "x" * 10_000, "{}", " ", "\r", "\x85", "\u2028", "_other"]
)


@settings(deadline=None)  # whole pages are parsed
@given(found=st.lists(HOSTILE, max_size=6, unique=True), openmetrics=st.booleans())
def test_any_name_and_title_is_valid_in_both_formats(found: list[str], *, openmetrics: bool) -> None:
    shown = ExportedDomains()
    for name in found:
        one = domain(clean(name))
        one.details = DomainDetails("kvm", clean(name), None)
        shown.update(one.values())
        shown.transition(transition("stopped", "crashed", name=clean(name)))
    written = shown.render(openmetrics=openmetrics).encode().decode()
    families = list(openmetrics_families(written + "# EOF\n") if openmetrics else text_families(written))
    counted = {
        s.labels["domain"]
        for f in families
        for s in f.samples
        if s.name == EVENTS and s.labels["event"] == "stopped"
    }
    assert counted == {clean(name) for name in found}
    titles = {s.labels["title"] for f in families if f.name == "libvirt_domain_meta" for s in f.samples}
    assert titles == counted


@pytest.mark.parametrize("openmetrics", [False, True])
def test_every_sample_has_the_documented_labels(*, openmetrics: bool) -> None:
    shown = ExportedDomains()
    for name, details in PLATFORMS.items():
        one = domain(name)
        one.details = details
        shown.update(one.values())
    shown.transition(transition("stopped", "crashed"))
    written = shown.render(openmetrics=openmetrics)
    families = list(openmetrics_families(written + "# EOF\n") if openmetrics else text_families(written))
    contract = {
        family.name.removesuffix("_total"): family for family in (*DOMAIN_FAMILIES, *CONNECTION_FAMILIES)
    }
    assert {family.name for family in families} == set(contract)
    for family in families:
        assert family.type == contract[family.name].type
        for one_sample in family.samples:
            bucket = ("le",) if one_sample.name.endswith("_bucket") else ()
            assert tuple(one_sample.labels) == (*contract[family.name].labels, *bucket)
