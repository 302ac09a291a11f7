"""NO_PROXY: names, suffixes, addresses, networks and ports."""

import pytest

from libvirt_lifecycle_exporter.otel.no_proxy import is_excluded


@pytest.mark.parametrize(
    ("no_proxy", "host", "excluded"),
    [
        ("", "here", False),
        (" , ,", "here", False),
        ("*", "here", True),
        ("a, *", "10.0.0.1", True),
        ("here", "here", True),
        ("here", "HERE", True),
        ("HERE", "here.", True),
        ("here", "there", False),
        ("example.com", "a.example.com", True),
        ("example.com", "notexample.com", False),
        (".example.com", "a.example.com", True),
        (".example.com", "example.com", True),
        ("*.example.com", "a.b.example.com", True),
        (".svc,.cluster.local", "collector.monitoring.svc", True),
        (".svc .cluster.local", "collector.monitoring.svc.cluster.local", True),
        (".svc", "collector.svcs", False),
        (".", "here", False),
        ("here:4318", "here", True),
        ("here:4317", "here", False),
        (".svc:4318", "a.svc", True),
        ("10.0.0.0/8", "10.255.0.1", True),
        ("10.0.0.1/8", "10.2.3.4", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/99", "10.0.0.1", False),
        ("10.0.0.0/8", "host.10.0.0.1.example", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1:4318", "127.0.0.1", True),
        ("127.0.0.1:1", "127.0.0.1", False),
        ("0.0.1", "127.0.0.1", False),
        ("10.0.0.0/8", "::ffff:10.0.0.1", True),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("[::1]:4318", "::1", True),
        ("[::1]:1", "::1", False),
        ("0:0:0:0:0:0:0:1", "::1", True),
        ("fd00::/8", "fd12::1", True),
        ("FD00::/8", "fe80::1", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("/8", "10.0.0.1", False),
        ("a:b:c", "a", False),
        ("[", "a", False),
    ],
)
def test_item_excludes_what_it_names(no_proxy: str, host: str, excluded: bool) -> None:  # noqa: FBT001
    assert is_excluded(host, 4318, no_proxy) == excluded
