"""The state of the domains of a real daemon that is killed and comes back."""

from collections.abc import Callable

import libvirt

from tests.lab.daemon import Daemon
from tests.lab.page import EVENTS, Page

STATE = "libvirt_domain_state"
RECONNECTS = "libvirt_connection_reconnects_total"
OFTEN = {"reconnect_max_delay": 0.2}


def states(page: Page) -> set[str]:
    """The states that are set of the test driver's one domain."""
    return {
        sample.labels["state"]
        for sample in page.metrics()[STATE].samples
        if sample.labels["domain"] == "test" and sample.value
    }


def pause(daemon: Daemon) -> None:
    connection = libvirt.open(daemon.test_uri)
    try:
        connection.lookupByName("test").suspend()
    finally:
        connection.close()


def test_state_is_unknown_while_the_daemon_is_down(own_daemon: Daemon, start: Callable[..., Page]) -> None:
    page = start(own_daemon.test_uri, unknown_after=0.5, **OFTEN)
    page.wait_until(lambda: page.status("/-/ready") == 200)
    pause(own_daemon)
    page.wait_until(lambda: states(page) == {"paused"})
    own_daemon.kill()
    page.wait_until(lambda: states(page) == {"unknown"})
    labels = {"domain": "test", "state": "unknown", "reason": "connection_down"}
    assert page.value("libvirt_domain_state_reason", **labels) == 1
    assert page.value("libvirt_connection_up") == 0
    assert page.value(EVENTS, domain="test", event="suspended", reason="paused") == 1
    # The daemon's test driver begins anew: the domain runs, and was resumed unseen.
    own_daemon.start()
    page.wait_until(lambda: states(page) == {"running"})
    page.wait_until(lambda: page.value(EVENTS, domain="test", event="resumed", reason="unknown") == 1)


def test_restart_of_the_daemon_never_shows_unknown(own_daemon: Daemon, start: Callable[..., Page]) -> None:
    page = start(own_daemon.test_uri, **OFTEN)
    page.wait_until(lambda: page.status("/-/ready") == 200)
    pause(own_daemon)
    page.wait_until(lambda: states(page) == {"paused"})
    seen: set[str] = set()

    def is_back() -> bool:
        seen.update(states(page))
        return page.value(RECONNECTS) == 1 and states(page) == {"running"}

    own_daemon.kill()
    page.wait_until(lambda: page.value("libvirt_connection_up") == 0)
    seen.update(states(page))
    own_daemon.start()
    page.wait_until(is_back)
    assert seen <= {"paused", "running"}
