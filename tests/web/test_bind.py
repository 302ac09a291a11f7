"""Which addresses the server listens on for each form of --web.listen-address."""

import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from libvirt_lifecycle_exporter.config.settings import parse_listen_address
from libvirt_lifecycle_exporter.web.server import bind
from tests.lab.exporter import free_port


def reachable_addresses(port: int) -> set[str]:
    """Return the loopback addresses on which the port accepts connections."""
    addresses = set()
    for host in ("127.0.0.1", "127.0.0.2", "::1"):
        try:
            socket.create_connection((host, port), 20).close()
        except ConnectionRefusedError:
            continue
        addresses.add(host)
    return addresses


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (":{}", {"127.0.0.1", "127.0.0.2", "::1"}),
        ("[::]:{}", {"127.0.0.1", "127.0.0.2", "::1"}),
        ("0.0.0.0:{}", {"127.0.0.1", "127.0.0.2"}),
        ("[::1]:{}", {"::1"}),
        ("127.0.0.2:{}", {"127.0.0.2"}),
    ],
)
def test_address_is_served_as_in_go(address: str, expected: set[str]) -> None:
    parsed = parse_listen_address(address.format(free_port()))
    with ExitStack() as sockets:
        for bound in bind(parsed.host, parsed.port):
            sockets.enter_context(bound)
        assert reachable_addresses(parsed.port) == expected


def test_name_with_an_address_in_use_is_not_bound_at_all() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(OSError, match=f"^cannot listen on localhost:{port}: address already in use$"):
            bind("localhost", port)
        assert reachable_addresses(port) == {"127.0.0.1"}


IN_NAMESPACE = """
import json, socket, sys
from libvirt_lifecycle_exporter.config.settings import parse_listen_address
from libvirt_lifecycle_exporter.web.server import bind

def attempt(address):
    parsed = parse_listen_address(address)
    try:
        bound = bind(parsed.host, parsed.port)
    except OSError as error:
        return str(error)
    names = []
    for listening in bound:
        name = listening.getsockname()
        client = socket.socket(listening.family, socket.SOCK_STREAM)
        client.connect(name)
        names.append([name[0], *name[3:]])
        client.close()
        listening.close()
    return names

print(json.dumps({address: attempt(address) for address in sys.argv[1:]}))
"""


def bind_in_network_namespace(commands: str, *addresses: str) -> dict[str, list[list[object]] | str]:
    """Bind addresses in a new network namespace, which the shell commands set up.

    Returns for each address the bound addresses, or the error.
    """
    script = f'{commands} && exec "$0" -c "$@"'
    completed = subprocess.run(
        [
            "unshare",
            "--net",
            "--mount",
            "--map-root-user",
            "sh",
            "-c",
            script,
            sys.executable,
            IN_NAMESPACE,
            *addresses,
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, list[list[object]] | str] = json.loads(completed.stdout)
    return found


def test_link_local_address_with_zone_is_served() -> None:
    loopback = "ip link set lo up && ip address add fe80::1/64 dev lo nodad"
    found = bind_in_network_namespace(
        loopback, "[fe80::1%lo]:10177", "[fe80::1]:10177", "[fe80::1%eth-9]:10177"
    )
    assert found["[fe80::1%lo]:10177"] == [["fe80::1", 1]]
    assert found["[fe80::1]:10177"] == "cannot listen on [fe80::1]:10177: invalid argument"
    assert str(found["[fe80::1%eth-9]:10177"]).startswith("cannot listen on [fe80::1%eth-9]:10177: ")


def test_name_is_served_on_all_its_addresses(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n::1 localhost\n127.0.0.3 node1.example\n127.0.0.4 node1.example\n")
    names = f"ip link set lo up && mount --bind {hosts} /etc/hosts"
    found = bind_in_network_namespace(names, "localhost:10177", "node1.example:10177")
    assert sorted(map(str, found["localhost:10177"])) == ["['127.0.0.1']", "['::1', 0]"]
    assert sorted(map(str, found["node1.example:10177"])) == ["['127.0.0.3']", "['127.0.0.4']"]


def test_host_without_ipv6_listens_on_ipv4() -> None:
    no_ipv6 = "ip link set lo up && ip -6 address flush dev lo"
    found = bind_in_network_namespace(no_ipv6, "localhost:10177", "[::1]:10177")
    assert found["localhost:10177"] == [["127.0.0.1"]]
    assert found["[::1]:10177"] == "cannot listen on [::1]:10177: cannot assign requested address"
