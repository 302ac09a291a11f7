"""Migration between two libvirts: the exporter counts the events of both hosts."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.guests import Guests
from tests.lab.hosts import Hosts
from tests.qemu.event_comparison import assert_counts_match
from tests.qemu.migration_driver import MigrationDriver
from tests.qemu.migrations import MIGRATIONS, MigrationScenario


@pytest.fixture(params=MIGRATIONS, ids=lambda scenario: scenario.name)
def scenario(request: pytest.FixtureRequest) -> MigrationScenario:
    chosen: MigrationScenario = request.param
    return chosen


def userfaultfd_is_allowed() -> bool:
    allowed = Path("/proc/sys/vm/unprivileged_userfaultfd")
    return os.getuid() == 0 or (allowed.exists() and allowed.read_text().strip() == "1")


@pytest.fixture
def migration(scenario: MigrationScenario, hosts: Hosts, guests: Guests) -> Iterator[MigrationDriver]:
    if scenario.needs_userfaultfd and not userfaultfd_is_allowed():
        pytest.skip("post-copy needs userfaultfd: root, or sysctl vm.unprivileged_userfaultfd=1")
    migration = MigrationDriver(f"move-{scenario.name}", scenario.guest, hosts, guests)
    try:
        version = migration.here.connection.getLibVersion()
        if version < scenario.libvirt or version in scenario.crashes_daemon_of:
            pytest.skip(f"libvirt {version} cannot do this")
        yield migration
    finally:
        migration.clear()
        migration.close()


def test_both_hosts_count_the_events_of_their_libvirt(
    scenario: MigrationScenario,
    migration: MigrationDriver,
    hosts: Hosts,
    record_summary: Callable[[str, str], None],
) -> None:
    try:
        scenario.operation(migration)
    finally:
        migration.clear()
        for host in (hosts.here, hosts.there):
            host.recorder.settle()
            record_summary(f"{migration.name}, {host.name}", host.recorder.summary(migration.name))
    here, there = hosts.here.recorder, hosts.there.recorder
    assert not scenario.mismatches(here.pairs(migration.name), there.pairs(migration.name))
    for host in (hosts.here, hosts.there):
        assert_counts_match(hosts.exporter, host.recorder, migration.name, host.name)
