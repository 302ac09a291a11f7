"""The series of a real domain: when it is idle, and with every state."""

from collections import Counter
from collections.abc import Callable

from docs.series_table import OWN, connect, size
from tests.lab.page import Page

STATE = "libvirt_domain_state"


def families(page: Page, domain: str = "test") -> Counter[str]:
    """Return the number of series of each metric of a domain."""
    return Counter(
        sample.name
        for family in page.metrics().values()
        for sample in family.samples
        if sample.labels.get("domain") == domain
    )


def test_idle_domain_has_18_series(page: Page) -> None:
    assert families(page).total() == 18
    assert page.value("libvirt_lifecycle_exporter_series") == 18


def test_page_has_as_many_series_as_documented(page: Page) -> None:
    """In a process of its own, ``process_*`` and ``python_*`` are the same."""
    names = [sample for family in page.metrics().values() for sample in family.samples]
    of_libvirt = [one for one in names if one.name.startswith(("libvirt_domain_", "libvirt_connection_"))]
    of_connection = [one for one in of_libvirt if "domain" not in one.labels]
    assert len(of_connection) == size(connect).series
    assert len(names) - len(of_libvirt) == OWN.series


def test_whole_state_set_is_exported_on_request(start: Callable[..., Page]) -> None:
    page = start(metrics_state_set=True)
    page.wait_until(lambda: page.status("/-/ready") == 200)
    assert families(page)[STATE] == 9
    assert page.value(STATE, domain="test", state="running") == 1
    assert page.value(STATE, domain="test", state="paused") == 0
    assert page.value("libvirt_lifecycle_exporter_series") == 26
