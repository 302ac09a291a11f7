"""A renamed domain on a real libvirtd: QEMU, and the test driver in the same daemon."""

from contextlib import closing

import libvirt
import pytest

from tests.lab.daemon import Daemon
from tests.lab.exporter import Exporter
from tests.lab.guests import IDLE, Guests
from tests.lab.waiting import until
from tests.testdriver.scenes import xml

FACTS = ("libvirt_domain_state", "libvirt_domain_state_reason", "libvirt_domain_meta")


@pytest.mark.parametrize("driver", ["qemu", "test"])
def test_renamed_and_started_domain_leaves_no_old_series(
    driver: str, session_daemon: Daemon, guests: Guests, request: pytest.FixtureRequest
) -> None:
    """Nothing is scraped between the rename and the start."""
    old, new = f"{driver}-old", f"{driver}-new"
    is_qemu = driver == "qemu"
    exporter: Exporter = request.getfixturevalue("exporter" if is_qemu else "driver_exporter")
    description = guests.xml(old, IDLE) if is_qemu else xml(old)
    with closing(libvirt.open(session_daemon.uri if is_qemu else session_daemon.test_uri)) as connection:
        domain = connection.defineXML(description)
        try:
            domain.create()
            domain.destroy()
            domain.rename(new)
            domain.create()
            until(lambda: started(exporter, new), 60, "the start in the journal")
            exporter.wait_until(
                lambda: exporter.value("libvirt_domain_state", domain=new, state="running") == 1
            )
            shown = exporter.metrics()
            named = {sample.labels["domain"] for family in FACTS for sample in shown[family].samples}
            assert new in named
            assert old not in named
        finally:
            if domain.isActive():
                domain.destroy()
            domain.undefine()
            del domain


def started(exporter: Exporter, name: str) -> bool:
    return any(row.event == "started" for row in exporter.journal.rows(name))
