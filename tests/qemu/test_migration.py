"""A domain that moves between two real libvirts: both accounts must be right."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.guests import Guests
from tests.lab.hosts import Hosts
from tests.qemu.ledger import counts_agree
from tests.qemu.migrations import MIGRATIONS, Migration
from tests.qemu.road import Road


@pytest.fixture(params=MIGRATIONS, ids=lambda migration: migration.name)
def migration(request: pytest.FixtureRequest) -> Migration:
    chosen: Migration = request.param
    return chosen


def pages_may_be_fetched() -> bool:
    allowed = Path("/proc/sys/vm/unprivileged_userfaultfd")
    return os.getuid() == 0 or (allowed.exists() and allowed.read_text().strip() == "1")


@pytest.fixture
def road(migration: Migration, hosts: Hosts, guests: Guests) -> Iterator[Road]:
    if migration.fetches_pages and not pages_may_be_fetched():
        pytest.skip("post-copy needs userfaultfd: root, or sysctl vm.unprivileged_userfaultfd=1")
    road = Road(f"move-{migration.name}", migration.guest, hosts, guests)
    try:
        version = road.here.connection.getLibVersion()
        if version < migration.libvirt or version in migration.dies_of_it:
            pytest.skip(f"libvirt {version} cannot do this")
        yield road
    finally:
        road.clear()
        road.close()


def test_both_hosts_count_the_events_of_their_libvirt(
    migration: Migration, road: Road, hosts: Hosts, account: Callable[[str, str], None]
) -> None:
    try:
        migration.move(road)
    finally:
        road.clear()
        for host in (hosts.here, hosts.there):
            host.recorder.settle()
            account(f"{road.name}, {host.name}", host.recorder.summary(road.name))
    here, there = hosts.here.recorder, hosts.there.recorder
    assert not migration.complaints(here.pairs(road.name), there.pairs(road.name))
    for host in (hosts.here, hosts.there):
        counts_agree(hosts.exporter, host.recorder, road.name, host.name)
