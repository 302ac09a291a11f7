"""Whether NO_PROXY excludes a host from being reached through a proxy. Pure.

An item is ``*``, a host name (its subdomains included), a suffix (``.svc``, ``*.svc``), an address, or a
network in CIDR notation. Names and addresses may have a port. Letter case does not matter. Names are not
resolved. The format is that of https://pkg.go.dev/golang.org/x/net/http/httpproxy, except that ``.svc``
matches ``svc`` too, as in curl and Python.
"""

import ipaddress
import re
from urllib.request import getproxies

_ITEMS = re.compile(r"[,\s]+")
_WITH_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d+))?")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def bypasses_proxy(host: str, port: int) -> bool:
    """Return whether the environment (NO_PROXY or no_proxy) excludes ``host``."""
    return is_excluded(host, port, getproxies().get("no", ""))


def is_excluded(host: str, port: int, no_proxy: str) -> bool:
    """Return whether ``no_proxy``, a list, excludes ``host``, a name or an address without brackets."""
    name = host.lower().rstrip(".")
    address = _address(name)
    return any(_matches(item.lower(), name, address, port) for item in _ITEMS.split(no_proxy) if item)


def _matches(item: str, name: str, address: _Address | None, port: int) -> bool:
    if item == "*":
        return True
    if "/" in item:
        return address is not None and _contains(item, address)
    if _address(item) is None:  # an IPv6 address without brackets has colons, and no port
        found = _WITH_PORT.fullmatch(item)
        if found is None or (found["port"] and int(found["port"]) != port):
            return False
        item = found["host"].strip("[]")
    if address is not None:
        return _address(item) == address
    suffix = item.removeprefix("*").strip(".")
    return bool(suffix) and (name == suffix or name.endswith(f".{suffix}"))


def _contains(network: str, address: _Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _address(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
