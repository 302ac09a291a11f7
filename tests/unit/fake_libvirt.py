"""Fakes of libvirt's connection and domain for tests of the callbacks."""

import itertools
from typing import Any

import libvirt


class FakeConnection:
    """The event functions of a libvirt connection; ``unsupported``: event kinds that its driver rejects."""

    def __init__(self, unsupported: frozenset[str] = frozenset()) -> None:
        self._unsupported = {getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{kind.upper()}") for kind in unsupported}
        self._numbers = itertools.count()
        self.callbacks: dict[int, tuple[Any, Any]] = {}

    def domainEventRegisterAny(self, _domain: None, number: int, callback: Any, opaque: Any) -> int:  # noqa: N802
        if number in self._unsupported:
            raise libvirt.libvirtError("unsupported event ID")
        self.callbacks[number] = (callback, opaque)
        return next(self._numbers)

    def send(self, kind: str, domain: object, *values: object) -> None:
        callback, opaque = self.callbacks[getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{kind.upper()}")]
        callback(self, domain, *values, opaque)


class FakeDomain:
    """The part of a libvirt domain that callbacks read."""

    def UUIDString(self) -> str:  # noqa: N802
        return "u-1"

    def name(self) -> str:
        return "web"

    def ID(self) -> int:  # noqa: N802
        return 7


class InvalidNameDomain(FakeDomain):
    """A domain whose name is not valid UTF-8."""

    def name(self) -> str:
        return b"we\xffb".decode()


class BrokenDomain(FakeDomain):
    """A domain whose UUID cannot be read."""

    def UUIDString(self) -> str:  # noqa: N802
        raise libvirt.libvirtError("virDomainGetUUIDString() failed")


class LossRecorder:
    """Counts the calls of ``on_loss``."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
