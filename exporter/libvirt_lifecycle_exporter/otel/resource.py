"""Who says it: the OpenTelemetry resource of each connection.

``host.*`` is the hypervisor: this host, unless the connection leads to another one. ``service.instance.id``
is the same after each restart. What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say has the last word.

https://opentelemetry.io/docs/specs/semconv/resource/
"""

import platform
import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from opentelemetry.sdk.resources import OTELResourceDetector, Resource

from libvirt_lifecycle_exporter import __version__

_SERVICE: Final = UUID("6ad5d1f2-6a9d-5e0c-9a3e-7d0f4f4c2b61")
"""Our own namespace for instance ids."""

_ARCHES: Final[Mapping[str, str]] = MappingProxyType(
    {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm32", "i686": "x86", "i386": "x86"}
)
"""What Python calls it -> what OpenTelemetry does; others have one name."""

_HERE: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})


def resources(connections: Mapping[str, str], host: str) -> dict[str, Resource]:
    """Return the resource of each connection. ``connections``: label -> URI; ``host``: this one's id."""
    return {label: _resource(label, uri, host) for label, uri in connections.items()}


def _resource(label: str, uri: str, host: str) -> Resource:
    own = {
        "service.name": "libvirt-lifecycle-exporter",
        "service.version": __version__,
        "service.instance.id": str(uuid5(_SERVICE, f"{host or socket.gethostname()}/{label}")),
        **_host(urlsplit(uri).hostname or "", host),
    }
    given = OTELResourceDetector().detect()
    return Resource.create().merge(Resource(own)).merge(given)


def _host(name: str, host: str) -> dict[str, str]:
    if name.lower() not in _HERE:
        return {"host.name": name}
    machine = platform.machine()
    here = {"host.name": socket.gethostname(), "host.arch": _ARCHES.get(machine, machine)}
    return here | ({"host.id": host} if host else {})
