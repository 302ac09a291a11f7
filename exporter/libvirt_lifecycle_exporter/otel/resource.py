"""The OpenTelemetry resource of each connection.

``host.*`` describes the hypervisor: this host, or the remote host that the connection leads to.
``service.instance.id`` stays the same after a restart. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
override every attribute.

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

_INSTANCE_NAMESPACE: Final = UUID("6ad5d1f2-6a9d-5e0c-9a3e-7d0f4f4c2b61")
"""UUID namespace of ``service.instance.id``."""

_ARCHITECTURES: Final[Mapping[str, str]] = MappingProxyType(
    {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm32", "i686": "x86", "i386": "x86"}
)
"""Python's name of an architecture -> OpenTelemetry's, where they differ."""

_LOCAL_NAMES: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})
"""Host names in a libvirt URI that mean this host."""


def build_resources(connections: Mapping[str, str], host_id: str) -> dict[str, Resource]:
    """Return the resource of each connection.

    ``connections``: label -> libvirt URI; ``host_id``: id of this host, "" if unknown.
    """
    return {label: _build_resource(label, uri, host_id) for label, uri in connections.items()}


def _build_resource(label: str, uri: str, host_id: str) -> Resource:
    attributes = {
        "service.name": "libvirt-lifecycle-exporter",
        "service.version": __version__,
        "service.instance.id": str(uuid5(_INSTANCE_NAMESPACE, f"{host_id or socket.gethostname()}/{label}")),
        **_host_attributes(urlsplit(uri).hostname or "", host_id),
    }
    overrides = OTELResourceDetector().detect()
    return Resource.create().merge(Resource(attributes)).merge(overrides)


def _host_attributes(name: str, host_id: str) -> dict[str, str]:
    if name.lower() not in _LOCAL_NAMES:
        return {"host.name": name}
    machine = platform.machine()
    local = {"host.name": socket.gethostname(), "host.arch": _ARCHITECTURES.get(machine, machine)}
    return local | ({"host.id": host_id} if host_id else {})
